"""Spherical harmonics seen from another frame."""

from __future__ import annotations

import numpy as np


def turned(harmonics: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Coefficients of the same radiance in a rotated frame.

    The radiance along d is sum_k c_k Y_k(R^T d) before and sum_k c'_k Y_k(d) after. Rotations do not mix degrees, and
    a few directions in general position determine c'.

    Args:
        harmonics: Of degree 1 and more, frame a, shape [n, m, 3], m = 3, 8 or 15.
        rotation: From frame a to frame b, shape [3, 3].

    Returns:
        The same in frame b, float32.
    """
    if np.array_equal(rotation, np.eye(3)):
        return harmonics
    directions = np.random.default_rng(0).normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    count = harmonics.shape[1]
    before, after = basis(directions @ rotation)[:, :count], basis(directions)[:, :count]
    change = np.linalg.lstsq(after, before, rcond=None)[0]
    return np.einsum("kl,nlc->nkc", change, harmonics.astype(np.float64)).astype(np.float32)


def basis(directions: np.ndarray) -> np.ndarray:
    """Real spherical harmonics of degree 1 to 3 as 3DGS orders and signs them, as in warpgs/math/harmonics.py.

    Args:
        directions: Unit vectors, shape [n, 3].

    Returns:
        Shape [n, 15], float64.
    """
    x, y, z = directions.T
    xx, yy, zz = x * x, y * y, z * z
    terms = (
        (-3, 4, y),
        (3, 4, z),
        (-3, 4, x),
        (15, 4, x * y),
        (-15, 4, y * z),
        (5, 16, 2.0 * zz - xx - yy),
        (-15, 4, x * z),
        (15, 16, xx - yy),
        (-35, 32, y * (3.0 * xx - yy)),
        (105, 4, x * y * z),
        (-21, 32, y * (4.0 * zz - xx - yy)),
        (7, 16, z * (2.0 * zz - 3.0 * (xx + yy))),
        (-21, 32, x * (4.0 * zz - xx - yy)),
        (105, 16, z * (xx - yy)),
        (-35, 32, x * (xx - 3.0 * yy)),
    )
    return np.stack([np.sign(a) * np.sqrt(abs(a) / (b * np.pi)) * value for a, b, value in terms], axis=1)
