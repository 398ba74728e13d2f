"""The particles that parts are sought among, as the search sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from warpgs.types import Tracks

FARTHEST = 3.0
"""Median distances of the last neighbor beyond which none is a neighbor: a gap."""


@dataclass(frozen=True, eq=False)
class Field:
    """m particles at t instants."""

    paths: np.ndarray
    """Positions about their middle [m], world axes, shape [t, m, 3], float64."""
    birth: np.ndarray
    """The first of the instants at which each exists, shape [m]."""
    trusted: np.ndarray
    """Whether a particle's track may speak for a motion, shape [m], bool."""
    neighbors: np.ndarray
    """The nearest others of each that exist at its birth, itself where there are not as many, shape [m, k]."""
    reach: float
    """Median distance of the last neighbor [m]."""


def make_field(tracks: Tracks, rows: np.ndarray, neighbors: int, instants: int, least_confidence: float) -> Field:
    """The particles ``rows`` at most ``instants`` instants, evenly spread."""
    kept = np.unique(np.linspace(0, len(tracks) - 1, instants).round().astype(int))
    paths = tracks.means[np.ix_(kept, rows)].astype(np.float64)
    paths -= paths.mean(axis=(0, 1))
    born = np.zeros(len(rows), int) if tracks.birth is None else tracks.birth[rows]
    trusted = np.ones(len(rows), bool)
    if tracks.confidence is not None:
        trusted = np.median(tracks.confidence[np.ix_(kept, rows)], axis=0) >= least_confidence
    birth = np.searchsorted(kept, born)
    indices, reach = _neighbors(paths, birth, neighbors)
    return Field(paths, birth, trusted, indices, reach)


def _neighbors(paths: np.ndarray, birth: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """Indices, shape [m, k], and the median distance of the last neighbor."""
    m = len(birth)
    count = min(count, m - 1)
    indices, distance = np.tile(np.arange(m)[:, None], count), np.zeros((m, count))
    for instant in np.unique(birth):
        here, new = np.flatnonzero(birth <= instant), np.flatnonzero(birth == instant)
        found = min(count, len(here) - 1)
        if found == 0:
            continue
        near, index = cKDTree(paths[instant, here]).query(paths[instant, new], found + 1)
        # Where particles coincide, one may not be its own first.
        other = here[index] != new[:, None]
        other[other.all(axis=1), -1] = False
        indices[new, :found] = here[index][other].reshape(-1, found)
        distance[new, :found] = near[other].reshape(-1, found)
    if count == 0:
        return indices, 0.0
    reach = float(np.median(distance[:, -1]))
    return np.where(distance <= FARTHEST * reach, indices, np.arange(m)[:, None]), reach
