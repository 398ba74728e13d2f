"""Who holds together: the neighbors of each particle, chosen anew at every timestep among those near it at rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import warp as wp

from warpgs.track.generations import neighbors_within

CANDIDATES = 2
"""Candidates per neighbor: a particle where two bodies touch has as many of its own body as it needs among twice as
many."""
STRETCH = 3.0
"""A pair whose distance has changed by a third of sigma weighs as little as one that is sigma longer at rest. Tracks
are ten times as exact as that."""
TYPICAL = 0.25
"""Quantile of a particle's changes of distance that says nothing about its pairs: one that has strayed alone keeps all
its neighbors, which pull it back."""


@dataclass(frozen=True, eq=False)
class Neighborhood:
    """Candidates of each particle, the nearest at rest, and what tells which of them move with it.

    Bodies that touch at the first timestep are tied to each other by their nearest neighbors; once they part, the
    distances of such pairs change, and pairs within each body take their place.
    """

    count: int
    """Neighbors per particle, k."""
    sigma: float
    """Distance at which the weight of a pair falls to exp(-1/2) [scene radii]."""
    candidates: np.ndarray
    """Indices, nearest first, int32, shape [n, m], m >= k."""
    lengths: np.ndarray
    """Their distances at rest [scene radii], float64, shape [n, m]."""

    @staticmethod
    def of(
        means: wp.array, parts: Sequence[slice], count: int, sigma: float | None, sigma_neighbors: float
    ) -> Neighborhood:
        """Look for candidates among particles at rest.

        Args:
            means: Centers [scene radii], shape [n].
            parts: The rows of each generation, in order; neighbors are of one generation.
            count: Neighbors per particle; fewer than any generation has particles.
            sigma: See the field; None for ``sigma_neighbors`` times the median distance of the last neighbor.
            sigma_neighbors: See ``sigma``.
        """
        least = min(rows.stop - rows.start for rows in parts)
        candidates = neighbors_within(means, parts, min(CANDIDATES * count, least - 1))
        points = means.numpy().astype(np.float64)
        lengths = np.linalg.norm(points[candidates] - points[:, None], axis=2)
        sigma = sigma or sigma_neighbors * float(np.median(lengths[parts[0], count - 1]))
        return Neighborhood(count, sigma, candidates, lengths)

    def nearest(self) -> np.ndarray:
        """The nearest at rest: indices, int32, shape [n, k]."""
        return self.candidates[:, : self.count]

    def at(self, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those that have kept their distance best, given where particles are now.

        Args:
            means: Centers [scene radii], shape [n, 3].

        Returns:
            Indices, int32, shape [n, k], and weights exp(-1/2 (d / sigma)^2) of distances d that grow with the change
            since the rest, shape [n, k].
        """
        points = means.astype(np.float64)
        change = np.abs(np.linalg.norm(points[self.candidates] - points[:, None], axis=2) - self.lengths)
        change = np.maximum(change - np.quantile(change, TYPICAL, axis=1, keepdims=True), 0.0)
        distance = np.hypot(self.lengths, STRETCH * change)
        chosen = np.argsort(distance, axis=1, kind="stable")[:, : self.count]
        weights = np.exp(-0.5 * np.square(np.take_along_axis(distance, chosen, axis=1) / self.sigma))
        return np.take_along_axis(self.candidates, chosen, axis=1), weights
