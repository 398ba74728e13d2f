"""To which particle a point belongs, and where that particle carries it. NumPy, float64.

A point belongs to the particle with the largest influence on it, ``sigmoid(o) exp(-d^2 / 2)`` with d the Mahalanobis
distance, and is carried by that particle's translation and rotation. A point beyond 3 sigma of every particle is called
unassigned, but carried all the same.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from warpgs.checks import check_shape
from warpgs.query.geometry import matrices_from_wxyz
from warpgs.types import Gaussians, Tracks

ASSIGNMENT_SIGMAS = 3.0
NEAREST = 8
"""Particles nearest to a point that say how far off better ones can be; costs time alone."""
CHUNK_ENTRIES = 4_000_000
"""Most point-particle pairs held at once."""


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
    index, assigned = np.zeros(len(points), dtype=np.int64), np.zeros(len(points), dtype=bool)
    if not len(gaussians):
        return index, assigned
    known = np.flatnonzero(np.isfinite(points).all(axis=1))
    near = _Surroundings(gaussians)
    size = max(1, CHUNK_ENTRIES // len(gaussians))
    for rows in (known[start : start + size] for start in range(0, len(known), size)):
        point, particle, squared, influence = near.of(points[rows].astype(np.float64))
        order = np.lexsort((particle, -influence, point))
        best = order[np.searchsorted(point[order], np.arange(len(rows)))]
        index[rows] = particle[best]
        assigned[rows[point[squared <= ASSIGNMENT_SIGMAS**2]]] = True
    return index, assigned


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


class _Surroundings:
    """Looks up the particles that can be the best of a point, or within 3 sigma of it, and leaves out all others."""

    def __init__(self, gaussians: Gaussians) -> None:
        self._means = gaussians.means.astype(np.float64)
        rotations = matrices_from_wxyz(gaussians.rotations_wxyz.astype(np.float64))
        self._whitening = rotations / np.exp(gaussians.log_scales.astype(np.float64))[:, None, :]
        self._log_opacities = _log_sigmoid(gaussians.opacity_logits.astype(np.float64))
        self._tree = cKDTree(self._means)
        # particles of about one size together: how far they reach differs by a factor of 2 at most
        octaves = np.ceil(gaussians.log_scales.max(axis=1) / np.log(2.0) + 1e-6)
        self._layers = []
        for octave in np.unique(octaves):
            rows = np.flatnonzero(octaves == octave)
            self._layers.append((2.0**octave, rows, cKDTree(self._means[rows])))

    def of(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of a point and a particle: both indices, the squared distance in standard deviations, and the logarithm
        of the influence; far particles would all underflow to zero and tie."""
        nearest = self._tree.query(points, min(NEAREST, len(self._means)))[1].reshape(len(points), -1)
        point, particle = np.repeat(np.arange(len(points)), nearest.shape[1]), nearest.ravel()
        best = self._measured(points, point, particle)[1].reshape(nearest.shape).max(axis=1)
        # an influence is at most exp(-d^2 / 2)
        sigmas = np.sqrt(np.maximum(-2.0 * best, ASSIGNMENT_SIGMAS**2)) * (1.0 + 1e-9)
        pairs = []
        for reach, rows, tree in self._layers:
            found = tree.query_ball_point(points, sigmas * reach)
            counts = np.fromiter(map(len, found), np.int64, len(points))
            pairs.append((np.repeat(np.arange(len(points)), counts), rows[np.concatenate(found).astype(np.int64)]))
        point, particle = (np.concatenate(each) for each in zip(*pairs, strict=True))
        return point, particle, *self._measured(points, point, particle)

    def _measured(self, points: np.ndarray, point: np.ndarray, particle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared distance and logarithm of the influence of each pair."""
        apart = points[point] - self._means[particle]
        squared = (np.einsum("pi,pij->pj", apart, self._whitening[particle]) ** 2).sum(axis=1)
        return squared, self._log_opacities[particle] - 0.5 * squared


def _log_sigmoid(logits: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0.0, -logits)
