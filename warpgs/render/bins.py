"""Splats -> lists of splats per tile, front to back. Nothing here is differentiable.

The N depths are sorted once; the pairs (tile, splat) are then emitted in that order, so that a stable sort by tile
alone is enough. On the CPU, where a launch is one thread in ascending order, that sort is one counting sort; on CUDA it
is a scan and a radix sort of the whole capacity, in which the unused places carry a key behind all tiles.

No count comes back to the host while the lists are filled, so that an iteration can be captured. A view with more pairs
than fit gets empty lists, which is safe, and a mark; who renders looks at it with ``overflowed``, grows and repeats.
"""

from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import warp as wp

from warpgs.checks import refuse
from warpgs.render.bins_cpu import bin_serial_kernel_of
from warpgs.render.grid import COUNT_LIMIT, MARGIN, TileGrid

PAIRS_PER_SPLAT = 4
"""Room for pairs at first; it grows by half over what is needed."""
MOST_PAIRS = 2**30 - 1
"""The radix sort works in two halves of one array, and arrays of Warp have up to 2^31 - 1 elements."""


@cache
def bin_kernels(dtype: type) -> SimpleNamespace:
    """Binning kernels of CUDA for records of ``dtype``."""
    real = dtype
    margin = wp.constant(dtype(MARGIN))
    log2_255 = wp.constant(dtype(np.log2(255.0)))
    two_ln2 = wp.constant(dtype(2.0 * np.log(2.0)))

    @wp.func
    def touched(low: real, high: real, size: int, count: int):
        """First and last of ``count`` tiles of ``size`` pixels with a pixel center from ``low`` to ``high`` [px]."""
        # clamp while still floating: a splat can be wider than an int
        first = wp.ceil((low - real(size - 1)) / real(size))
        last = wp.floor(high / real(size))
        end = real(count)
        return wp.vec2i(int(wp.clamp(first, real(0.0), end)), int(wp.clamp(last, real(-1.0), end - real(1.0))))

    @wp.func
    def touched_rows(records: wp.array2d(dtype=real), i: int, grid: TileGrid):
        """First and last row of the tiles that a splat touches; empty when it is not drawn."""
        if records[i, 6] < real(0.0):
            return wp.vec2i(0, -1)
        half_height = margin * records[i, 7]
        return touched(records[i, 1] - half_height, records[i, 1] + half_height, grid.tile_height, grid.rows)

    @wp.func
    def touched_columns(records: wp.array2d(dtype=real), i: int, row: int, grid: TileGrid):
        """First and last column of the tiles of a row that the ellipse alpha >= 1/255 of a splat touches.

        At the height dy over its center the ellipse spans -b/a dy +- sqrt(r^2/a (1 - (dy/half_height)^2)). Its
        rightmost point within the row is where it is rightmost of all, dy = -b/c half_width, or the nearest there is.
        """
        x, y = records[i, 0], records[i, 1]
        a, b, c = records[i, 2], records[i, 3], records[i, 4]
        half_width, half_height = margin * records[i, 6], margin * records[i, 7]
        top = real(row * grid.tile_height) - y
        low, high = wp.max(top, -half_height), wp.min(top + real(grid.tile_height - 1), half_height)
        tip = b / c * half_width
        right_dy, left_dy = wp.clamp(-tip, low, high), wp.clamp(tip, low, high)
        middle = margin * wp.sqrt(wp.max(two_ln2 * (log2_255 + records[i, 5]), real(0.0)) / a)
        right_share, left_share = right_dy / half_height, left_dy / half_height
        right = x - b / a * right_dy + middle * wp.sqrt(wp.max(real(1.0) - right_share * right_share, real(0.0)))
        left = x - b / a * left_dy - middle * wp.sqrt(wp.max(real(1.0) - left_share * left_share, real(0.0)))
        return touched(left, right, grid.tile_width, grid.columns)

    @wp.kernel(module="unique", enable_backward=False)
    def count_kernel(
        # inputs
        records: wp.array2d(dtype=real),
        order: wp.array(dtype=wp.int32),
        grid: TileGrid,
        # outputs
        counts: wp.array(dtype=wp.int64),
    ):
        k = wp.tid()
        rows = touched_rows(records, order[k], grid)
        n = int(0)
        for row in range(rows[0], rows[1] + 1):
            columns = touched_columns(records, order[k], row, grid)
            n += wp.max(columns[1] - columns[0] + 1, 0)
        counts[k] = wp.int64(n)

    @wp.kernel(module="unique", enable_backward=False)
    def emit_kernel(
        # inputs
        records: wp.array2d(dtype=real),
        order: wp.array(dtype=wp.int32),
        ends: wp.array(dtype=wp.int64),
        count: int,
        grid: TileGrid,
        capacity: int,
        # outputs
        pair_tiles: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        needed: wp.array(dtype=wp.int32),
    ):
        k = wp.tid()  # a splat and a place at the same time
        total = wp.int64(0)
        if count > 0:
            total = ends[count - 1]
        if k == 0:
            needed[0] = wp.max(needed[0], int(wp.min(total, wp.int64(wp.static(COUNT_LIMIT)))))
        fits = total <= wp.int64(capacity)
        if k < capacity and (wp.int64(k) >= total or not fits):
            pair_tiles[k] = grid.columns * grid.rows
        if k >= count or not fits:
            return
        n = int(0)
        if k > 0:
            n = int(ends[k - 1])
        rows = touched_rows(records, order[k], grid)
        for row in range(rows[0], rows[1] + 1):
            columns = touched_columns(records, order[k], row, grid)
            for column in range(columns[0], columns[1] + 1):
                pair_tiles[n] = row * grid.columns + column
                pairs[n] = order[k]
                n += 1

    return SimpleNamespace(count=count_kernel, emit=emit_kernel)


