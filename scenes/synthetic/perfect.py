"""Tracks that nobody had to find: what perfect tracking of a synthetic scene would give. For tests and examples."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from warpgs.checks import refuse
from warpgs.types import Scene, Tracks

NEIGHBORS = 8
"""Points over which a surface's normal and spacing are taken."""
FLATNESS = 0.2
"""Thickness of particles relative to their width."""
OPACITY_LOGIT = 3.0


def perfect_tracks(scene: Scene) -> Tracks:
    """Flat particles on the points of the scene's starting cloud that move exactly as the surfaces do.

    Args:
        scene: With a starting cloud that knows what moves, and with exact tracks.

    Raises:
        ValueError: a scene without.
    """
    cloud, truth = scene.point_cloud(), scene.ground_truth()
    if cloud is None or cloud.foreground is None or truth is None:
        refuse(scene.name, "a starting cloud and exact tracks", "a scene without")
    points, moving, count = cloud.points.astype(np.float64), np.flatnonzero(cloud.foreground), len(cloud.points)
    distances, neighbors = cKDTree(points).query(points, NEIGHBORS + 1)
    around = points[neighbors] - points[neighbors].mean(axis=1, keepdims=True)
    _, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))  # rising spread: the normal is the first
    axes = axes[:, :, ::-1] * np.where(np.linalg.det(axes) < 0.0, 1.0, -1.0)[:, None, None]
    # Every point goes with the surface point next to it.
    near = cKDTree(truth.points[0]).query(points[moving])[1]
    offset = points[moving] - truth.points[0, near]
    means = np.tile(points.astype(np.float32), (scene.timestep_count, 1, 1))
    rotations = np.tile(_wxyz(Rotation.from_matrix(axes)), (scene.timestep_count, 1, 1))
    for timestep in range(scene.timestep_count):
        turns = Rotation.from_quat(truth.rotations_wxyz[timestep, near], scalar_first=True)
        means[timestep, moving] = truth.points[timestep, near] + turns.apply(offset)
        rotations[timestep, moving] = _wxyz(turns * Rotation.from_matrix(axes[moving]))
    width = distances[:, 1:].mean(axis=1, keepdims=True) * np.array([0.5, 0.5, 0.5 * FLATNESS])
    return Tracks(
        means=means,
        rotations_wxyz=rotations,
        log_scales=np.log(np.maximum(width, 1e-6)).astype(np.float32),
        colors=cloud.colors.astype(np.float32),
        opacity_logits=np.full(count, OPACITY_LOGIT, np.float32),
        foreground=cloud.foreground.astype(np.float32),
        timesteps=tuple(range(scene.timestep_count)),
        fps=scene.fps,
        source_from_world=scene.source_from_world,
        camera_names=(),
        camera_log_gains=np.zeros((0, 3), np.float32),
        camera_offsets=np.zeros((0, 3), np.float32),
    )


def _wxyz(rotation: Rotation) -> np.ndarray:
    return rotation.as_quat(scalar_first=True).astype(np.float32)
