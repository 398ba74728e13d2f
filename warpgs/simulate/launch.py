"""How fast things move at an instant of their tracks, from the last few instants. NumPy, float64."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

WINDOW = 5
"""Most instants that a velocity is fitted to."""
TOLERANCE_M = 0.003
"""Root mean square distance [m] from a fitted path within a window that is still noise and no impact."""


def velocities(points: np.ndarray, dt: float, gravity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Velocities at the last of some instants, of points that fall freely or go straight on, whichever fits.

    The longest window without an impact counts: least squares of x(t) = x + v t + a t^2 / 2, a gravity or nothing.

    Args:
        points: Positions [m], shape [t, m, 3].
        dt: Between instants [s].
        gravity: [m/s^2], shape [3].

    Returns:
        Velocities [m/s], shape [m, 3], zero where there is one instant only; and how many instants each is fitted to,
        shape [m].
    """
    best, used = np.zeros(points.shape[1:]), np.ones(points.shape[1], int)
    for window in range(2, min(WINDOW, len(points)) + 1):
        falling = _slopes(points[-window:], dt, gravity)
        straight = _slopes(points[-window:], dt, np.zeros(3))
        slope = np.where((falling[1] <= straight[1])[:, None], falling[0], straight[0])
        fits = (np.minimum(falling[1], straight[1]) < TOLERANCE_M) & (used == window - 1)
        best[fits], used[fits] = slope[fits], window
    return best, used


def _slopes(points: np.ndarray, dt: float, acceleration: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Velocities at the last instant, shape [m, 3], and root mean square distances from the fitted paths, shape [m]."""
    times = dt * np.arange(1 - len(points), 1)
    path = points - 0.5 * times[:, None, None] ** 2 * acceleration
    centered = times - times.mean()
    slope = np.einsum("t,tmi->mi", centered, path) / (centered @ centered)
    error = path - path.mean(axis=0) - centered[:, None, None] * slope
    return slope, np.sqrt((error**2).sum(axis=2).mean(axis=0))


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
