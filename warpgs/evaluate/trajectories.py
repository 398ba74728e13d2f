"""How well particles follow points whose true motion is known, in space and in pictures. NumPy, float64.

A query point belongs, at the first tracked instant, to the particle with the largest influence on it there,
``sigmoid(o) exp(-d^2 / 2)`` with d the Mahalanobis distance, and is carried by that particle's translation and
rotation. A point beyond 3 sigma of every particle is called unassigned and counted, but carried and scored all the
same: no track is ever dropped. The first instant is left out of every figure, because the error there is zero by
construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from warpgs.checks import check_shape, refuse
from warpgs.types import Camera, Gaussians, GroundTruth, Tracks

ASSIGNMENT_SIGMAS = 3.0
THRESHOLDS_M = (0.01, 0.02, 0.04, 0.08, 0.16)
SURVIVAL_M = 0.5
THRESHOLDS_PX = (1.0, 2.0, 4.0, 8.0, 16.0)
SURVIVAL_PX = 50.0
NORMALIZED_SIZE_PX = 256.0
"""Pictures are rescaled to this width and height before distances in pixels are taken."""
CHUNK_ENTRIES = 4_000_000
"""Bounds the memory of the assignment: point-particle pairs held at once."""


@dataclass(frozen=True)
class TrackScore:
    """Errors of a set of tracks; NaN where a figure has nothing to count."""

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


@dataclass(frozen=True, eq=False)
class TrackErrors:
    """Distance and rotation error of every track at every instant after the first."""

    distance: np.ndarray
    """Infinite where a picture shows no surface to lift the query to or the track is behind the camera, NaN where the
    truth is unknown (not visible); shape [t - 1, m]."""
    rotation_deg: np.ndarray | None
    """Geodesic angle [deg], shape [t - 1, m]; None in pictures."""
    assigned: np.ndarray
    """True where the query lies within 3 sigma of a particle, shape [m], bool."""

    def select(self, chosen: np.ndarray) -> TrackErrors:
        """The same for the tracks marked in ``chosen``, shape [m], bool."""
        rotation = None if self.rotation_deg is None else self.rotation_deg[:, chosen]
        return TrackErrors(self.distance[:, chosen], rotation, self.assigned[chosen])


def assign(points: np.ndarray, gaussians: Gaussians) -> tuple[np.ndarray, np.ndarray]:
    """The particle with the largest influence on each point.

    Args:
        points: Query points [m], world frame, shape [m, 3].
        gaussians: Particles at the instant of the query.

    Returns:
        Particle indices, shape [m], int64, the smallest where influences are equal; and whether the point lies within
        3 sigma of any particle, shape [m], bool.
    """
    check_shape("query points", points, (None, 3))
    best_influence = np.full(len(points), -np.inf)
    best_index = np.zeros(len(points), dtype=np.int64)
    nearest = np.full(len(points), np.inf)
    size = max(1, CHUNK_ENTRIES // max(1, len(points)))
    for start in range(0, len(gaussians), size):
        part = slice(start, start + size)
        squared = _mahalanobis_squared(points, gaussians, part)
        # The logarithm of the influence: far particles would all underflow to zero and tie.
        influence = _log_sigmoid(gaussians.opacity_logits[part].astype(np.float64)) - 0.5 * squared
        index = influence.argmax(axis=1)
        value = np.take_along_axis(influence, index[:, None], axis=1)[:, 0]
        better = value > best_influence
        best_index[better] = index[better] + start
        best_influence[better] = value[better]
        nearest = np.minimum(nearest, squared.min(axis=1))
    return best_index, nearest <= ASSIGNMENT_SIGMAS**2


def carry(tracks: Tracks, index: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Positions of ``points`` [m] at every instant, carried by the particles ``index``.

    Args:
        tracks: Poses of the particles.
        index: The particle of each point, shape [m].
        points: Positions at the first instant [m], world frame, shape [m, 3].

    Returns:
        Positions [m], world frame, shape [t, m, 3].
    """
    rotations = matrices_from_wxyz(tracks.rotations_wxyz[:, index].astype(np.float64))
    means = tracks.means[:, index].astype(np.float64)
    in_particle = np.einsum("mji,mj->mi", rotations[0], points - means[0])
    return means + np.einsum("tmij,mj->tmi", rotations, in_particle)


