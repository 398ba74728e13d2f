"""Points that several cameras recognize: what they say of the calibration, and a sparse cloud of what stands still.

SIFT features (Lowe 2004) are matched between cameras that look alike. A fundamental matrix found from the matches alone
(MAGSAC++, Barath et al. 2020) tells the right ones, so that a wrong calibration cannot hide its own errors; then each
match is held against the line that the calibration draws through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from warpgs.types import Camera, Frame, PointCloud

LONG_SIDE = 1000
"""Features are looked for in pictures of at most this many pixels along the longer side."""
MOST_FEATURES = 4000
PARTNERS = 3
"""Each camera is compared with so many others, those whose directions of view are nearest."""
RATIO = 0.75
"""A match is kept if the second best is this much farther away (Lowe)."""
LEAST_MATCHES = 25
"""Right matches that a pair needs before it says anything: seven fit any fundamental matrix."""
INLIER_PX = 1.5
"""Largest distance [px of the searched pictures] of right matches from the line of the fundamental matrix."""
LEAST_ANGLE = np.radians(1.5)
"""Points seen under a smaller angle have no certain depth."""


@dataclass(frozen=True, eq=False)
class PairMatches:
    """Right matches of two cameras."""

    first: int
    """Index of a camera."""
    second: int
    """Index of the other."""
    first_px: np.ndarray
    """Where the first sees them [px of its own picture], shape [n, 2]."""
    second_px: np.ndarray
    """Where the second does, shape [n, 2]."""
    error_px: np.ndarray
    """Distance of each from the line that the calibration draws through it, mean of both pictures [px], shape [n]."""


def match_features(frame: Frame) -> list[PairMatches]:
    """Matches of every camera with its neighbors; pairs with too few of them are left out.

    Args:
        frame: Pictures of one instant; moving bodies do no harm, as all cameras see them at once.
    """
    features = [_features(picture) for picture in frame.images]
    pairs = []
    for first, second in neighbors(frame.cameras):
        matched = _right_matches(*(features[i] for i in (first, second)))
        if matched is not None:
            error = epipolar_error(frame.cameras[first], frame.cameras[second], *matched)
            pairs.append(PairMatches(first, second, *matched, error))
    return pairs


def neighbors(cameras: Sequence[Camera]) -> list[tuple[int, int]]:
    """Pairs of cameras that look in like directions from places near each other, in order, each once."""
    centers = np.stack([camera.center_world for camera in cameras])
    forward = np.stack([camera.world_from_camera[:3, 2] for camera in cameras])
    apart = np.linalg.norm(centers[:, None] - centers, axis=2)
    unlike = (1.0 - forward @ forward.T) + 0.5 * apart / max(float(apart.max()), 1e-12)
    np.fill_diagonal(unlike, np.inf)
    near = np.argsort(unlike, axis=1, kind="stable")[:, : min(PARTNERS, len(cameras) - 1)]
    return sorted({(min(i, int(j)), max(i, int(j))) for i in range(len(cameras)) for j in near[i]})


def epipolar_error(first: Camera, second: Camera, first_px: np.ndarray, second_px: np.ndarray) -> np.ndarray:
    """Distance of matches from their epipolar lines, mean of both pictures [px], shape [n].

    F = K2^-T [t]x R K1^-1 with x2 = R x1 + t (Hartley and Zisserman, section 9.6).
    """
    second_from_first = second.camera_from_world @ first.world_from_camera
    x, y, z = second_from_first[:3, 3]
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    essential = cross @ second_from_first[:3, :3]
    fundamental = np.linalg.inv(second.intrinsics).T @ essential @ np.linalg.inv(first.intrinsics)
    a, b = (np.column_stack([px, np.ones(len(px))]) for px in (first_px, second_px))
    lines_b, lines_a = a @ fundamental.T, b @ fundamental
    along = np.abs(np.sum(b * lines_b, axis=1))
    lengths = [np.maximum(np.linalg.norm(lines[:, :2], axis=1), 1e-12) for lines in (lines_a, lines_b)]
    return 0.5 * (along / lengths[0] + along / lengths[1])


def triangulated(frame: Frame, pairs: Sequence[PairMatches], most_error_px: float) -> PointCloud | None:
    """Points where the rays of matches meet; None where there are none.

    Args:
        frame: The pictures that were matched, for the colors.
        pairs: From ``match_features``.
        most_error_px: Matches farther from their line are left out.
    """
    points, colors = [], []
    for pair in pairs:
        kept = pair.error_px <= most_error_px
        a, b = frame.cameras[pair.first], frame.cameras[pair.second]
        rays = [_rays(camera, px[kept]) for camera, px in ((a, pair.first_px), (b, pair.second_px))]
        here, good = _meeting_points(a.center_world, b.center_world, *rays)
        column, row = np.floor(pair.first_px[kept][good]).astype(int).T
        points.append(here[good])
        colors.append(frame.images[pair.first][row, column] / np.float32(255.0))
    if not points or not sum(map(len, points)):
        return None
    return PointCloud(np.concatenate(points).astype(np.float32), np.concatenate(colors).astype(np.float32), None)


def _features(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions [px], shape [n, 2], and descriptors, shape [n, 128], of a picture, and by how much it was shrunk."""
    height, width = picture.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    small = Image.fromarray(picture).resize((max(1, round(scale * width)), max(1, round(scale * height))))
    points, descriptors = cv2.SIFT.create(MOST_FEATURES).detectAndCompute(np.asarray(small.convert("L")), None)
    factor = np.array([width / small.width, height / small.height])
    if descriptors is None:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32), factor
    # OpenCV counts the center of the first pixel as 0
    return (np.array([point.pt for point in points]) + 0.5) * factor, descriptors, factor


