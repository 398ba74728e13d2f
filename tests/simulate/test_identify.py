"""Parameters found from tracks whose truth comes from the generator of synthetic scenes or from a closed form."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scenes.synthetic.rigid import FRICTION, RESTITUTION, Motion, Shape
from scenes.synthetic.rigid import simulate as true_motion
from tests.simulate.worlds import ball_points, box_points
from tests.tracks_by_hand import make_tracks, wxyz
from usd_export import export
from warpgs.bodies import Parts, fit_parts
from warpgs.cli import main
from warpgs.simulate import Material, identify, plane, simulate
from warpgs.types import Tracks

FLOOR = Material(ground=False, colliders=(plane(),))
NOISE_M = 0.002


def tracked(shape: Shape, points: np.ndarray, start: Motion, timesteps: int) -> tuple[Tracks, Parts]:
    """Noisy tracks of one body that the generator moves: 30 timesteps per second."""
    poses = true_motion((shape,), start, timesteps, 30.0, 50.0)[:, 0]
    means = np.einsum("tij,nj->tni", poses[:, :3, :3], points) + poses[:, None, :3, 3]
    means += np.random.default_rng(0).normal(0.0, NOISE_M, means.shape)
    turns = np.stack([wxyz(Rotation.from_matrix(pose[:3, :3])) for pose in poses])
    tracks = make_tracks(means, np.repeat(turns[:, None], len(points), axis=1), sigma=0.01)
    return tracks, fit_parts(tracks, np.zeros(len(points), int), ["body"])


@pytest.fixture(scope="module")
def ball() -> tuple[Tracks, Parts]:
    start = Motion(np.array([[0, 0, 0.9]]), np.eye(3)[None], np.array([[1.2, 0.4, 0.5]]), np.array([[1.0, 2, 3]]))
    return tracked(Shape(np.zeros(3), 0.12), ball_points(0.12, 150), start, 40)


@pytest.fixture(scope="module")
def sliding_box() -> tuple[Tracks, Parts]:
    start = Motion(np.array([[0, 0, 0.06]]), np.eye(3)[None], np.array([[3.0, 0, 0]]), np.zeros((1, 3)))
    return tracked(Shape(np.array([0.15, 0.1, 0.06]), 0.0), box_points((0.3, 0.2, 0.12), 0.05), start, 24)


def test_rest_of_a_ball_is_forecast_from_its_first_part_within_3_cm(ball):
    """Through a bounce that the fit has not seen."""
    tracks, parts = ball
    found = identify(tracks, ["restitution"], FLOOR, parts=parts)
    assert found.values["restitution"] == pytest.approx(RESTITUTION, rel=0.05)
    assert found.deviations["restitution"] < 0.05
    assert found.error_m < 0.02 and found.error_m < found.error_before_m
    assert found.forecast_worst_m < 0.03
    count = round(0.6 * len(tracks))
    forecast = simulate(tracks, found.material, parts=parts, start=count - 1, instants=len(tracks) - count)
    for instant in forecast:
        error = (instant.means - tracks.means[count - 1 + instant.index]).mean(axis=0)
        assert np.linalg.norm(error) < 0.03


def test_friction_of_a_sliding_box_is_found_within_10_percent(sliding_box):
    tracks, parts = sliding_box
    found = identify(tracks, ["friction"], FLOOR, parts=parts)
    assert found.values["friction"] == pytest.approx(FRICTION, rel=0.1)
    assert abs(found.values["friction"] - FRICTION) < 5 * found.deviations["friction"] + 0.01 * FRICTION
    assert found.forecast_worst_m < 0.03


def test_parameter_that_nothing_depends_on_is_said_to_be_unknown():
    """A ball in flight says nothing about friction."""
    start = Motion(np.array([[0, 0, 5.0]]), np.eye(3)[None], np.array([[1.0, 0, 0]]), np.zeros((1, 3)))
    tracks, parts = tracked(Shape(np.zeros(3), 0.12), ball_points(0.12, 100), start, 8)
    found = identify(tracks, ["friction"], FLOOR, parts=parts, fitted=8)
    assert found.deviations["friction"] == np.inf
    assert found.forecast_m is None


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"parameters": ["mass"]}, "parameters: expected names among friction, .*, got 'mass'"),
        ({"parameters": []}, "parameters: expected at least one of"),
        ({"parameters": ["friction"], "fitted": 99}, "instants to fit to: expected 4 to 24, got 99"),
        ({"parameters": ["friction"], "fitted": 2}, "instants to fit to: expected 4 to 24, got 2"),
    ],
)
def test_requests_that_make_no_sense_are_refused(sliding_box, arguments, match):
    with pytest.raises(ValueError, match=match):
        identify(sliding_box[0], material=FLOOR, parts=sliding_box[1], **arguments)


def test_command_prints_values_and_writes_a_material_that_simulate_reads(sliding_box, tmp_path, capsys):
    export(sliding_box[0], tmp_path / "box.npz")
    known = {"ground": False, "colliders": [{"shape": "plane"}], "parts": {}}
    (tmp_path / "known.json").write_text(json.dumps(known))
    out = tmp_path / "found.json"
    words = ["identify", str(tmp_path / "box.npz"), "--parameters", "friction", "--material"]
    assert main([*words, str(tmp_path / "known.json"), "--output", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "friction" in printed and "forecasts the rest within" in printed
    content = json.loads(out.read_text())
    assert content["colliders"] == [{"shape": "plane"}] and 0.3 < content["friction"] < 0.4
    words += [str(tmp_path / "known.json"), "--output", str(out)]
    assert main(words) == 1
    assert "--overwrite" in capsys.readouterr().err
