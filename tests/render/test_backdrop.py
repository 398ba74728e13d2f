from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import warp as wp

from tests.reference.rasterize import Parameters
from tests.render.worlds import Driver, World, dense, look_at, random_parameters, rolled, to_numpy, upright, wide
from warpgs.particles import Particles
from warpgs.render.rasterizer import Rasterizer

STRIPS = Driver("cpu", portable=False)


def part(world: World, rows: slice) -> World:
    return World({name: array[rows] for name, array in world.parameters.items()}, world.camera)


def tall() -> World:
    """Several tiles, some of which no moving particle reaches."""
    camera = look_at((0.0, -2.5, 0.6), width=210, height=90, focal=(90.0, 90.0))
    parameters = random_parameters(61, 80, log_scale=-2.0, opacity_logit=-1.5)
    parameters["means"][:20] = parameters["means"][:20] * 0.4 - [0.7, 0.0, 0.0]
    return World(parameters, camera)


def adj_image_of(world: World, channels: int = 6) -> np.ndarray:
    return np.random.default_rng(62).normal(size=(channels, world.camera.height, world.camera.width))


@dataclass(frozen=True)
class Result:
    rasterizer: Rasterizer
    gradients: Parameters


def among(world: World, moving_count: int, active_count: int | None = None, dtype=wp.float64, **options) -> Result:
    """Draw the first particles among the others, which are drawn once and kept."""
    still = STRIPS.render(part(world, slice(moving_count, None)), dtype=dtype, **options)
    moving = part(world, slice(moving_count))
    rasterizer = STRIPS.rasterizer(moving, dtype=dtype, **options)
    particles, views = STRIPS.particles(moving, dtype), STRIPS.views(moving, dtype)
    rasterizer.render(particles, views, STRIPS.first_view(), backdrop=still.backdrop())
    gradients = Particles.zeros(moving_count if active_count is None else active_count, "cpu", dtype)
    adj_image = wp.array(adj_image_of(world), dtype=dtype, device="cpu")
    rasterizer.backward(particles, views, STRIPS.first_view(), adj_image, gradients)
    return Result(rasterizer, to_numpy(gradients))


@pytest.mark.parametrize("build", [upright, rolled, wide, tall])
@pytest.mark.parametrize("moving_count", [1, 7, 20, 39])
def test_backdrop_gives_the_picture_and_gradients_of_all_particles(build, moving_count):
    """These worlds are nowhere so opaque that a pixel stops."""
    world = build()
    assert not world.draw().stopped.any()
    whole, got = STRIPS.render(world), among(world, moving_count)
    np.testing.assert_allclose(got.rasterizer.image.numpy(), whole.image.numpy(), atol=1e-12)
    np.testing.assert_allclose(got.rasterizer.transmittance.numpy(), whole.transmittance.numpy(), atol=1e-12)
    expected = STRIPS.gradients(world, adj_image_of(world), active_count=moving_count)
    for name, gradient in got.gradients.items():
        np.testing.assert_allclose(gradient, expected[name], atol=1e-9, err_msg=name)


def test_backdrop_gives_the_gradient_of_the_first_moving_particles():
    world = rolled()
    full = among(world, 30).gradients
    for name, gradient in among(world, 30, active_count=11).gradients.items():
        np.testing.assert_array_equal(gradient, full[name][:11], err_msg=name)


def test_backdrop_without_moving_particles_is_the_picture_itself():
    world = tall()
    whole, got = STRIPS.render(world), among(world, 0).rasterizer
    np.testing.assert_array_equal(got.image.numpy(), whole.image.numpy())
    np.testing.assert_array_equal(got.transmittance.numpy(), whole.transmittance.numpy())


def test_backdrop_without_still_particles_changes_nothing():
    world = tall()
    whole, got = STRIPS.render(world), among(world, 80).rasterizer
    np.testing.assert_allclose(got.image.numpy(), whole.image.numpy(), atol=1e-14)
    np.testing.assert_allclose(got.transmittance.numpy(), whole.transmittance.numpy(), atol=1e-14)


def test_backdrop_is_forgotten_by_the_next_render():
    world = tall()
    rasterizer = among(world, 20).rasterizer
    moving = part(world, slice(20))
    rasterizer.render(STRIPS.particles(moving), STRIPS.views(moving), STRIPS.first_view())
    np.testing.assert_array_equal(rasterizer.image.numpy(), STRIPS.render(moving).image.numpy())


def test_backdrop_is_a_copy():
    world = tall()
    still = STRIPS.render(part(world, slice(20, None)))
    backdrop = still.backdrop()
    kept = {name: array.numpy().copy() for name, array in vars(backdrop).items()}
    still.render(STRIPS.particles(part(rolled(), slice(60))), STRIPS.views(rolled()), STRIPS.first_view())
    for name, array in vars(backdrop).items():
        np.testing.assert_array_equal(array.numpy(), kept[name], err_msg=name)


@pytest.mark.parametrize("moving_count", [1, 20, 59])
def test_backdrop_where_pixels_stop_loses_less_than_the_light_that_was_left(moving_count):
    """A pixel stops before a splat that would leave less than 1e-4; at most 1e-2 is left then, since alpha <= 0.99."""
    world = dense()
    whole, got = STRIPS.render(world), among(world, moving_count).rasterizer
    scale = np.abs(world.draw().image).max()
    assert np.abs(got.image.numpy()[:5] - whole.image.numpy()[:5]).max() <= 0.0121 * max(1.0, scale)
    assert np.abs(got.transmittance.numpy() - whole.transmittance.numpy()).max() <= 0.0101


def test_backdrop_in_float32_agrees_with_all_particles():
    world = tall()
    whole, got = STRIPS.render(world, dtype=wp.float32), among(world, 20, dtype=wp.float32)
    np.testing.assert_allclose(got.rasterizer.image.numpy(), whole.image.numpy(), atol=2e-5)
    expected = STRIPS.gradients(world, adj_image_of(world), active_count=20)
    for name, gradient in got.gradients.items():
        assert np.linalg.norm(gradient - expected[name]) <= 1e-4 * np.linalg.norm(expected[name]), name


def test_backdrop_results_do_not_depend_on_threads():
    world = tall()
    alone = among(world, 20, dtype=wp.float32)
    with ThreadPoolExecutor(3) as executor:
        got = among(world, 20, dtype=wp.float32, executor=executor, bands=4)
    assert got.rasterizer.image.numpy().tobytes() == alone.rasterizer.image.numpy().tobytes()
    for name, gradient in got.gradients.items():
        assert gradient.tobytes() == alone.gradients[name].tobytes(), name


def test_backdrop_is_refused_where_all_particles_are_composited_every_time():
    portable = Driver("cpu", portable=True).render(upright())
    with pytest.raises(NotImplementedError, match="backdrop: only the CPU composites among kept splats; render all"):
        portable.backdrop()
