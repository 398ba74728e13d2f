"""Tracks at other instants: sampled anywhere in their time, brought onto the timeline of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from warpgs.checks import check_finite, check_shape, refuse
from warpgs.types import Tracks

WHOLE = 1e-6
"""Instants this close to a stored one are that one, bit for bit."""
NEARLY_EQUAL = 0.9995
"""Cosine of half the angle between rotations from which on a straight line is as good as an arc."""

OVER_TIME = ("means", "rotations_wxyz", "confidence", "visibility")
"""Arrays of Tracks of shape [t, n, ...]."""
PER_PARTICLE = ("log_scales", "colors", "opacity_logits", "foreground", "harmonics", "birth")
"""Arrays of Tracks of shape [n, ...]."""


def rows(tracks: Tracks, index: np.ndarray) -> Tracks:
    """Some particles of tracks, in the order of ``index``, or where a mask [n] says."""
    over_time = {name: getattr(tracks, name) for name in OVER_TIME}
    constant = {name: getattr(tracks, name) for name in PER_PARTICLE}
    chosen = {name: array[:, index] for name, array in over_time.items() if array is not None}
    return replace(tracks, **chosen, **{name: array[index] for name, array in constant.items() if array is not None})


def sampled(tracks: Tracks, instants: np.ndarray, timesteps: Sequence[int] | None = None) -> Tracks:
    """Tracks whose k-th instant is what these are at ``instants[k]``.

    Between stored instants centers and shares are blended and rotations slerped. What is not born at any of the
    instants is left out; the rest exists from the first on at which it does (particles that vanish are not known to
    Tracks: played backward, what entered late stays, waiting at the pose of its birth).

    Args:
        tracks: Of t instants.
        instants: Indices into ``tracks.timesteps`` that may lie between two, 0..t-1, shape [k].
        timesteps: Of the result, k of them; when None those of ``tracks``, as many as are needed, going on as they end.

    Raises:
        ValueError: instants beyond the tracks, or none.
    """
    instants = np.asarray(instants, np.float64)
    check_shape("instants", instants, (None,))
    check_finite("instants", instants)
    if not (len(instants) and -WHOLE <= instants.min() and instants.max() <= len(tracks) - 1 + WHOLE):
        span = f"{instants.min():g} to {instants.max():g}" if len(instants) else "none"
        refuse("instants", f"some from 0 to {len(tracks) - 1}", span)
    near = np.rint(instants)
    instants = np.where(np.abs(instants - near) <= WHOLE, near, instants)
    low = np.floor(instants).astype(int)
    share = (instants - low).astype(np.float32)
    high = np.minimum(low + 1, len(tracks) - 1)
    arrays = {name: _blended(getattr(tracks, name), low, high, share) for name in OVER_TIME if name != "rotations_wxyz"}
    arrays["rotations_wxyz"] = np.stack(
        [slerp(tracks.rotations_wxyz[a], tracks.rotations_wxyz[b], s) for a, b, s in zip(low, high, share, strict=True)]
    )
    new = replace(tracks, **arrays, timesteps=tuple(timesteps or extended(tracks.timesteps, len(instants))))
    return new if tracks.birth is None else _born(new, instants[:, None] >= tracks.birth)


def slerp(a_wxyz: np.ndarray, b_wxyz: np.ndarray, share: float) -> np.ndarray:
    """Rotations on the shortest arcs from a to b (Shoemake 1985), shape [..., 4]; a itself at share 0, b at 1."""
    if share in (0.0, 1.0):
        return a_wxyz if share == 0.0 else b_wxyz
    a, b = a_wxyz.astype(np.float64), b_wxyz.astype(np.float64)
    cosine = np.sum(a * b, axis=-1, keepdims=True)
    b, cosine = np.where(cosine < 0.0, -b, b), np.minimum(np.abs(cosine), 1.0)
    angle = np.arccos(cosine)
    straight = cosine > NEARLY_EQUAL
    sine = np.where(straight, 1.0, np.sin(angle))
    from_a = np.where(straight, 1.0 - share, np.sin((1.0 - share) * angle) / sine)
    from_b = np.where(straight, share, np.sin(share * angle) / sine)
    blended = from_a * a + from_b * b
    return (blended / np.linalg.norm(blended, axis=-1, keepdims=True)).astype(a_wxyz.dtype)


def onto(tracks: Tracks, timeline: Tracks, start: float = 0.0) -> Tracks:
    """Tracks at the instants of others: the same seconds after their own first instant, which is put at the instant
    ``start`` of ``timeline``. Before, they do not exist; after their last instant they stay as they are.

    Args:
        tracks: Of any timesteps and frame rate. Of one instant alone: what stands still.
        timeline: Gives timesteps and frame rate.
        start: Index into ``timeline.timesteps``, perhaps between two.

    Returns:
        Tracks of as many instants as ``timeline`` has.
    """
    if not 0.0 <= start <= len(timeline) - 1:
        refuse("start", f"an instant of the timeline, 0 to {len(timeline) - 1}", start)
    time_s, own_s = seconds(timeline), seconds(tracks)
    since = time_s - np.interp(start, np.arange(len(timeline)), time_s)
    instants = np.interp(since, own_s, np.arange(len(tracks)))
    new = replace(sampled(tracks, instants, timeline.timesteps), fps=timeline.fps)
    late = since < -WHOLE / timeline.fps
    if not late.any():
        return new
    birth = np.zeros(len(new.foreground), np.int32) if new.birth is None else new.birth
    return _born(new, ~late[:, None] & (np.arange(len(new))[:, None] >= birth))


def seconds(tracks: Tracks) -> np.ndarray:
    """Time of each instant since the first [s], shape [t]."""
    return (np.array(tracks.timesteps) - tracks.timesteps[0]) / tracks.fps


def extended(timesteps: Sequence[int], count: int) -> tuple[int, ...]:
    """The first ``count`` of some timesteps, which go on by their last stride where there are fewer."""
    stride = timesteps[-1] - timesteps[-2] if len(timesteps) > 1 else 1
    more = (timesteps[-1] + stride * i for i in range(1, count - len(timesteps) + 1))
    return (*timesteps[:count], *more)


def _blended(array: np.ndarray | None, low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray | None:
    """Between instants, shape [t, n, ...] to [k, n, ...]."""
    if array is None:
        return None
    result = array[low]
    for i in np.flatnonzero(share):
        result[i] += share[i] * (array[high[i]] - result[i])
    return result


def _born(tracks: Tracks, exists: np.ndarray) -> Tracks:
    """The same where particles are born at the first instant at which they exist, shape [t, n], bool; sorted."""
    birth = np.where(exists.any(axis=0), exists.argmax(axis=0), len(tracks)).astype(np.int32)
    order = np.argsort(birth, kind="stable")
    order = order[birth[order] < len(tracks)]
    if not len(order):
        refuse("instants", "some at which anything exists", "none", "choose later ones")
    held = rows(replace(tracks, birth=birth), order)
    waiting = np.arange(len(tracks))[:, None] < held.birth
    arrays = {}
    for name in ("means", "rotations_wxyz"):
        array = getattr(held, name)
        at_birth = array[held.birth, np.arange(len(order))]
        arrays[name] = np.where(waiting[..., None], at_birth, array)
    for name in ("confidence", "visibility"):
        array = getattr(held, name)
        arrays[name] = None if array is None else np.where(waiting, np.float32(1.0), array)
    return replace(held, **arrays)
