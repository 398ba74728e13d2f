"""What both drivers of the photometric loss share: its constants, and the color correction of a camera."""

from functools import cache

import numpy as np
import warp as wp

RADIUS = 5
SIGMA_PX = 1.5
L1_SHARE = 0.8


def window() -> list[float]:
    """The weights of the SSIM window along one axis, shape [2 * RADIUS + 1]; they sum to 1."""
    offsets = np.arange(-RADIUS, RADIUS + 1)
    weights = np.exp(-0.5 * (offsets / SIGMA_PX) ** 2)
    return (weights / weights.sum()).tolist()


@cache
def correction_func(dtype: type) -> wp.Function:
    """Gain and offset of one channel in one camera, for numbers of ``dtype``; masks are not corrected."""
    real = dtype

    @wp.func
    def correction(log_gains: wp.array2d(dtype=real), offsets: wp.array2d(dtype=real), camera: int, channel: int):
        gain = real(1.0)
        offset = real(0.0)
        if channel < 3:
            gain = wp.exp(log_gains[camera, channel])
            offset = offsets[camera, channel]
        return gain, offset

    return correction
