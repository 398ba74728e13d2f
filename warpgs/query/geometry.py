"""Points, pixels and rotations. NumPy, float64."""

from __future__ import annotations

import numpy as np

from warpgs.types import Camera


def project(points: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Pixel positions [px], shape [..., 2], and whether each point lies in front of the camera, shape [...], bool."""
    in_camera = to_camera(points, camera)
    in_front = in_camera[..., 2] > 0.0
    z = np.where(in_front, in_camera[..., 2], np.nan)
    homogeneous = in_camera @ camera.intrinsics.T
    return homogeneous[..., :2] / z[..., None], in_front


def to_camera(points: np.ndarray, camera: Camera) -> np.ndarray:
    """World positions [m] in the camera's frame, shape [..., 3]."""
    pose = camera.camera_from_world
    return points @ pose[:3, :3].T + pose[:3, 3]


def inside(points_px: np.ndarray, camera: Camera) -> np.ndarray:
    """Whether pixel positions lie in the camera's picture, shape [...], bool; NaN does not."""
    x, y = points_px[..., 0], points_px[..., 1]
    return (x >= 0.0) & (x < camera.width) & (y >= 0.0) & (y < camera.height)


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
    relative = multiply(a_wxyz, conjugate(b_wxyz))
    # atan2 keeps small angles exact, where the arc cosine of the scalar part loses half of the digits.
    return np.degrees(2.0 * np.arctan2(np.linalg.norm(relative[..., 1:], axis=-1), np.abs(relative[..., 0])))


def conjugate(q_wxyz: np.ndarray) -> np.ndarray:
    """The inverse of unit quaternions, shape [..., 4]."""
    return q_wxyz * np.array([1.0, -1.0, -1.0, -1.0])


def multiply(a_wxyz: np.ndarray, b_wxyz: np.ndarray) -> np.ndarray:
    """Products of quaternions, b applied first, shape [..., 4]."""
    a0, a = a_wxyz[..., :1], a_wxyz[..., 1:]
    b0, b = b_wxyz[..., :1], b_wxyz[..., 1:]
    scalar = a0 * b0 - (a * b).sum(axis=-1, keepdims=True)
    return np.concatenate([scalar, a0 * b + b0 * a + np.cross(a, b)], axis=-1)
