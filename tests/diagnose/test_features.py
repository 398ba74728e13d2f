from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from warpgs.diagnose import PairMatches, match_features, triangulated
from warpgs.diagnose.features import epipolar_error, neighbors
from warpgs.types import Camera, Frame


def camera_at(center: list[float], turn: list[float], focal: float = 300.0) -> Camera:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    pose[:3, 3] = center
    return Camera("c", 320, 240, np.array([[focal, 0, 150.0], [0, focal + 9.0, 130.0], [0, 0, 1]]), pose)


def projected(camera: Camera, points: np.ndarray) -> np.ndarray:
    local = (points - camera.center_world) @ camera.world_from_camera[:3, :3]
    pixels = local @ camera.intrinsics.T
    return pixels[:, :2] / pixels[:, 2:]


@pytest.fixture
def two() -> tuple[Camera, Camera, np.ndarray]:
    points = np.random.default_rng(3).uniform([-1, -1, 3], [1, 1, 6], (40, 3))
    return camera_at([0, 0, 0], [0.05, -0.1, 0.2]), camera_at([0.8, -0.1, 0.3], [0, -0.2, 0.1], 400.0), points


def test_exact_matches_lie_on_their_lines(two):
    first, second, points = two
    np.testing.assert_allclose(
        epipolar_error(first, second, projected(first, points), projected(second, points)), 0.0, atol=1e-9
    )


def test_epipolar_error_is_the_distance_from_what_the_ray_looks_like(two):
    """Two points of the ray of a pixel, seen by the other camera, span the line; in both directions."""
    first, second, points = two
    rng = np.random.default_rng(5)
    a, b = (projected(c, points) + rng.normal(0, 3.0, (40, 2)) for c in (first, second))

    def distance(camera, px, other, other_px):
        rays = (
            np.column_stack([px, np.ones(40)]) @ np.linalg.inv(camera.intrinsics).T @ camera.world_from_camera[:3, :3].T
        )
        one, two = (projected(other, camera.center_world + depth * rays) for depth in (3.0, 5.0))
        normal = (two - one)[:, ::-1] * [1.0, -1.0]
        return np.abs(np.sum((other_px - one) * normal, axis=1)) / np.linalg.norm(normal, axis=1)

    expected = 0.5 * (distance(first, a, second, b) + distance(second, b, first, a))
    np.testing.assert_allclose(epipolar_error(first, second, a, b), expected, rtol=1e-9)


def test_triangulated_points_are_where_they_were(two):
    first, second, points = two
    a, b = (np.clip(projected(c, points), 0.0, [319.0, 239.0]) for c in (first, second))
    inside = np.isclose(a, projected(first, points)).all(1) & np.isclose(b, projected(second, points)).all(1)
    frame = Frame(0, 0.0, (first, second), tuple(np.full((240, 320, 3), 51 * i, np.uint8) for i in (1, 2)), None)
    pair = PairMatches(0, 1, a[inside], b[inside], epipolar_error(first, second, a[inside], b[inside]))
    cloud = triangulated(frame, [pair], 1.0)
    np.testing.assert_allclose(cloud.points, points[inside], atol=1e-5)
    np.testing.assert_allclose(cloud.colors, 0.2, atol=1e-6)
    assert triangulated(frame, [replace(pair, error_px=np.full(inside.sum(), 2.0))], 1.0) is None
    assert triangulated(frame, [], 1.0) is None


def test_features_of_a_right_calibration_lie_on_their_lines(frame):
    pairs = match_features(frame)
    assert len(pairs) >= 8
    assert np.median(np.concatenate([pair.error_px for pair in pairs])) < 0.3


def test_each_camera_is_compared_with_its_neighbors(frame):
    pairs = neighbors(frame.cameras)
    assert all(i < j for i, j in pairs) and len(set(pairs)) == len(pairs)
    assert {i for pair in pairs for i in pair} == set(range(len(frame.cameras)))
    assert neighbors(frame.cameras[:2]) == [(0, 1)] and neighbors(frame.cameras[:1]) == []


@pytest.mark.parametrize("picture", [np.zeros((20, 30, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)])
def test_plain_pictures_have_no_matches(frame, picture):
    cameras = tuple(camera.resized(picture.shape[1], picture.shape[0]) for camera in frame.cameras[:3])
    assert match_features(Frame(0, 0.0, cameras, (picture,) * 3, None)) == []
