"""Lens distortion in float64, from the formulas of OpenCV's documentation; its inverse by Newton's method."""

from __future__ import annotations

import numpy as np


def brown(x: np.ndarray, y: np.ndarray, coefficients: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, *[0.0] * (8 - len(coefficients)))
    r2 = x * x + y * y
    radial = (1.0 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1.0 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return (
        x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
        y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
    )


def fisheye(x: np.ndarray, y: np.ndarray, coefficients: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    k1, k2, k3, k4 = coefficients
    r = np.hypot(x, y)
    a = np.arctan(r)
    distorted = a + k1 * a**3 + k2 * a**5 + k3 * a**7 + k4 * a**9
    return x * distorted / r, y * distorted / r


MODELS = {"brown": brown, "fisheye": fisheye}


def distort(model: str, coefficients: tuple[float, ...], tangents: np.ndarray) -> np.ndarray:
    """Rays (x, y) to (x', y'), shape [n, 2]; none of them the optical axis itself."""
    return np.stack(MODELS[model](*tangents.T, coefficients), axis=-1)


def undistort(model: str, coefficients: tuple[float, ...], distorted: np.ndarray) -> np.ndarray:
    """Rays that the lens shows at ``distorted``, shape [n, 2]: Newton's method with central differences."""
    tangents = distorted.copy()
    for _ in range(30):
        error = distort(model, coefficients, tangents) - distorted
        columns = []
        for step in 1e-6 * np.eye(2):
            ahead, behind = (distort(model, coefficients, tangents + sign * step) for sign in (1.0, -1.0))
            columns.append((ahead - behind) / 2e-6)
        tangents -= np.linalg.solve(np.stack(columns, axis=-1), error[..., None])[..., 0]
    assert np.abs(distort(model, coefficients, tangents) - distorted).max() < 1e-13
    return tangents
