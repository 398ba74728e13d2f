"""Errors of tracks to figures. NumPy, float64.

The first instant is left out of every figure, because the error there is zero by construction. No track is ever
dropped: one that cannot be followed has infinite errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

THRESHOLDS_M = (0.01, 0.02, 0.04, 0.08, 0.16)
SURVIVAL_M = 0.5
THRESHOLDS_PX = (1.0, 2.0, 4.0, 8.0, 16.0)
SURVIVAL_PX = 50.0


@dataclass(frozen=True)
class TrackScore:
    """Figures of a set of tracks; NaN where a figure has nothing to count."""

    count: int
    """Tracks counted."""
    unassigned: int
    """Tracks whose query lies beyond 3 sigma of every particle; the most influential one carries them all the same."""
    mte_mean: float
    """Mean over tracks of each track's median distance over time [m, or px of 256]."""
    mte_median: float
    """Median over all (track, instant) [m, or px of 256]."""
    delta: float
    """Mean over the five thresholds of the share of (track, instant) within, 0..1."""
    survival: float
    """Mean share of instants until the error first exceeds 50 cm (or 50 px), 0..1."""
    rotation_mean_deg: float
    """Mean over tracks of each track's median rotation error [deg]; NaN in pictures."""
    rotation_median_deg: float
    """Median rotation error over all (track, instant) [deg]; NaN in pictures."""
    jaccard: float
    """Average Jaccard as TAP-Vid defines it, 0..1: mean over the five thresholds of TP / (TP + FP + FN) over all
    (track, instant). True positive: visible, called visible, and within. False positive: called visible, but hidden or
    beyond. False negative: visible, but called hidden or beyond. 1 where nothing is visible nor called so; NaN in
    space."""
    occlusion_accuracy: float
    """Share of (track, instant) rightly called visible or hidden, 0..1; NaN in space."""


@dataclass(frozen=True, eq=False)
class TrackErrors:
    """Distance and rotation error of every track at every instant after the first."""

    distance: np.ndarray
    """Infinite where a picture shows no surface to lift the query to or the track is behind the camera, NaN where the
    truth is hidden; shape [t - 1, m]."""
    rotation_deg: np.ndarray | None
    """Geodesic angle [deg], shape [t - 1, m]; None in pictures."""
    assigned: np.ndarray
    """True where the query lies within 3 sigma of a particle, shape [m], bool."""
    track: np.ndarray
    """The true track that each one should follow, shape [m]."""
    called_visible: np.ndarray | None
    """Whether the run says that the camera sees the track, shape [t - 1, m], bool; None in space."""

    def select(self, chosen: np.ndarray) -> TrackErrors:
        """The same for the tracks marked in ``chosen``, shape [m], bool."""
        return TrackErrors(
            self.distance[:, chosen],
            None if self.rotation_deg is None else self.rotation_deg[:, chosen],
            self.assigned[chosen],
            self.track[chosen],
            None if self.called_visible is None else self.called_visible[:, chosen],
        )

    def at(self, row: int) -> TrackErrors:
        """The same for one instant, by its row in ``distance``."""
        rows = slice(row, row + 1)
        return TrackErrors(
            self.distance[rows],
            None if self.rotation_deg is None else self.rotation_deg[rows],
            self.assigned,
            self.track,
            None if self.called_visible is None else self.called_visible[rows],
        )


def score(errors: Sequence[TrackErrors], thresholds: Sequence[float], lost_beyond: float) -> TrackScore:
    """Figures over all tracks of several sets of the same instants (one per picture, or a single one in space).

    Args:
        errors: Sets of tracks.
        thresholds: Distances of ``delta`` and ``jaccard`` [m, or px of 256].
        lost_beyond: Distance at which a track counts as lost [m, or px of 256].
    """
    distance = np.concatenate([part.distance for part in errors], axis=1) if errors else np.empty((0, 0))
    turns = [part.rotation_deg for part in errors if part.rotation_deg is not None]
    rotation = np.concatenate(turns, axis=1) if turns else np.empty((0, 0))
    called = [part.called_visible for part in errors if part.called_visible is not None]
    jaccard, occlusion_accuracy = (
        _tap(distance, np.concatenate(called, axis=1), thresholds) if called else (float("nan"), float("nan"))
    )
    known = ~np.isnan(distance)
    everything = distance[known]
    return TrackScore(
        count=distance.shape[1] if errors else 0,
        unassigned=sum(int((~part.assigned).sum()) for part in errors),
        mte_mean=_mean(_column_medians(distance)),
        mte_median=_median(everything),
        delta=_mean([_mean(everything <= threshold) for threshold in thresholds]),
        survival=_mean(_survival(distance, known, lost_beyond)),
        rotation_mean_deg=_mean(_column_medians(rotation)),
        rotation_median_deg=_median(rotation),
        jaccard=jaccard,
        occlusion_accuracy=occlusion_accuracy,
    )


def score_over_time(
    errors: Sequence[TrackErrors], thresholds: Sequence[float], lost_beyond: float
) -> tuple[TrackScore, ...]:
    """The figures of every instant after the first on its own; ``survival`` is then the share of tracks not lost there.

    See ``score`` for the arguments.
    """
    rows = len(errors[0].distance) if errors else 0
    return tuple(score([part.at(row) for part in errors], thresholds, lost_beyond) for row in range(rows))


def _tap(distance: np.ndarray, called_visible: np.ndarray, thresholds: Sequence[float]) -> tuple[float, float]:
    """Average Jaccard and occlusion accuracy; see TrackScore."""
    if not distance.size:
        return float("nan"), float("nan")
    visible = ~np.isnan(distance)
    jaccards = []
    for threshold in thresholds:
        hit = called_visible & (distance <= threshold)  # NaN, where the truth is hidden, is no hit
        # Every visible track is a true positive or a false negative.
        union = visible.sum() + (called_visible & ~hit).sum()
        jaccards.append(hit.sum() / union if union else 1.0)
    return _mean(jaccards), _mean(visible == called_visible)


def _survival(distance: np.ndarray, known: np.ndarray, lost_beyond: float) -> np.ndarray:
    """Of each track with a known instant, the share of known instants before it is first lost."""
    counted = known.any(axis=0)
    lost_by_then = np.logical_or.accumulate(distance[:, counted] > lost_beyond, axis=0)
    alive = known[:, counted] & ~lost_by_then
    return alive.sum(axis=0) / known[:, counted].sum(axis=0)


def _column_medians(values: np.ndarray) -> np.ndarray:
    """Median over the numbers of each column that has one."""
    counted = (~np.isnan(values)).any(axis=0)
    return np.nanmedian(values[:, counted], axis=0) if counted.any() else np.empty(0)


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if np.size(values) else float("nan")


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size else float("nan")
