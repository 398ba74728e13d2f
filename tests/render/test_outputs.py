"""Median depths and screen-space gradients."""

import numpy as np
import pytest
import warp as wp

from tests.render.test_gradient import STEP, random_adj_image
from tests.render.worlds import AWAY, Driver, World, dense, parallel, rolled, upright
from warpgs.reconstruct.densify import ScreenGradients


def depths_of(world: World, median: np.ndarray) -> np.ndarray:
    z = world.parameters["means"] @ world.camera.camera_from_world[2, :3] + world.camera.camera_from_world[2, 3]
    return np.where(median >= 0, z[median], 0.0)


def away_from_half(world: World) -> np.ndarray:
    drawing = world.draw()
    return np.minimum(drawing.margin, drawing.median_margin) > AWAY


@pytest.mark.parametrize(("dtype", "atol"), [(wp.float32, 1e-5), (wp.float64, 1e-12)])
def test_median_depths_match_oracle(dtype, atol, world, driver):
    rasterizer = driver.render(world, median_depth=True, dtype=dtype)
    depths = wp.zeros((world.camera.height, world.camera.width), dtype=dtype, device=driver.device)
    rasterizer.median_depths(depths)
    away = away_from_half(world)
    assert (world.draw().median[away] >= 0).any()
    np.testing.assert_allclose(depths.numpy()[away], depths_of(world, world.draw().median)[away], atol=atol)


@pytest.mark.parametrize("channels", [3, 6])
@pytest.mark.parametrize("build", [rolled, dense, lambda: parallel(upright())])
def test_gradient_through_median_depths_matches_finite_differences(build, channels, driver):
    world = build()
    rng, away = np.random.default_rng(5), away_from_half(world)
    adj_depths = rng.normal(size=away.shape) * away
    adj_image = random_adj_image(world, channels)
    rasterizer = driver.render(world, channels=channels, median_depth=True)
    particles, views, first = driver.particles(world), driver.views(world), driver.first_view()
    gradients = particles.zeros_like()
    adj = wp.array(adj_image, dtype=wp.float64, device=driver.device)
    adj_median = wp.array(adj_depths, dtype=wp.float64, device=driver.device)
    rasterizer.backward(particles, views, first, adj, gradients, adj_median_depths=adj_median)
    plain = driver.gradients(world, adj_image)
    median = world.draw().median
    direction = rng.normal(size=(len(particles), 3))

    def loss(step: float) -> float:
        moved = world.with_parameters(means=world.parameters["means"] + step * direction)
        return float(np.sum(adj_depths * depths_of(moved, median)))

    expected = (loss(STEP) - loss(-STEP)) / (2.0 * STEP)
    assert expected != 0.0
    got = np.sum((gradients.means.numpy() - plain["means"]) * direction)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    for name in plain.keys() - {"means"}:
        np.testing.assert_allclose(getattr(gradients, name).numpy(), plain[name], atol=1e-11, err_msg=name)
    rasterizer.backward(particles, views, first, adj, again := particles.zeros_like())
    np.testing.assert_allclose(again.means.numpy(), plain["means"], atol=1e-11)


def test_median_depths_are_refused_where_none_are_found(driver):
    world = upright()
    rasterizer, particles = driver.render(world), driver.particles(world)
    plane = wp.zeros((world.camera.height, world.camera.width), dtype=wp.float64, device=driver.device)
    with pytest.raises(ValueError, match="median_depths: expected a Rasterizer with median_depth=True"):
        rasterizer.median_depths(plane)
    with pytest.raises(ValueError, match="adj_median_depths: expected a Rasterizer with median_depth=True"):
        rasterizer.backward(
            particles,
            driver.views(world),
            driver.first_view(),
            wp.zeros_like(rasterizer.image),
            particles.zeros_like(),
            adj_median_depths=plane,
        )


@pytest.mark.parametrize("unit_px", [(1.0, 1.0), (30.0, 0.5)])
def test_screen_gradient_norms_are_those_of_the_centers(unit_px, world, driver):
    rasterizer, particles = driver.render(world), driver.particles(world)
    adj = wp.array(random_adj_image(world, 6), dtype=wp.float64, device=driver.device)
    rasterizer.backward(particles, driver.views(world), driver.first_view(), adj, particles.zeros_like())
    norms = wp.zeros(len(particles), dtype=wp.float64, device=driver.device)
    rasterizer.screen_gradient_norms(norms, unit_px=unit_px)
    drawn = rasterizer.records.numpy()[:, 6] >= 0.0
    assert drawn.any()
    expected = np.linalg.norm(rasterizer.adj_records.numpy()[:, :2] * unit_px, axis=1)
    np.testing.assert_allclose(norms.numpy(), np.where(drawn, expected, -1.0), rtol=1e-12)


def test_screen_gradients_are_zero_where_no_view_shows_a_particle():
    driver, world = Driver("cpu", portable=False), upright()
    hidden = world.parameters["opacity_logits"].copy()
    hidden[3] = -20.0
    world = world.with_parameters(opacity_logits=hidden)
    rasterizer, particles = driver.render(world, dtype=wp.float32), driver.particles(world, wp.float32)
    adj = wp.array(random_adj_image(world, 6), dtype=float, device="cpu")
    views = driver.views(world, wp.float32)
    rasterizer.backward(particles, views, driver.first_view(), adj, particles.zeros_like())
    gradients = ScreenGradients(len(particles), "cpu")
    gradients.add(rasterizer, 1.0)
    assert gradients.mean()[3] == 0.0 and (np.delete(gradients.mean(), 3) > 0.0).any()
