"""By what cameras are off together, against a cloud of exact points in a ray-cast room."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.reconstruct.room import BALL_CENTER, BALL_RADIUS, BALL_TINT, WALL_RADIUS, room_frame, texture
from warpgs.reconstruct.align import _bilinear, _matched, _project, _turning, common_turns
from warpgs.reconstruct.refine import own_turns, turned_cameras
from warpgs.types import Frame, PointCloud

COUNT = 12
PIXEL = 1.0 / (0.8 * 160)
"""Of the pictures of the room [rad]."""


@pytest.fixture(scope="module")
def frame() -> Frame:
    return room_frame(COUNT)


@pytest.fixture(scope="module")
def cloud() -> PointCloud:
    """Points of floor, wall and ball."""
    rng = np.random.default_rng(2)
    floor = np.column_stack([rng.uniform(-3.0, 3.0, (30_000, 2)), np.zeros(30_000)])
    wall, ball = (rng.normal(size=(count, 3)) for count in (20_000, 8_000))
    wall, ball = (rays / np.linalg.norm(rays, axis=1, keepdims=True) for rays in (wall, ball))
    wall, ball = WALL_RADIUS * wall[wall[:, 2] > 0.0], BALL_CENTER + BALL_RADIUS * ball
    colors = np.concatenate([texture(floor), texture(wall), BALL_TINT * texture(ball)])
    return PointCloud(np.concatenate([floor, wall, ball]).astype(np.float32), colors.astype(np.float32), None)


def errors(seed: int) -> np.ndarray:
    """A pixel each way, every camera by itself, shape [c, 3]."""
    return np.random.default_rng(seed).normal(0.0, PIXEL, (COUNT, 3))


def common(turns: np.ndarray, frame: Frame) -> np.ndarray:
    return turns - np.einsum("ijkl,jl->ik", own_turns(frame.cameras, BALL_CENTER), turns)


def left(found: np.ndarray, off: np.ndarray, frame: Frame) -> float:
    """Root mean square of the common part of the errors ``off`` left by ``found`` [px]; 0.13 to 0.36 before."""
    return np.sqrt(((found + common(off, frame)) ** 2).mean()) / PIXEL


def test_small_errors_are_not_trusted(frame, cloud):
    """What single cameras show is within what a cloud of another rig would be off by."""
    off = 0.15 * errors(1)
    assert np.abs(common_turns(turned_cameras(frame, off), cloud, BALL_CENTER)).max() == 0.0


def test_exact_cameras_stay_exactly(frame, cloud):
    assert (common_turns(frame, cloud, BALL_CENTER) == 0.0).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_common_part_of_errors_is_found(seed, frame, cloud):
    off = errors(seed)
    given = turned_cameras(frame, off)
    found = common_turns(given, cloud, BALL_CENTER)
    np.testing.assert_allclose(common(found, given), found, atol=1e-12)
    assert left(found, off, frame) < 0.05


def test_noise_of_the_cloud_and_exposure_of_cameras_matter_little(frame, cloud):
    rng, off = np.random.default_rng(0), errors(1)
    noisy = replace(cloud, points=(cloud.points + rng.normal(0.0, 0.01, cloud.points.shape)).astype(np.float32))
    gains = rng.uniform(0.6, 1.0, (COUNT, 3))
    images = tuple((image * gain).astype(np.uint8) for image, gain in zip(frame.images, gains, strict=True))
    found = common_turns(turned_cameras(replace(frame, images=images), off), noisy, BALL_CENTER)
    assert left(found, off, frame) < 0.06


def test_points_that_are_covered_do_not_count(frame, cloud):
    """A second wall behind the first, of another texture."""
    behind = cloud.points[cloud.points[:, 2] > 1.5] * np.float32(1.3)
    both = PointCloud(
        np.concatenate([cloud.points, behind]),
        np.concatenate([cloud.colors, texture(3.0 * behind[::-1]).astype(np.float32)]),
        None,
    )
    off = errors(1)
    assert left(common_turns(turned_cameras(frame, off), both, BALL_CENTER), off, frame) < 0.05


def test_another_world_gives_the_same_turns(frame, cloud):
    off = turned_cameras(frame, errors(2))
    rotation, shift, scale = Rotation.from_rotvec([0.9, -0.5, 1.3]).as_matrix(), np.array([3.0, -4.0, 2.0]), 10.0

    def moved(camera):
        pose = camera.world_from_camera.copy()
        pose[:3, :3], pose[:3, 3] = rotation @ pose[:3, :3], scale * rotation @ pose[:3, 3] + shift
        return replace(camera, world_from_camera=pose)

    there = PointCloud((scale * cloud.points @ rotation.T + shift).astype(np.float32), cloud.colors, None)
    turned = replace(off, cameras=tuple(moved(camera) for camera in off.cameras))
    expected = common_turns(off, cloud, BALL_CENTER)
    found = common_turns(turned, there, scale * rotation @ BALL_CENTER + shift)
    np.testing.assert_allclose(found, expected, atol=0.01 * PIXEL)


@pytest.mark.parametrize("kept", [0, 300])
def test_few_points_tell_nothing(kept, frame, cloud):
    few = PointCloud(cloud.points[:kept], cloud.colors[:kept], None)
    assert (common_turns(turned_cameras(frame, errors(0)), few, BALL_CENTER) == 0.0).all()


def test_pictures_without_contrast_tell_nothing_and_break_nothing(frame, cloud):
    grey = replace(frame, images=tuple(np.full_like(image, 90) for image in frame.images))
    assert np.abs(common_turns(grey, cloud, BALL_CENTER)).max() < 1e-6


def test_slopes_are_those_of_turned_points(frame):
    camera = frame.cameras[3]
    local = np.random.default_rng(0).normal((0.0, 0.0, 5.0), 1.0, (50, 3))
    for k, step in enumerate(1e-6 * np.eye(3)):
        ends = [_project(camera, Rotation.from_rotvec(-turn).apply(local)) for turn in (step, -step)]
        slope = (ends[0] - ends[1]) / 2e-6
        for axis in range(2):
            np.testing.assert_allclose(_turning(camera, local, axis)[:, 0, k], slope[:, axis], rtol=1e-6, atol=1e-6)


def test_bilinear_is_exact_on_planes_and_clamps_outside():
    row, column = np.indices((5, 7))
    planes = np.stack([2.0 * column - row, np.ones_like(row)], axis=-1)
    pixels = np.array([[0.5, 0.5], [3.2, 2.9], [6.5, 4.5], [-4.0, 90.0]])
    expected = [[0.0, 1.0], [2.0 * 2.7 - 2.4, 1.0], [8.0, 1.0], [-4.0, 1.0]]
    np.testing.assert_allclose(_bilinear(planes, pixels), expected, atol=1e-4)


def test_gain_and_offset_are_those_of_weighted_least_squares():
    rng = np.random.default_rng(0)
    colors, seen, weights = rng.uniform(size=(40, 3)), rng.uniform(size=(40, 3)), rng.uniform(size=(40, 3))
    matched = _matched(colors, seen, weights)
    for k in range(3):
        slope, offset = np.polyfit(colors[:, k], seen[:, k], 1, w=np.sqrt(weights[:, k]))
        np.testing.assert_allclose(matched[:, k], slope * colors[:, k] + offset, rtol=1e-9)
