"""Tiles -> pixels and back, for CUDA: one thread per pixel, gradients added by atomics.

Pure Warp, so it also runs on the CPU, where the tests compare it with the oracle and with composite_cpu.py, whose maths
it shares: a saturated pixel stops, and the backward pass goes front to back with the sum S = v . (color still to come).
The tape's own adjoint of such a loop is silently wrong (loops are not replayed), hence the one by hand.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.render.bins import TileGrid
from warpgs.render.shade import GRADIENT, RECORD

TILE_WIDTH = 16
TILE_HEIGHT = 16
"""[px] One thread block per tile; the family's usual size."""


@cache
def composite_kernels(dtype: type, channels: int, median: bool = False) -> SimpleNamespace:
    """Forward, backward and visibility kernels for numbers of ``dtype`` and ``channels`` channels.

    Forward writes ``median_splats`` only with ``median``. Optional inputs are empty arrays: ``background`` and
    ``adj_transmittance``.
    """
    real = dtype
    features = wp.types.vector(channels, dtype)
    alpha_min = wp.constant(dtype(1.0 / 255.0))
    alpha_max = wp.constant(dtype(0.99))
    transmittance_min = wp.constant(dtype(1.0e-4))

    @wp.func
    def pixel_of(t: int, grid: TileGrid):
        """Tile, x and y of thread t; consecutive threads are neighbors in one tile."""
        area = grid.tile_width * grid.tile_height
        tile = t // area
        within = t - tile * area
        x = (tile % grid.columns) * grid.tile_width + within % grid.tile_width
        y = (tile // grid.columns) * grid.tile_height + within // grid.tile_width
        return tile, x, y

    @wp.func
    def bare_alpha(records: wp.array2d(dtype=real), splat: int, dx: real, dy: real):
        """Opacity times the Gaussian at an offset from its center, not yet clamped."""
        form = records[splat, 2] * dx * dx + records[splat, 4] * dy * dy + real(2.0) * records[splat, 3] * dx * dy
        return wp.pow(real(2.0), records[splat, 5] - real(0.7213475204444817) * form)

    @wp.func
    def inside(records: wp.array2d(dtype=real), splat: int, dx: real, dy: real):
        return wp.abs(dx) <= records[splat, 6] and wp.abs(dy) <= records[splat, 7]

    @wp.kernel(module="unique", enable_backward=False)
    def composite_kernel(
        # inputs
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        grid: TileGrid,
        background: wp.array(dtype=real),
        # outputs
        image: wp.array3d(dtype=real),
        transmittance: wp.array2d(dtype=real),
        median_splats: wp.array2d(dtype=wp.int32),
    ):
        tile, x, y = pixel_of(wp.tid(), grid)
        if x >= transmittance.shape[1] or y >= transmittance.shape[0]:
            return
        t = real(1.0)
        sums = features()
        median_splat = int(-1)
        for k in range(starts[tile], starts[tile + 1]):
            splat = pairs[k]
            dx = real(x) - records[splat, 0]
            dy = real(y) - records[splat, 1]
            if inside(records, splat, dx, dy):
                alpha = wp.min(bare_alpha(records, splat, dx, dy), alpha_max)
                if alpha >= alpha_min:
                    weight = t * alpha
                    if t - weight <= transmittance_min:
                        break
                    for c in range(wp.static(channels)):
                        sums[c] += weight * records[splat, wp.static(RECORD) + c]
                    if t > real(0.5) and t - weight <= real(0.5):
                        median_splat = splat
                    t -= weight
        transmittance[y, x] = t
        if wp.static(median):
            median_splats[y, x] = median_splat
        for c in range(wp.static(channels)):
            if background.shape[0] > 0:
                sums[c] += t * background[c]
            image[c, y, x] = sums[c]

    @wp.kernel(module="unique", enable_backward=False)
    def composite_adjoint_kernel(
        # inputs
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        active_count: int,
        grid: TileGrid,
        image: wp.array3d(dtype=real),
        transmittance: wp.array2d(dtype=real),
        adj_image: wp.array3d(dtype=real),
        adj_transmittance: wp.array2d(dtype=real),
        # outputs, accumulated
        adj_records: wp.array2d(dtype=real),
    ):
        tile, x, y = pixel_of(wp.tid(), grid)
        if x >= image.shape[2] or y >= image.shape[1]:
            return
        v = features()
        rest = real(0.0)
        if adj_transmittance.shape[0] > 0:
            rest = adj_transmittance[y, x] * transmittance[y, x]
        for c in range(wp.static(channels)):
            v[c] = adj_image[c, y, x]
            rest += v[c] * image[c, y, x]
        t = real(1.0)
        for k in range(starts[tile], starts[tile + 1]):
            splat = pairs[k]
            dx = real(x) - records[splat, 0]
            dy = real(y) - records[splat, 1]
            if inside(records, splat, dx, dy):
                bare = bare_alpha(records, splat, dx, dy)
                alpha = wp.min(bare, alpha_max)
                if alpha >= alpha_min:
                    weight = t * alpha
                    if t - weight <= transmittance_min:
                        break
                    vc = real(0.0)
                    for c in range(wp.static(channels)):
                        vc += v[c] * records[splat, wp.static(RECORD) + c]
                    rest -= weight * vc
                    if splat < active_count:
                        for c in range(wp.static(channels)):
                            wp.atomic_add(adj_records, splat, wp.static(GRADIENT) + c, weight * v[c])
                        if bare < alpha_max:
                            e = alpha * (t * vc - rest / (real(1.0) - alpha))
                            a, b, c2 = records[splat, 2], records[splat, 3], records[splat, 4]
                            wp.atomic_add(adj_records, splat, 0, e * (a * dx + b * dy))
                            wp.atomic_add(adj_records, splat, 1, e * (b * dx + c2 * dy))
                            wp.atomic_add(adj_records, splat, 2, real(-0.5) * e * dx * dx)
                            wp.atomic_add(adj_records, splat, 3, -e * dx * dy)
                            wp.atomic_add(adj_records, splat, 4, real(-0.5) * e * dy * dy)
                            wp.atomic_add(adj_records, splat, 5, e)
                    t -= weight

    @wp.kernel(module="unique", enable_backward=False)
    def visibility_kernel(
        # inputs
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        grid: TileGrid,
        width: int,
        height: int,
        # outputs, accumulated
        sums: wp.array2d(dtype=real),  # of alpha and of T alpha, over the pixels
    ):
        tile, x, y = pixel_of(wp.tid(), grid)
        if x >= width or y >= height:
            return
        t = real(1.0)
        for k in range(starts[tile], starts[tile + 1]):
            splat = pairs[k]
            dx = real(x) - records[splat, 0]
            dy = real(y) - records[splat, 1]
            if inside(records, splat, dx, dy):
                alpha = wp.min(bare_alpha(records, splat, dx, dy), alpha_max)
                if alpha >= alpha_min:
                    wp.atomic_add(sums, splat, 0, alpha)
                    weight = t * alpha
                    if t - weight > transmittance_min:
                        wp.atomic_add(sums, splat, 1, weight)
                        t -= weight
                    else:
                        t = real(0.0)  # stopped

    return SimpleNamespace(forward=composite_kernel, adjoint=composite_adjoint_kernel, visibility=visibility_kernel)