def _right_matches(
    first: tuple[np.ndarray, np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    if min(len(first[0]), len(second[0])) < LEAST_MATCHES:
        return None
    both = cv2.BFMatcher().knnMatch(first[1], second[1], 2)
    back = {m.queryIdx: m.trainIdx for (m,) in cv2.BFMatcher().knnMatch(second[1], first[1], 1)}
    good = [m for m, other in both if m.distance < RATIO * other.distance and back.get(m.trainIdx) == m.queryIdx]
    if len(good) < LEAST_MATCHES:
        return None
    a = first[0][[match.queryIdx for match in good]]
    b = second[0][[match.trainIdx for match in good]]
    cv2.setRNGSeed(0)
    searched = (a / first[2]).astype(np.float32), (b / second[2]).astype(np.float32)
    _, inlier = cv2.findFundamentalMat(*searched, cv2.USAC_MAGSAC, INLIER_PX, 0.9999, 20_000)
    if inlier is None or inlier.sum() < LEAST_MATCHES:
        return None
    chosen = inlier.ravel() > 0
    return a[chosen], b[chosen]


def _rays(camera: Camera, px: np.ndarray) -> np.ndarray:
    """Unit directions of pixels, world frame, shape [n, 3]."""
    local = np.column_stack([px, np.ones(len(px))]) @ np.linalg.inv(camera.intrinsics).T
    world = local @ camera.world_from_camera[:3, :3].T
    return world / np.linalg.norm(world, axis=1, keepdims=True)


def _meeting_points(
    first_center: np.ndarray, second_center: np.ndarray, first_rays: np.ndarray, second_rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Middle of the shortest way between two rays, shape [n, 3], and whether it is in front of both at an angle."""
    between = second_center - first_center
    cosine = np.sum(first_rays * second_rays, axis=1)
    one, two = first_rays @ between, second_rays @ between
    sine2 = np.maximum(1.0 - cosine**2, 1e-12)
    along_first = (one - cosine * two) / sine2
    along_second = (cosine * one - two) / sine2
    ends = first_center + along_first[:, None] * first_rays, second_center + along_second[:, None] * second_rays
    good = (along_first > 0.0) & (along_second > 0.0) & (sine2 > np.sin(LEAST_ANGLE) ** 2)
    return 0.5 * (ends[0] + ends[1]), good
