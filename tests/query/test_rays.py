"""Rays, surfaces and visibility against loops over the formulas, and on cases worked out by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.reference.rasterize import ALPHA_MAX, ALPHA_MIN
from tests.reference.rasterize import project as project_oracle
from tests.tracks_by_hand import front_camera, make_gaussians, wxyz
from warpgs.query import rays
from warpgs.query.geometry import project
from warpgs.query.rays import cross
from warpgs.query.surface import SURFACE_LIGHT, lift
from warpgs.query.visibility import FRONT_SIGMAS, transmittance, visible
from warpgs.types import Gaussians

CAMERA = front_camera()
OPAQUE = 6.0
"""A logit: opacity 0.998, cut to 0.99."""


@pytest.fixture
def gaussians() -> Gaussians:
    """A cloud of 60 slanted particles about 2 m away, some before the near plane and beside the picture."""
    rng = np.random.default_rng(2)
    means = rng.normal(size=(60, 3)) * [0.7, 0.5, 0.35]
    turns = wxyz(Rotation.random(60, random_state=3))
    return make_gaussians(means, np.exp(rng.normal(-3.0, 0.7, (60, 3))), turns, rng.normal(0.0, 2.0, 60))


@pytest.fixture
def points_px() -> np.ndarray:
    rng = np.random.default_rng(4)
    return rng.uniform([0, 0], [CAMERA.width, CAMERA.height], (80, 2))


def oracle(points_px: np.ndarray, gaussians: Gaussians) -> dict[tuple[int, int], tuple[float, float, float]]:
    """(ray, particle) -> alpha, depth and its sigma, every pair of them asked."""
    parameters = {
        "means": gaussians.means.astype(float),
        "rotations": np.roll(gaussians.rotations_wxyz.astype(float), -1, axis=1),
        "log_scales": gaussians.log_scales.astype(float),
        "colors": gaussians.colors.astype(float),
        "opacity_logits": gaussians.opacity_logits.astype(float),
        "foreground_logits": np.zeros(len(gaussians)),
    }
    near = 0.08 * np.linalg.norm(CAMERA.center_world - np.median(gaussians.means, axis=0))
    splats = project_oracle(parameters, CAMERA, near)
    pairs = {}
    for i, position in enumerate(points_px):
        for k, j in enumerate(splats.index):
            offset = position - splats.centers[k]
            squared = offset @ np.linalg.inv(splats.covariances[k]) @ offset
            alpha = min(splats.opacities[k] * np.exp(-0.5 * squared), ALPHA_MAX)
            if alpha >= ALPHA_MIN:
                pairs[i, int(j)] = (alpha, *depth_at(offset, parameters, j))
    return pairs


def depth_at(offset_px: np.ndarray, parameters: dict[str, np.ndarray], j: int) -> tuple[float, float]:
    """Mean and standard deviation of z, given the offset, of the joint Gaussian over (x, y, z) of particle j."""
    pose, focal = CAMERA.camera_from_world, CAMERA.intrinsics[[0, 1], [0, 1]]
    x, y, z = pose[:3, :3] @ parameters["means"][j] + pose[:3, 3]
    limit = 1.3 * 0.5 * np.array([CAMERA.width, CAMERA.height]) / focal
    a, b = np.clip([x / z, y / z], -limit, limit)
    jacobian = np.array([[focal[0] / z, 0, -focal[0] * a / z], [0, focal[1] / z, -focal[1] * b / z], [0, 0, 1]])
    turn = Rotation.from_quat(parameters["rotations"][j]).as_matrix()
    covariance = turn @ np.diag(np.exp(2.0 * parameters["log_scales"][j])) @ turn.T
    joint = jacobian @ pose[:3, :3] @ covariance @ pose[:3, :3].T @ jacobian.T + np.diag([0.3, 0.3, 0.0])
    gain = joint[2, :2] @ np.linalg.inv(joint[:2, :2])
    return z + gain @ offset_px, np.sqrt(joint[2, 2] - gain @ joint[:2, 2])


def test_cross_finds_the_same_pairs_as_asking_every_particle(gaussians, points_px):
    crossings, expected = cross(points_px, gaussians, CAMERA), oracle(points_px, gaussians)
    found = {
        (int(i), int(j)): (a, z, s)
        for i, j, a, z, s in zip(
            crossings.ray, crossings.particle, crossings.alpha, crossings.depth, crossings.depth_sigma, strict=True
        )
    }
    assert found.keys() == expected.keys() and len(found) == len(crossings.ray) > 100
    for pair, values in expected.items():
        np.testing.assert_allclose(found[pair], values, rtol=1e-9)


def test_transmittance_is_the_product_over_the_particles_in_front(gaussians):
    points = gaussians.means[::2].astype(float) + 0.01
    points_px, _ = project(points, CAMERA)
    depth = points[:, 1] + 2.0  # the camera looks along y
    expected = np.ones(len(points))
    for (i, _), (alpha, z, sigma) in oracle(points_px, gaussians).items():
        if z + FRONT_SIGMAS * sigma < depth[i]:
            expected[i] *= 1.0 - alpha
    inside = (points_px >= 0).all(axis=1) & (points_px < [CAMERA.width, CAMERA.height]).all(axis=1)
    found = transmittance(points, gaussians, CAMERA)
    np.testing.assert_allclose(found, np.where(inside & (depth > 0.0), expected, 0.0), rtol=1e-9)
    assert (found < 0.3).any() and (found > 0.9).any()


def test_cross_makes_room_for_pairs_that_were_not_foreseen(gaussians, points_px, monkeypatch):
    plenty = cross(points_px, gaussians, CAMERA)
    monkeypatch.setattr(rays, "ROOM", 0)
    scarce = cross(points_px, gaussians, CAMERA)
    assert len(plenty.ray) > len(gaussians)
    for name, values in vars(plenty).items():
        np.testing.assert_array_equal(getattr(scarce, name), values)


def test_lift_finds_the_depth_at_which_a_share_of_the_light_is_reached(gaussians, points_px):
    lifted, known = lift(points_px, gaussians, CAMERA)
    pairs = oracle(points_px, gaussians)
    for i in range(len(points_px)):
        crossed = sorted((z, a) for (ray, _), (a, z, _) in pairs.items() if ray == i)
        assert known[i] == bool(crossed)
        if crossed:
            passes = np.cumprod([1.0, *(1.0 - a for _, a in crossed)])
            light = np.cumsum([a * t for (_, a), t in zip(crossed, passes[:-1], strict=True)])
            z = crossed[int(np.argmax(light >= SURFACE_LIGHT * light[-1]))][0]
            assert lifted[i, 1] + 2.0 == pytest.approx(z, rel=1e-9)
    found_px, _ = project(lifted[known], CAMERA)
    np.testing.assert_allclose(found_px, points_px[known], atol=1e-9)


@pytest.mark.parametrize(("logit", "expected"), [(1.0, 0.0), (-1.0, 0.5)])
def test_lift_takes_the_layer_that_covers_more(logit: float, expected: float):
    front_and_back = make_gaussians([[0, 0, 0], [0, 0.5, 0]], 0.1, opacity_logits=[logit, OPAQUE])
    front_and_back.foreground[:] = [1.0, 0.0]
    lifted, _ = lift(np.array([[100.0, 50.0]]), front_and_back, CAMERA)
    assert lifted[0, 1] == pytest.approx(expected, abs=1e-6)


def test_lift_says_where_nothing_shows():
    gaussians = make_gaussians([[0, 0, 0]], 0.05, opacity_logits=[OPAQUE])
    lifted, known = lift(np.array([[100.0, 50.0], [10.0, 50.0], [-5.0, 50.0]]), gaussians, CAMERA)
    assert known.tolist() == [True, False, False]
    assert np.isnan(lifted[1:]).all() and np.isfinite(lifted[0]).all()


def test_points_of_a_surface_do_not_hide_each_other():
    """A wall of overlapping opaque particles, seen at a slant: all of it shows, and nothing behind it."""
    u, v = np.meshgrid(np.linspace(-0.3, 0.3, 31), np.linspace(-0.3, 0.3, 31))
    wall = np.stack([u, 0.8 * u, v], axis=-1).reshape(-1, 3)
    turn = wxyz(Rotation.from_euler("z", np.arctan(0.8)))
    gaussians = make_gaussians(wall, [[0.02, 0.004, 0.02]] * len(wall), np.tile(turn, (len(wall), 1)), [OPAQUE] * 961)
    middle = np.abs(wall).max(axis=1) < 0.25
    assert visible(wall[middle].astype(float), gaussians, CAMERA).all()
    assert not visible(wall[middle] + [0, 0.1, 0], gaussians, CAMERA).any()
    assert visible(wall[middle] - [0, 0.1, 0], gaussians, CAMERA).all()


def test_nothing_is_visible_outside_the_picture_behind_the_camera_or_nowhere():
    gaussians = make_gaussians([[0, 0, 0]], 0.05)
    points = np.array([[0, -0.5, 0], [5, 0, 0], [0, -3, 0], [np.nan] * 3])
    assert visible(points, gaussians, CAMERA).tolist() == [True, False, False, False]


def test_order_of_particles_does_not_matter(gaussians):
    points = gaussians.means[:20].astype(float) + 0.02
    shuffled = gaussians.select(np.random.default_rng(5).permutation(len(gaussians)))
    np.testing.assert_allclose(
        transmittance(points, gaussians, CAMERA), transmittance(points, shuffled, CAMERA), rtol=1e-12
    )
