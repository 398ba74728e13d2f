"""Tracks cut up and put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from warpgs.checks import check_shape, refuse
from warpgs.retime import onto, rows
from warpgs.types import Tracks


def take(tracks: Tracks, chosen: np.ndarray) -> Tracks:
    """The chosen particles alone.

    Args:
        tracks: Of n particles.
        chosen: Mask, shape [n], bool; those of ``select.py`` combine by ``&``, ``|`` and ``~``.

    Raises:
        ValueError, TypeError: no mask of these particles, or one that chooses none.
    """
    check_chosen(tracks, chosen)
    if not chosen.any():
        refuse("chosen", "at least one particle", "none", "choose by something else, or at another instant")
    return rows(tracks, chosen)


def remove(tracks: Tracks, chosen: np.ndarray) -> Tracks:
    """All but the chosen particles; at least one has to remain."""
    check_chosen(tracks, chosen)
    if chosen.all():
        refuse("chosen", "not all particles", f"all {len(chosen)}", "an empty scene is no scene")
    return rows(tracks, ~chosen)


def join(parts: Sequence[Tracks]) -> Tracks:
    """The particles of all parts, one part after the other, those that are born later after all others.

    Cameras, their corrections and the source's frame are those of the first part. Where some have harmonics of a lower
    degree or none, zeros fill up. A part without judgments counts as certain and seen where it stands still; where it
    moves, nobody is judged. Of different tolerances the largest stands, for which all confidences hold.

    Args:
        parts: On one timeline (``warpgs.retime.onto``); what the first says of it holds.

    Raises:
        ValueError: nothing to join, or different timelines.
    """
    joined = _joined(parts)
    if joined.birth is None or (np.diff(joined.birth) >= 0).all():
        return joined
    return rows(joined, np.argsort(joined.birth, kind="stable"))


def insert(tracks: Tracks, other: Tracks, *, start: float = 0.0, where: np.ndarray | None = None) -> Tracks:
    """Other tracks put among these, with seconds meaning the same in both; see ``join`` for what becomes of the rest.

    Place and size ``other`` first (``transform``): both are taken to be in one frame and unit.

    Args:
        tracks: Of n particles; their timesteps and frame rate stay.
        other: m particles, of any timesteps: a run, a file, a scan of one instant.
        start: Instant of ``tracks``, an index, at which ``other`` appears with its first; see ``warpgs.retime.onto``.
        where: Which particles of the result are those of ``other``, shape [n + m], bool: puts back in place what
            ``take`` took with the same mask and ``remove`` removed. They come last when None.

    Raises:
        ValueError: a start beyond the tracks, a mask that does not fit.
    """
    added = onto(other, tracks, start)
    if where is None:
        return join([tracks, added])
    count = len(tracks.foreground) + len(added.foreground)
    if where.dtype != np.bool_ or where.shape != (count,) or where.sum() != len(added.foreground):
        got = f"{where.dtype} of shape {list(where.shape)}, {int(np.count_nonzero(where))} of them"
        refuse("where", f"a mask of {len(added.foreground)} among {count} particles", got)
    order = np.argsort(np.concatenate([np.flatnonzero(~where), np.flatnonzero(where)]))
    joined = rows(_joined([tracks, added]), order)
    if joined.birth is not None and (np.diff(joined.birth) < 0).any():
        refuse("where", "places in the order of births", "one before something older", "leave it out")
    return joined


def only(tracks: Tracks, chosen: np.ndarray, change: Callable[[Tracks], Tracks]) -> Tracks:
    """The same with the chosen particles changed, in place where ``change`` keeps their number and births.

    Args:
        tracks: Of n particles.
        chosen: Mask, shape [n], bool.
        change: Any of the functions of this room, its other arguments bound.
    """
    changed = change(take(tracks, chosen))
    if chosen.all():
        return changed
    rest = remove(tracks, chosen)
    same = len(changed.foreground) == chosen.sum() and np.array_equal(_births(changed), _births(tracks)[chosen])
    return insert(rest, changed, where=chosen) if same else insert(rest, changed)


def replace_background(tracks: Tracks, other: Tracks) -> Tracks:
    """The foreground of some tracks in the surroundings of others, all of which count as background."""
    surroundings = replace(onto(other, tracks), foreground=np.zeros_like(other.foreground))
    return join([take(tracks, tracks.foreground >= 0.5), surroundings])


def check_chosen(tracks: Tracks, chosen: np.ndarray) -> None:
    """Refuse what is no mask of the particles."""
    if chosen.dtype != np.bool_:
        raise TypeError(f"chosen: expected a mask of bool, got {chosen.dtype}")
    check_shape("chosen", chosen, tracks.foreground.shape)


def _births(tracks: Tracks) -> np.ndarray:
    return np.zeros(len(tracks.foreground), np.int32) if tracks.birth is None else tracks.birth


def _joined(parts: Sequence[Tracks]) -> Tracks:
    """As ``join``, in no order of births."""
    if not parts:
        refuse("join", "at least one part", "none")
    first = parts[0]
    for i, part in enumerate(parts):
        if len(part) != len(first):
            remedy = "bring it onto the timeline of the first with warpgs.retime.onto"
            refuse(f"join: part {i}", f"{len(first)} timesteps", len(part), remedy)
    constant = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("log_scales", "colors", "opacity_logits", "foreground")
    }
    over_time = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("means", "rotations_wxyz")
    }
    known = any(part.birth is not None for part in parts)
    return replace(
        first,
        **constant,
        **over_time,
        **_judgments(parts),
        harmonics=_harmonics(parts),
        birth=np.concatenate([_births(part) for part in parts]) if known else None,
    )


def _harmonics(parts: Sequence[Tracks]) -> np.ndarray | None:
    """Of all parts, at the highest degree of any."""
    degree = max(0 if part.harmonics is None else part.harmonics.shape[1] for part in parts)
    if not degree:
        return None
    padded = np.zeros((sum(len(part.foreground) for part in parts), degree, 3), np.float32)
    begin = 0
    for part in parts:
        if part.harmonics is not None:
            padded[begin : begin + len(part.foreground), : part.harmonics.shape[1]] = part.harmonics
        begin += len(part.foreground)
    return padded


def _judgments(parts: Sequence[Tracks]) -> dict:
    """Confidence, visibility and tolerance of all parts."""
    nobody = {"confidence": None, "visibility": None, "tolerance": None}
    tolerances = [part.tolerance for part in parts if part.tolerance is not None]
    if all(part.confidence is None for part in parts):
        return nobody
    for part in parts:
        if part.confidence is None and not (part.means == part.means[:1]).all():
            return nobody
    shares = {
        name: np.concatenate(
            [
                np.ones(part.means.shape[:2], np.float32) if getattr(part, name) is None else getattr(part, name)
                for part in parts
            ],
            axis=1,
        )
        for name in ("confidence", "visibility")
    }
    return {**shares, "tolerance": max(tolerances, default=None)}
