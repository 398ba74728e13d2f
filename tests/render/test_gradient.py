from dataclasses import replace

import numpy as np
import pytest
import warp as wp

from tests.reference.rasterize import Parameters
from tests.render.worlds import Driver, World, dense, first_rows, rolled, to_numpy, upright, wide, with_more
from warpgs.render.channels import CHANNELS, COLOR, NORMAL

STEP = 1e-6
FAR = 1e-3
"""Pixels with a decision this close to its threshold carry no gradient: a step must not cross it."""


Channels = int | tuple[str, ...]
"""Names; a number means the first so many."""


def named(channels: Channels) -> tuple[str, ...]:
    return CHANNELS[:channels] if isinstance(channels, int) else channels


def random_adj_image(world: World, channels: Channels, seed: int = 0) -> np.ndarray:
    drawing = world.draw()
    away = drawing.margin > FAR
    assert away.mean() > 0.9
    shape = drawing.of(named(channels)).shape
    return np.random.default_rng(seed).normal(size=shape) * away


def loss(parameters: Parameters, world: World, adj_image: np.ndarray, channels: Channels | None = None) -> float:
    channels = len(adj_image) if channels is None else channels
    return float(np.sum(adj_image * replace(world, parameters=parameters).draw().of(named(channels))))


def slope(
    world: World, adj_image: np.ndarray, name: str, direction: np.ndarray, channels: Channels | None = None
) -> float:
    """Central difference of the oracle's loss along ``direction`` of one parameter."""
    ahead, behind = (
        loss(world.parameters | {name: world.parameters[name] + step * direction}, world, adj_image, channels)
        for step in (STEP, -STEP)
    )
    return (ahead - behind) / (2.0 * STEP)


def assert_gradients(
    world: World, adj_image: np.ndarray, gradients: Parameters, channels: Channels | None = None
) -> None:
    rng = np.random.default_rng(7)
    for name, array in world.parameters.items():
        for _ in range(3):
            direction = rng.normal(size=array.shape)
            expected = slope(world, adj_image, name, direction, channels)
            np.testing.assert_allclose(np.sum(gradients[name] * direction), expected, rtol=1e-7, err_msg=name)


@pytest.mark.parametrize("channels", [3, 4, 5, 6])
def test_gradient_matches_finite_differences(channels, driver):
    world = rolled()
    adj_image = random_adj_image(world, channels)
    assert_gradients(world, adj_image, driver.gradients(world, adj_image))


SELECTIONS = [
    ("depth",),
    ("blue", "red"),
    ("foreground", "normal_z", "green"),
    ("background", "normal_y", "depth"),
    (*NORMAL, *COLOR),
]


@pytest.mark.parametrize("features", [0, 3])
@pytest.mark.parametrize("channels", SELECTIONS, ids=",".join)
def test_gradient_of_any_channels_and_features_matches_finite_differences(channels, features, driver):
    world = with_more(rolled(), features=features)
    adj_image = random_adj_image(world, channels)
    assert_gradients(world, adj_image, driver.gradients(world, adj_image, channels=channels), channels)


def test_gradient_of_32_features_matches_finite_differences(driver):
    world = with_more(upright(), features=32)
    adj_image = random_adj_image(world, ())
    assert_gradients(world, adj_image, driver.gradients(world, adj_image, channels=()), ())


@pytest.mark.parametrize("harmonics", [3, 8, 15])
def test_gradient_of_harmonics_matches_finite_differences(harmonics, driver):
    world = with_more(rolled(), harmonics=harmonics)
    adj_image = random_adj_image(world, COLOR)
    assert_gradients(world, adj_image, driver.gradients(world, adj_image))


@pytest.mark.parametrize("build", [upright, wide, dense])
def test_gradient_matches_finite_differences_in_other_worlds(build, driver):
    world = build()
    adj_image = random_adj_image(world, 6)
    assert_gradients(world, adj_image, driver.gradients(world, adj_image))


def test_gradient_of_every_number_matches_finite_differences(driver):
    world = World(first_rows(rolled().parameters, 12), rolled().camera)
    adj_image = random_adj_image(world, 6)
    gradients = driver.gradients(world, adj_image)
    for name, array in world.parameters.items():
        numbers = np.eye(array.size).reshape(-1, *array.shape)
        expected = np.reshape([slope(world, adj_image, name, number) for number in numbers], array.shape)
        # the absolute part is the rounding of the differences
        np.testing.assert_allclose(gradients[name], expected, rtol=1e-6, atol=1e-7, err_msg=name)


def test_gradient_in_float32_agrees_with_float64(world, driver):
    adj_image = random_adj_image(world, 6)
    expected = driver.gradients(world, adj_image)
    for name, gradient in driver.gradients(world, adj_image, dtype=wp.float32).items():
        assert np.linalg.norm(gradient - expected[name]) <= 1e-4 * np.linalg.norm(expected[name]), name


