"""Where to look from: the scene's own cameras, or a circle around what moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from warpgs.checks import refuse
from warpgs.types import Camera, Tracks

UP = np.array([0.0, 0.0, 1.0])

WHOLE_SIZE = (640, 360)
"""Width and height [px] of pictures where no camera says."""
WHOLE_FOCAL = 1.2
"""Focal length where no camera says, in picture heights: 45 degrees from top to bottom."""
WHOLE_SHARE = 90.0
"""Percentage of the particles that an orbit without cameras goes around: scans have strays, and a far background."""
WHOLE_ELEVATION = np.deg2rad(20.0)
"""How far above the horizontal such an orbit looks from."""

SPIRAL_TURNS = 2
SPIRAL_SHARE = 0.15
"""How far a spiral leaves its middle, as a share of the distance to what it looks at."""


def look_at(center: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Pose of an OpenCV camera at ``center`` [m] that looks at ``target`` [m] with the world's z axis up.

    Returns:
        world_from_camera, shape [4, 4], float64.
    """
    forward = np.asarray(target, np.float64) - center
    distance = np.linalg.norm(forward)
    if distance == 0.0:
        refuse("look_at: target", "a point other than the center", target)
    forward /= distance
    right = np.cross(forward, UP)
    if np.linalg.norm(right) < 1e-9:  # straight up or down: any horizontal axis will do
        right = np.array([1.0, 0.0, 0.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = center
    return pose


def foreground_center(tracks: Tracks) -> np.ndarray:
    """Mean position over time [m] of the foreground particles, of all where none is foreground; shape [3]."""
    chosen = tracks.foreground > 0.5
    means = tracks.means[:, chosen] if chosen.any() else tracks.means
    return means.mean(axis=(0, 1), dtype=np.float64)


def orbit(cameras: Sequence[Camera], target: np.ndarray, count: int) -> tuple[Camera, ...]:
    """One turn around the vertical through ``target``, at the mean distance and height of ``cameras``.

    Args:
        cameras: At least one; the first gives the picture's size and focal length.
        target: What to look at [m], world frame, shape [3].
        count: Number of poses; the one after the last would be the first again.
    """
    if not cameras:
        refuse("orbit", "at least one camera to copy the size from", "none")
    offsets = np.stack([camera.center_world for camera in cameras]) - target
    radius = float(np.linalg.norm(offsets[:, :2], axis=1).mean())
    height = float(offsets[:, 2].mean())
    start = float(np.arctan2(offsets[0, 1], offsets[0, 0]))
    turns = start + 2.0 * np.pi * np.arange(count) / count
    centers = target + np.stack([radius * np.cos(turns), radius * np.sin(turns), np.full(count, height)], axis=1)
    return tuple(
        replace(cameras[0], name="orbit", world_from_camera=look_at(center, target), intrinsics=centered(cameras[0]))
        for center in centers
    )


def orbit_whole(tracks: Tracks, count: int) -> tuple[Camera, ...]:
    """One turn of ``count`` poses around the foreground, around everything where nothing is, for tracks whose cameras
    nobody knows."""
    chosen = tracks.foreground > 0.5
    means = (tracks.means[:, chosen] if chosen.any() else tracks.means).reshape(-1, 3)
    target = np.median(means, axis=0).astype(np.float64)
    reach = float(np.percentile(np.linalg.norm(means - target, axis=1), WHOLE_SHARE))
    reach += 3.0 * float(np.exp(np.median(tracks.log_scales.max(axis=1))))  # one particle has a size too
    distance = reach * np.hypot(1.0, 2.0 * WHOLE_FOCAL)  # at which a sphere fills the height
    width, height = WHOLE_SIZE
    center = target + distance * np.array([0.0, -np.cos(WHOLE_ELEVATION), np.sin(WHOLE_ELEVATION)])
    focal = WHOLE_FOCAL * height
    intrinsics = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    return orbit([Camera("orbit", width, height, intrinsics, look_at(center, target))], target, count)


def spiral(camera: Camera, target: np.ndarray, count: int) -> tuple[Camera, ...]:
    """Small turns about where a camera stands, with its eye on ``target``, as in NeRF (Mildenhall et al. 2020): shows
    depth by parallax where cameras face one way.

    Args:
        camera: Gives the place, the picture's size and the focal length.
        target: What to look at [m], world frame, shape [3].
        count: Number of poses; the one after the last would be the first again.
    """
    middle = look_at(camera.center_world, target)
    distance = float(np.linalg.norm(camera.center_world - target))
    turns = 2.0 * np.pi * SPIRAL_TURNS * np.arange(count) / count
    # Sideways and up and down once per turn, to and fro once in all.
    swing = np.stack([np.cos(turns), np.sin(turns), np.sin(turns / SPIRAL_TURNS)], axis=1) * SPIRAL_SHARE * distance
    centers = middle[:3, 3] + swing @ middle[:3, :3].T
    return tuple(
        replace(camera, name="spiral", world_from_camera=look_at(center, target), intrinsics=centered(camera))
        for center in centers
    )


def centered(camera: Camera) -> np.ndarray:
    """The camera's focal length with the principal point in the middle of the picture."""
    focal = float(np.sqrt(camera.intrinsics[0, 0] * camera.intrinsics[1, 1]))
    return np.array([[focal, 0.0, camera.width / 2], [0.0, focal, camera.height / 2], [0.0, 0.0, 1.0]])
