"""Tracks moved in time. All but ``lengthen`` keep the timesteps: what is played faster ends early and stays as it is.

Instants are indices into ``Tracks.timesteps``, and may lie between two: poses are interpolated, see ``warpgs.retime``,
where it is also said what becomes of births.
"""

from __future__ import annotations

import numpy as np

from warpgs.checks import refuse
from warpgs.retime import extended, sampled
from warpgs.types import Tracks


def shift(tracks: Tracks, by: float) -> Tracks:
    """Later by ``by`` instants, earlier where negative; the ends stay as they are."""
    return sampled(tracks, _clipped(tracks, _instants(tracks) - by))


def stretch(tracks: Tracks, factor: float, around: float = 0.0) -> Tracks:
    """``factor`` times as slow; the instant ``around`` stays where it is."""
    if not 0.0 < factor < float("inf"):
        refuse("factor", "a number above 0", factor)
    return sampled(tracks, _clipped(tracks, around + (_instants(tracks) - around) / factor))


def loop(tracks: Tracks, start: int, stop: int, *, back: bool = False) -> Tracks:
    """From the instant ``stop`` on, what was from ``start`` on, again and again; ``back``: to and fro."""
    if not 0 <= start < stop <= len(tracks):
        refuse("loop", f"0 <= start < stop <= {len(tracks)}", f"{start} and {stop}")
    instants, length = _instants(tracks), stop - start
    if back:
        period = max(1, 2 * (length - 1))
        turn = (instants - start) % period
        looped = start + np.minimum(turn, period - turn)
    else:
        looped = start + (instants - start) % length
    return sampled(tracks, np.where(instants < stop, instants, looped))


def reverse(tracks: Tracks) -> Tracks:
    """Played backward."""
    return sampled(tracks, _instants(tracks)[::-1])


def freeze(tracks: Tracks, at: float) -> Tracks:
    """As they are until the instant ``at``; from then on they stay."""
    return sampled(tracks, np.minimum(_instants(tracks), _within(tracks, at)))


def hold(tracks: Tracks, at: float) -> Tracks:
    """As they are at the instant ``at``, always."""
    return sampled(tracks, np.full(len(tracks), _within(tracks, at)))


def lengthen(tracks: Tracks, count: int) -> Tracks:
    """``count`` instants: the first of them, or more in which nothing moves."""
    if count < 1:
        refuse("count", "at least one instant", count)
    return sampled(tracks, np.minimum(np.arange(count), len(tracks) - 1), extended(tracks.timesteps, count))


def _instants(tracks: Tracks) -> np.ndarray:
    return np.arange(len(tracks), dtype=np.float64)


def _clipped(tracks: Tracks, instants: np.ndarray) -> np.ndarray:
    return np.clip(instants, 0.0, len(tracks) - 1)


def _within(tracks: Tracks, at: float) -> float:
    """Refuse an instant that there is not."""
    if not 0.0 <= at <= len(tracks) - 1:
        refuse("at", f"an instant, 0 to {len(tracks) - 1}", at)
    return at
