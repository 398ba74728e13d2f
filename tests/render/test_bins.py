from itertools import pairwise

import numpy as np
import pytest
import warp as wp

from tests.render.worlds import NEAR, Driver, World, assert_pictures, look_at, random_parameters, to_numpy
from warpgs.math.pinhole import upload_views
from warpgs.render.bins import Bins
from warpgs.render.grid import TileGrid, tile_grid


def depth_sorted(world: World, dtype: type) -> tuple[wp.array, wp.array]:
    """Records of ``world`` and its particles front to back."""
    records = Driver("cpu", portable=False).render(world, dtype=dtype).records
    depths = world.parameters["means"] @ world.camera.camera_from_world[2, :3]
    order = np.argsort(depths, kind="stable")
    return records, wp.array(order, dtype=wp.int32, device="cpu")


def records_of(centers, inverse_covariances, opacities) -> wp.array:
    """Records of splats that need no camera: center [px], (a, b, c) [1/px^2], opacity; boxes follow."""
    centers, (a, b, c) = np.asarray(centers, float), np.asarray(inverse_covariances, float).T
    radius2 = 2.0 * np.log(255.0 * np.asarray(opacities))
    half = np.sqrt(np.stack([radius2 * c, radius2 * a], axis=1) / (a * c - b * b)[:, None])
    fields = [centers, a[:, None], b[:, None], c[:, None], np.log2(opacities)[:, None], half]
    return wp.array(np.hstack([*fields, np.ones((len(centers), 4))]), dtype=wp.float64, device="cpu")


def front_to_back(count: int) -> wp.array:
    return wp.array(np.arange(count), dtype=wp.int32, device="cpu")


def filled(records: wp.array, order: wp.array, grid: TileGrid, *, serial: bool) -> Bins:
    bins = Bins(records.shape[0], grid, "cpu", serial=serial)
    bins.fill(records, order)
    if bins.overflowed():
        bins.grow()
        bins.fill(records, order)
    assert not bins.overflowed()
    return bins


def lists_of(bins: Bins) -> list[list[int]]:
    starts, pairs = bins.starts.numpy(), bins.pairs.numpy()
    assert starts[0] == 0
    return [pairs[a:b].tolist() for a, b in pairwise(starts)]


