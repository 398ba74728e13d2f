import numpy as np
import pytest
import warp as wp

from tests.render.worlds import Driver, World, dense, look_at, random_parameters, rolled, upright, with_more
from warpgs.render.composite_cuda_native import SHARED_BYTES, THREADS, batch_size

STRIPS, BLOCKS = Driver("cpu", portable=False), Driver("cpu", portable=True)
TOLERANCE = {wp.float32: 1e-4, wp.float64: 1e-11}


def crowd() -> World:
    """One tile and a bit, hundreds of faint splats in each: several batches."""
    parameters = random_parameters(81, 900, log_scale=-1.5, opacity_logit=-4.0)
    return World(parameters, look_at((0.0, -3.0, 0.3), width=19, height=17, focal=(15.0, 15.0)))


def stack() -> World:
    """Opaque splats by the hundred: whole tiles stop in the middle of their lists."""
    parameters = random_parameters(82, 900, log_scale=-0.5, opacity_logit=1.0)
    return World(parameters, look_at((0.0, -3.0, 0.3), width=35, height=33, focal=(25.0, 25.0)))


def assert_drivers_agree(world: World, channels: int, dtype: type) -> None:
    """Images, transmittances and gradients of both drivers, by the norm of their difference."""
    pictures = [driver.render(world, channels=channels, dtype=dtype) for driver in (STRIPS, BLOCKS)]
    adj_image = np.random.default_rng(83).normal(size=pictures[0].image.shape)
    gradients = [d.gradients(world, adj_image, channels=channels, dtype=dtype) for d in (STRIPS, BLOCKS)]
    expected, got = (
        {"image": r.image.numpy(), "transmittance": r.transmittance.numpy()} | g
        for r, g in zip(pictures, gradients, strict=True)
    )
    for name, array in expected.items():
        error = np.linalg.norm(got[name] - array)
        assert error <= TOLERANCE[dtype] * np.linalg.norm(array), name


@pytest.mark.parametrize("features", [1, 12, 20, 28])
def test_drivers_agree_for_any_number_of_channels(features):
    """Groups of 8, of 16 and 2, of 32, of 32 and 2 numbers are summed over a warp."""
    assert_drivers_agree(with_more(rolled(), features=features), 0, wp.float64)


@pytest.mark.parametrize("dtype", [wp.float32, wp.float64])
@pytest.mark.parametrize("build", [crowd, stack, dense])
def test_drivers_agree_over_several_batches(build, dtype):
    assert_drivers_agree(build(), 4, dtype)


@pytest.mark.parametrize("active_count", [0, 1, 300, 899])
def test_drivers_agree_on_the_gradient_of_the_first_particles(active_count):
    """Blocks stop behind the last of them."""
    world = crowd()
    adj_image = np.random.default_rng(84).normal(size=(4, world.camera.height, world.camera.width))
    expected, got = (driver.gradients(world, adj_image, active_count=active_count) for driver in (STRIPS, BLOCKS))
    for name, array in expected.items():
        assert len(array) == active_count
        np.testing.assert_allclose(got[name], array, rtol=1e-8, atol=1e-10, err_msg=name)


def test_captured_blocks_draw_the_same_bits_as_eager_ones():
    world = crowd()
    rasterizer = BLOCKS.render(world, channels=4)
    inputs = BLOCKS.particles(world), BLOCKS.views(world), BLOCKS.first_view()
    adj_image, gradients = wp.ones_like(rasterizer.image), BLOCKS.zeros(world)
    rasterizer.backward(*inputs, adj_image, gradients)
    expected = rasterizer.image.numpy().copy(), rasterizer.adj_records.numpy().copy()
    with wp.ScopedCapture(device="cpu") as capture:
        rasterizer.render(*inputs, check=False)
        rasterizer.backward(*inputs, adj_image, gradients)
    rasterizer.image.zero_()
    wp.capture_launch(capture.graph)
    np.testing.assert_array_equal(rasterizer.image.numpy(), expected[0])
    np.testing.assert_array_equal(rasterizer.adj_records.numpy(), expected[1])


def test_worlds_take_several_batches():
    for build in (crowd, stack):
        lists = BLOCKS.render(build(), channels=4)._bins.starts.numpy()
        assert np.diff(lists).max() > 2 * batch_size(wp.float64, 4)
    assert stack().draw().stopped[:16, 16:32].all()


@pytest.mark.parametrize("dtype", [wp.float32, wp.float64])
def test_batches_fit_in_shared_memory_and_keep_all_threads_busy(dtype):
    for channels in range(1, 33):
        size, numbers = batch_size(dtype, channels), 6 + channels
        assert THREADS % size == 0
        assert size * (numbers * wp.types.type_size_in_bytes(dtype) + 4) <= SHARED_BYTES
        assert size * numbers >= 3 * THREADS


def test_blocks_on_the_cpu_are_refused_where_they_are_off(monkeypatch):
    monkeypatch.setattr(wp.config, "enable_cpu_blocks", False)
    with pytest.raises(ValueError, match=r"portable: expected wp.config.enable_cpu_blocks, got False; set it"):
        BLOCKS.rasterizer(upright())