def test_gradient_is_the_same_from_strips_and_from_single_pixels(world):
    adj_image = random_adj_image(world, 6)
    expected = Driver("cpu", portable=True).gradients(world, adj_image)
    for name, gradient in Driver("cpu", portable=False).gradients(world, adj_image).items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("dtype", [wp.float32, wp.float64])
@pytest.mark.parametrize("active_count", [0, 1, 7, 33])
def test_gradient_of_the_first_particles_is_that_of_the_full_backward(active_count, dtype, world, driver):
    adj_image = random_adj_image(world, 4)
    full = driver.gradients(world, adj_image, dtype=dtype)
    for name, gradient in driver.gradients(world, adj_image, active_count=active_count, dtype=dtype).items():
        if driver.device == "cpu":
            np.testing.assert_array_equal(gradient, full[name][:active_count], err_msg=name)
        else:  # atomics are not ordered: sums that cancel differ by the rounding of their terms
            size = np.abs(full[name]).max(initial=0.0)
            np.testing.assert_allclose(gradient, full[name][:active_count], rtol=1e-4, atol=1e-6 * size, err_msg=name)


def test_gradient_of_a_quaternion_is_tangent_to_its_sphere(world, driver):
    gradients = driver.gradients(world, random_adj_image(world, 6))
    q = world.parameters["rotations"]
    radial = np.sum(gradients["rotations"] * q, axis=1) / np.linalg.norm(q, axis=1)
    assert np.abs(radial).max() <= 1e-12 * np.abs(gradients["rotations"]).max()


def test_screen_space_gradient_is_that_of_a_shift_of_the_picture(driver):
    """What densification reads: the sum over all splats is the derivative by the principal point."""
    world = rolled()
    adj_image = random_adj_image(world, 6)
    rasterizer = driver.rasterizer(world)
    particles, views = driver.particles(world), driver.views(world)
    rasterizer.render(particles, views, driver.first_view())
    adj = wp.array(adj_image, dtype=wp.float64, device=driver.device)
    rasterizer.backward(particles, views, driver.first_view(), adj, driver.zeros(world))
    for axis in range(2):

        def shifted(step, axis=axis):
            k = world.camera.intrinsics.copy()
            k[axis, 2] += step
            return loss(world.parameters, replace(world, camera=replace(world.camera, intrinsics=k)), adj_image)

        expected = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP)
        np.testing.assert_allclose(rasterizer.adj_records.numpy()[:, axis].sum(), expected, rtol=1e-7)


def test_backward_adds_to_what_is_there(driver):
    world = upright()
    adj_image = random_adj_image(world, 4)
    once = driver.gradients(world, adj_image)
    rasterizer = driver.render(world, channels=4)
    particles, views = driver.particles(world), driver.views(world)
    gradients = driver.particles(world)
    adj = wp.array(adj_image, dtype=wp.float64, device=driver.device)
    rasterizer.backward(particles, views, driver.first_view(), adj, gradients)
    rasterizer.backward(particles, views, driver.first_view(), adj, gradients)
    for name, gradient in to_numpy(gradients).items():
        np.testing.assert_allclose(gradient, world.parameters[name] + 2.0 * once[name], atol=1e-10, err_msg=name)
    np.testing.assert_array_equal(adj.numpy(), adj_image)


def test_tape_reaches_features_and_harmonics(driver):
    world = with_more(upright(), harmonics=8, features=2)
    adj_image = random_adj_image(world, COLOR)
    expected = driver.gradients(world, adj_image, channels=COLOR)
    rasterizer = driver.rasterizer(world, channels=COLOR)
    rasterizer.image.requires_grad = True
    particles, features = driver.particles(world), driver.features(world)
    arrays = particles.named() | {"features": features}
    for array in arrays.values():
        array.requires_grad = True
    tape = wp.Tape()
    rasterizer.render(particles, driver.views(world), driver.first_view(), features=features, tape=tape)
    tape.backward(grads={rasterizer.image: wp.array(adj_image, dtype=wp.float64, device=driver.device)})
    for name, array in arrays.items():
        np.testing.assert_allclose(array.grad.numpy(), expected[name], atol=1e-11, err_msg=name)


def test_tape_equals_backward_and_consumes_what_it_read(driver):
    world = upright()
    adj_image = random_adj_image(world, 4)
    expected = driver.gradients(world, adj_image)
    rasterizer = driver.rasterizer(world, channels=4)
    rasterizer.image.requires_grad = True
    particles = driver.particles(world)
    for array in particles.named().values():
        array.requires_grad = True
    adj = wp.array(adj_image, dtype=wp.float64, device=driver.device)
    tape = wp.Tape()
    rasterizer.render(particles, driver.views(world), driver.first_view(), tape=tape)
    for times in (1, 2):
        tape.backward(grads={rasterizer.image: adj})
        assert not rasterizer.image.grad.numpy().any()
        for name, array in particles.named().items():
            np.testing.assert_allclose(array.grad.numpy(), times * expected[name], atol=1e-11, err_msg=name)
    tape.zero()
    tape.backward()
    for name, array in particles.named().items():
        assert not array.grad.numpy().any(), name
