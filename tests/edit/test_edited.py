"""Edited runs are runs: every verb takes them."""

import json

import numpy as np

import scenes
from scenes.synthetic import SyntheticOptions, tumble
from tests.perfect_run import write_perfect_run
from warpgs.cli import main
from warpgs.run import Run

SCRIPT = """
base = "run"

[[step]]
do = "cut"
piece = "crate"
part = "part_00"

[[step]]
do = "freeze"
of = "crate"
at = 0

[[step]]
do = "recolor"
of = "crate"
color = [0.0, 1.0, 0.0]
"""


def test_an_edited_run_is_evaluated_rendered_exported_and_simulated(tmp_path, monkeypatch):
    options = SyntheticOptions(
        width=96, height=54, timesteps=4, train_cameras=4, test_cameras=1, samples=1, cloud_background=2000
    )
    monkeypatch.setitem(scenes.BUILT_IN, "tumble", lambda _: tumble(options))
    monkeypatch.chdir(tmp_path)
    write_perfect_run(tmp_path / "run", scenes.open_scene("tumble"), range(4))
    (tmp_path / "edit.toml").write_text(SCRIPT, encoding="utf-8")
    assert main(["edit", "edit.toml", "--output", "edited"]) == 0

    assert main(["evaluate", "edited", "--json", "report.json"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["tracks_3d"]["mte_mean_m"] > 0.005  # in truth, the crate does move

    assert main(["render", "edited", "--output", "views"]) == 0
    assert len(list((tmp_path / "views").rglob("*.png"))) == 4
    assert main(["export", "edited", "edited.usdc"]) == 0 and main(["check", "edited.usdc"]) == 0

    assert main(["simulate", "edited", "--from", "2", "--duration", "0.1", "--run", "forecast"]) == 0
    edited, forecast = Run.open("edited").tracks(), Run.open("forecast").tracks()
    np.testing.assert_allclose(forecast.means[0], edited.means[2], atol=1e-6)
    green = (edited.colors == [0.0, 1.0, 0.0]).all(axis=1)
    assert 50 < green.sum() < len(green) and (forecast.means[-1, green, 2] < forecast.means[0, green, 2]).all()
