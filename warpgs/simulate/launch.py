"""How fast things move at an instant of their tracks, from the last few instants. NumPy, float64."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

WINDOW = 5
"""Most instants that a velocity is fitted to."""
HISTORY = 15
"""Most instants that tell how noisy a path is."""
LEAST_TOLERANCE_M = 3e-4
"""Root mean square distance [m] from a fitted path that is always put down to noise."""
NOISY = 2.0
"""The same as a multiple of the noise: more is an impact."""
CURVED = 4
"""Instants that a parabola of any acceleration needs: friction, springs."""


def velocities(points: np.ndarray, dt: float, gravity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Velocities at the last of some instants.

    The longest window without an impact counts, and in it a free fall or a straight line before any other parabola:
    least squares of x(t) = x + v t + a t^2 / 2, a gravity, nothing, or fitted too.

    Args:
        points: Positions [m], shape [t, m, 3].
        dt: Between instants [s].
        gravity: [m/s^2], shape [3].

    Returns:
        Velocities [m/s], shape [m, 3], zero where there is one instant only; and how many instants each is fitted to,
        shape [m].
    """
    best, used = np.zeros(points.shape[1:]), np.ones(points.shape[1], int)
    tolerance = np.maximum(LEAST_TOLERANCE_M, NOISY * _noise(points[-HISTORY:]))
    for window in range(min(WINDOW, len(points)), 1, -1):
        falling = _fit(points[-window:], dt, gravity)
        straight = _fit(points[-window:], dt, np.zeros(3))
        closer = (falling[1] <= straight[1])[:, None]
        models = [(np.where(closer, falling[0], straight[0]), np.minimum(falling[1], straight[1]))]
        models += [_fit(points[-window:], dt, None)] if window >= CURVED else []
        for velocity, spread in models:
            fits = (used == 1) & (spread < tolerance)
            best[fits], used[fits] = velocity[fits], window
    return best, used


def _noise(points: np.ndarray) -> np.ndarray:
    """Root mean square distance from smooth paths [m], shape [m]: of third differences, which smooth motion has hardly
    any of, the lower quartile (1.1 sigma of one coordinate's), which an impact or two do not move."""
    if len(points) < 4:
        return np.zeros(points.shape[1])
    third = np.linalg.norm(np.diff(points, 3, axis=0), axis=2)
    return np.sqrt(3.0 / 20.0) / 1.1 * np.quantile(third, 0.25, axis=0, method="lower")


def _fit(points: np.ndarray, dt: float, acceleration: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Velocities at the last instant, shape [m, 3], and root mean square distances from the fitted paths for each that
    is free to differ, shape [m]; the acceleration is fitted where None."""
    times = dt * np.arange(1 - len(points), 1)
    columns = [np.ones(len(points)), times] + ([0.5 * times**2] if acceleration is None else [])
    known = 0.0 if acceleration is None else 0.5 * times[:, None, None] ** 2 * acceleration
    path = (points - known).reshape(len(points), -1)
    basis = np.stack(columns, axis=1)
    coefficients = np.linalg.lstsq(basis, path, rcond=None)[0]
    error = (path - basis @ coefficients).reshape(points.shape)
    free = max(len(points) - len(columns), 1)
    return coefficients[1].reshape(points.shape[1:]), np.sqrt((error**2).sum(axis=(0, 2)) / free)


def spin(rotations: np.ndarray, dt: float, window: int) -> np.ndarray:
    """Angular velocity [rad/s], world frame, at the last of some instants: the mean over the last ``window``.

    Args:
        rotations: World from body, shape [t, 3, 3].
        dt: Between instants [s].
        window: Instants that it is taken from.
    """
    window = min(window, len(rotations))
    if window < 2:
        return np.zeros(3)
    turns = Rotation.from_matrix(rotations[1 - window :] @ np.swapaxes(rotations[-window:-1], 1, 2))
    return turns.as_rotvec().mean(axis=0) / dt
