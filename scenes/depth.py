"""A starting cloud from depth images that lie on the pictures of their cameras (registered), z along the optical axis.

Stored as gray pictures of 16 or 32 bits (PNG, TIFF) or as ``.npy``, of the size of the pictures or smaller; 0, NaN and
infinity say nothing. Each training camera gives a grid of points, with the lens distortion removed and with the colors
of its picture; what lies at an edge in depth is left out, since cameras mix the depths of its two sides there. Points
of all cameras that are nearer to each other than the grid is fine are merged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from scenes.fields import read_npy
from scenes.pictures import read_values
from scenes.shots import Shot, read_images
from warpgs.checks import check_finite, check_point_cloud, refuse
from warpgs.types import Camera, PointCloud

DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".npy")
"""What depth images are called where a folder is searched for them."""
MOST_POINTS = 60_000
"""Points of all grids together, before they are merged."""
EDGE = 0.05
"""Neighboring pixels of one surface differ by less than this share of their depth."""
ASPECT = 0.02
"""A depth image may be wider or narrower than the picture by this share of its width: that of whole pixels."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class DepthShot:
    """A picture and its depth image."""

    shot: Shot
    depth: Path
    unit: float | None
    """World units per stored value; None: 0.001 of whole numbers, 1 of others, as REP 118 has it."""


def cloud_of_depths(what: object, depths: Sequence[DepthShot]) -> PointCloud | None:
    """Points of depth images that were taken at one instant, in the world of their cameras; None where they know no
    depth.

    Args:
        what: The recording, to name it in refusals and in the log.
        depths: With pictures on disk.
    """
    if not depths:
        return None
    images = read_images([depth.shot for depth in depths])
    area = sum(depth.shot.camera.width * depth.shot.camera.height for depth in depths)
    stride = max(1, int(np.ceil(np.sqrt(area / MOST_POINTS))))
    found = [_points(depth, image, stride) for depth, image in zip(depths, images, strict=True)]
    points, colors, spacing = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if not len(points):
        _log.warning("%s: %d depth images know no depth", what, len(depths))
        return None
    check_finite(f"{what}: depth images", points, "make the depth images again")
    cloud = _merged(points, colors, float(np.median(spacing)))
    check_point_cloud(f"{what}: depth images", cloud)
    _log.info("%s: starting cloud of %d points from %d depth images", what, len(cloud.points), len(depths))
    return cloud


def read_depth(path: Path, taken: Camera, unit: float | None) -> np.ndarray:
    """Depths in world units, 0 where unknown, shape [height, width], float64; perhaps smaller than the picture.

    Raises:
        ValueError, OSError: no depth image, or another aspect than the picture that ``taken`` took.
    """
    size = taken.width, taken.height
    stored = read_npy(path) if path.suffix.lower() == ".npy" else read_values(path, size)
    if stored.dtype.kind not in "uif" or stored.dtype.itemsize < 2 or stored.ndim not in (2, 3):
        got = f"{stored.dtype} of shape {list(stored.shape)}"
        refuse(path, "one channel of 16 or 32 bits", got, "export depth as 16 bit PNG in millimetres")
    stored = stored[..., 0] if stored.ndim == 3 and stored.shape[2] == 1 else stored
    if stored.ndim != 2 or not _lies_on(stored.shape, size):
        got = "x".join(map(str, reversed(stored.shape)))
        refuse(path, f"a depth image on the picture, {size[0]}x{size[1]} pixels or fewer", got, "register the depth")
    unit = unit if unit is not None else 1.0 if stored.dtype.kind == "f" else 0.001
    depth = np.asarray(stored, np.float64) * unit
    return np.where(np.isfinite(depth) & (depth > 0.0), depth, 0.0)


def _lies_on(shape: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Whether an image of a shape may be a picture of a size, resampled to fewer pixels."""
    height, width = shape
    if not (0 < height <= size[1] and 0 < width <= size[0]):
        return False
    return abs(width - height * size[0] / size[1]) <= max(1.0, ASPECT * width)


def _points(depth: DepthShot, image: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, world frame, shape [n, 3], colors 0..1, and how far apart they are, shape [n]."""
    shot, camera = depth.shot, depth.shot.camera
    depths = read_depth(depth.depth, shot.taken, depth.unit)
    kept = np.where(_is_inside(depths), depths, 0.0)
    sides = (np.arange(stride // 2, side, stride) for side in (camera.width, camera.height))
    columns, rows = (index.ravel() for index in np.meshgrid(*sides))
    k = camera.intrinsics
    pixels = np.stack([columns, rows], axis=1) + 0.5
    tangents = (pixels - k[:2, 2]) / [k[0, 0], k[1, 1]]
    taken_px = pixels if shot.undistortion is None else shot.undistortion.taken_px(tangents)
    size, here = (shot.taken.width, shot.taken.height), np.array(kept.shape[::-1])
    at = np.floor(taken_px / size * here).astype(int).clip(0, here - 1)
    z = kept[at[:, 1], at[:, 0]]
    known = z > 0.0
    z = z[known]
    local = np.column_stack([tangents[known] * z[:, None], z])
    pose = camera.world_from_camera
    colors = image[rows[known], columns[known]] / np.float32(255.0)
    return local @ pose[:3, :3].T + pose[:3, 3], colors, stride * z / k[0, 0]


def _is_inside(depths: np.ndarray) -> np.ndarray:
    """Whether all pixels around, as far as known, have about the same depth, shape [height, width], bool."""
    known = depths > 0.0
    block = np.ones((3, 3), np.uint8)
    farthest = cv2.dilate(depths, block)
    nearest = cv2.erode(np.where(known, depths, np.inf), block)
    return known & (farthest - nearest <= 2.0 * EDGE * depths)


def _merged(points: np.ndarray, colors: np.ndarray, cell: float) -> PointCloud:
    """The mean of the points of each cell of a grid."""
    cells = np.floor((points - points.min(axis=0)) / cell).astype(np.int64)
    _, index, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), 6))
    np.add.at(sums, index.ravel(), np.concatenate([points, colors], axis=1))
    means = sums / counts[:, None]
    return PointCloud(means[:, :3].astype(np.float32), means[:, 3:].astype(np.float32), None)
