"""To which particle a point belongs, and where that particle carries it. NumPy, float64.

A point belongs to the particle with the largest influence on it, ``sigmoid(o) exp(-d^2 / 2)`` with d the Mahalanobis
distance, and is carried by that particle's translation and rotation. A point beyond 3 sigma of every particle is called
unassigned, but carried all the same.
"""

from __future__ import annotations

import numpy as np

from warpgs.checks import check_shape
from warpgs.query.geometry import matrices_from_wxyz
from warpgs.types import Gaussians, Tracks

ASSIGNMENT_SIGMAS = 3.0
CHUNK_ENTRIES = 200_000
"""Point-particle pairs held at once: what stays in a core's cache. Measured: 4,000,000 take twice as long."""


def assign(points: np.ndarray, gaussians: Gaussians) -> tuple[np.ndarray, np.ndarray]:
    """The particle with the largest influence on each point.

    Args:
        points: Query points [m], world frame, shape [m, 3]; NaN where unknown.
        gaussians: Particles at the instant of the query.

    Returns:
        Particle indices, shape [m], int64, the smallest where influences are equal, 0 for unknown points; and whether
        the point lies within 3 sigma of any particle, shape [m], bool.
    """
    check_shape("query points", points, (None, 3))
    best_influence = np.full(len(points), -np.inf)
    best_index = np.zeros(len(points), dtype=np.int64)
    nearest = np.full(len(points), np.inf)
    size = max(1, CHUNK_ENTRIES // max(1, len(points)))
    for start in range(0, len(gaussians), size):
        part = slice(start, start + size)
        squared = _mahalanobis_squared(points, gaussians, part)
        # The logarithm of the influence: far particles would all underflow to zero and tie.
        influence = _log_sigmoid(gaussians.opacity_logits[part].astype(np.float64)) - 0.5 * squared
        index = influence.argmax(axis=1)
        value = np.take_along_axis(influence, index[:, None], axis=1)[:, 0]
        better = value > best_influence
        best_index[better] = index[better] + start
        best_influence[better] = value[better]
        nearest = np.minimum(nearest, squared.min(axis=1))
    return best_index, nearest <= ASSIGNMENT_SIGMAS**2


def carry(tracks: Tracks, index: np.ndarray, points: np.ndarray, origin: int = 0) -> np.ndarray:
    """Positions of ``points`` [m] at every instant, carried by the particles ``index``.

    Args:
        tracks: Poses of the particles.
        index: The particle of each point, shape [m].
        points: Positions at the instant ``origin`` [m], world frame, shape [m, 3].
        origin: Index into ``tracks.timesteps``.

    Returns:
        Positions [m], world frame, shape [t, m, 3].
    """
    rotations = matrices_from_wxyz(tracks.rotations_wxyz[:, index].astype(np.float64))
    means = tracks.means[:, index].astype(np.float64)
    in_particle = np.einsum("mji,mj->mi", rotations[origin], points - means[origin])
    return means + np.einsum("tmij,mj->tmi", rotations, in_particle)


def _mahalanobis_squared(points: np.ndarray, gaussians: Gaussians, part: slice) -> np.ndarray:
    """Squared distance in standard deviations of each point from each particle of ``part``, shape [m, n]."""
    means = gaussians.means[part].astype(np.float64)
    rotations = matrices_from_wxyz(gaussians.rotations_wxyz[part].astype(np.float64))
    whitening = rotations / np.exp(gaussians.log_scales[part].astype(np.float64))[:, None, :]
    squared = np.zeros((len(points), len(means)))
    for axis in range(3):
        direction = whitening[:, :, axis]
        squared += (points @ direction.T - (means * direction).sum(axis=1)) ** 2
    return squared


def _log_sigmoid(logits: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0.0, -logits)
