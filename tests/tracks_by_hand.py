"""Particles, tracks and truths of a few numbers, to be worked out by hand."""

import numpy as np
from scipy.spatial.transform import Rotation

from warpgs.types import Camera, Gaussians, GroundTruth, Tracks

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])


def wxyz(rotation: Rotation) -> np.ndarray:
    return np.roll(rotation.as_quat(), 1, axis=-1)


def make_gaussians(means, sigma=0.1, rotations=None, opacity_logits=None) -> Gaussians:
    means = np.asarray(means, dtype=np.float32)
    n = len(means)
    scales = np.broadcast_to(np.asarray(sigma, dtype=np.float32), (n, 3))
    return Gaussians(
        means=means,
        rotations_wxyz=np.asarray(np.tile(IDENTITY, (n, 1)) if rotations is None else rotations, dtype=np.float32),
        log_scales=np.log(scales),
        colors=np.full((n, 3), 0.5, np.float32),
        opacity_logits=np.zeros(n, np.float32) if opacity_logits is None else np.asarray(opacity_logits, np.float32),
        foreground=np.ones(n, np.float32),
    )


def make_tracks(means, rotations=None, sigma=0.1, timesteps=None) -> Tracks:
    means = np.asarray(means, dtype=np.float32)
    t, n, _ = means.shape
    first = make_gaussians(means[0], sigma)
    return Tracks(
        means=means,
        rotations_wxyz=np.asarray(np.tile(IDENTITY, (t, n, 1)) if rotations is None else rotations, np.float32),
        log_scales=first.log_scales,
        colors=first.colors,
        opacity_logits=first.opacity_logits,
        foreground=first.foreground,
        timesteps=tuple(range(t)) if timesteps is None else timesteps,
        fps=30.0,
        source_from_world=np.eye(4),
        camera_names=(),
        camera_log_gains=np.zeros((0, 3), np.float32),
        camera_offsets=np.zeros((0, 3), np.float32),
    )


def make_truth(points, rotations=None) -> GroundTruth:
    points = np.asarray(points, dtype=np.float32)
    t, n, _ = points.shape
    return GroundTruth(
        points=points,
        rotations_wxyz=np.asarray(np.tile(IDENTITY, (t, n, 1)) if rotations is None else rotations, np.float32),
        body_index=np.zeros(n, np.int32),
        body_names=("body",),
        world_from_body=np.tile(np.eye(4), (t, 1, 1, 1)),
    )


def rigid_motion(t: int) -> tuple[np.ndarray, np.ndarray]:
    """A rotation and a translation for each of t instants, the first the identity."""
    turns = np.stack([wxyz(Rotation.from_rotvec(0.3 * i * np.array([0.2, -0.5, 0.8]))) for i in range(t)])
    shifts = np.arange(t)[:, None] * np.array([0.1, 0.05, -0.02])
    return turns, shifts


def front_camera() -> Camera:
    """Looks along the world's y axis from 2 m away; 200x100 pixels."""
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    pose[:3, 3] = [0, -2, 0]
    k = np.array([[100.0, 0, 100.0], [0, 100.0, 50.0], [0, 0, 1]])
    return Camera("c", 200, 100, k, pose)
