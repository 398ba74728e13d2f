"""Calibrated cameras on a dome around a scene."""

from __future__ import annotations

import numpy as np

from scenes.synthetic.options import SyntheticOptions
from warpgs.types import Camera

CENTER = np.array([0.0, 0.0, 0.34])
"""The point all cameras look at [m]."""
DISTANCE = 2.5
"""From that point to each camera [m]."""
FOCAL_PER_WIDTH = 0.92
"""Focal length over picture width: 57 degrees from side to side."""


def dome(options: SyntheticOptions) -> tuple[tuple[Camera, ...], tuple[Camera, ...]]:
    """Training and test cameras, all around at staggered heights; the test cameras stand between training cameras.

    Args:
        options: Counts and picture size. Cameras are named by their number, training cameras first.
    """
    train_count, test_count = options.train_cameras, options.test_cameras
    train_turns = np.arange(train_count) / train_count
    test_turns = np.round(np.arange(test_count) / max(test_count, 1) * train_count) / train_count + 0.5 / train_count
    # Heights repeat with a period prime to most counts, so that neighbors differ and the whole dome is covered.
    train_elevations = np.radians(np.array([14.0, 27.0, 20.0, 38.0, 24.0, 33.0, 17.0])[np.arange(train_count) % 7])
    test_elevations = np.radians(np.array([22.0, 30.0, 18.0, 26.0])[np.arange(test_count) % 4])
    turns = np.concatenate([train_turns, test_turns])
    elevations = np.concatenate([train_elevations, test_elevations])
    cameras = tuple(
        look_at(str(i), 2.0 * np.pi * turn, elevation, options)
        for i, (turn, elevation) in enumerate(zip(turns, elevations, strict=True))
    )
    return cameras[:train_count], cameras[train_count:]


def look_at(name: str, azimuth: float, elevation: float, options: SyntheticOptions) -> Camera:
    """A camera on the dome, upright, its axis through ``CENTER``; angles in [rad]."""
    outward = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    down = np.cross(-outward, right)
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = np.stack([right, down, -outward], axis=1)
    world_from_camera[:3, 3] = CENTER + DISTANCE * outward
    focal = FOCAL_PER_WIDTH * options.width
    intrinsics = np.array([[focal, 0.0, 0.5 * options.width], [0.0, focal, 0.5 * options.height], [0.0, 0.0, 1.0]])
    return Camera(name, options.width, options.height, intrinsics, world_from_camera)
