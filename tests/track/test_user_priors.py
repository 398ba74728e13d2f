"""Priors of a user's own in tracking."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warp as wp

import scenes
from scenes.synthetic import tumble
from tests.track.recordings import QUICK, result_bytes, track_into
from warpgs.cli import main
from warpgs.priors import IsometryPrior, Prior, accumulate_energy
from warpgs.priors.base import State
from warpgs.run import Run
from warpgs.track import track


@wp.kernel
def level_kernel(
    means: wp.array(dtype=Any), turn: wp.mat33, shift: wp.vec3, scale: float, level: float,
    loss: wp.array(dtype=wp.float64),
):  # fmt: skip
    world = turn * means[wp.tid()] + shift
    wp.atomic_add(loss, 0, wp.float64(scale * (world[2] - level) * (world[2] - level)))


@dataclass(frozen=True)
class Level(Prior):
    """Pulls everything to one height of the scene."""

    weight: float = 1e4
    height_m: float = 3.0

    def accumulate(self, state: State, rest, loss):
        world = rest.world_from_rest
        turn, shift = wp.mat33(*(world.scale * world.rotation).ravel()), wp.vec3(*world.translation)
        inputs = [state.means, turn, shift, self.weight / max(rest.means.size, 1), self.height_m]
        accumulate_energy(level_kernel, rest.means.size, inputs, state, rest, loss)


@dataclass(frozen=True)
class Spy(Prior):
    """Keeps what it is shown."""

    weight: float = 1.0
    seen: tuple = ((), ())

    def accumulate(self, state: State, rest, loss):
        self.seen[0].append(state)
        self.seen[1].append(rest)


@dataclass(frozen=True)
class Broken(Prior):
    weight: float = 1.0

    def accumulate(self, state, rest, loss):
        loss.fill_(float("nan"))


def test_track_without_priors_of_the_caller_writes_the_same_bytes_as_with_a_weightless_one(recording, tmp_path):
    track_into(tmp_path / "none", recording, QUICK)
    with Run.create(tmp_path / "weightless", recording, QUICK) as run:
        list(track(recording, QUICK, run=run, priors=[IsometryPrior(0.0)]))
    assert result_bytes(tmp_path / "none") == result_bytes(tmp_path / "weightless")


def test_track_obeys_a_prior_in_the_frame_of_the_scene(recording):
    for height_m in (3.0, -3.0):
        first, second = track(recording, QUICK, timesteps=range(2), priors=[Level(height_m=height_m)])
        rise = (second.gaussians.means - first.gaussians.means)[first.gaussians.foreground >= 0.5, 2]
        assert np.sign(height_m) * np.median(rise) > 0.02


def test_track_tells_a_prior_the_last_two_poses(recording):
    states, rests = [], []
    steps = list(track(recording, QUICK, priors=[Spy(seen=(states, rests))]))
    motion, rest = states[-1].motion, rests[-1]
    moving = steps[0].gaussians.foreground >= 0.5
    world = rest.world_from_rest
    np.testing.assert_allclose(world.points(motion.last_means.numpy()), steps[1].gaussians.means[moving], atol=1e-5)
    np.testing.assert_allclose(world.points(motion.before_means.numpy()), steps[0].gaussians.means[moving], atol=1e-5)
    assert motion.known.numpy().all() and motion.step_s == pytest.approx(1.0 / recording.fps)
    scales = np.exp(steps[0].gaussians.log_scales[moving])
    np.testing.assert_allclose(world.scale * rest.scales.numpy(), scales, rtol=1e-4)


def test_track_refuses_a_broken_prior_before_it_begins(recording):
    with pytest.raises(ValueError, match=r"Broken: energy of particles at rest: expected a finite number, got nan"):
        next(track(recording, QUICK, priors=[Broken()]))
    with pytest.raises(TypeError, match=r"priors: expected instances of warpgs.priors.Prior, got 3"):
        next(track(recording, QUICK, priors=[3]))


FILE = """
from dataclasses import dataclass
from warpgs.priors import IsometryPrior, Prior

@dataclass(frozen=True)
class Mine(Prior):
    weight: float = 1.0

    def accumulate(self, state, rest, loss):
        IsometryPrior(self.weight).accumulate(state, rest, loss)
"""


def test_track_verb_takes_priors_from_a_file_and_resumes_with_the_same_only(tmp_path, capsys, monkeypatch):
    options = scenes.SyntheticOptions(width=96, height=54, timesteps=2, train_cameras=6, samples=1)
    monkeypatch.setitem(scenes.BUILT_IN, "tumble", lambda _: tumble(options))
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FILE)
    words = shlex.split(
        "track tumble --run run --threads 1 --reconstruct.steps 5 --reconstruct.densify.every 0"
        " --follow.rigid.first-steps 2 --follow.free.steps 2 --prior"
    )
    assert main([*words, "mine.py:Mine,weight=3", "--prior", "isometry,weight=2"]) == 0
    [mine, isometry] = Run.open("run").config["added_priors"]
    assert mine.startswith("mine.py:Mine,weight=3 sha256=") and isometry == "isometry,weight=2"
    assert main([*words, "mine.py:Mine,weight=3", "--prior", "isometry,weight=2", "--resume"]) == 0
    for others in (["isometry,weight=2"], ["mine.py:Mine,weight=4", "--prior", "isometry,weight=2"]):
        assert main([*words, *others, "--resume"]) == 1
        assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "mine.py:Yours"]) == 1
    assert "prior mine.py:Yours: expected a class Yours in the file, got none" in capsys.readouterr().err
