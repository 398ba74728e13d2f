"""Splats -> lists of splats per tile for the CPU, in one thread: a counting sort of whole boxes.

Asking the ellipse too, as bins.py does for the small tiles of CUDA, drops 1 to 3 % of the pairs of tiles of this size
and takes longer than they. In C++, which fetches ahead and indexes in half the time.
"""

from functools import cache

import warp as wp

from warpgs.render.grid import COUNT_LIMIT, MARGIN, TileGrid

_FILL = """{
typedef $REAL Real;
struct Box { int left, right, top, bottom; };  // first and last column, first and last row of tiles
Box* const box_of = (Box*)boxes.data;
const int tiles = columns * rows, stride = records.shape[1];
int* const start = starts.data;
// first and last tile with a pixel center beyond, up to; clamped while still floating: a splat can be wider than an int
auto first_tile = [](Real low, Real size, Real end) -> int {
    const Real tile = __builtin_elementwise_ceil((low - (size - (Real)1)) / size);
    return (int)(tile > 0 ? tile < end ? tile : end : (Real)0);
};
auto last_tile = [](Real high, Real size, Real end) -> int {
    const Real tile = __builtin_elementwise_floor(high / size);
    return (int)(tile > -1 ? tile < end - 1 ? tile : end - 1 : (Real)-1);
};
auto over_tiles = [&](const Box& box, auto visit) {
    for (int row = box.top; row <= box.bottom; row++)
        for (int column = box.left; column <= box.right; column++) visit(row * columns + column);
};

for (int t = 0; t <= tiles; t++) start[t] = 0;
// counted as they lie in memory: only the small boxes, not the records, are then read in the order of depth
for (int i = 0; i < count; i++) {
    const Real* g = records.data + (size_t)i * stride;
    Box box = {0, -1, 0, -1};
    if (g[6] >= 0) {
        const Real half_height = (Real)$MARGIN * g[7];
        box = {first_tile(g[0] - g[6], width, columns), last_tile(g[0] + g[6], width, columns),
               first_tile(g[1] - half_height, height, rows), last_tile(g[1] + half_height, height, rows)};
    }
    box_of[i] = box;
    over_tiles(box, [&](int t) { start[t + 1]++; });
}
long long total = 0;
for (int t = 0; t < tiles; t++) total += start[t + 1];
needed.data[0] = wp::max(needed.data[0], (int)wp::min(total, (long long)$COUNT_LIMIT));
if (total > capacity) {
    for (int t = 0; t <= tiles; t++) start[t] = 0;
    return;
}
for (int t = 0; t < tiles; t++) {
    start[t + 1] += start[t];
    cursors.data[t] = start[t];
}
for (int k = 0; k < count; k++) {
    __builtin_prefetch(box_of + order.data[wp::min(k + 16, count - 1)]);
    const int i = order.data[k];
    over_tiles(box_of[i], [&](int t) { pairs.data[cursors.data[t]++] = i; });
}
}"""


@cache
def bin_serial_kernel_of(dtype: type) -> wp.Kernel:
    """The kernel for records of ``dtype``; a launch has one thread."""
    real = dtype
    text = _FILL.replace("$REAL", "double" if dtype is wp.float64 else "float")
    text = text.replace("$MARGIN", repr(MARGIN)).replace("$COUNT_LIMIT", str(COUNT_LIMIT))

    @wp.func_native(text)
    def fill_lists(
        records: wp.array2d(dtype=real),
        order: wp.array(dtype=wp.int32),
        count: int,
        width: real,
        height: real,
        columns: int,
        rows: int,
        capacity: int,
        boxes: wp.array(dtype=wp.vec4i),
        cursors: wp.array(dtype=wp.int32),
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        needed: wp.array(dtype=wp.int32),
    ): ...

    @wp.kernel(module="unique", enable_backward=False)
    def bin_serial_kernel(
        # inputs
        records: wp.array2d(dtype=real),
        order: wp.array(dtype=wp.int32),
        count: int,
        grid: TileGrid,
        capacity: int,
        # outputs
        boxes: wp.array(dtype=wp.vec4i),
        cursors: wp.array(dtype=wp.int32),
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        needed: wp.array(dtype=wp.int32),
    ):
        fill_lists(
            records, order, count, real(grid.tile_width), real(grid.tile_height), grid.columns, grid.rows, capacity,
            boxes, cursors, starts, pairs, needed,
        )  # fmt: skip

    return bin_serial_kernel
