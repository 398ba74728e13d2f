"""How well a rendered picture matches the recorded one: PSNR and SSIM, whole or inside a mask. NumPy, float64."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.ndimage import convolve1d

from warpgs.checks import check_finite, check_shape, refuse

WINDOW_SIZE = 11
WINDOW_SIGMA = 1.5
SSIM_C1 = 0.01**2
SSIM_C2 = 0.03**2


def psnr(image: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio [dB] for a peak of 1.

    Args:
        image: Rendered picture, 0..1, shape [h, w, 3].
        truth: Recorded picture, 0..1, shape [h, w, 3].
        mask: Weight of each pixel, 0..1, shape [h, w]; None weighs all alike.

    Returns:
        Infinity where both are equal, NaN where the mask is empty.
    """
    image, truth, weights = _checked(image, truth, mask)
    return decibels(weighted_mean(((image - truth) ** 2).mean(axis=2), weights))


def ssim(image: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean structural similarity; see ``psnr`` for the arguments."""
    image, truth, weights = _checked(image, truth, mask)
    return weighted_mean(ssim_map(image, truth).mean(axis=2), weights)


def decibels(mean_squared_error: float) -> float:
    """PSNR [dB] of a mean squared error for a peak of 1; infinite for zero."""
    return float("inf") if mean_squared_error == 0.0 else float(-10.0 * np.log10(mean_squared_error))


def ssim_map(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural similarity of every pixel and channel, shape [h, w, 3], as the 3DGS family measures it.

    Gaussian window of 11 pixels, sigma 1.5 pixels, zeros outside the picture, C1 = 0.01^2, C2 = 0.03^2.
    """
    mean_x, mean_y = _blur(image), _blur(truth)
    var_x = _blur(image * image) - mean_x**2
    var_y = _blur(truth * truth) - mean_y**2
    covariance = _blur(image * truth) - mean_x * mean_y
    luminance = (2.0 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    return luminance * (2.0 * covariance + SSIM_C2) / (var_x + var_y + SSIM_C2)


@cache
def _window() -> np.ndarray:
    offsets = np.arange(WINDOW_SIZE) - WINDOW_SIZE // 2
    window = np.exp(-0.5 * (offsets / WINDOW_SIGMA) ** 2)
    return window / window.sum()


def _blur(picture: np.ndarray) -> np.ndarray:
    rows = convolve1d(picture, _window(), axis=0, mode="constant")
    return convolve1d(rows, _window(), axis=1, mode="constant")


def weighted_mean(values: np.ndarray, weights: np.ndarray | None) -> float:
    """Mean over pixels, shape [h, w]; NaN where all weights are zero."""
    if weights is None:
        return float(values.mean())
    total = weights.sum()
    return float((values * weights).sum() / total) if total > 0.0 else float("nan")


def _checked(
    image: np.ndarray, truth: np.ndarray, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """All in float64, after checking shapes and ranges."""
    check_shape("image", image, (None, None, 3))
    check_shape("truth", truth, image.shape)
    if np.issubdtype(image.dtype, np.integer) or np.issubdtype(truth.dtype, np.integer):
        refuse("image and truth", "floats 0..1", f"{image.dtype} and {truth.dtype}", "divide 8-bit pixels by 255")
    check_finite("image", image)
    if mask is not None:
        check_shape("mask", mask, image.shape[:2])
        if mask.dtype == np.uint8:
            refuse("mask", "bool or floats 0..1", mask.dtype, "divide by 255")
        mask = mask.astype(np.float64)
    return image.astype(np.float64), truth.astype(np.float64), mask
