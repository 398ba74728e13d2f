"""The accuracy benchmark on a run whose errors are known; nothing is tracked."""

import json
from dataclasses import replace

import numpy as np
import pytest

from scenes import built_in_scene
from scenes.synthetic import SyntheticOptions
from tests.benchmarks import accuracy
from tests.benchmarks.accuracy import ABLATION, Benchmark, finite, main, measure, parse_setting, table
from tests.perfect_run import write_perfect_run
from warpgs.render import Renderer
from warpgs.run import Run
from warpgs.track import PRESETS

OPTIONS = SyntheticOptions(
    width=64, height=36, timesteps=16, train_cameras=6, test_cameras=1, samples=1, truth_points=15,
    cloud_background=300, cloud_foreground=200,
)  # fmt: skip


def test_settings_change_what_they_name():
    fast = PRESETS["fast"]
    assert parse_setting("fast") == fast
    changed = parse_setting("fast:follow.free.steps=7,follow.prediction=none,seed=3,follow.priors.floor=(0,0,1,0)")
    follow = replace(
        fast.follow,
        free=replace(fast.follow.free, steps=7),
        prediction="none",
        priors=replace(fast.follow.priors, floor=(0, 0, 1, 0)),
    )
    assert changed == replace(fast, seed=3, follow=follow)


def test_every_setting_of_the_ablation_differs_from_the_preset():
    configs = [parse_setting(text) for text in ABLATION.values()]
    assert configs[0] == PRESETS["fast"]
    assert all(a != b for i, a in enumerate(configs) for b in configs[:i])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fats", r"setting fats: expected a preset \(fast, .*got fats"),
        ("fast:follow.fre.steps=1", "expected a field among .*free.*, got fre"),
        ("fast:seed.steps=1", "expected a field among .*, got steps"),
        ("fast:follow.free.steps=0", "follow.free.steps: expected at least 1, got 0"),
    ],
)
def test_broken_settings_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_setting(text)


@pytest.mark.parametrize("name", ["tumble", "tumble+large", "tumble+small+turned"])
def test_lengths_are_in_the_metres_of_the_scene_as_made(tmp_path, name):
    scene = built_in_scene(name, replace(OPTIONS, timesteps=3))
    write_perfect_run(tmp_path / "run", scene, range(3))
    figures = measure(Run.open(tmp_path / "run"), scene, Renderer("cpu", 1))
    assert figures["mte_mean_m"] < 2e-4 and figures["survival"] == figures["delta"] == 1.0
    assert set(figures["bodies"]) == set(scene.ground_truth().body_names)
    assert figures["worst_m"] == max(body["mte_mean_m"] for body in figures["bodies"].values())
    assert figures["end_m"] == max(body["end_m"] for body in figures["bodies"].values())
    assert len(figures["error_over_time_m"]) == 2 and np.isnan(figures["entered_m"])
    json.dumps(finite(figures), allow_nan=False)


def test_bodies_that_entered_are_measured_from_then_on(tmp_path):
    """A run that only knows the points of the start carries those that enter by what happens to be near."""
    scene = built_in_scene("enter", OPTIONS)
    write_perfect_run(tmp_path / "run", scene, range(16))
    figures = measure(Run.open(tmp_path / "run"), scene, Renderer("cpu", 1))
    assert figures["mte_mean_m"] < 2e-4
    assert figures["entered_m"] > 0.1
    assert "dropper" not in figures["bodies"] and "slider" in figures["bodies"]


def test_benchmark_tracks_a_pair_once_and_resumes(tmp_path, monkeypatch, capsys):
    calls = []

    def run_one(scene, config, benchmark, stem):
        calls.append((scene, config.seed))
        return {name: 0.0123 for _, name, _, _ in accuracy.COLUMNS} | {"worst_body": "ball", "entered_m": float("nan")}

    monkeypatch.setattr(accuracy, "run_one", run_one)
    monkeypatch.setattr(accuracy, "open_scene", lambda name: built_in_scene(name, replace(OPTIONS, timesteps=2)))
    benchmark = Benchmark(
        scenes=("tumble", "arm+four"), settings=("fast", "fast:seed=4"), json=tmp_path / "figures", resume=True
    )
    main(replace(benchmark, settings=("fast",)))
    main(benchmark)
    assert calls == [("tumble", 0), ("arm+four", 0), ("tumble", 4), ("arm+four", 4)]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 + 6 and len({len(line) for line in lines[4:]}) == 1
    assert lines[-1].startswith("| arm+four | fast:seed=4 | 1.23") and "| - " in lines[-1]
    main(replace(benchmark, resume=False, scenes=("tumble",), settings=("fast",)))
    assert calls[4:] == [("tumble", 0)]


def test_table_has_a_row_for_each_pair():
    figures = {name: 0.5 for _, name, _, _ in accuracy.COLUMNS} | {"worst_body": "cube", "psnr": None}
    lines = table([("tumble", "fast", figures), ("arm", "fast", figures)]).splitlines()
    assert len(lines) == 4 and lines[0].startswith("| scene ") and set(lines[1]) == {"|", "-"}
    assert lines[3].count("|") == lines[0].count("|") == 3 + len(accuracy.COLUMNS) + 1
