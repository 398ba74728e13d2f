"""How well whole bodies are followed: the rigid motion that fits the carried points of a body, against the true one.

Both motions are least-squares fits since the first instant (Kabsch 1976), so that bodies which bend have one too.
NumPy, float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warpgs.evaluate.trajectories import SpaceTracks
from warpgs.types import GroundTruth

LEAST_SPREAD = 1e-6
"""Points whose variance across is below this share of that along their longest axis have no rotation about it."""


@dataclass(frozen=True)
class BodyPose:
    """Errors of one body's pose at every instant after the first."""

    rotation_deg: tuple[float, ...]
    """Angle between the fitted and the true rotation [deg]; NaN for bodies of fewer than three points, or on a line."""
    center_m: tuple[float, ...]
    """Distance between the centers of the carried and of the true points [m]."""

    @property
    def rotation_median_deg(self) -> float:
        """Median over time [deg]; NaN for a single instant."""
        return float(np.median(self.rotation_deg)) if self.rotation_deg else float("nan")

    @property
    def center_median_m(self) -> float:
        """Median over time [m]; NaN for a single instant."""
        return float(np.median(self.center_m)) if self.center_m else float("nan")


def body_poses(tracks: SpaceTracks, truth: GroundTruth) -> dict[str, BodyPose]:
    """Pose errors of every body with true points, by its name."""
    poses = {}
    for index, name in enumerate(truth.body_names):
        chosen = truth.body_index == index
        if chosen.any():
            poses[name] = _pose(tracks.truth[:, chosen], tracks.carried[:, chosen])
    return poses


def fit_rotations(points: np.ndarray) -> np.ndarray:
    """Rotations that best turn the first instant's points into each instant's, about their centers.

    Args:
        points: Positions [m], shape [t, m, 3].

    Returns:
        Matrices, shape [t, 3, 3]; NaN where the points do not determine a rotation.
    """
    centered = points - points.mean(axis=1, keepdims=True)
    u, spread, vt = np.linalg.svd(np.einsum("tmi,mj->tij", centered, centered[0]))
    handed = np.ones((len(points), 3))
    handed[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotations = (u * handed[:, None, :]) @ vt
    rotations[spread[:, 1] <= LEAST_SPREAD * spread[:, 0]] = np.nan
    return rotations


def _pose(truth: np.ndarray, carried: np.ndarray) -> BodyPose:
    # The queries start on the true points, so both motions are since the same shape.
    relative = fit_rotations(carried) @ np.swapaxes(fit_rotations(truth), 1, 2)
    # The chord keeps small angles exact, where the arc cosine of the trace loses half of the digits.
    chord = np.linalg.norm(relative - np.eye(3), axis=(1, 2)) / np.sqrt(8.0)
    rotation_deg = np.degrees(2.0 * np.arcsin(np.minimum(chord, 1.0)))
    center_m = np.linalg.norm(carried.mean(axis=1) - truth.mean(axis=1), axis=1)
    return BodyPose(tuple(rotation_deg[1:].tolist()), tuple(center_m[1:].tolist()))