@wp.kernel(enable_backward=False)
def starts_kernel(
    # inputs
    pair_tiles: wp.array[wp.int32],  # sorted; unused places say the number of tiles
    capacity: int,
    # outputs
    starts: wp.array[wp.int32],
):
    tile = wp.tid()  # 0 .. number of tiles
    first, behind = int(0), int(capacity)
    while first < behind:
        middle = first + (behind - first) // 2
        if pair_tiles[middle] < tile:
            first = middle + 1
        else:
            behind = middle
    starts[tile] = first


class Bins:
    """Tile lists of one view: ``pairs[starts[t] : starts[t + 1]]`` are the splats of tile t, front to back.

    The lists are ``starts`` and ``pairs`` on the device; how many pairs there are stands in ``starts[-1]``.
    """

    def __init__(self, count: int, grid: TileGrid, device: wp.DeviceLike, *, serial: bool) -> None:
        self.grid = grid
        self.tile_count = grid.columns * grid.rows
        self.count = count
        self.serial = serial
        self.device = wp.get_device(device)
        self.starts = self._integers(self.tile_count + 1)
        self._needed = self._integers(1)  # most pairs of any view so far
        self._cursors = self._integers(self.tile_count if serial else 0)
        self._boxes = wp.zeros(count if serial else 0, dtype=wp.vec4i, device=self.device)
        self._ends = wp.zeros(0 if serial else count, dtype=wp.int64, device=self.device)
        self.pairs = self._pair_tiles = self._integers(0)
        self._allocate(max(PAIRS_PER_SPLAT * count, 1024))

    def _allocate(self, capacity: int) -> None:
        if capacity > MOST_PAIRS:
            refuse("pairs of a tile and a splat", f"up to {MOST_PAIRS}", capacity, "draw fewer or smaller particles")
        self.capacity = capacity
        """Pairs that fit."""
        self.pairs = self._pair_tiles = self._integers(0)  # let go of the old ones first
        # the radix sort works in the second half
        self.pairs = self._integers(capacity if self.serial else 2 * capacity)
        self._pair_tiles = self._integers(0 if self.serial else 2 * capacity)

    def _integers(self, size: int) -> wp.array:
        return wp.zeros(size, dtype=wp.int32, device=self.device)

    def arrays(self) -> tuple[list[wp.array], list[wp.array], list[wp.array]]:
        """All arrays: those that grow with the splats, with the pairs, with the tiles."""
        return [self._boxes, self._ends], [self.pairs, self._pair_tiles], [self.starts, self._cursors, self._needed]

    def overflowed(self) -> bool:
        """Whether any view since the last ``grow`` had more pairs than fit: its lists were left empty.

        Reads from the device, so it waits there.
        """
        return int(self._needed.numpy()[0]) > self.capacity

    def grow(self) -> None:
        """Make room for half over the most pairs that were needed. Replaces ``pairs``: captured graphs are void."""
        needed = int(self._needed.numpy()[0])
        self._allocate(needed + needed // 2)

    def tight(self) -> bool:
        """Whether there is less room than ``grow`` would make. Reads from the device, so it waits there."""
        needed = int(self._needed.numpy()[0])
        return needed + needed // 2 > self.capacity

    def bands(self, count: int) -> list[tuple[int, int]]:
        """Tiles in up to ``count`` bands of about equal numbers of pairs: first and end of each."""
        starts = self.starts.numpy()
        targets = np.linspace(0, starts[-1], count + 1)[1:-1]
        edges = [0, *np.searchsorted(starts, targets).tolist(), self.tile_count]
        return [(first, end) for first, end in pairwise(edges) if end > first]

    def fill(self, records: wp.array2d, order: wp.array[wp.int32]) -> None:
        """Bin the splats ``order[:count]``, sorted front to back. Nothing is read back."""
        if self.serial:
            inputs = [records, order, self.count, self.grid, self.capacity]
            outputs = [self._boxes, self._cursors, self.starts, self.pairs, self._needed]
            self._launch(bin_serial_kernel_of(records.dtype), 1, inputs, outputs)
            return
        kernels = bin_kernels(records.dtype)
        self._launch(kernels.count, self.count, [records, order, self.grid], [self._ends])
        wp.utils.array_scan(self._ends, self._ends, inclusive=True)
        inputs = [records, order, self._ends, self.count, self.grid, self.capacity]
        outputs = [self._pair_tiles, self.pairs, self._needed]
        self._launch(kernels.emit, max(self.count, self.capacity), inputs, outputs)
        wp.utils.radix_sort_pairs(self._pair_tiles, self.pairs, self.capacity, 0, self.tile_count.bit_length())
        self._launch(starts_kernel, self.tile_count + 1, [self._pair_tiles, self.capacity], [self.starts])

    def _launch(self, kernel: wp.Kernel, dim: int, inputs: list, outputs: list) -> None:
        wp.launch(kernel, dim, inputs, outputs, device=self.device, record_tape=False)
