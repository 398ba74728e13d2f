"""Splats -> lists of splats per tile, front to back. Nothing here is differentiable.

The N depths are sorted once; the pairs (tile, splat) are then emitted in that order, so that a stable sort by tile
alone is enough. On the CPU, where a launch is one thread in ascending order, that sort is one counting sort; on CUDA it
is a scan and a radix sort.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp


@wp.struct
class TileGrid:
    """How an image is cut into tiles."""

    tile_width: wp.int32  # [px]
    tile_height: wp.int32  # [px]
    columns: wp.int32
    rows: wp.int32


def tile_grid(width: int, height: int, tile_width: int, tile_height: int) -> TileGrid:
    """Tiles that cover ``width`` x ``height`` pixels."""
    grid = TileGrid()
    grid.tile_width, grid.tile_height = tile_width, tile_height
    grid.columns, grid.rows = -(-width // tile_width), -(-height // tile_height)
    return grid


@cache
def bin_kernels(dtype: type) -> SimpleNamespace:
    """Binning kernels for records of ``dtype``."""
    real = dtype

    @wp.func
    def tile_range(records: wp.array2d(dtype=real), i: int, grid: TileGrid):
        """First and last column, first and last row of the tiles under the box of a splat; empty when it is not
        drawn."""
        half_width = records[i, 6]
        if half_width < real(0.0):
            return wp.vec4i(0, -1, 0, -1)
        x, y, half_height = records[i, 0], records[i, 1], records[i, 7]
        # clamp while still floating: a splat can be wider than an int
        last_column, last_row = real(grid.columns - 1), real(grid.rows - 1)
        width, height = real(grid.tile_width), real(grid.tile_height)
        zero = real(0.0)
        return wp.vec4i(
            int(wp.clamp(wp.floor((x - half_width) / width), zero, last_column)),
            int(wp.clamp(wp.floor((x + half_width) / width), zero, last_column)),
            int(wp.clamp(wp.floor((y - half_height) / height), zero, last_row)),
            int(wp.clamp(wp.floor((y + half_height) / height), zero, last_row)),
        )

    @wp.kernel(module="unique", enable_backward=False)
    def bin_serial_kernel(
        # inputs
        records: wp.array2d(dtype=real),
        order: wp.array(dtype=wp.int32),
        count: int,
        grid: TileGrid,
        capacity: int,
        # outputs
        ranges: wp.array(dtype=wp.vec4i),
        cursors: wp.array(dtype=wp.int32),
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
    ):
        tiles = grid.columns * grid.rows
        for t in range(tiles + 1):
            starts[t] = 0
        for k in range(count):
            r = tile_range(records, order[k], grid)
            ranges[k] = r
            for row in range(r[2], r[3] + 1):
                for column in range(r[0], r[1] + 1):
                    t = row * grid.columns + column + 1
                    starts[t] = starts[t] + 1
        for t in range(tiles):
            starts[t + 1] = starts[t + 1] + starts[t]
            cursors[t] = starts[t]
        if starts[tiles] > capacity:
            return
        for k in range(count):
            r = ranges[k]
            for row in range(r[2], r[3] + 1):
                for column in range(r[0], r[1] + 1):
                    t = row * grid.columns + column
                    pairs[cursors[t]] = order[k]
                    cursors[t] = cursors[t] + 1

    @wp.kernel(module="unique", enable_backward=False)
    def count_kernel(
        # inputs
        records: wp.array2d(dtype=real),
        order: wp.array(dtype=wp.int32),
        grid: TileGrid,
        # outputs
        ranges: wp.array(dtype=wp.vec4i),
        counts: wp.array(dtype=wp.int32),
    ):
        k = wp.tid()
        r = tile_range(records, order[k], grid)
        ranges[k] = r
        counts[k] = (r[1] - r[0] + 1) * (r[3] - r[2] + 1)

    return SimpleNamespace(serial=bin_serial_kernel, count=count_kernel)


@wp.kernel(enable_backward=False)
def emit_kernel(
    # inputs
    ranges: wp.array[wp.vec4i],
    order: wp.array[wp.int32],
    ends: wp.array[wp.int32],
    grid: TileGrid,
    # outputs
    pair_tiles: wp.array[wp.int32],
    pairs: wp.array[wp.int32],
):
    k = wp.tid()
    r = ranges[k]
    n = ends[k] - (r[1] - r[0] + 1) * (r[3] - r[2] + 1)
    for row in range(r[2], r[3] + 1):
        for column in range(r[0], r[1] + 1):
            pair_tiles[n] = row * grid.columns + column
            pairs[n] = order[k]
            n += 1


@wp.kernel(enable_backward=False)
def starts_kernel(
    # inputs
    pair_tiles: wp.array[wp.int32],
    pair_count: int,
    tiles: int,
    # outputs
    starts: wp.array[wp.int32],
):
    k = wp.tid()  # 0 .. pair_count: the tiles after the last pair end there
    last = int(tiles)
    if k < pair_count:
        last = pair_tiles[k]
    first = int(0)
    if k > 0:
        first = pair_tiles[k - 1] + 1
    for t in range(first, last + 1):
        starts[t] = k


class Bins:
    """Tile lists of one view: ``pairs[starts[t] : starts[t + 1]]`` are the splats of tile t, front to back.

    Owns its buffers; ``pairs`` grows by half over what is needed when it overflows.
    """

    def __init__(self, count: int, grid: TileGrid, device: wp.DeviceLike, *, serial: bool) -> None:
        self.grid = grid
        self.tile_count = grid.columns * grid.rows
        self.serial = serial
        self.device = wp.get_device(device)
        self.starts = wp.zeros(self.tile_count + 1, dtype=wp.int32, device=device)
        self.ranges = wp.zeros(count, dtype=wp.vec4i, device=device)
        self.counts = wp.zeros(self.tile_count if serial else count, dtype=wp.int32, device=device)
        self._grow(max(4 * count, 1024))

    def _grow(self, capacity: int) -> None:
        # radix sort works in the second half
        self.pairs = wp.zeros(capacity if self.serial else 2 * capacity, dtype=wp.int32, device=self.device)
        self.pair_tiles = None if self.serial else wp.zeros(2 * capacity, dtype=wp.int32, device=self.device)
        self.capacity = capacity

    def fill(self, records: wp.array2d, order: wp.array[wp.int32], count: int) -> int:
        """Bin the splats ``order[:count]``, sorted front to back; returns the number of pairs."""
        pair_count = self._fill(records, order, count)
        if pair_count > self.capacity:
            self._grow(pair_count + pair_count // 2)
            self._fill(records, order, count)
        return pair_count

    def _fill(self, records: wp.array2d, order: wp.array[wp.int32], count: int) -> int:
        kernels = bin_kernels(records.dtype)
        if self.serial:
            inputs = [records, order, count, self.grid, self.capacity]
            outputs = [self.ranges, self.counts, self.starts, self.pairs]
            wp.launch(kernels.serial, 1, inputs, outputs, device=self.device, record_tape=False)
            return int(self.starts.numpy()[-1])
        inputs = [records, order, self.grid]
        wp.launch(kernels.count, count, inputs, [self.ranges, self.counts], device=self.device, record_tape=False)
        wp.utils.array_scan(self.counts, self.counts, inclusive=True)
        pair_count = int(self.counts[count - 1 : count].numpy()[0]) if count else 0
        if pair_count > self.capacity:
            return pair_count
        inputs = [self.ranges, order, self.counts, self.grid]
        outputs = [self.pair_tiles, self.pairs]
        wp.launch(emit_kernel, count, inputs, outputs, device=self.device, record_tape=False)
        wp.utils.radix_sort_pairs(self.pair_tiles, self.pairs, pair_count)
        inputs = [self.pair_tiles, pair_count, self.tile_count]
        wp.launch(starts_kernel, pair_count + 1, inputs, [self.starts], device=self.device, record_tape=False)
        return pair_count
