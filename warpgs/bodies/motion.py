"""Rigid motions of groups of points through many instants at once. NumPy, float64.

A motion is a transform from a group's rest, where its points were at one instant, to every instant: world_from_rest.
"""

from __future__ import annotations

import numpy as np

ROBUST_STEPS = 6
"""Reweighted fits of one motion: the last changes nothing a track could show, with up to a third of outliers."""
OUTLYING = 2.5
"""Median distances at which a point's weight has fallen to a quarter."""
MOST_AT_ONCE = 1 << 20
"""Points times instants that are worked on together: bounds the memory."""


def nearest_rotations(covariances: np.ndarray) -> np.ndarray:
    """The rotations R, never reflections, that maximize tr(R^T covariance), shape [..., 3, 3] to [..., 3, 3]."""
    u, _, vt = np.linalg.svd(covariances)
    handed = np.ones(u.shape[:-1])
    handed[..., 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    return (u * handed[..., None, :]) @ vt


def fit_motions(rest: np.ndarray, points: np.ndarray, weights: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """The motions with least squared error (Kabsch 1976).

    Args:
        rest: Positions at rest [m], shape [m, 3].
        points: Positions at every instant [m], shape [t, m, 3].
        weights: Of each point's squared error, >= 0, their sum positive at every instant, shape [t, m].
        turns: What else speaks for a rotation, as a covariance of positions would [m^2 x weight], shape [t, 3, 3].

    Returns:
        world_from_rest, shape [t, 4, 4].
    """
    total = weights.sum(axis=1)[:, None]
    center_rest, center = weights @ rest / total, np.einsum("tm,tmi->ti", weights, points) / total
    weighted = (points - center[:, None]) * weights[..., None]
    rotations = nearest_rotations(np.swapaxes(weighted, 1, 2) @ rest + turns)
    motions = np.tile(np.eye(4), (len(points), 1, 1))
    motions[:, :3, :3] = rotations
    motions[:, :3, 3] = center - np.einsum("tij,tj->ti", rotations, center_rest)
    return motions


def fit_motions_robustly(rest: np.ndarray, points: np.ndarray, weights: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """As ``fit_motions``, but points that the motion of most misses lose their weight (Geman and McClure 1985), at
    every instant by itself."""
    motions = np.empty((len(points), 4, 4))
    step = max(1, MOST_AT_ONCE // max(1, len(rest)))
    for low in range(0, len(points), step):
        part = slice(low, low + step)
        trust = weights[part]
        for _ in range(ROBUST_STEPS):
            motions[part] = fit_motions(rest, points[part], trust, turns[part])
            distance = np.linalg.norm(carry(motions[part], rest) - points[part], axis=2)
            scale = OUTLYING * np.nanmedian(np.where(weights[part] > 0.0, distance, np.nan), axis=1, keepdims=True)
            # A perfect fit leaves nothing to weigh by.
            trust = weights[part] / (1.0 + (distance / np.maximum(scale, 1e-12)) ** 2) ** 2
    return motions


def fit_generations(paths: np.ndarray, birth: np.ndarray, weights: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """The robust motion of one body whose points come one after the other: rest is where its first instant has those
    that are there, and where the motion so far puts those that come later.

    Args:
        paths: Positions [m], shape [t, m, 3].
        birth: The first instant of each point, shape [m], their least being 0.
        weights: Of each point's squared error, > 0, shape [t, m]; before its birth it has none.
        turns: See ``fit_motions``, shape [t, 3, 3].

    Returns:
        world_from_rest, shape [t, 4, 4], the first the identity.
    """
    motions = np.tile(np.eye(4), (len(paths), 1, 1))
    present = weights * (np.arange(len(paths))[:, None] >= birth)
    rest = np.zeros(paths.shape[1:])
    for instant in np.unique(birth):
        new, known = birth == instant, birth <= instant
        rest[new] = carry(invert(motions[instant : instant + 1]), paths[instant, new])[0]
        motions[1:] = fit_motions_robustly(rest[known], paths[1:, known], present[1:, known], turns[1:])
    return motions


def distances(paths: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """How far points are from where a motion carries them from where the first instant has them, at each later instant.

    Args:
        paths: Positions [m], shape [t, m, 3].
        motions: world_from_rest at the same instants, whatever rest is, shape [t, 4, 4].

    Returns:
        Distances [m], shape [t - 1, m].
    """
    rest = carry(invert(motions[:1]), paths[0])[0]
    return np.linalg.norm(carry(motions[1:], rest) - paths[1:], axis=2)


def typical(values: np.ndarray, quantile: float, axis: int) -> np.ndarray:
    """A quantile over instants; 0 where there are none."""
    return np.quantile(values, quantile, axis=axis) if values.shape[axis] else values.sum(axis=axis)


def carry(motions: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points moved by every one of some motions: shapes [t, 4, 4] and [m, 3] to [t, m, 3]."""
    return points @ np.swapaxes(motions[:, :3, :3], 1, 2) + motions[:, None, :3, 3]


def invert(motions: np.ndarray) -> np.ndarray:
    """The inverse rigid transforms, shape [..., 4, 4]."""
    inverse = np.array(motions)
    inverse[..., :3, :3] = np.swapaxes(motions[..., :3, :3], -1, -2)
    inverse[..., :3, 3] = -np.einsum("...ij,...j->...i", inverse[..., :3, :3], motions[..., :3, 3])
    return inverse
