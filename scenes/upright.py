"""A z-up world for sources whose axes mean nothing, as those of structure from motion."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

UP = {
    "z": np.eye(3),
    "-z": np.diag([1.0, -1.0, -1.0]),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "x": np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]),
    "-x": np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]),
}
"""Turns each of the source's axes up: world from source."""


def world_from_source(source_from_cameras: np.ndarray) -> np.ndarray:
    """The smallest rotation, as a matrix of shape [4, 4], that makes the mean upward axis of cameras z.

    Args:
        source_from_cameras: Rigid transforms, OpenCV axes, shape [n, 4, 4]. Where their upward axes cancel out, up is
            taken to be -y, as in the first picture of most reconstructions.
    """
    up = -source_from_cameras[:, :3, 1].mean(axis=0)
    if np.linalg.norm(up) < 1e-3:
        up = np.array([0.0, -1.0, 0.0])
    up = up / np.linalg.norm(up)
    axis, sine, cosine = np.cross(up, [0.0, 0.0, 1.0]), np.hypot(up[0], up[1]), up[2]
    # Upside down, any horizontal axis does.
    axis = axis / sine if sine > 1e-12 else np.array([1.0, 0.0, 0.0])
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(axis * np.arctan2(sine, cosine)).as_matrix()
    return matrix
