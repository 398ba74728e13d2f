"""Whether confidence is right as often as it says."""

import json
from dataclasses import replace

import numpy as np
import pytest

from scenes import SyntheticOptions
from scenes.synthetic import tumble
from tests.perfect_run import write_perfect_run
from warpgs.evaluate import evaluate, table
from warpgs.evaluate.plots import save_plots
from warpgs.evaluate.reliability import EDGES, reliability
from warpgs.render import Renderer
from warpgs.run import Run
from warpgs.types import Tracks

OPTIONS = SyntheticOptions(
    width=64, height=36, timesteps=3, train_cameras=4, test_cameras=1, samples=1, cloud_background=400
)


def test_reliability_of_a_table_worked_out_by_hand():
    confidence = np.array([0.99, 0.97, 0.96, 0.92, 0.7, 0.3, 0.02, 0.0])
    distance = np.array([0.00, 0.02, 0.03, 0.01, 0.9, 0.9, 0.01, 0.9])
    found = reliability(confidence, distance, 0.02)
    np.testing.assert_allclose(found.shares, np.array([2, 0, 1, 0, 1, 0, 1, 3]) / 8)
    np.testing.assert_allclose(found.expected, [0.01, np.nan, 0.3, np.nan, 0.7, np.nan, 0.92, 2.92 / 3])
    np.testing.assert_allclose(found.observed, [0.5, np.nan, 0.0, np.nan, 0.0, np.nan, 1.0, 2 / 3])
    gaps = 2 * 0.49 + 0.3 + 0.7 + 0.08 + 3 * (2.92 / 3 - 2 / 3)
    assert found.error == pytest.approx(gaps / 8)
    assert (found.sure, found.sure_right) == (0.5, 0.75)
    assert (found.called_lost, found.lost) == (3 / 8, 4 / 8)


def test_reliability_of_confidence_that_is_right_as_often_as_it_says():
    random = np.random.default_rng(2)
    confidence = random.random((200, 500))
    distance = (random.random(confidence.shape) > confidence).astype(float)
    found = reliability(confidence, distance, 0.5)
    assert found.error < 0.01 and found.called_lost == pytest.approx(found.lost, abs=0.01)
    assert np.abs(np.subtract(found.expected, found.observed)).max() < 0.02 and sum(found.shares) == pytest.approx(1.0)


def test_reliability_counts_certainty_in_the_last_bin():
    found = reliability(np.ones((2, 3)), np.zeros((2, 3)), 0.02)
    assert found.shares[-1] == 1.0 and found.error == 0.0 and len(found.shares) == len(EDGES) - 1


def test_evaluate_says_how_far_a_run_can_be_trusted(tmp_path, monkeypatch):
    scene, renderer = tumble(OPTIONS), Renderer(device="cpu", threads=1)
    write_perfect_run(tmp_path / "run", scene, range(3), lost_body=0)
    run = Run.open(tmp_path / "run")
    silent = evaluate(run, scene, renderer)
    assert silent.reliability is None and json.loads(silent.to_json())["confidence"] is None
    assert "called lost" not in table(silent)

    truth, tracks = scene.ground_truth(), run.tracks()
    confidence = np.ones(tracks.means.shape[:2], np.float32)
    confidence[:, : len(truth.body_index)][:, truth.body_index == 0] = 0.0
    judged: Tracks = replace(tracks, confidence=confidence, visibility=confidence, tolerance=1e-3)
    monkeypatch.setattr(Run, "tracks", lambda self: judged)
    report = evaluate(run, scene, renderer)
    share = float((truth.body_index == 0).mean())
    assert report.reliability.called_lost == pytest.approx(share) == pytest.approx(report.reliability.lost)
    assert report.reliability.error == 0.0 and report.reliability.sure_right == 1.0
    assert json.loads(report.to_json())["confidence"]["lost"] == pytest.approx(share)
    text = table(report)
    assert "called lost (beyond 0.1 cm)" in text and "expected %" in text and "0.95 to 1" in text
    assert "confidence.png" in [path.name for path in save_plots(report, judged, scene, tmp_path / "plots")]
