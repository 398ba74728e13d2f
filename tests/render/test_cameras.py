"""Antialiased and orthographic views, and the gradient of the pose."""

from dataclasses import replace

import numpy as np
import pytest
import warp as wp
from scipy.linalg import expm

from tests.render.test_gradient import STEP, assert_gradients, loss, random_adj_image
from tests.render.worlds import (
    Driver,
    World,
    assert_pictures,
    axis_camera,
    fine,
    one_gaussian,
    parallel,
    rolled,
    upright,
    wide,
    with_more,
)
from warpgs.math.pinhole import upload_views
from warpgs.types import Camera

VIEWS = {
    "fine": fine,
    "parallel": lambda: parallel(upright()),
    "parallel rolled": lambda: parallel(rolled()),
    "parallel rolled, harmonics": lambda: with_more(parallel(rolled()), harmonics=8),
    "parallel fine": lambda: parallel(fine()),
}
BUILDS = pytest.mark.parametrize("build", VIEWS.values(), ids=VIEWS)


CHANNEL_COUNTS = pytest.mark.parametrize("channels", [6, 9])
"""Without and with normals, which have another driver on the CPU."""


@BUILDS
@CHANNEL_COUNTS
@pytest.mark.parametrize(("dtype", "atol"), [(wp.float32, 2e-5), (wp.float64, 1e-11)])
def test_views_match_oracle(dtype, atol, channels, build, driver):
    assert_pictures(driver.render(build(), channels=channels, dtype=dtype), build().draw(), atol)


@BUILDS
@CHANNEL_COUNTS
def test_gradient_of_views_matches_finite_differences(channels, build, driver):
    world = build()
    adj_image = random_adj_image(world, channels)
    assert_gradients(world, adj_image, driver.gradients(world, adj_image))


def test_antialiased_light_falls_with_the_square_of_the_distance(driver):
    """Far below a pixel, the low pass alone would keep it the same at any distance."""
    light = []
    for distance in (4.0, 8.0):
        near_axis = one_gaussian((0.01, 0.02, distance), (0.02,) * 3, opacity_logit=6.0)
        world = replace(World(near_axis, axis_camera()), antialiased=True)
        light.append((1.0 - driver.render(world).transmittance.numpy()).sum())
    # what is fainter than 1/255 is left out
    assert light[0] / light[1] == pytest.approx(4.0, rel=0.1)


def test_antialiasing_does_not_touch_large_particles(driver):
    world = World(one_gaussian((0.1, 0.0, 2.0), (0.4,) * 3), axis_camera())
    plain, fair = driver.render(world), driver.render(replace(world, antialiased=True))
    np.testing.assert_allclose(fair.image.numpy(), plain.image.numpy(), rtol=4e-3, atol=2e-3)


def test_orthographic_pictures_do_not_change_with_the_distance_of_the_camera(driver):
    world = parallel(upright())
    pose = world.camera.world_from_camera.copy()
    pose[:3, 3] -= 3.0 * pose[:3, 2]
    away = replace(world, camera=replace(world.camera, world_from_camera=pose))
    here, there = driver.render(world).image.numpy(), driver.render(away).image.numpy()
    np.testing.assert_allclose(there[:5], here[:5], atol=1e-9)


def moved(camera: Camera, twist: np.ndarray) -> Camera:
    """``camera`` after a small motion in its own frame: rotation, then translation."""
    generator = np.zeros((4, 4))
    wx, wy, wz = twist[:3]
    generator[:3, :3] = [[0.0, -wz, wy], [wz, 0.0, -wx], [-wy, wx, 0.0]]
    generator[:3, 3] = twist[3:]
    return replace(camera, world_from_camera=camera.world_from_camera @ expm(generator))


def pose_gradient(driver: Driver, world: World, adj_image: np.ndarray, view: int = 0) -> np.ndarray:
    """Of all of three views of which one is drawn."""
    rasterizer, particles = driver.rasterizer(world, channels=len(adj_image)), driver.particles(world)
    cameras = [axis_camera(world.camera.width, world.camera.height)] * 3
    cameras[view] = world.camera
    views = upload_views(cameras, 0.2, driver.device, wp.float64)
    index = wp.array([view], dtype=wp.int32, device=driver.device)
    adj_views = wp.zeros((3, 6), dtype=wp.float64, device=driver.device)
    rasterizer.render(particles, views, index)
    adj = wp.array(adj_image, dtype=wp.float64, device=driver.device)
    rasterizer.backward(particles, views, index, adj, particles.zeros_like(), adj_views=adj_views)
    return adj_views.numpy()


POSED = {"rolled": rolled, "wide": wide, "fine": fine, "parallel": lambda: parallel(rolled())}


@pytest.mark.parametrize("view", [0, 2])
@pytest.mark.parametrize("harmonics", [0, 15])
@pytest.mark.parametrize("build", POSED.values(), ids=POSED)
def test_pose_gradient_matches_finite_differences(build, harmonics, view, driver):
    world = with_more(build(), harmonics=harmonics)
    adj_image = random_adj_image(world, 9)
    got = pose_gradient(driver, world, adj_image, view)
    expected = np.zeros((3, 6))
    for k, twist in enumerate(np.eye(6)):
        ahead, behind = (
            loss(world.parameters, replace(world, camera=moved(world.camera, sign * STEP * twist)), adj_image)
            for sign in (1.0, -1.0)
        )
        expected[view, k] = (ahead - behind) / (2.0 * STEP)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_pose_gradient_does_not_change_the_others(driver):
    world = rolled()
    adj_image = random_adj_image(world, 4)
    rasterizer, particles, views = driver.rasterizer(world, channels=4), driver.particles(world), driver.views(world)
    rasterizer.render(particles, views, driver.first_view())
    gradients = particles.zeros_like()
    adj_views = wp.zeros((1, 6), dtype=wp.float64, device=driver.device)
    adj = wp.array(adj_image, dtype=wp.float64, device=driver.device)
    rasterizer.backward(particles, views, driver.first_view(), adj, gradients, adj_views=adj_views)
    for name, expected in driver.gradients(world, adj_image).items():
        np.testing.assert_allclose(getattr(gradients, name).numpy(), expected, atol=1e-12, err_msg=name)
