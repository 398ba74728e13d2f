"""What can be asked about a picture beside its channels: median depths, and how hard it pulls at each splat.

The median depth of a pixel is that of the splat at which half of the light is gone (compositing finds it); its gradient
goes to this splat alone.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp


@cache
def output_kernels(dtype: type) -> SimpleNamespace:
    """Kernels for numbers of ``dtype``."""
    real = dtype

    @wp.kernel(module="unique", enable_backward=False)
    def median_depth_kernel(
        # inputs
        median_splats: wp.array2d(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        # outputs
        depths: wp.array2d(dtype=real),
    ):
        y, x = wp.tid()
        splat = median_splats[y, x]
        depths[y, x] = real(0.0)
        if splat >= 0:
            depths[y, x] = records[splat, 8]

    @wp.kernel(module="unique", enable_backward=False)
    def median_depth_adjoint_kernel(
        # inputs
        median_splats: wp.array2d(dtype=wp.int32),
        adj_median_depths: wp.array2d(dtype=real),
        # outputs, accumulated
        adj_depths: wp.array(dtype=real),
    ):
        y, x = wp.tid()
        splat = median_splats[y, x]
        if splat >= 0:  # on the CPU one thread in ascending order: a fixed order of additions
            wp.atomic_add(adj_depths, splat, adj_median_depths[y, x])

    @wp.kernel(module="unique", enable_backward=False)
    def screen_gradient_kernel(
        # inputs
        records: wp.array2d(dtype=real),
        adj_records: wp.array2d(dtype=real),
        unit_x: real,
        unit_y: real,
        # outputs
        norms: wp.array(dtype=real),
    ):
        i = wp.tid()
        norms[i] = real(-1.0)
        if records[i, 6] >= real(0.0):
            x, y = adj_records[i, 0] * unit_x, adj_records[i, 1] * unit_y
            norms[i] = wp.sqrt(x * x + y * y)

    return SimpleNamespace(
        median=median_depth_kernel, median_adjoint=median_depth_adjoint_kernel, screen=screen_gradient_kernel
    )
