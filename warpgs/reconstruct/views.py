"""The pictures of one instant in a frame of their own: the rig of cameras has radius 1, all pictures one size."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from warpgs.checks import refuse
from warpgs.types import Camera, Frame

RADIUS_MARGIN = 1.1
"""Scene radius over the largest distance of a camera from the rig's center, as in the paper's protocol."""

DEGENERATE_RADIUS = 1e-6
"""A rig smaller than this share of its distance from the origin cannot tell depth."""


@dataclass(frozen=True, eq=False)
class Rig:
    """Where the cameras stand: the origin and the length that everything else is relative to."""

    origin: np.ndarray
    """Mean of the camera centers [m], world frame, shape [3], float64."""
    radius: float
    """Scene radius [m]: 1.1 x the largest distance of a camera from ``origin``."""

    @staticmethod
    def of(cameras: Sequence[Camera]) -> Rig:
        """The rig of ``cameras``.

        Raises:
            ValueError: fewer than 2 cameras, or all at one place.
        """
        if len(cameras) < 2:
            refuse("cameras", "at least 2 to triangulate", len(cameras), "add cameras or give a starting point cloud")
        centers = np.stack([camera.center_world for camera in cameras])
        origin = centers.mean(axis=0)
        radius = RADIUS_MARGIN * float(np.linalg.norm(centers - origin, axis=1).max())
        if radius <= DEGENERATE_RADIUS * float(np.linalg.norm(origin)) or radius == 0.0:
            refuse("cameras", "at least 2 different places", "one place", "give a starting point cloud")
        return Rig(origin, radius)

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Rig frame to world frame [m], shape [n, 3], float32."""
        return (points.astype(np.float64) * self.radius + self.origin).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Views:
    """All pictures resampled to one size, with what projects points of the rig frame into them."""

    pixels_from_rig: np.ndarray
    """K R per camera: a point x projects to the homogeneous pixel K R (x - center); shape [c, 3, 3], float32."""
    centers: np.ndarray
    """Optical centers, rig frame, shape [c, 3], float32."""
    images: np.ndarray
    """RGB 0..1, shape [c, height, width, 3], float32."""
    masks: np.ndarray | None
    """Foreground share 0..1, shape [c, height, width], float32."""

    @property
    def width(self) -> int:
        return self.images.shape[2]

    @property
    def height(self) -> int:
        return self.images.shape[1]

    def __len__(self) -> int:
        return len(self.centers)

    @staticmethod
    def of(frame: Frame, rig: Rig, width: int, height: int) -> Views:
        """``frame`` with every picture averaged to ``width`` x ``height`` pixels, whatever its own size."""
        cameras = [camera.resized(width, height) for camera in frame.cameras]
        matrices = [camera.intrinsics @ camera.world_from_camera[:3, :3].T for camera in cameras]
        centers = [(camera.center_world - rig.origin) / rig.radius for camera in cameras]
        masks = None if frame.masks is None else np.stack([resample(mask, width, height) for mask in frame.masks])
        return Views(
            pixels_from_rig=np.stack(matrices).astype(np.float32),
            centers=np.stack(centers).astype(np.float32),
            images=np.stack([resample(image, width, height) for image in frame.images]),
            masks=masks,
        )

    def project(self, index: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Column, row and depth of ``points`` [n, 3] in camera ``index``; column and row -1 outside the picture."""
        pixels = (points - self.centers[index]) @ self.pixels_from_rig[index].T
        depth = pixels[:, 2]
        in_front = depth > 1e-6
        safe = np.where(in_front, depth, 1.0)
        column, row = np.floor(pixels[:, 0] / safe), np.floor(pixels[:, 1] / safe)
        seen = in_front & (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        return np.where(seen, column, -1).astype(np.int64), np.where(seen, row, -1).astype(np.int64), depth


def pixels_of(camera: Camera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the points [m], world frame, that fall into the picture, their columns and rows, and depths [m]."""
    local = (points.astype(np.float64) - camera.center_world) @ camera.world_from_camera[:3, :3]
    index = np.flatnonzero(local[:, 2] > 0.0)
    pixels = local[index] @ camera.intrinsics.T
    column, row = np.floor(pixels[:, 0] / pixels[:, 2]), np.floor(pixels[:, 1] / pixels[:, 2])
    seen = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    index = index[seen]
    return index, column[seen].astype(np.int64), row[seen].astype(np.int64), local[index, 2]


def fitted_size(frame: Frame, long_side: int, multiple: int = 1) -> tuple[int, int]:
    """Width and height [px] of the first picture's aspect: the longer side is ``long_side`` px, or its own if less."""
    camera = frame.cameras[0]
    longest = max(camera.width, camera.height)
    scale = min(long_side, longest) / longest
    width, height = (max(1, round(scale * side / multiple)) * multiple for side in (camera.width, camera.height))
    return width, height


def for_each_camera(work: Callable[[int], None], count: int, *, parallel: bool = True) -> None:
    """Run ``work(camera)`` for all cameras, on all cores: each must write to its own place, whatever the order."""
    with ThreadPoolExecutor(os.cpu_count() if parallel else 1) as pool:
        for _ in pool.map(work, range(count)):
            pass


def resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Area average to ``width`` x ``height``, uint8; the picture itself where it has that size."""
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))


def resample(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Area average to ``width`` x ``height``, 0..1, float32."""
    return resized(picture, width, height).astype(np.float32) / 255.0
