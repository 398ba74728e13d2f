"""Whether tracks can be trusted as far as the run says: confidence against the truth. NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EDGES = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0)
"""Bounds of the bins of confidence: narrow where most of it is."""
LOST_BELOW = 0.5
"""A track of less confidence is called lost."""
SURE_FROM = 0.9
"""A track of at least this confidence is called sure."""


@dataclass(frozen=True)
class Reliability:
    """Confidence of all (track, instant) but those of the first instant, and what became of it.

    Bins without any have NaN.
    """

    tolerance_m: float
    """A track is right within this distance of the truth, and lost beyond [m]."""
    shares: tuple[float, ...]
    """Share of all in each bin of EDGES, 0..1."""
    expected: tuple[float, ...]
    """Mean confidence in each bin, 0..1."""
    observed: tuple[float, ...]
    """Share of those in each bin that are right, 0..1."""
    error: float
    """Expected calibration error: mean over all of the gap between the two in their bin, 0..1."""
    sure: float
    """Share called sure, 0..1."""
    sure_right: float
    """Share of those that are right, 0..1."""
    called_lost: float
    """Share called lost, 0..1."""
    lost: float
    """Share that is lost, 0..1."""


def reliability(confidence: np.ndarray, distance: np.ndarray, tolerance_m: float) -> Reliability:
    """Compare.

    Args:
        confidence: What the run says, 0..1, any shape.
        distance: From the truth [m], the same shape.
        tolerance_m: The distance that confidence speaks of [m].
    """
    called, right = confidence.ravel().astype(np.float64), distance.ravel() <= tolerance_m
    bins = np.clip(np.searchsorted(EDGES, called, side="right") - 1, 0, len(EDGES) - 2)
    members = [bins == i for i in range(len(EDGES) - 1)]
    shares = [_mean(each) for each in members]
    expected, observed = ([_mean(values[each]) for each in members] for values in (called, right))
    gaps = np.abs(np.subtract(expected, observed))
    return Reliability(
        tolerance_m=tolerance_m,
        shares=tuple(shares),
        expected=tuple(expected),
        observed=tuple(observed),
        error=float(np.nansum(shares * gaps)) if called.size else float("nan"),
        sure=_mean(called >= SURE_FROM),
        sure_right=_mean(right[called >= SURE_FROM]),
        called_lost=_mean(called < LOST_BELOW),
        lost=_mean(~right),
    )


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if values.size else float("nan")
