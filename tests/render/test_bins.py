from itertools import pairwise

import numpy as np
import pytest
import warp as wp

from tests.render.worlds import Driver, World, assert_pictures, look_at, random_parameters
from warpgs.render.bins import Bins, TileGrid, tile_grid


def depth_sorted(world: World, dtype: type) -> tuple[wp.array, wp.array]:
    """Records of ``world`` and its particles front to back."""
    records = Driver("cpu", portable=False).render(world, dtype=dtype).records
    depths = world.parameters["means"] @ world.camera.camera_from_world[2, :3]
    order = np.argsort(depths, kind="stable")
    return records, wp.array(order, dtype=wp.int32, device="cpu")


def lists_of(bins: Bins, pair_count: int) -> list[list[int]]:
    starts, pairs = bins.starts.numpy(), bins.pairs.numpy()[:pair_count]
    assert starts[0] == 0 and starts[-1] == pair_count
    return [pairs[a:b].tolist() for a, b in pairwise(starts)]


def oracle(records: np.ndarray, order: np.ndarray, grid: TileGrid) -> list[list[int]]:
    """Every tile asks every splat whether their boxes meet."""
    lists = []
    for tile in range(grid.columns * grid.rows):
        left, top = (tile % grid.columns) * grid.tile_width, (tile // grid.columns) * grid.tile_height
        meets = [
            i
            for i in order.tolist()
            if records[i, 6] >= 0.0
            and records[i, 0] - records[i, 6] < left + grid.tile_width
            and records[i, 0] + records[i, 6] >= left
            and records[i, 1] - records[i, 7] < top + grid.tile_height
            and records[i, 1] + records[i, 7] >= top
        ]
        lists.append(meets)
    return lists


@pytest.mark.parametrize("dtype", [wp.float32, wp.float64])
@pytest.mark.parametrize("serial", [True, False])
@pytest.mark.parametrize("tile", [(64, 32), (16, 16), (8, 24)])
def test_bins_list_the_splats_that_meet_each_tile_front_to_back(tile, serial, dtype, world):
    records, order = depth_sorted(world, dtype)
    grid = tile_grid(world.camera.width, world.camera.height, *tile)
    bins = Bins(order.size, grid, "cpu", serial=serial)
    pair_count = bins.fill(records, order, order.size)
    assert lists_of(bins, pair_count) == oracle(records.numpy(), order.numpy(), grid)


@pytest.mark.parametrize("serial", [True, False])
def test_bins_of_nothing_are_empty(serial):
    grid = tile_grid(100, 50, 16, 16)
    bins = Bins(0, grid, "cpu", serial=serial)
    nothing = wp.zeros((0, 14), dtype=wp.float32, device="cpu")
    assert bins.fill(nothing, wp.zeros(0, dtype=wp.int32, device="cpu"), 0) == 0
    assert lists_of(bins, 0) == [[]] * 28


def test_bins_grow_when_splats_cover_more_tiles_than_foreseen(driver):
    parameters = random_parameters(41, 100, log_scale=-0.2, opacity_logit=-3.0)
    crowded = World(parameters, look_at((0.0, -3.0, 0.5), width=300, height=200, focal=(150.0, 150.0)))
    rasterizer = driver.rasterizer(crowded)
    few = World(parameters, look_at((0.0, -40.0, 0.5), width=300, height=200, focal=(150.0, 150.0)))
    before = rasterizer._bins.capacity
    for world in (few, crowded, few, crowded):
        rasterizer.render(driver.particles(world), driver.views(world), driver.first_view())
        assert_pictures(rasterizer, world.draw(), atol=1e-12)
    assert rasterizer._bins.capacity > before
    fresh = driver.render(crowded)
    np.testing.assert_array_equal(rasterizer.image.numpy(), fresh.image.numpy())


def test_gradient_after_growth_is_that_of_a_fresh_rasterizer(driver):
    camera = look_at((0.0, -3.0, 0.5), width=300, height=200, focal=(150.0, 150.0))
    small = World(random_parameters(42, 100, log_scale=-4.0), camera)
    crowded = World(random_parameters(41, 100, log_scale=-0.2, opacity_logit=-3.0), camera)
    adj_image = np.random.default_rng(1).normal(size=(4, 200, 300))
    adj = wp.array(adj_image, dtype=wp.float64, device=driver.device)
    rasterizer = driver.rasterizer(crowded, channels=4)
    for world in (small, crowded):
        gradients = driver.zeros(world)
        rasterizer.render(driver.particles(world), driver.views(world), driver.first_view())
        rasterizer.backward(driver.particles(world), driver.views(world), driver.first_view(), adj, gradients)
    expected = driver.gradients(crowded, adj_image)
    for name, array in gradients.named().items():
        np.testing.assert_allclose(array.numpy(), expected[name], rtol=1e-9, err_msg=name)
