"""Where particles are expected at the next timestep, from the last two."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from warpgs.track.rigid import Clusters

Poses = tuple[np.ndarray, np.ndarray]
"""Centers [m], shape [n, 3], and unit quaternions w, x, y, z, shape [n, 4]."""


def predict_linear(before: Poses, last: Poses) -> Poses:
    """Each particle goes on by itself: x + (x - x_before), the quaternion likewise, renormalized (Luiten et al.
    2024)."""
    means = 2.0 * last[0] - before[0]
    aligned = before[1] * np.where((before[1] * last[1]).sum(axis=1, keepdims=True) < 0.0, -1.0, 1.0)
    rotations = 2.0 * last[1] - aligned
    return means, rotations / np.linalg.norm(rotations, axis=1, keepdims=True)


def predict_rigid(before: Poses, last: Poses, clusters: Clusters) -> Poses:
    """Each cluster repeats its last rigid motion. Extrapolating positions linearly fails at 20 degrees per timestep."""
    motion = clusters.motions(before[0], last[0])[clusters.labels]
    means = np.einsum("nij,nj->ni", motion[:, :3, :3], last[0]) + motion[:, :3, 3]
    turn = Rotation.from_matrix(motion[:, :3, :3])
    rotations = (turn * Rotation.from_quat(last[1], scalar_first=True)).as_quat(scalar_first=True)
    sign = np.where((rotations * last[1]).sum(axis=1, keepdims=True) < 0.0, -1.0, 1.0)
    return means, rotations * sign
