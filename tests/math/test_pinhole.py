import numpy as np
import pytest
import warp as wp
from scipy.spatial.transform import Rotation

from warpgs.math.pinhole import CLAMP, upload_views
from warpgs.types import Camera


def random_camera(seed: int, width: int = 640, height: int = 360) -> Camera:
    rng = np.random.default_rng(seed)
    k = np.array([[500.0 + seed, 0.0, 310.5], [0.0, 480.0 - seed, 190.25], [0.0, 0.0, 1.0]])
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(rng=rng).as_matrix()
    pose[:3, 3] = rng.normal(size=3)
    return Camera(str(seed), width, height, k, pose)


def project(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Pixels [n, 2] and depth [n] of world points by K [R | t]."""
    homogeneous = np.column_stack([points, np.ones(len(points))])
    rays = (np.linalg.inv(camera.world_from_camera) @ homogeneous.T)[:3]
    return np.vstack([(camera.intrinsics @ rays)[:2] / rays[2], rays[2]]).T


@pytest.mark.parametrize(("dtype", "tolerance"), [(wp.float64, 1e-12), (wp.float32, 1e-5)])
def test_upload_views_projects_like_the_camera_matrix(dtype, tolerance, device):
    cameras = [random_camera(seed) for seed in range(5)]
    views = upload_views(cameras, 0.25, device, dtype).numpy()
    points = np.random.default_rng(9).normal(size=(50, 3)) * 3.0
    for view, camera in zip(views, cameras, strict=True):
        p = points @ view["rotation"].T + view["translation"]
        pixels = view["focal_px"] * p[:, :2] / p[:, 2:] + view["center_px"]
        expected = project(camera, points)
        np.testing.assert_allclose(p[:, 2], expected[:, 2], atol=10 * tolerance)
        seen = expected[:, 2] > 0.25
        np.testing.assert_allclose(pixels[seen], expected[seen, :2], rtol=1e2 * tolerance, atol=1e3 * tolerance)
        assert (view["width"], view["height"], view["near"]) == (640, 360, 0.25)
        half = np.array([320.0, 180.0]) / camera.intrinsics[[0, 1], [0, 1]]
        np.testing.assert_allclose(view["tangent_limit"], CLAMP * half, rtol=1e-6)


@pytest.mark.parametrize("size", [(320, 180), (641, 359), (1, 1), (1280, 360)])
def test_resized_camera_keeps_its_rays(size):
    """A point stays at the same share of the picture, borders included."""
    camera = random_camera(3)
    smaller = camera.resized(*size)
    assert (smaller.width, smaller.height) == size
    points = np.random.default_rng(4).normal(size=(50, 3)) * 3.0
    share = project(camera, points)[:, :2] / [camera.width, camera.height]
    np.testing.assert_allclose(project(smaller, points)[:, :2] / size, share, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(smaller.world_from_camera, camera.world_from_camera)
    back = smaller.resized(camera.width, camera.height)
    np.testing.assert_allclose(back.intrinsics, camera.intrinsics, rtol=1e-12)


def test_upload_views_keeps_the_clamp_of_a_resized_camera(device):
    camera = random_camera(1)
    views = upload_views([camera, camera.resized(160, 90)], 0.1, device, wp.float64).numpy()
    np.testing.assert_allclose(views["tangent_limit"][0], views["tangent_limit"][1], rtol=1e-12)


@pytest.mark.parametrize("near", [0.0, -1.0, np.nan, np.inf])
def test_upload_views_refuses_a_near_plane_in_or_behind_the_camera(near, device):
    with pytest.raises(ValueError, match=rf"near: expected a distance > 0 \[m\], got {near}"):
        upload_views([random_camera(1)], near, device)
