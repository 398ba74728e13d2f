"""Where particles are expected at the next timestep, from the last two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from warpgs.track.confidence import TOLERANCE_RADII
from warpgs.track.rigid import Clusters, common_motion

RIGID = 0.25 * TOLERANCE_RADII
"""A body is rigid if MOST of its particles deviate less from one motion [scene radii]: more than tracks err by."""
MOST = 0.8
Poses = tuple[np.ndarray, np.ndarray]
"""Centers [m], shape [n, 3], and unit quaternions w, x, y, z, shape [n, 4]."""


def predict_linear(before: Poses, last: Poses) -> Poses:
    """Each particle goes on by itself: x + (x - x_before), the quaternion likewise, renormalized (Luiten et al.
    2024)."""
    means = 2.0 * last[0] - before[0]
    aligned = before[1] * np.where((before[1] * last[1]).sum(axis=1, keepdims=True) < 0.0, -1.0, 1.0)
    rotations = 2.0 * last[1] - aligned
    return means, rotations / np.linalg.norm(rotations, axis=1, keepdims=True)


def predict_rigid(before: Poses, last: Poses, clusters: Clusters, bodies: Sequence[np.ndarray]) -> Poses:
    """Each cluster repeats its last rigid motion; those of a rigid body do so as seen from the body, which goes on
    straight. Extrapolating positions linearly fails at 20 degrees per timestep.

    Repeating the rigid motion as it was would turn the velocity of the body too, which free bodies keep. What is hinged
    does not.

    Args:
        before: Poses two timesteps before the predicted ones.
        last: Poses one timestep before.
        clusters: Which particles turn together.
        bodies: Which hold together, in pieces that make up all n of them.
    """
    motion = clusters.motions(before[0], last[0])[clusters.labels]
    velocity = np.zeros((len(last[0]), 3))
    for rows in bodies:
        as_one, bent = common_motion(before[0][rows], last[0][rows])
        if np.quantile(bent, MOST) < RIGID:
            center = before[0][rows].astype(np.float64).mean(axis=0)
            velocity[rows] = as_one[:3, :3] @ center + as_one[:3, 3] - center
    means = np.einsum("nij,nj->ni", motion[:, :3, :3], last[0] - velocity) + motion[:, :3, 3] + velocity
    turn = Rotation.from_matrix(motion[:, :3, :3])
    rotations = (turn * Rotation.from_quat(last[1], scalar_first=True)).as_quat(scalar_first=True)
    sign = np.where((rotations * last[1]).sum(axis=1, keepdims=True) < 0.0, -1.0, 1.0)
    return means, rotations * sign
