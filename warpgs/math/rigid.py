"""Rigid motions between corresponding points, on the host in float64."""

import numpy as np
from scipy.spatial.transform import Rotation

from warpgs.checks import check_finite, check_shape, refuse

OPEN_ROTATION = 1e-9
"""Below this ratio of spreads (lengths squared, across over along) points leave a rotation about their line open."""


def fit_rigid(points_from: np.ndarray, points_to: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The rigid motion that carries one set of points to another with least squared error (Kabsch 1976).

    Where the points leave the rotation open (on a line, or all in one point), it is the smallest one that fits.

    Args:
        points_from: Points before [m], shape [n, 3], n >= 1.
        points_to: The same points after [m], same frame, shape [n, 3].
        weights: Weight of each point's squared error, >= 0, shape [n]; all equal when None.

    Returns:
        Transform, shape [4, 4], float64: points_to ~ R points_from + t, R a rotation, never a reflection.

    Raises:
        ValueError: Shapes that differ, no points, numbers that are not finite, weights that are negative or all zero.
    """
    points_from, points_to = np.asarray(points_from, np.float64), np.asarray(points_to, np.float64)
    weights = np.ones(len(points_from)) if weights is None else np.asarray(weights, np.float64)
    check_shape("fit_rigid: points_from", points_from, (None, 3))
    check_shape("fit_rigid: points_to", points_to, points_from.shape)
    check_shape("fit_rigid: weights", weights, points_from.shape[:1])
    for what, array in (("points_from", points_from), ("points_to", points_to), ("weights", weights)):
        check_finite(f"fit_rigid: {what}", array)
    if not (weights.sum() > 0.0 and weights.min() >= 0.0):
        refuse("fit_rigid: weights", "numbers >= 0, one of them > 0", weights.tolist()[:8])
    shares = weights / weights.sum()
    center_from, center_to = shares @ points_from, shares @ points_to
    covariance = ((points_to - center_to) * shares[:, None]).T @ (points_from - center_from)
    motion = np.eye(4)
    motion[:3, :3] = _nearest_rotation(covariance)
    motion[:3, 3] = center_to - motion[:3, :3] @ center_from
    return motion


def steady_quaternions(rotations: np.ndarray) -> np.ndarray:
    """Rotations over time as quaternions x, y, z, w, shape [t, 3, 3] to [t, 4]: of q and -q the one nearer to the last,
    so that their numbers can be blended."""
    quaternions = Rotation.from_matrix(rotations).as_quat()
    flips = np.einsum("ti,ti->t", quaternions[1:], quaternions[:-1]) < 0.0
    quaternions[1:] *= np.cumprod(np.where(flips, -1.0, 1.0))[:, None]
    return quaternions


def _nearest_rotation(covariance: np.ndarray) -> np.ndarray:
    """The rotation R that maximizes tr(R^T covariance)."""
    u, spread, vt = np.linalg.svd(covariance)
    sign = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    if spread[1] + sign * spread[2] > OPEN_ROTATION * spread[0]:
        return u @ np.diag([1.0, 1.0, sign]) @ vt
    if spread[0] == 0.0:
        return np.eye(3)
    return _smallest_rotation(vt[0], u[:, 0])


def _smallest_rotation(unit_from: np.ndarray, unit_to: np.ndarray) -> np.ndarray:
    """The rotation by the least angle between two unit vectors: two reflections in a row."""
    middle = unit_from + unit_to
    if middle @ middle < 1e-20:  # opposite: half a turn about any axis across
        axis = np.linalg.svd(unit_from[None])[2][1]
        return 2.0 * np.outer(axis, axis) - np.eye(3)
    middle /= np.linalg.norm(middle)
    half_turn = 2.0 * np.outer(middle, middle) - np.eye(3)
    return half_turn @ (2.0 * np.outer(unit_from, unit_from) - np.eye(3))
