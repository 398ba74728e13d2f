"""Small patches of particles that move as one, and how they grow together into regions. NumPy, float64.

The moments of a patch add up to those of a union of patches, and the least squared error of a rigid motion follows from
them alone. So whether two groups of any size move as one costs the same: one 3x3 decomposition per instant.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from warpgs.bodies.motion import MOST_AT_ONCE, typical

COMPARED = 8
"""Instants, evenly spread, at which particles of one patch must be close together."""
NEWTON_STEPS = 40
"""Most steps to a root; where it is double, each halves the error."""
PAIRS_AT_ONCE = 4096
"""Pairs of groups that are compared together: bounds the memory."""


def cut(paths: np.ndarray, size: int) -> np.ndarray:
    """Patches of particles that are close together at all of several instants: halves of halves, across their length.

    Args:
        paths: Positions [m], shape [t, m, 3], m >= 1.
        size: Most particles of a patch.

    Returns:
        The patch of each particle, from 0, shape [m].
    """
    instants = np.unique(np.linspace(0, len(paths) - 1, COMPARED).astype(int))
    features = np.swapaxes(paths[instants], 0, 1).reshape(paths.shape[1], -1)
    patch, count, waiting = np.zeros(len(features), np.int64), 0, [np.arange(len(features))]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= size:
            patch[rows], count = count, count + 1
            continue
        centered = features[rows] - features[rows].mean(axis=0)
        along = centered @ np.linalg.eigh(centered.T @ centered)[1][:, -1]
        order, half = np.argsort(along, kind="stable"), len(rows) // 2
        waiting += [np.sort(rows[order[:half]]), np.sort(rows[order[half:]])]
    return patch


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the particles of each of g groups, at rest and at each of t instants."""

    count: np.ndarray
    """Particles, shape [g]."""
    rest: np.ndarray
    """Sum of positions at rest, shape [g, 3]."""
    rest_square: np.ndarray
    """Sum of squared lengths of the same, shape [g]."""
    at: np.ndarray
    """Sum of positions at each instant, shape [g, t, 3]."""
    at_square: np.ndarray
    """Sum of squared lengths of the same, shape [g, t]."""
    product: np.ndarray
    """Sum of outer products, position at the instant times position at rest, shape [g, t, 3, 3]."""

    @staticmethod
    def of(paths: np.ndarray, group: np.ndarray) -> Moments:
        """Those of particles that rest where the first instant has them.

        Args:
            paths: Positions [m], shape [1 + t, m, 3]; near the origin, so that differences keep their digits.
            group: The group of each particle, none empty, shape [m].
        """
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], np.arange(group.max() + 1))
        rest, ordered = paths[0, order], np.swapaxes(paths[1:, order], 0, 1)
        products = np.empty((len(starts), len(paths) - 1, 3, 3))
        for low, high in _blocks(starts, len(order), MOST_AT_ONCE // (9 * len(paths))):
            rows = slice(starts[low], starts[high] if high < len(starts) else len(order))
            outer = ordered[rows, :, :, None] * rest[rows, None, None, :]
            products[low:high] = np.add.reduceat(outer, starts[low:high] - starts[low], axis=0)
        return Moments(
            np.diff(starts, append=len(order)).astype(np.float64),
            np.add.reduceat(rest, starts, axis=0),
            np.add.reduceat((rest**2).sum(axis=1), starts),
            np.add.reduceat(ordered, starts, axis=0),
            np.add.reduceat((ordered**2).sum(axis=2), starts, axis=0),
            products,
        )

    def select(self, rows: np.ndarray) -> Moments:
        """Those of some groups."""
        return Moments(*(getattr(self, field.name)[rows] for field in fields(self)))

    def plus(self, other: Moments) -> Moments:
        """Those of the unions of groups, pair by pair."""
        names = [field.name for field in fields(self)]
        return Moments(*(getattr(self, name) + getattr(other, name) for name in names))

    def united(self, union: np.ndarray) -> Moments:
        """Those of unions of groups: ``union`` of each, none empty, shape [g]."""
        order = np.argsort(union, kind="stable")
        starts = np.searchsorted(union[order], np.arange(union.max() + 1))
        return Moments(*(np.add.reduceat(getattr(self, field.name)[order], starts, axis=0) for field in fields(self)))

    def squared_error(self) -> np.ndarray:
        """Least sum of squared distances [m^2] from a rigid motion, shape [g, t]."""
        count = self.count[:, None]
        covariance = self.product - self.at[..., :, None] * self.rest[:, None, None, :] / count[..., None, None]
        rest = self.rest_square - (self.rest**2).sum(axis=1) / self.count
        at = self.at_square - (self.at**2).sum(axis=2) / count
        most = 0.5 * (rest[:, None] + at)
        return 2.0 * np.maximum(most - _best_trace(covariance, most), 0.0)


def _best_trace(covariance: np.ndarray, most: np.ndarray) -> np.ndarray:
    """The largest trace of R^T covariance over all rotations R, shape [..., 3, 3] to [...], given upper bounds of it.

    It is the largest root of a quartic (Theobald 2005), which Newton's method reaches from above: a tenth of the time
    that singular values take.
    """
    square = np.swapaxes(covariance, -1, -2) @ covariance
    trace = np.einsum("...ii->...", square)
    # x^4 - 2 b x^2 - 8 c x + d, its coefficients scaled so that x is near 1
    scale = np.where(most > 0.0, most, 1.0)
    b = trace / scale**2
    c = _determinant(covariance / scale[..., None, None])
    d = 2.0 * np.einsum("...ij,...ij->...", square, square) / scale**4 - b**2
    x = np.where(most > 0.0, 1.0, 0.0)
    for _ in range(NEWTON_STEPS):
        slope = 4.0 * (x**3 - b * x - 2.0 * c)
        step = np.divide(((x**2 - 2.0 * b) * x - 8.0 * c) * x + d, slope, out=np.zeros_like(x), where=slope > 1e-12)
        x -= np.maximum(step, 0.0)
        if step.max(initial=0.0) < 1e-15:
            break
    return x * scale


def _determinant(m: np.ndarray) -> np.ndarray:
    return np.einsum("...i,...i->...", m[..., 0, :], np.cross(m[..., 1, :], m[..., 2, :]))


def grow(moments: Moments, pairs: np.ndarray, tolerance: float, quantile: float) -> np.ndarray:
    """Unite groups that move as one: the pairs that agree best first, each with what has grown so far.

    Args:
        moments: Of the g groups.
        pairs: Groups that are neighbors, shape [p, 2].
        tolerance: Most disagreement [m], see ``disagreement``.
        quantile: See ``disagreement``.

    Returns:
        The region of each group, from 0, shape [g].
    """
    region = np.arange(len(moments.count))
    error = moments.squared_error()
    pairs = _distinct(pairs)
    cost = disagreement(moments, error, pairs, quantile)
    while True:
        merged = _best_of_both(pairs, cost, tolerance, len(moments.count))
        if not len(merged):
            return region
        union = np.arange(len(moments.count))
        union[merged[:, 1]] = merged[:, 0]
        kept, union = np.unique(union, return_inverse=True)
        moments, region = moments.united(union), union[region]
        error = error[kept]
        changed = np.zeros(len(kept), bool)
        changed[union[merged[:, 0]]] = True
        error[changed] = moments.select(changed).squared_error()
        pairs, first = np.unique(np.sort(union[pairs], axis=1), axis=0, return_index=True)
        cost = cost[first]
        apart = pairs[:, 0] != pairs[:, 1]
        pairs, cost = pairs[apart], cost[apart]
        anew = changed[pairs].any(axis=1)
        cost[anew] = disagreement(moments, error, pairs[anew], quantile)


def disagreement(moments: Moments, error: np.ndarray, pairs: np.ndarray, quantile: float) -> np.ndarray:
    """How far [m] the motions of two groups are apart on their own particles, shape [p].

    It is what the common motion adds to the squared errors of both, as the distance that two motions would have that
    differ by a shift. Where one group is small it is how far, root mean square, the other's motion misses it.

    Args:
        moments: Of the g groups.
        error: Their ``squared_error``, shape [g, t].
        pairs: Groups, shape [p, 2].
        quantile: Share of instants with less.
    """
    result = np.empty(len(pairs))
    for low in range(0, len(pairs), PAIRS_AT_ONCE):
        a, b = pairs[low : low + PAIRS_AT_ONCE].T
        added = moments.select(a).plus(moments.select(b)).squared_error() - error[a] - error[b]
        square = np.maximum(added, 0.0) * (1.0 / moments.count[a] + 1.0 / moments.count[b])[:, None]
        result[low : low + PAIRS_AT_ONCE] = typical(np.sqrt(square), quantile, axis=1)
    return result


def _best_of_both(pairs: np.ndarray, cost: np.ndarray, tolerance: float, count: int) -> np.ndarray:
    """The pairs, the smaller index first, each of whose groups agrees with the other best of all, and well enough."""
    good = cost <= tolerance
    ends = np.concatenate([pairs[good], pairs[good][:, ::-1]])
    order = np.lexsort((ends[:, 1], np.tile(cost[good], 2), ends[:, 0]))
    groups, first = np.unique(ends[order, 0], return_index=True)
    best = np.full(count, -1)
    best[groups] = ends[order[first], 1]
    mutual = groups[(best[best[groups]] == groups) & (groups < best[groups])]
    return np.stack([mutual, best[mutual]], axis=1)


def _distinct(pairs: np.ndarray) -> np.ndarray:
    """Each pair of two different groups once, the smaller index first."""
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def _blocks(starts: np.ndarray, total: int, rows: int) -> list[tuple[int, int]]:
    """Ranges of whole groups of about ``rows`` particles each."""
    cuts = np.unique(np.searchsorted(starts, np.arange(0, total, max(1, rows))))
    cuts = np.unique(np.concatenate([[0], cuts, [len(starts)]]))
    return [(int(low), int(high)) for low, high in pairwise(cuts)]