def pixel_centers_of(tile: int, grid: TileGrid) -> tuple[np.ndarray, np.ndarray]:
    """First and last pixel center of a tile, (x, y) [px]."""
    first = np.array([tile % grid.columns * grid.tile_width, tile // grid.columns * grid.tile_height], float)
    return first, first + np.array([grid.tile_width - 1, grid.tile_height - 1])


def box_oracle(records: np.ndarray, order: np.ndarray, grid: TileGrid) -> list[list[int]]:
    """Every tile asks every splat whether its box meets the rectangle of the tile's pixel centers."""
    lists = []
    for tile in range(grid.columns * grid.rows):
        first, last = pixel_centers_of(tile, grid)
        center, half = records[:, 0:2], records[:, 6:8]
        meets = (half[:, 0] >= 0.0) & np.all((center - half <= last) & (center + half >= first), axis=1)
        lists.append([i for i in order.tolist() if meets[i]])
    return lists


def nearest_form(records: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Least of a dx^2 + 2 b dx dy + c dy^2 over a rectangle, for each splat: 0 inside, else on one of the sides."""
    a, b, c = records[:, 2:5].T
    low, high = first - records[:, 0:2], last - records[:, 0:2]
    form = np.full(len(records), np.inf)
    for sides in (low, high):
        for dx, dy in (
            (sides[:, 0], np.clip(-b / c * sides[:, 0], low[:, 1], high[:, 1])),
            (np.clip(-b / a * sides[:, 1], low[:, 0], high[:, 0]), sides[:, 1]),
        ):
            form = np.minimum(form, a * dx * dx + 2.0 * b * dx * dy + c * dy * dy)
    return np.where(np.all((low <= 0.0) & (high >= 0.0), axis=1), 0.0, form)


def ellipse_oracle(records: np.ndarray, order: np.ndarray, grid: TileGrid, stretch: float) -> list[list[int]]:
    """Every tile asks every splat whether the ellipse alpha >= 1/255, so much longer, meets its pixel centers."""
    drawn = records[:, 6] >= 0.0
    radius2 = np.full(len(records), -1.0)
    radius2[drawn] = 2.0 * np.log(2.0) * (np.log2(255.0) + records[drawn, 5]) * stretch**2
    lists = []
    for tile in range(grid.columns * grid.rows):
        meets = np.zeros(len(records), bool)
        meets[drawn] = nearest_form(records[drawn], *pixel_centers_of(tile, grid)) <= radius2[drawn]
        lists.append([i for i in order.tolist() if meets[i]])
    return lists


def assert_between(lists: list[list[int]], least: list[list[int]], most: list[list[int]]) -> None:
    """All that must be listed, nothing that may not, in one order."""
    for listed, must, may in zip(lists, least, most, strict=True):
        assert set(must) <= set(listed) <= set(may)
        assert listed == [i for i in may if i in set(listed)]


TILES = pytest.mark.parametrize("tile", [(64, 32), (16, 16), (8, 24)])
DTYPES = pytest.mark.parametrize("dtype", [wp.float32, wp.float64])
SERIAL = pytest.mark.parametrize("serial", [True, False])


@DTYPES
@TILES
def test_serial_bins_list_the_splats_whose_boxes_meet_each_tile_front_to_back(tile, dtype, world):
    records, order = depth_sorted(world, dtype)
    grid = tile_grid(world.camera.width, world.camera.height, *tile)
    bins = filled(records, order, grid, serial=True)
    least, most = (
        box_oracle(records.numpy() * [1, 1, 1, 1, 1, 1, s, s, *[1] * (records.shape[1] - 8)], order.numpy(), grid)
        for s in (1.0, 1.0011)
    )
    assert_between(lists_of(bins), least, most)


@DTYPES
@TILES
def test_sorted_bins_list_the_splats_whose_ellipses_meet_each_tile_front_to_back(tile, dtype, world):
    records, order = depth_sorted(world, dtype)
    grid = tile_grid(world.camera.width, world.camera.height, *tile)
    bins = filled(records, order, grid, serial=False)
    least, most = (ellipse_oracle(records.numpy(), order.numpy(), grid, stretch) for stretch in (1.0, 1.0011))
    assert_between(lists_of(bins), least, most)


def test_sorted_bins_drop_the_corners_of_boxes_and_no_drawn_pixel():
    """Needles at all angles: most of their boxes is empty."""
    rng = np.random.default_rng(3)
    angle, long, thin = rng.uniform(0, np.pi, 300), rng.uniform(5, 60, 300), rng.uniform(0.55, 3, 300)
    axes = np.stack([np.cos(angle), np.sin(angle)], axis=1), np.stack([-np.sin(angle), np.cos(angle)], axis=1)
    outer = [np.stack([u[:, 0] ** 2, u[:, 0] * u[:, 1], u[:, 1] ** 2], axis=1) for u in axes]
    forms = outer[0] / long[:, None] ** 2 + outer[1] / thin[:, None] ** 2
    records = records_of(rng.uniform(-20, 220, (300, 2)), forms, rng.uniform(0.0041, 1.0, 300))
    grid, order = tile_grid(200, 200, 16, 16), front_to_back(300)
    lists, numbers = lists_of(filled(records, order, grid, serial=False)), records.numpy()
    boxes = box_oracle(numbers, order.numpy(), grid)
    assert sum(map(len, lists)) < 0.5 * sum(map(len, boxes))
    assert_between(lists, *(ellipse_oracle(numbers, order.numpy(), grid, stretch) for stretch in (1.0, 1.0011)))
    y, x = np.mgrid[0:200, 0:200]
    for i, r in enumerate(numbers):
        dx, dy = x - r[0], y - r[1]
        drawn = 2.0 ** r[5] * np.exp(-0.5 * (r[2] * dx**2 + 2 * r[3] * dx * dy + r[4] * dy**2)) >= 1.0 / 255.0
        for tile in set((y // 16 * grid.columns + x // 16)[drawn].tolist()):
            assert i in lists[tile]


@SERIAL
def test_bins_of_nothing_are_empty(serial):
    nothing = wp.zeros((0, 14), dtype=wp.float32, device="cpu")
    bins = filled(nothing, front_to_back(0), tile_grid(100, 50, 16, 16), serial=serial)
    assert lists_of(bins) == [[]] * 28


@SERIAL
@pytest.mark.parametrize(("places", "fits"), [(999, False), (1000, True)])
def test_bins_are_left_empty_and_say_so_when_the_pairs_do_not_fit(places, fits, serial):
    """One splat per tile and 1000 tiles."""
    grid = tile_grid(400, 40, 4, 4)
    wide = records_of([(200.0, 20.0)], [(1e-6, 0.0, 1e-6)], [0.5])
    bins = Bins(1, grid, "cpu", serial=serial)
    bins._allocate(places)
    bins.fill(wide, front_to_back(1))
    assert bins.overflowed() is not fits
    assert lists_of(bins) == [[0] if fits else []] * 1000
    if not fits:
        bins.grow()
        assert bins.capacity == 1500
        assert not bins.overflowed()
        bins.fill(wide, front_to_back(1))
        assert lists_of(bins) == [[0]] * 1000


@SERIAL
def test_bins_remember_the_fullest_of_several_views(serial):
    grid = tile_grid(400, 40, 4, 4)
    wide, narrow = (records_of([(202.0, 22.0)], [(k, 0.0, k)], [0.5]) for k in (1e-6, 9.0))
    bins = Bins(1, grid, "cpu", serial=serial)
    bins._allocate(10)
    for records in (narrow, wide, narrow):
        bins.fill(records, front_to_back(1))
    assert bins.overflowed()
    assert sum(map(len, lists_of(bins))) == 1  # the narrow one fits
    bins.grow()
    assert bins.capacity == 1500


def test_bins_refuse_more_pairs_than_an_array_can_hold():
    """70,000 splats that cover the 34,560 tiles of a large picture: their number does not fit in 32 bits."""
    count, grid = 70_000, tile_grid(4096, 2160, 16, 16)
    wide = records_of(np.full((count, 2), 900.0), np.full((count, 3), (1e-9, 0.0, 1e-9)), np.full(count, 0.5))
    bins = Bins(count, grid, "cpu", serial=False)
    bins.fill(wide, front_to_back(count))
    assert not bins.starts.numpy().any()
    assert bins.overflowed()
    with pytest.raises(ValueError, match="pairs of a tile and a splat: expected up to"):
        bins.grow()


@SERIAL
def test_bins_filled_in_a_captured_graph_follow_the_records(serial):
    grid = tile_grid(100, 50, 16, 16)
    views = [records_of([(x, 25.0)], [(0.01, 0.0, 0.01)], [0.5]) for x in (20.0, 80.0)]
    records, order = wp.clone(views[0]), front_to_back(1)
    bins = filled(records, order, grid, serial=serial)
    with wp.ScopedCapture(device="cpu") as capture:
        bins.fill(records, order)
    for view in reversed(views):
        records.assign(view)
        wp.capture_launch(capture.graph)
        assert lists_of(bins) == lists_of(filled(view, order, grid, serial=serial))


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


def test_view_that_does_not_fit_is_black_until_the_rasterizer_grows(driver):
    """What a captured iteration sees: no look at the count, and no write behind the end."""
    parameters = random_parameters(41, 100, log_scale=-0.2, opacity_logit=-3.0)
    crowded = World(parameters, look_at((0.0, -3.0, 0.5), width=300, height=200, focal=(150.0, 150.0)))
    rasterizer = driver.rasterizer(crowded)
    rasterizer._bins._allocate(10)
    inputs = driver.particles(crowded), driver.views(crowded), driver.first_view()
    rasterizer.render(*inputs, check=False)
    assert rasterizer.overflowed()
    assert not rasterizer.image.numpy().any()
    gradients = driver.zeros(crowded)
    rasterizer.backward(*inputs, wp.ones_like(rasterizer.image), gradients)
    assert not any(array.any() for array in to_numpy(gradients).values())
    rasterizer.grow()
    rasterizer.render(*inputs, check=False)
    assert not rasterizer.overflowed()
    np.testing.assert_array_equal(rasterizer.image.numpy(), driver.render(crowded).image.numpy())


def test_rasterizer_reserves_for_half_more_than_the_fullest_view_needs(driver):
    world = World(random_parameters(41, 300, log_scale=0.5), look_at((0.0, -3.0, 0.5), width=200, height=200))
    away = look_at((0.0, -3.0, 0.5), target=(0.0, -6.0, 0.5), width=200, height=200)
    views = upload_views([away, world.camera, away], NEAR, driver.device, wp.float64)
    indices = wp.array([0, 1, 2], dtype=wp.int32, device=driver.device)
    rasterizer = driver.rasterizer(world)
    rasterizer._bins._allocate(10)
    particles = driver.particles(world)
    assert rasterizer.reserve(particles, views, [indices[i : i + 1] for i in range(3)])
    rasterizer.render(particles, views, indices[1:2], check=False)
    pairs = int(rasterizer._bins.starts.numpy()[-1])
    assert pairs > 300
    assert rasterizer._bins.capacity == pairs + pairs // 2
    assert not rasterizer.overflowed()
    assert not rasterizer.reserve(particles, views, [indices[i : i + 1] for i in range(3)])


def test_an_iteration_reads_nothing_back(driver, monkeypatch):
    """Else it could not be captured on CUDA, and would wait."""
    world = World(random_parameters(41, 100), look_at((0.0, -3.0, 0.5)))
    rasterizer = driver.render(world, channels=4)
    inputs = driver.particles(world), driver.views(world), driver.first_view()
    adj_image, gradients = wp.ones_like(rasterizer.image), driver.zeros(world)

    def read(array):
        raise AssertionError("read back")

    monkeypatch.setattr(wp.array, "numpy", read)
    rasterizer.render(*inputs, check=False)
    rasterizer.backward(*inputs, adj_image, gradients)
    with pytest.raises(AssertionError, match="read back"):
        rasterizer.overflowed()
