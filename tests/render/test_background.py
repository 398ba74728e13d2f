from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import warp as wp

from tests.render.test_backdrop import part, tall
from tests.render.worlds import AWAY, Driver, World, assert_pictures, dense, rolled, to_numpy, upright
from warpgs.particles import Particles
from warpgs.render import background_adjoint

STRIPS = Driver("cpu", portable=False)
BACKGROUND = np.array([0.3, -0.7, 1.4, 0.2, 0.9, 5.0])
STEP = 1e-6


def array(values: np.ndarray, driver: Driver, dtype: type = wp.float64, **options) -> wp.array:
    return wp.array(values, dtype=dtype, device=driver.device, **options)


def over_background(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Image and transmittance of the oracle."""
    drawing = world.draw()
    return drawing.image[: len(BACKGROUND)] + drawing.transmittance * BACKGROUND[:, None, None], drawing.transmittance


def adjoints(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Random gradients of the image and of the transmittance, where no decision is close."""
    rng, away = np.random.default_rng(71), world.draw().margin > 1e-3
    assert away.mean() > 0.9
    return rng.normal(size=(6, *away.shape)) * away, 3.0 * rng.normal(size=away.shape) * away


def draw(driver: Driver, world: World, **options):
    rasterizer = driver.rasterizer(world)
    rasterizer.render(driver.particles(world), driver.views(world), driver.first_view(), **options)
    return rasterizer


def test_background_shines_through_what_is_left(world, driver):
    got = draw(driver, world, background=array(BACKGROUND, driver))
    expected, _ = over_background(world)
    away = world.draw().margin > AWAY
    assert np.where(away, np.abs(got.image.numpy() - expected), 0.0).max() <= 1e-11


def test_background_is_forgotten_by_the_next_render(world, driver):
    rasterizer = draw(driver, world, background=array(BACKGROUND, driver))
    rasterizer.render(driver.particles(world), driver.views(world), driver.first_view())
    assert_pictures(rasterizer, world.draw(), atol=1e-12)


@pytest.mark.parametrize("build", [upright, rolled, dense])
def test_gradient_through_background_and_transmittance_matches_finite_differences(build, driver):
    world = build()
    adj_image, adj_transmittance = adjoints(world)
    rasterizer = draw(driver, world, background=array(BACKGROUND, driver))
    gradients = driver.zeros(world)
    particles, views = driver.particles(world), driver.views(world)
    adj, adj_left = array(adj_image, driver), array(adj_transmittance, driver)
    rasterizer.backward(particles, views, driver.first_view(), adj, gradients, adj_transmittance=adj_left)

    def loss(parameters):
        image, transmittance = over_background(World(parameters, world.camera))
        return np.sum(adj_image * image) + np.sum(adj_transmittance * transmittance)

    rng = np.random.default_rng(72)
    for name, gradient in to_numpy(gradients).items():
        direction = rng.normal(size=gradient.shape)
        ends = [loss(world.parameters | {name: world.parameters[name] + s * direction}) for s in (STEP, -STEP)]
        slope = (ends[0] - ends[1]) / (2.0 * STEP)
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-6, err_msg=name)


def test_gradient_of_the_background_is_the_light_that_reaches_it(driver):
    world = rolled()
    adj_image, _ = adjoints(world)
    rasterizer = draw(driver, world, background=array(BACKGROUND, driver))
    got = array(BACKGROUND, driver)
    background_adjoint(array(adj_image, driver), rasterizer.transmittance, got)
    expected = np.sum(adj_image * world.draw().transmittance, axis=(1, 2))
    np.testing.assert_allclose(got.numpy(), BACKGROUND + expected, rtol=1e-12)


def test_tape_carries_gradients_of_background_and_transmittance(driver):
    world = upright()
    adj_image, adj_transmittance = adjoints(world)
    rasterizer = driver.rasterizer(world)
    rasterizer.image.requires_grad = rasterizer.transmittance.requires_grad = True
    particles, views = driver.particles(world), driver.views(world)
    for values in particles.named().values():
        values.requires_grad = True
    background = array(BACKGROUND, driver, requires_grad=True)
    tape = wp.Tape()
    rasterizer.render(particles, views, driver.first_view(), background=background, tape=tape)
    adj, adj_left = array(adj_image, driver), array(adj_transmittance, driver)
    tape.backward(grads={rasterizer.image: adj, rasterizer.transmittance: adj_left})
    assert not rasterizer.image.grad.numpy().any() and not rasterizer.transmittance.grad.numpy().any()

    expected, expected_background = driver.zeros(world), array(np.zeros(6), driver)
    rasterizer.backward(particles, views, driver.first_view(), adj, expected, adj_transmittance=adj_left)
    background_adjoint(adj, rasterizer.transmittance, expected_background)
    np.testing.assert_allclose(background.grad.numpy(), expected_background.numpy(), rtol=1e-12)
    for name, values in particles.named().items():
        np.testing.assert_allclose(values.grad.numpy(), expected.named()[name].numpy(), atol=1e-11, err_msg=name)


def test_backdrop_keeps_its_background():
    world = tall()
    background = array(BACKGROUND, STRIPS)
    whole = draw(STRIPS, world, background=background)
    still = draw(STRIPS, part(world, slice(20, None)), background=background)
    got = draw(STRIPS, part(world, slice(20)), backdrop=still.backdrop())
    np.testing.assert_allclose(got.image.numpy(), whole.image.numpy(), atol=1e-12)
    with pytest.raises(ValueError, match="background: expected none among a backdrop, got one"):
        draw(STRIPS, part(world, slice(20)), backdrop=still.backdrop(), background=background)


def test_backdrop_takes_gradients_of_the_transmittance():
    world = tall()
    adj_image, adj_transmittance = (array(adj, STRIPS) for adj in adjoints(world))
    whole, still, moving = draw(STRIPS, world), draw(STRIPS, part(world, slice(20, None))), part(world, slice(20))
    got = draw(STRIPS, moving, backdrop=still.backdrop())
    gradients = []
    for rasterizer, seen in ((whole, world), (got, moving)):
        gradients.append(Particles.zeros(20, "cpu", wp.float64))
        arguments = STRIPS.particles(seen), STRIPS.views(seen), STRIPS.first_view(), adj_image, gradients[-1]
        rasterizer.backward(*arguments, adj_transmittance=adj_transmittance)
    for name, gradient in to_numpy(gradients[1]).items():
        np.testing.assert_allclose(gradient, to_numpy(gradients[0])[name], atol=1e-9, err_msg=name)


def test_background_does_not_depend_on_threads():
    world = tall()
    background = array(BACKGROUND, STRIPS, wp.float32)
    options = {"dtype": wp.float32}
    pictures = []
    with ThreadPoolExecutor(2) as executor:
        for more in ({}, {"executor": executor, "bands": 3}):
            rasterizer = STRIPS.rasterizer(world, **options, **more)
            particles, views = STRIPS.particles(world, wp.float32), STRIPS.views(world, wp.float32)
            rasterizer.render(particles, views, STRIPS.first_view(), background=background)
            pictures.append(rasterizer.image.numpy().tobytes())
    assert pictures[0] == pictures[1]