def errors_in_space(tracks: Tracks, truth: GroundTruth) -> TrackErrors:
    """Distance [m] and rotation error [deg] of every true track, for the instants of ``tracks``."""
    instants = list(tracks.timesteps)
    if max(instants) >= len(truth.points):
        refuse(
            "ground truth", f"at least {max(instants) + 1} timesteps", len(truth.points), "pass the scene of the run"
        )
    points = truth.points[instants].astype(np.float64)
    index, assigned = assign(points[0], tracks.at(0))
    distance = np.linalg.norm(carry(tracks, index, points[0]) - points, axis=2)
    rotation = angles_deg(
        _since_first(tracks.rotations_wxyz[:, index].astype(np.float64)),
        _since_first(truth.rotations_wxyz[instants].astype(np.float64)),
    )
    return TrackErrors(distance[1:], rotation[1:], assigned)


def errors_in_picture(
    tracks: Tracks,
    camera: Camera,
    depth: np.ndarray,
    truth: GroundTruth,
    visible: np.ndarray,
) -> TrackErrors:
    """Distance in a picture, in pixels after both axes are rescaled to 256, of the tracks visible in it at the start.

    A query is a pixel position, lifted into space with the rendered depth, then assigned and carried as in space.

    Args:
        tracks: The run's tracks.
        camera: A camera that does not move.
        depth: Rendered z-depth [m] at the first instant, shape [h, w]; zero or NaN where nothing was rendered.
        truth: True tracks of the whole scene.
        visible: True where a true point is visible in the camera at an instant of ``tracks``, shape [t, m], bool.

    Returns:
        Errors of the tracks visible at the first instant; NaN at instants when the true point is hidden.
    """
    queried = visible[0]
    points = truth.points[list(tracks.timesteps)][:, queried].astype(np.float64)
    true_px, _ = project(points, camera)
    lifted, known = _lift(true_px[0], depth, camera)
    index, assigned = assign(lifted, tracks.at(0))
    carried_px, in_front = project(carry(tracks, index, lifted), camera)
    rescale = NORMALIZED_SIZE_PX / np.array([camera.width, camera.height])
    distance = np.linalg.norm((carried_px - true_px) * rescale, axis=2)
    distance[~in_front] = np.inf
    distance[:, ~known] = np.inf
    distance[~visible[:, queried]] = np.nan
    return TrackErrors(distance[1:], None, assigned & known)


def score(errors: Sequence[TrackErrors], thresholds: Sequence[float], lost_beyond: float) -> TrackScore:
    """Figures over all tracks of several sets (one per picture, or a single one in space).

    Args:
        errors: Sets of tracks.
        thresholds: Distances of ``delta`` [m, or px of 256].
        lost_beyond: Distance at which a track counts as lost [m, or px of 256].
    """
    tracks = [track for part in errors for track in part.distance.T]
    assigned = [flag for part in errors for flag in part.assigned]
    turns = [track for part in errors if part.rotation_deg is not None for track in part.rotation_deg.T]
    known = [track[~np.isnan(track)] for track in tracks]
    counted = [track for track in known if track.size]
    medians = [_median(track) for track in counted]
    everything = np.concatenate(counted) if counted else np.empty(0)
    return TrackScore(
        count=len(tracks),
        unassigned=len(assigned) - int(np.sum(assigned)),
        mte_mean=_mean(medians),
        mte_median=_median(everything),
        delta=_mean([_mean(everything <= threshold) for threshold in thresholds]),
        survival=_mean([_survival(track, lost_beyond) for track in counted]),
        rotation_mean_deg=_mean([_median(track) for track in turns]),
        rotation_median_deg=_median(np.concatenate(turns)) if turns else float("nan"),
    )


