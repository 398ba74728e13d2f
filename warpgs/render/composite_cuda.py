"""Tiles -> pixels and back, for CUDA: one thread block per tile, one thread per pixel.

A block fetches the splats of its tile together, a batch at a time, into shared memory, and stops when all its pixels
are saturated. The maths is that of composite_cpu.py: the backward pass goes front to back with the sum S = v . (color
still to come). Gradients are added up over each warp before any atomic: one atomic per warp, splat and number, to
neighboring addresses. Every channel has a register per thread, twice that in the backward pass, up to the 32 there are;
with more channels batches get smaller, so that shared memory stays the same.

The C++ is in composite_cuda_native.py. It also runs on the CPU, where the tests compare it with the oracle and with
composite_cpu.py, if ``wp.config.enable_cpu_blocks`` is set: slowly, but with the same steps.
The tape's own adjoint of such a loop is silently wrong (loops are not replayed), hence the one by hand.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.render.composite_cuda_native import BACKWARD, FORWARD, THREADS, TILE_HEIGHT, TILE_WIDTH, VISIBILITY, snippet
from warpgs.render.grid import TileGrid
from warpgs.render.shade import GRADIENT

__all__ = ["THREADS", "TILE_HEIGHT", "TILE_WIDTH", "composite_kernels"]


@cache
def composite_kernels(dtype: type, channels: int, median: bool = False) -> SimpleNamespace:
    """Forward, backward and visibility kernels for numbers of ``dtype`` and ``channels`` channels.

    To be launched over (tiles, THREADS) in blocks of THREADS. Forward writes ``median_splats`` only with ``median``.
    Optional inputs are empty arrays: ``background`` and ``adj_transmittance``.
    """
    real = dtype

    @wp.func_native(snippet(FORWARD, dtype, channels, 0, median=median))
    def composite_pixel(
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        grid: TileGrid,
        width: int,
        height: int,
        background: wp.array(dtype=real),
        image: wp.array3d(dtype=real),
        transmittance: wp.array2d(dtype=real),
        median_splats: wp.array2d(dtype=wp.int32),
        tile: int,
        thread: int,
    ): ...

    # named *_gradients: Warp declares an adj_ twin of every argument of a native function
    @wp.func_native(snippet(BACKWARD, dtype, channels, GRADIENT + channels))
    def composite_pixel_adjoint(
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        active_count: int,
        grid: TileGrid,
        width: int,
        height: int,
        image: wp.array3d(dtype=real),
        transmittance: wp.array2d(dtype=real),
        image_gradient: wp.array3d(dtype=real),
        transmittance_gradient: wp.array2d(dtype=real),
        record_gradients: wp.array2d(dtype=real),
        tile: int,
        thread: int,
    ): ...

    @wp.func_native(snippet(VISIBILITY, dtype, channels, 2))
    def add_visibility(
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        grid: TileGrid,
        width: int,
        height: int,
        sums: wp.array2d(dtype=real),
        tile: int,
        thread: int,
    ): ...

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
        tile, thread = wp.tid()
        width, height = transmittance.shape[1], transmittance.shape[0]
        composite_pixel(
            starts, pairs, records, grid, width, height, background, image, transmittance, median_splats, tile, thread
        )

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
        tile, thread = wp.tid()
        width, height = transmittance.shape[1], transmittance.shape[0]
        composite_pixel_adjoint(
            starts, pairs, records, active_count, grid, width, height, image, transmittance, adj_image,
            adj_transmittance, adj_records, tile, thread,
        )  # fmt: skip

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
        tile, thread = wp.tid()
        add_visibility(starts, pairs, records, grid, width, height, sums, tile, thread)

    return SimpleNamespace(forward=composite_kernel, adjoint=composite_adjoint_kernel, visibility=visibility_kernel)
