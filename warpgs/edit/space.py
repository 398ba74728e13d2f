"""Tracks moved in space: once for all, or by a motion over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline, Slerp

from warpgs.checks import check_finite, check_shape, refuse
from warpgs.math.rigid import steady_quaternions
from warpgs.query.geometry import multiply
from warpgs.similarity import Similarity
from warpgs.types import Tracks


def transform(tracks: Tracks, new_from_old: Similarity) -> Tracks:
    """Tracks moved, turned and scaled as a whole, with their harmonics; the world's frame and the cameras stay."""
    first = new_from_old.gaussians(tracks.all_at(0))
    return replace(
        tracks,
        means=new_from_old.points(tracks.means).astype(np.float32),
        rotations_wxyz=new_from_old.rotations_wxyz(tracks.rotations_wxyz).astype(np.float32),
        log_scales=first.log_scales,
        harmonics=first.harmonics,
        tolerance=None if tracks.tolerance is None else new_from_old.scale * tracks.tolerance,
    )


def placing(
    translate: Sequence[float] = (0.0, 0.0, 0.0),
    rotate_deg: Sequence[float] = (0.0, 0.0, 0.0),
    scale: float = 1.0,
    about: Sequence[float] = (0.0, 0.0, 0.0),
) -> Similarity:
    """Scale and turn about a point, then move.

    Args:
        translate: How far [m].
        rotate_deg: Angles [degrees] about the world's x, then y, then z axis.
        scale: Factor of all lengths.
        about: The point that scaling and turning leave where it is [m].
    """
    if not 0.0 < scale < float("inf"):
        refuse("scale", "a number above 0", scale)
    rotation = Rotation.from_euler("xyz", np.asarray(rotate_deg, np.float64), degrees=True).as_matrix()
    pivot = np.asarray(about, np.float64)
    return Similarity(scale, rotation, pivot + np.asarray(translate, np.float64) - scale * rotation @ pivot)


def center(tracks: Tracks, at: int = 0) -> np.ndarray:
    """Middle [m] of the box around the particles that exist at an instant, shape [3], float64."""
    means = tracks.at(at).means.astype(np.float64)
    if not len(means):
        refuse("center", "an instant at which something exists", at)
    return 0.5 * (means.min(axis=0) + means.max(axis=0))


def carry(tracks: Tracks, motions: np.ndarray) -> Tracks:
    """Tracks moved further at every instant by a rigid motion of that instant.

    Harmonics and births stay as they are; what waits for its birth waits where it will appear.

    Args:
        tracks: Of t instants.
        motions: Rigid transforms of the world [m], shape [t, 4, 4].
    """
    check_shape("motions", motions, (len(tracks), 4, 4))
    check_finite("motions", motions)
    motions = np.asarray(motions, np.float64)
    turns = np.roll(steady_quaternions(motions[:, :3, :3]), 1, axis=1)
    means = np.einsum("tij,tnj->tni", motions[:, :3, :3], tracks.means.astype(np.float64)) + motions[:, None, :3, 3]
    rotations = multiply(np.broadcast_to(turns[:, None], tracks.rotations_wxyz.shape), tracks.rotations_wxyz)
    moved = {"means": means.astype(np.float32), "rotations_wxyz": rotations.astype(np.float32)}
    if tracks.birth is not None:
        waiting = (np.arange(len(tracks))[:, None] < tracks.birth)[..., None]
        rows = np.arange(len(tracks.birth))
        moved = {name: np.where(waiting, array[tracks.birth, rows], array) for name, array in moved.items()}
    return replace(tracks, **moved)


def still(tracks: Tracks, at: int) -> Tracks:
    """Tracks that keep for ever the poses they have at an instant: their shape then, to be moved by hand.

    Nobody has to judge where they are, so they are certain and seen.
    """
    held = {
        name: np.repeat(getattr(tracks, name)[at][None], len(tracks), axis=0) for name in ("means", "rotations_wxyz")
    }
    judged = tracks.confidence is not None
    sure = np.ones(tracks.means.shape[:2], np.float32) if judged else None
    return replace(tracks, **held, confidence=sure, visibility=sure)


def attach(tracks: Tracks, world_from_part: np.ndarray, at: int = 0) -> Tracks:
    """Tracks that ride on a moving part: their shape at an instant, from then on and before rigid with the part.

    Args:
        tracks: What rides; it is placed as it should be at the instant ``at``.
        world_from_part: Poses of what it rides on, shape [t, 4, 4], such as those of ``warpgs.bodies.Parts``.
        at: Index of the instant.
    """
    check_shape("world_from_part", world_from_part, (len(tracks), 4, 4))
    return carry(still(tracks, at), world_from_part @ np.linalg.inv(world_from_part[at]))


def along(
    tracks: Tracks,
    instants: Sequence[float],
    positions: np.ndarray,
    rotations: Rotation | None = None,
    *,
    at: int = 0,
    smooth: bool = False,
) -> Tracks:
    """Tracks whose trajectory is made by hand: their shape at an instant, moved rigidly through keyframes.

    Before the first keyframe and after the last they rest.

    Args:
        tracks: Of t instants.
        instants: Of the k keyframes, rising, indices that may lie between two instants.
        positions: Where the ``center`` is [m], shape [k, 3].
        rotations: Since the instant ``at``, k of them; none when None.
        at: Index of the instant whose shape is kept.
        smooth: Cubic splines with continuous acceleration, resting at both ends, rather than straight lines and arcs.
    """
    times = np.asarray(instants, np.float64)
    positions = np.asarray(positions, np.float64)
    check_shape("keyframes: instants", times, (None,))
    check_shape("keyframes: positions", positions, (len(times), 3))
    check_finite("keyframes: positions", positions)
    if len(times) == 0 or not (np.diff(times) > 0.0).all() or not np.isfinite(times).all():
        refuse("keyframes: instants", "at least one, rising", times.tolist())
    rotations = Rotation.identity(len(times)) if rotations is None else rotations
    if len(rotations) != len(times):
        refuse("keyframes: rotations", f"{len(times)}, one per keyframe", len(rotations))
    asked = np.clip(np.arange(len(tracks)), times[0], times[-1])
    places, turns = _through(times, positions, rotations, asked, smooth)
    motions = np.tile(np.eye(4), (len(tracks), 1, 1))
    motions[:, :3, :3] = turns.as_matrix()
    motions[:, :3, 3] = places - motions[:, :3, :3] @ center(tracks, at)
    return carry(still(tracks, at), motions)


def _through(
    times: np.ndarray, positions: np.ndarray, rotations: Rotation, asked: np.ndarray, smooth: bool
) -> tuple[np.ndarray, Rotation]:
    """Positions [t, 3] and rotations between keyframes."""
    if len(times) == 1:
        return np.repeat(positions, len(asked), axis=0), Rotation.concatenate([rotations] * len(asked))
    if smooth:
        return CubicSpline(times, positions, bc_type="clamped")(asked), RotationSpline(times, rotations)(asked)
    places = np.stack([np.interp(asked, times, column) for column in positions.T], axis=1)
    return places, Slerp(times, rotations)(asked)
