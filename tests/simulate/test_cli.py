"""``warpgs simulate``: a run like any other, and what it refuses."""

import json

import numpy as np
import pytest

import scenes
from tests.perfect_run import write_perfect_run
from tests.tracks_by_hand import make_tracks
from usd_export import export
from warpgs.cli import main
from warpgs.run import Run

OPTIONS = scenes.SyntheticOptions(
    width=64, height=36, timesteps=8, train_cameras=6, test_cameras=1, samples=1, cloud_background=2000,
    truth_points=60,
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "tumble"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(scenes.BUILT_IN, "tumble", lambda options: scenes.tumble(OPTIONS))
        write_perfect_run(path, scenes.open_scene("tumble"), range(8))
        yield path


def test_simulated_run_is_a_run_like_any_other(run, tmp_path, capsys):
    """Begun within the recording and going on after its end."""
    out = tmp_path / "forecast"
    assert main(["simulate", str(run), "--from", "3", "--duration", "0.2", "--run", str(out)]) == 0
    assert "7 timesteps in" in capsys.readouterr().out
    tracked, simulated = Run.open(run).tracks(), Run.open(out).tracks()
    assert simulated.timesteps == tuple(range(3, 10))
    np.testing.assert_allclose(simulated.means[0], tracked.means[3], atol=1e-6)
    moved = np.linalg.norm(simulated.means[2] - tracked.means[5], axis=1)
    assert np.median(moved[tracked.foreground > 0.5]) < 0.03  # two instants on, before the bodies meet
    assert moved[tracked.foreground < 0.5].max() == 0.0
    assert Run.open(out).config["timestep"] == 3
    assert main(["render", str(out), "--output", str(tmp_path / "v"), "--threads", "1", "--device", "cpu"]) == 0
    assert len(list((tmp_path / "v").rglob("*.png"))) == 7
    assert main(["export", str(out), str(tmp_path / "x.usda")]) == 0


def test_simulation_reads_material_and_parts_and_holds(run, tmp_path):
    (tmp_path / "m.json").write_text(json.dumps({"gravity": [0, 0, 0]}))
    assert main(["parts", str(run), "--output", str(tmp_path / "parts.json")]) == 0
    name = json.loads((tmp_path / "parts.json").read_text())["parts"][0]["name"]
    words = ["simulate", str(run), "--duration", "0.1", "--material", str(tmp_path / "m.json"), "--hold", name]
    words += ["--parts", str(tmp_path / "parts.json"), "--run", str(tmp_path / "out"), "--from", "3"]
    assert main(words) == 0
    config = Run.open(tmp_path / "out").config
    assert config["hold"] == [name] and config["material"]["gravity"] == [0, 0, 0]


def test_file_of_gaussians_is_simulated_and_rendered_without_a_scene(tmp_path):
    rng = np.random.default_rng(0)
    still = make_tracks(rng.uniform(0.5, 0.7, (1, 60, 3)), sigma=0.01)
    export(still, tmp_path / "cloud.ply")
    file = next(tmp_path.glob("*.ply"))
    words = ["simulate", str(file), "--duration", "0.1", "--run", str(tmp_path / "out")]
    assert main(words) == 0
    fallen = Run.open(tmp_path / "out").tracks()
    assert len(fallen) == 4 and (fallen.means[-1, :, 2] < fallen.means[0, :, 2]).all()
    assert main(["render", str(tmp_path / "out"), "--output", str(tmp_path / "v"), "--device", "cpu"]) == 0


LEASH = """
from dataclasses import dataclass
from typing import Any
import warp as wp
from warpgs.priors import Prior, accumulate_energy

@wp.kernel
def leash_kernel(means: wp.array(dtype=Any), first: wp.array(dtype=Any), scale: Any, loss: wp.array(dtype=wp.float64)):
    i = wp.tid()
    away = means[i] - first[i]
    wp.atomic_add(loss, 0, wp.float64(scale * wp.dot(away, away)))

@dataclass(frozen=True)
class Leash(Prior):
    weight: float = 1.0

    def accumulate(self, state, rest, loss):
        inputs = [state.means, rest.means, rest.dtype(self.weight / (rest.means.size * rest.spacing**2))]
        accumulate_energy(leash_kernel, rest.means.size, inputs, state, rest, loss)
"""


def test_prior_of_a_user_holds_what_would_fall(tmp_path):
    still = make_tracks(np.random.default_rng(0).uniform(0.5, 0.7, (1, 60, 3)), sigma=0.01)
    export(still, tmp_path / "cloud.ply")
    (tmp_path / "leash.py").write_text(LEASH)
    words = ["simulate", str(next(tmp_path.glob("*.ply"))), "--duration", "0.2", "--run", str(tmp_path / "out")]
    assert main([*words, "--prior", f"{tmp_path / 'leash.py'}:Leash,weight=0.5"]) == 0
    run = Run.open(tmp_path / "out")
    assert "Leash,weight=0.5 sha256=" in run.config["added_priors"][0]
    moved = run.tracks().means[-1] - run.tracks().means[0]
    assert np.abs(moved).max() < 0.01  # 0.2 without
    assert main([*words, "--overwrite", "--prior", "rubber"]) == 1
    assert main([*words, "--overwrite", "--solver", "implicit"]) == 0
    run = Run.open(tmp_path / "out")
    assert run.config["solver"] == "implicit" and "added_priors" not in run.config
    moved = run.tracks().means[-1] - run.tracks().means[0]
    np.testing.assert_allclose(moved.mean(axis=0), [0, 0, -0.5 * 9.81 * 0.2**2], atol=2e-3)


@pytest.mark.parametrize(
    ("words", "status", "match"),
    [
        (["--from", "99"], 1, "--from: expected one of the timesteps 0 to 7, got 99"),
        (["--duration", "0"], 2, "--duration: expected more than 0 s"),
        (["--material", "gone.json"], 1, "gone.json"),
        (["--hold", "hand"], 1, "hold: expected names of parts"),
        (["--parts", "gone.json"], 1, "gone.json"),
    ],
)
def test_commands_that_make_no_sense_are_one_sentence(run, tmp_path, capsys, words, status, match):
    assert main(["simulate", str(run), "--run", str(tmp_path / "out"), *words]) == status
    lines = capsys.readouterr().err.splitlines()
    assert match in lines[-1] and len([line for line in lines if line.startswith("warpgs simulate:")]) == 1
    assert not (tmp_path / "out").exists()


def test_tracks_are_not_overwritten(run, tmp_path, capsys):
    assert main(["simulate", str(run), "--run", str(run)]) == 2
    assert "expected another directory" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "note.txt").write_text("mine")
    assert main(["simulate", str(run), "--duration", "0.1", "--run", str(tmp_path / "out"), "--overwrite"]) == 1
    assert (tmp_path / "out" / "note.txt").read_text() == "mine"


def test_failed_simulation_keeps_the_timesteps_before(tmp_path, capsys):
    points = np.random.default_rng(0).uniform(0.5, 0.7, (1, 60, 3))
    export(make_tracks(points, sigma=0.01), tmp_path / "cloud.ply")
    (tmp_path / "m.json").write_text(json.dumps({"stiffness": 1e9}))
    words = ["simulate", str(next(tmp_path.glob("*.ply"))), "--material", str(tmp_path / "m.json")]
    words += ["--substeps", "4", "--run", str(tmp_path / "out")]
    assert main(words) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "deformable at" in said and "--substeps" in said and "timesteps before are in" in said
    assert len(Run.open(tmp_path / "out").completed) >= 1
