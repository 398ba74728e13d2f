"""Tiles -> pixels and back, for the CPU: a tile of pixels stays in cache while its splats pass over it, a block of 4x2
pixels at a time.

Every pixel of a tile keeps its transmittance T; it is saturated ("stop here") when the next splat would bring T under
1e-4, and then T is negative. The backward pass goes front to back once more and needs no stored weights: with S = v .
(color still to come), the derivative of a pixel by the alpha of a splat is T (v . c) - S / (1 - alpha). It writes one
gradient per (tile, splat) pair, so that tiles can run on any thread; ``reduce_pairs_kernel`` adds them up in a fixed
order. The C++ is in composite_cpu_native.py; the twin for CUDA is composite_cuda.py; both are tested against the same
float64 oracle.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.render.composite_cpu_native import BACKWARD, FORWARD, VISIBILITY, snippet
from warpgs.render.shade import GRADIENT

TILE_WIDTH = 64
TILE_HEIGHT = 32
"""[px] Measured: smaller tiles are slower; larger ones are hardly faster, and coarser among a backdrop."""
TILE = (TILE_WIDTH, TILE_HEIGHT)


@cache
def composite_kernels(dtype: type, channels: int, median: bool = False) -> SimpleNamespace:
    """Forward, backward, visibility and reduction kernels for numbers of ``dtype`` and ``channels`` channels.

    Forward writes ``median_splats`` only with ``median``, and not among a backdrop. Optional inputs are empty arrays:
    ``background``, ``adj_transmittance`` and those called static, which are a backdrop.
    """
    real = dtype

    @wp.func_native(snippet(FORWARD, dtype, channels, TILE, median=median))
    def composite_tile(
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        static_starts: wp.array(dtype=wp.int32),
        static_pairs: wp.array(dtype=wp.int32),
        static_records: wp.array2d(dtype=real),
        columns: int,
        width: int,
        height: int,
        background: wp.array(dtype=real),
        static_image: wp.array3d(dtype=real),
        static_transmittance: wp.array2d(dtype=real),
        image: wp.array3d(dtype=real),
        transmittance: wp.array2d(dtype=real),
        median_splats: wp.array2d(dtype=wp.int32),
        tile: int,
    ): ...

    # named *_gradients: Warp declares an adj_ twin of every argument of a native function
    @wp.func_native(snippet(BACKWARD, dtype, channels, TILE))
    def composite_tile_adjoint(
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        active_count: int,
        static_starts: wp.array(dtype=wp.int32),
        static_pairs: wp.array(dtype=wp.int32),
        static_records: wp.array2d(dtype=real),
        columns: int,
        width: int,
        height: int,
        image: wp.array3d(dtype=real),
        transmittance: wp.array2d(dtype=real),
        image_gradient: wp.array3d(dtype=real),
        transmittance_gradient: wp.array2d(dtype=real),
        pair_gradients: wp.array2d(dtype=real),
        tile: int,
    ): ...

    @wp.func_native(snippet(VISIBILITY, dtype, channels, TILE))
    def visibility_of_tile(
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        static_starts: wp.array(dtype=wp.int32),
        static_pairs: wp.array(dtype=wp.int32),
        static_records: wp.array2d(dtype=real),
        columns: int,
        width: int,
        height: int,
        pair_sums: wp.array2d(dtype=real),
        tile: int,
    ): ...

    @wp.kernel(module="unique", enable_backward=False)
    def composite_kernel(
        # inputs
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        static_starts: wp.array(dtype=wp.int32),
        static_pairs: wp.array(dtype=wp.int32),
        static_records: wp.array2d(dtype=real),
        columns: int,
        width: int,
        height: int,
        background: wp.array(dtype=real),
        static_image: wp.array3d(dtype=real),
        static_transmittance: wp.array2d(dtype=real),
        first_tile: int,
        # outputs
        image: wp.array3d(dtype=real),
        transmittance: wp.array2d(dtype=real),
        median_splats: wp.array2d(dtype=wp.int32),
    ):
        tile = first_tile + wp.tid()
        composite_tile(
            starts, pairs, records, static_starts, static_pairs, static_records, columns, width, height,
            background, static_image, static_transmittance, image, transmittance, median_splats, tile,
        )  # fmt: skip

    @wp.kernel(module="unique", enable_backward=False)
    def composite_adjoint_kernel(
        # inputs
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        active_count: int,
        static_starts: wp.array(dtype=wp.int32),
        static_pairs: wp.array(dtype=wp.int32),
        static_records: wp.array2d(dtype=real),
        columns: int,
        width: int,
        height: int,
        image: wp.array3d(dtype=real),
        transmittance: wp.array2d(dtype=real),
        adj_image: wp.array3d(dtype=real),
        adj_transmittance: wp.array2d(dtype=real),
        first_tile: int,
        # outputs
        adj_pairs: wp.array2d(dtype=real),
    ):
        tile = first_tile + wp.tid()
        composite_tile_adjoint(
            starts, pairs, records, active_count, static_starts, static_pairs, static_records, columns, width, height,
            image, transmittance, adj_image, adj_transmittance, adj_pairs, tile,
        )  # fmt: skip

    @wp.kernel(module="unique", enable_backward=False)
    def visibility_kernel(
        # inputs
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        static_starts: wp.array(dtype=wp.int32),
        static_pairs: wp.array(dtype=wp.int32),
        static_records: wp.array2d(dtype=real),
        columns: int,
        width: int,
        height: int,
        first_tile: int,
        # outputs
        pair_sums: wp.array2d(dtype=real),  # of alpha and of T alpha, over the pixels of the tile
    ):
        tile = first_tile + wp.tid()
        visibility_of_tile(
            starts, pairs, records, static_starts, static_pairs, static_records, columns, width, height, pair_sums, tile
        )

    return SimpleNamespace(
        forward=composite_kernel,
        adjoint=composite_adjoint_kernel,
        reduce=reduce_kernel(dtype, GRADIENT + channels),
        visibility=visibility_kernel,
        reduce_visibility=reduce_kernel(dtype, 2),
    )


@cache
def reduce_kernel(dtype: type, width: int) -> wp.Kernel:
    """Kernel that adds up rows of ``width`` numbers per (tile, splat) to rows per splat."""
    real = dtype

    @wp.kernel(module="unique", enable_backward=False)
    def reduce_pairs_kernel(
        # inputs
        starts: wp.array(dtype=wp.int32),
        tile_count: int,
        pairs: wp.array(dtype=wp.int32),
        active_count: int,
        pair_rows: wp.array2d(dtype=real),
        # outputs
        rows: wp.array2d(dtype=real),
    ):
        for i in range(active_count):
            for c in range(wp.static(width)):
                rows[i, c] = real(0.0)
        for k in range(starts[tile_count]):
            splat = pairs[k]
            if splat < active_count:
                for c in range(wp.static(width)):
                    rows[splat, c] = rows[splat, c] + pair_rows[k, c]

    return reduce_pairs_kernel
