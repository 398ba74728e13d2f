"""The image loss in float64 NumPy, written from the formulas: SSIM window by window (Wang et al. 2004)."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

L1_SHARE = 0.8
RADIUS = 5
SIGMA_PX = 1.5
C1, C2 = 0.01**2, 0.03**2


def corrected(image: np.ndarray, log_gain: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """exp(g) C + o on red, green and blue; image [channels, height, width]."""
    out = image.copy()
    out[:3] = np.exp(log_gain)[:, None, None] * image[:3] + offset[:, None, None]
    return out


def ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Structural similarity of two planes about every pixel; beyond the border both are zero."""
    taps = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA_PX) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    patches_a, patches_b = (sliding_window_view(np.pad(plane, RADIUS), window.shape) for plane in (a, b))

    def mean(patches: np.ndarray) -> np.ndarray:
        return np.einsum("ij,yxij->yx", window, patches)

    mean_a, mean_b = mean(patches_a), mean(patches_b)
    off_a, off_b = patches_a - mean_a[..., None, None], patches_b - mean_b[..., None, None]
    variance_a, variance_b, covariance = mean(off_a**2), mean(off_b**2), mean(off_a * off_b)
    luminance = (2.0 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return luminance * (2.0 * covariance + C2) / (variance_a + variance_b + C2)


def photometric(
    image: np.ndarray, target: np.ndarray, weights: np.ndarray, log_gain: np.ndarray, offset: np.ndarray
) -> float:
    """Sum over channels of weight * (0.8 mean |a - b| + 0.2 mean (1 - SSIM)), after the color correction."""
    total = 0.0
    for a, b, weight in zip(corrected(image, log_gain, offset), target, weights, strict=True):
        total += weight * (L1_SHARE * np.abs(a - b).mean() + (1.0 - L1_SHARE) * (1.0 - ssim(a, b)).mean())
    return float(total)


def psnr(image: np.ndarray, target: np.ndarray, log_gain: np.ndarray, offset: np.ndarray) -> float:
    """PSNR [dB] of the corrected color, peak 1."""
    return float(-10.0 * np.log10(np.mean((corrected(image, log_gain, offset)[:3] - target[:3]) ** 2)))
