"""The gradient of a constant background color; drawing it is part of compositing."""

from functools import cache

import warp as wp


@cache
def background_adjoint_kernel(dtype: type) -> wp.Kernel:
    """Kernel for numbers of ``dtype``."""
    real = dtype

    @wp.kernel(module="unique", enable_backward=False)
    def sum_row_kernel(
        # inputs
        adj_image: wp.array3d(dtype=real),
        transmittance: wp.array2d(dtype=real),
        # outputs, accumulated
        adj_background: wp.array(dtype=real),
    ):
        channel, y = wp.tid()
        total = real(0.0)
        for x in range(transmittance.shape[1]):
            total += adj_image[channel, y, x] * transmittance[y, x]
        wp.atomic_add(adj_background, channel, total)

    return sum_row_kernel


def background_adjoint(adj_image: wp.array3d, transmittance: wp.array2d, adj_background: wp.array) -> None:
    """Add the gradient of the background of a picture: the sum over all pixels of adj_image times transmittance.

    Args:
        adj_image: Gradient of the loss by the picture, shape [channels, height, width].
        transmittance: Of the picture, shape [height, width].
        adj_background: Accumulated, shape [channels].
    """
    kernel = background_adjoint_kernel(adj_image.dtype)
    inputs, outputs = [adj_image, transmittance], [adj_background]
    wp.launch(kernel, adj_image.shape[:2], inputs, outputs, device=adj_image.device, record_tape=False)