def project(points: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Pixel positions [px], shape [..., 2], and whether each point lies in front of the camera, shape [...], bool."""
    pose = camera.camera_from_world
    in_camera = points @ pose[:3, :3].T + pose[:3, 3]
    in_front = in_camera[..., 2] > 0.0
    z = np.where(in_front, in_camera[..., 2], np.nan)
    homogeneous = in_camera @ camera.intrinsics.T
    return homogeneous[..., :2] / z[..., None], in_front


def matrices_from_wxyz(rotations_wxyz: np.ndarray) -> np.ndarray:
    """Rotation matrices of quaternions that need not be normalized: shape [..., 4] to [..., 3, 3]."""
    w, x, y, z = np.moveaxis(rotations_wxyz / np.linalg.norm(rotations_wxyz, axis=-1, keepdims=True), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def angles_deg(a_wxyz: np.ndarray, b_wxyz: np.ndarray) -> np.ndarray:
    """Geodesic angle [deg] between rotations, shape [..., 4] to [...]; the sign of a quaternion does not matter."""
    relative = _multiply(a_wxyz, _conjugate(b_wxyz))
    # atan2 keeps small angles exact, where the arc cosine of the scalar part loses half of the digits.
    return np.degrees(2.0 * np.arctan2(np.linalg.norm(relative[..., 1:], axis=-1), np.abs(relative[..., 0])))


def _mahalanobis_squared(points: np.ndarray, gaussians: Gaussians, part: slice) -> np.ndarray:
    """Squared distance in standard deviations of each point from each particle of ``part``, shape [m, n]."""
    means = gaussians.means[part].astype(np.float64)
    rotations = matrices_from_wxyz(gaussians.rotations_wxyz[part].astype(np.float64))
    whitening = rotations / np.exp(gaussians.log_scales[part].astype(np.float64))[:, None, :]
    squared = np.zeros((len(points), len(means)))
    for axis in range(3):
        direction = whitening[:, :, axis]
        squared += (points @ direction.T - (means * direction).sum(axis=1)) ** 2
    return squared


def _lift(points_px: np.ndarray, depth: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """World positions of pixel positions at the depth of the pixel they fall in, and whether that depth is known."""
    column, row = np.floor(points_px).astype(int).T
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    z = depth[row.clip(0, camera.height - 1), column.clip(0, camera.width - 1)].astype(np.float64)
    known = inside & np.isfinite(z) & (z > 0.0)
    homogeneous = np.concatenate([points_px, np.ones((len(points_px), 1))], axis=1)
    rays = homogeneous @ np.linalg.inv(camera.intrinsics).T
    in_camera = rays * np.where(known, z, 1.0)[:, None]
    pose = camera.world_from_camera
    return in_camera @ pose[:3, :3].T + pose[:3, 3], known


def _since_first(rotations_wxyz: np.ndarray) -> np.ndarray:
    return _multiply(rotations_wxyz, _conjugate(rotations_wxyz[:1]))


def _conjugate(q_wxyz: np.ndarray) -> np.ndarray:
    return q_wxyz * np.array([1.0, -1.0, -1.0, -1.0])


def _multiply(a_wxyz: np.ndarray, b_wxyz: np.ndarray) -> np.ndarray:
    a0, a = a_wxyz[..., :1], a_wxyz[..., 1:]
    b0, b = b_wxyz[..., :1], b_wxyz[..., 1:]
    scalar = a0 * b0 - (a * b).sum(axis=-1, keepdims=True)
    return np.concatenate([scalar, a0 * b + b0 * a + np.cross(a, b)], axis=-1)


def _log_sigmoid(logits: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0.0, -logits)


def _survival(track: np.ndarray, lost_beyond: float) -> float:
    lost = track > lost_beyond
    return (int(lost.argmax()) if lost.any() else track.size) / track.size


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size else float("nan")
