from collections.abc import Iterator

import pytest
import warp as wp

from tests.render.worlds import Driver, upright
from warpgs.optimize import Adam
from warpgs.particles import Particles
from warpgs.render import Rasterizer
from warpgs.render.bins import PAIRS_PER_SPLAT
from warpgs.render.channels import COLOR_MASK

BLOCKS = Driver("cpu", portable=True)


def arrays_in(thing: object) -> Iterator[wp.array]:
    """All arrays behind the attributes of ``thing``."""
    if isinstance(thing, wp.array):
        yield thing
    elif isinstance(thing, dict | list | tuple):
        for item in thing.values() if isinstance(thing, dict) else thing:
            yield from arrays_in(item)
    elif type(thing).__module__.startswith("warpgs"):
        slots = getattr(type(thing), "__slots__", ())
        yield from arrays_in([getattr(thing, name) for name in slots] or vars(thing))


def bytes_of(thing: object) -> int:
    """Of all arrays of ``thing``; views of one array count once."""
    return sum({array.ptr: array.capacity for array in arrays_in(thing) if array.size}.values())


def test_memory_counts_every_array(driver):
    world = upright()
    rasterizer = driver.render(world, median_depth=True)
    inputs = driver.particles(world), driver.views(world), driver.first_view()
    rasterizer.backward(*inputs, wp.ones_like(rasterizer.image), driver.zeros(world))
    rasterizer.visibility(wp.zeros((rasterizer.count, 2), dtype=wp.float64, device=driver.device))
    rasterizer._no_plane = rasterizer._nothing = rasterizer._backdrop = None
    assert rasterizer.memory().total == bytes_of(rasterizer)


@pytest.mark.parametrize("channels", [1, 4, 9])
def test_memory_of_each_gaussian_pixel_and_pair_on_cuda(channels):
    memory = BLOCKS.render(upright(), channels=channels, dtype=wp.float32).memory()
    record, gradient, sort, ends = 9 + channels, 6 + channels, 4, 2
    assert memory.gaussians.each == 4 * (record + gradient + sort + ends)
    assert memory.pixels.each == 4 * (channels + 1)
    assert memory.pairs.each == 16
    assert memory.gaussians.count == 40 and memory.pixels.count == 70 * 41
    assert memory.pairs.count == max(40 * PAIRS_PER_SPLAT, 1024)


def test_memory_grows_by_the_same_for_each_gaussian_and_pixel():
    def total(count: int, width: int, height: int) -> int:
        return Rasterizer(count, width, height, channels=COLOR_MASK, portable=True).memory().total

    per_gaussian = 116 + 16 * PAIRS_PER_SPLAT
    assert total(3000, 64, 64) - total(2000, 64, 64) == 1000 * per_gaussian
    assert total(2000, 64, 128) - total(2000, 64, 64) == 64 * 64 * 20 + 16 * 4


def test_two_million_gaussians_at_1920x1080_train_in_4_gb_on_cuda():
    """With Adam, and room for 64 pairs of each Gaussian; counted from the arrays of a small scene."""
    memory = Rasterizer(2000, 64, 64, channels=COLOR_MASK, portable=True).memory()
    particles = Particles.zeros(2000, "cpu")
    named = {name: array for name, array in particles.named().items() if array.size}
    moments_and_parameters = bytes_of(Adam(named, dict.fromkeys(named, 1e-3))._slots)
    gradients = bytes_of(particles)
    count, pixels, image_gradient = 2_000_000, 1920 * 1080, 4 * len(COLOR_MASK)
    size = count * (memory.gaussians.each + 64 * memory.pairs.each + (moments_and_parameters + gradients) / 2000)
    size += pixels * (memory.pixels.each + image_gradient + memory.tiles.each / 256)
    assert 2.7e9 < size < 4.0e9
