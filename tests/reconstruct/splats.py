"""Gaussians in a ball within a shell, and pictures of them: what Gaussians can match exactly."""

import numpy as np

from tests.reconstruct.room import BALL_CENTER, BALL_RADIUS, ring_of_cameras, texture
from warpgs.reconstruct.config import DensifyConfig, Rates
from warpgs.reconstruct.objective import NEAR_RADII, scene_radius
from warpgs.render.renderer import Renderer
from warpgs.types import Frame, Gaussians

BALL, WALL = 200, 700
STILL = Rates(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
FIXED_NUMBER = DensifyConfig(every=0)


def ball_in_shell() -> Gaussians:
    """A ball of moving particles within a closed shell of others, opaque; foreground and background interleaved."""
    rng = np.random.default_rng(0)
    count = BALL + WALL
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    moving = rng.permutation(np.arange(count) < BALL)
    means = BALL_CENTER + directions * np.where(moving, BALL_RADIUS, 4.0)[:, None]
    return Gaussians(
        means=means.astype(np.float32),
        rotations_wxyz=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        log_scales=np.log(np.where(moving, 0.07, 0.5))[:, None].repeat(3, axis=1).astype(np.float32),
        colors=(0.6 * np.clip(texture(means), 0.1, 0.9)).astype(np.float32),
        opacity_logits=np.full(count, 3.0, np.float32),
        foreground=np.where(moving, 0.95, 0.05).astype(np.float32),
    )


def pictures_of(gaussians: Gaussians, log_gains: np.ndarray) -> Frame:
    """What cameras of these gains see."""
    cameras, renderer = ring_of_cameras(len(log_gains), 64, 36), Renderer("cpu", threads=1)
    views = [renderer.view(gaussians, camera, near=NEAR_RADII * scene_radius(cameras)) for camera in cameras]

    def stored(plane: np.ndarray) -> np.ndarray:
        assert plane.max() <= 1.0
        return np.round(255.0 * plane).astype(np.uint8)

    images = tuple(stored(view.color * np.exp(gain)) for view, gain in zip(views, log_gains, strict=True))
    return Frame(0, 0.0, cameras, images, tuple(stored(view.foreground) for view in views))
