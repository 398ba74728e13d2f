"""The same recording in another world: unit, origin, axes and order of the cameras change nothing."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.track.recordings import QUICK, Recording, tiny_recording
from warpgs.run import Run
from warpgs.track import track
from warpgs.track.config import FollowConfig, PriorConfig
from warpgs.track.working import WorkingFrame
from warpgs.types import Camera, Frame

TURN = Rotation.from_rotvec([0.9, -0.4, 1.7]).as_matrix()


def moved(recording: Recording, scale: float, turn: np.ndarray, shift: np.ndarray) -> Recording:
    """``recording`` in a world with x' = scale turn x + shift."""

    def camera_there(camera: Camera) -> Camera:
        pose = np.eye(4)
        pose[:3, :3] = turn @ camera.world_from_camera[:3, :3]
        pose[:3, 3] = scale * turn @ camera.center_world + shift
        return replace(camera, world_from_camera=pose)

    shots = tuple(replace(shot, cameras=tuple(map(camera_there, shot.cameras))) for shot in recording.shots)
    points = scale * recording.cloud.points.astype(np.float64) @ turn.T + shift
    return replace(recording, shots=shots, cloud=replace(recording.cloud, points=points))


def shuffled(frame: Frame, order: list[int]) -> Frame:
    return replace(frame, **{name: tuple(getattr(frame, name)[i] for i in order) for name in SHUFFLED})


SHUFFLED = ("cameras", "images", "masks")


@pytest.fixture(scope="module")
def recording() -> Recording:
    return tiny_recording()


def test_points_fall_on_the_same_pixels_in_the_working_frame(recording):
    working, shot = WorkingFrame.of(recording.cameras("train")), recording.shots[0]
    inside = working.frame_in(shot)
    points = recording.cloud.points
    for camera in inside.cameras:
        [original] = [other for other in shot.cameras if other.name == camera.name]
        expected = (points - original.center_world) @ original.world_from_camera[:3, :3]
        local = (working.cloud_in(recording.cloud).points - camera.center_world) @ camera.world_from_camera[:3, :3]
        np.testing.assert_allclose(local * working.unit_m, expected, atol=1e-5)


def test_working_frame_has_unit_radius_its_origin_at_the_cameras_and_their_up():
    working = WorkingFrame.of(tiny_recording().cameras("train"))
    frame = working.frame_in(tiny_recording().shots[0])
    centers = np.stack([camera.center_world for camera in frame.cameras])
    np.testing.assert_allclose(centers.mean(axis=0), 0.0, atol=1e-12)
    assert 1.1 * np.linalg.norm(centers, axis=1).max() == pytest.approx(1.0, rel=1e-12)
    up = -np.mean([camera.world_from_camera[:3, 1] for camera in frame.cameras], axis=0)
    np.testing.assert_allclose(up / np.linalg.norm(up), [0.0, 0.0, 1.0], atol=1e-12)
    axes = working.world_from_work.rotation
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) > 0.0


WORLDS = {
    "small": (0.01, np.eye(3), np.zeros(3)),
    "large": (100.0, np.eye(3), np.zeros(3)),
    "turned": (1.0, TURN, np.zeros(3)),
    "far": (1.0, np.eye(3), np.array([600.0, -700.0, 400.0])),
    "all at once": (3.0, TURN, np.array([60.0, -70.0, 40.0])),
}


@pytest.mark.parametrize("world", WORLDS)
def test_recording_in_another_world_looks_the_same_from_the_working_frame(world, recording):
    there = moved(recording, *WORLDS[world])
    expected = WorkingFrame.of(recording.cameras("train")).frame_in(recording.shots[0])
    got = WorkingFrame.of(there.cameras("train")).frame_in(there.shots[0])
    for a, b in zip(got.cameras, expected.cameras, strict=True):
        np.testing.assert_allclose(a.world_from_camera, b.world_from_camera, atol=1e-9)


@pytest.mark.parametrize("world", WORLDS)
def test_tracks_are_stored_bit_for_bit_the_same_in_another_world(world, recording, tmp_path):
    scale, turn, shift = WORLDS[world]
    stored = []
    for name, where in (("here", recording), ("there", moved(recording, scale, turn, shift))):
        with Run.create(tmp_path / name, where, QUICK) as run:
            states = list(track(where, QUICK, run=run))
        stored.append((run, run.tracks(), states))
    (here, expected, _), (there, got, states) = stored
    for timestep in here.timesteps:
        a, b = here.read_pose(timestep), there.read_pose(timestep)
        np.testing.assert_array_equal(a.means, b.means)
        np.testing.assert_array_equal(a.rotations_wxyz, b.rotations_wxyz)
    size = np.abs(shift).max() + 10.0 * scale
    placed = scale * expected.means.astype(np.float64) @ turn.T + shift
    np.testing.assert_allclose(got.means, placed, rtol=0.0, atol=3e-7 * size)
    np.testing.assert_array_equal(states[-1].gaussians.means, got.means[-1])
    np.testing.assert_allclose(got.log_scales, expected.log_scales + np.log(scale), atol=1e-5)


def test_order_of_cameras_changes_no_bit(recording):
    order = [3, 0, 5, 1, 4, 2]
    other = replace(recording, shots=tuple(shuffled(shot, order) for shot in recording.shots))
    for a, b in zip(track(other, QUICK), track(recording, QUICK), strict=True):
        np.testing.assert_array_equal(a.gaussians.means, b.gaussians.means)


def test_lengths_and_places_of_settings_follow(recording):
    working = WorkingFrame.of(moved(recording, 2.0, TURN, np.array([1.0, 2.0, 3.0])).cameras("train"))
    normal = np.array([0.6, 0.0, 0.8])
    settings = FollowConfig(priors=PriorConfig(sigma_m=0.02, length_unit_m=1.0, floor=(*normal, -0.5)))
    priors = working.settings_in(settings).priors
    assert (priors.sigma_m, priors.length_unit_m) == (0.02 / working.unit_m, 1.0 / working.unit_m)
    point = np.array([0.3, 0.1, 2.0])
    height = normal @ point - 0.5
    inside = working.world_from_work.inverse().points(point)
    assert working.unit_m * (np.dot(priors.floor[:3], inside) + priors.floor[3]) == pytest.approx(height, rel=1e-12)
    assert working.settings_in(FollowConfig()).priors.sigma_m is None
