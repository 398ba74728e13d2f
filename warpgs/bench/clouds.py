"""Clouds of particles to time: surfaces before a pinhole camera, the same at every run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from warpgs.particles import logit
from warpgs.types import Camera, Gaussians

FOCAL_PER_WIDTH = 520.0 / 640.0
"""Focal length over picture width."""
SIZE_EXPONENT = np.log(2.6 / 1.6) / np.log(5.0)
"""Splats shrink with their number as on a surface that stays covered: 2.6 px at 20,000, 1.6 px at 100,000."""


def surfaces(count: int, *, width: int = 640) -> Gaussians:
    """A wall, a floor and six spheres, covered by flat particles a few pixels large, in random order.

    Args:
        count: Number of particles.
        width: Picture width [px] at which sizes in pixels hold; distances are those of a room [m].
    """
    rng = np.random.default_rng(0)
    wall, floor = int(0.35 * count), int(0.30 * count)
    ball = count - wall - floor
    on_wall = [rng.uniform(-4.6, 4.6, wall), rng.uniform(-2.7, 2.7, wall), np.full(wall, 7.0)]
    on_floor = [rng.uniform(-4.6, 4.6, floor), np.full(floor, 1.4), rng.uniform(2.2, 7.0, floor)]
    sphere = rng.integers(0, 6, ball)
    centers = np.stack([np.linspace(-2.2, 2.2, 6), rng.uniform(-0.6, 0.7, 6), rng.uniform(3.0, 5.5, 6)], axis=1)
    radii = rng.uniform(0.5, 0.9, 6)
    outward = rng.normal(size=(ball, 3))
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    normals = np.concatenate([np.tile([0.0, 0, 1], (wall, 1)), np.tile([0.0, 1, 0], (floor, 1)), outward])
    on_spheres = centers[sphere] + outward * radii[sphere, None]
    means = np.concatenate([np.stack(on_wall, axis=1), np.stack(on_floor, axis=1), on_spheres])
    means += normals * rng.normal(0.0, 0.02, (count, 1))
    sigma_px = 2.6 * (count / 20_000) ** -SIZE_EXPONENT
    scales = np.exp(rng.normal(0.0, 0.45, (count, 1))) * np.exp(rng.normal(0.0, 0.3, (count, 3)))
    scales *= sigma_px * 5.0 / (FOCAL_PER_WIDTH * width) * np.array([1.0, 1.0, 0.25])
    quaternions = _turned(normals, rng.uniform(0.0, 2.0 * np.pi, count))
    order = rng.permutation(count)
    colors, opacities = rng.uniform(0.0, 1.0, (count, 3))[order], rng.uniform(0.1, 0.95, count)[order]
    return gaussians_of(means[order], quaternions[order], scales[order], colors, opacities)


def _turned(normals: np.ndarray, twists: np.ndarray) -> np.ndarray:
    """Quaternions (w, x, y, z) that turn z into each normal after a twist [rad] about z, shape [n, 4]."""
    towards = np.concatenate(
        [1.0 + normals[:, 2:], -normals[:, 1:2], normals[:, :1], np.zeros((len(normals), 1))], axis=1
    )
    towards[towards[:, 0] < 1e-6] = [0.0, 1.0, 0.0, 0.0]
    w, x, y, z = (towards / np.linalg.norm(towards, axis=1, keepdims=True)).T
    c, s = np.cos(0.5 * twists), np.sin(0.5 * twists)
    return np.stack([w * c - z * s, x * c + y * s, y * c - x * s, z * c + w * s], axis=1)


def load(path: Path) -> Gaussians:
    """A cloud of arrays means, quats (w, x, y, z), scales, colors and opac."""
    with np.load(path, allow_pickle=False) as data:
        return gaussians_of(data["means"], data["quats"], data["scales"], data["colors"], data["opac"].ravel())


def gaussians_of(
    means: np.ndarray, quaternions: np.ndarray, scales: np.ndarray, colors: np.ndarray, opacities: np.ndarray
) -> Gaussians:
    """Float32 Gaussians, half of them foreground."""
    quaternions = quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)
    arrays = means, quaternions, np.log(scales), colors, logit(opacities), np.arange(len(means)) % 2
    return Gaussians(*(np.asarray(array, np.float32) for array in arrays))


def cameras(count: int, width: int, height: int) -> list[Camera]:
    """Cameras side by side that look into the room."""
    focal = FOCAL_PER_WIDTH * width
    intrinsics = np.array([[focal, 0.0, 0.5 * width], [0.0, focal, 0.5 * height], [0.0, 0.0, 1.0]])
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 3] = 0.02 * np.arange(count)
    return [Camera(f"bench{i}", width, height, intrinsics, pose) for i, pose in enumerate(poses)]
