"""What the outlines of masks say of the calibration and of the clocks: no features needed, cameras may face each other.

A plane through the centers of two cameras that touches a body touches its outline in both pictures (Cipolla and Giblin
2000). So two angles about the line between the centers, those of the outermost planes, must be the same seen by either
camera; by how much they differ over many instants tells how cameras were turned since they were calibrated (Sinha and
Pollefeys 2004 calibrate from nothing but that) and how late each one took its pictures. A robust loss bears masks that
are wrong in places; outlines that the border of a picture cuts do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from scipy.optimize import least_squares

from warpgs.diagnose.features import neighbors
from warpgs.types import Camera

ALL_PAIRS = 6
"""Of so many cameras all pairs are compared; of more, those that look alike."""
LONG_SIDE = 960
"""Outlines are taken from masks of at most this many pixels along the longer side."""
LEAST_PART = 0.1
"""Parts of a mask smaller than this share of its largest are noise."""
CORNERS = 48
"""Outlines are convex hulls of so many corners; others have nothing outermost."""
WIDEST = 2.0
"""Outlines that fill a wider angle [rad] about the line between two cameras lie around it: nothing is outermost."""
PRIOR_TURN, PRIOR_DELAY = np.radians(2.0), 0.5
"""Turns [rad] and delays [frames] as they may be expected: what outlines do not tell stays next to 0."""
SCALES_PX = 20.0, 5.0, 2.0
"""Errors of right outlines, one fit after the other."""
STEP = 1e-3
"""Of differences that stand for derivatives, share of what is expected."""
LEAST_OUTLINES = 20
"""Outermost planes that are seen by two cameras, with fewer nothing is said."""


@dataclass(frozen=True, eq=False)
class Outlines:
    """Convex outlines of what moves: of ``g`` instants, each with the one before and the one after."""

    cameras: tuple[Camera, ...]
    corners: np.ndarray
    """Rays through the corners, camera frame, z = 1, shape [g, 3, c, CORNERS, 3]; NaN where a mask is empty."""
    cut: np.ndarray
    """True for corners at the border of the picture, shape [g, 3, c, CORNERS], bool."""


@dataclass(frozen=True, eq=False)
class Misfit:
    """How cameras are off, by their outlines."""

    before_px: np.ndarray
    """Median difference between what each camera and another see as outermost, as calibrated [px], shape [c]."""
    after_px: np.ndarray
    """The same with the turns and delays."""
    turns: np.ndarray
    """Rotation vectors by which cameras were turned since they were calibrated, camera frame [rad], shape [c, 3]."""
    delays: np.ndarray
    """How late pictures were taken, relative to the median camera [frames], shape [c]."""
    delay_errors: np.ndarray
    """Standard deviations of ``delays`` [frames], shape [c]."""


def outlines(cameras: Sequence[Camera], masks: Sequence[Sequence[Sequence[np.ndarray]]]) -> Outlines:
    """Outlines of ``masks[g][i][c]``, uint8, i = 0, 1, 2 for the instant before, the instant, the one after."""
    found = [[[_hull(c, m) for c, m in zip(cameras, row, strict=True)] for row in group] for group in masks]
    shape = (len(found), 3, len(cameras), CORNERS)
    corners = np.array([[[ray for ray, _ in row] for row in group] for group in found]).reshape(*shape, 3)
    cut = np.array([[[flag for _, flag in row] for row in group] for group in found]).reshape(shape)
    return Outlines(tuple(cameras), corners, cut)


def misfit(seen: Outlines) -> Misfit | None:
    """Turns and delays that make outlines agree; None where too few are seen by two cameras."""
    pairs = _Pairs(seen)
    count = len(seen.cameras)
    start = pairs.residuals(np.zeros((count, 4)))
    if (start != 0.0).sum() < LEAST_OUTLINES:
        return None
    prior = np.tile([PRIOR_TURN] * 3 + [PRIOR_DELAY], count)
    unknown = np.zeros(4 * count)
    for scale in SCALES_PX:

        def residuals(scaled: np.ndarray, scale: float = scale) -> np.ndarray:
            return np.concatenate([pairs.residuals((prior * scaled).reshape(count, 4)) / scale, scaled])

        def jacobian(scaled: np.ndarray, scale: float = scale) -> np.ndarray:
            slopes = pairs.slopes((prior * scaled).reshape(count, 4), STEP * prior.reshape(count, 4))
            return np.concatenate([slopes * prior / scale, np.eye(4 * count)])

        fit = least_squares(residuals, unknown, jacobian, loss="cauchy", max_nfev=20)
        unknown = fit.x
    found = (prior * unknown).reshape(count, 4)
    errors = (prior * np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)))).reshape(count, 4)
    before, after = (pairs.medians(residuals) for residuals in (start, pairs.residuals(found)))
    return Misfit(before, after, found[:, :3], found[:, 3] - np.median(found[:, 3]), errors[:, 3])


class _Pairs:
    """Pairs of cameras and the angles of planes about the lines between their centers."""

    def __init__(self, seen: Outlines) -> None:
        self._seen = seen
        cameras = seen.cameras
        index = list(combinations(range(len(cameras)), 2)) if len(cameras) <= ALL_PAIRS else neighbors(cameras)
        middle = [_middle(seen.corners[:, 1, c].reshape(-1, 3)) for c in range(len(cameras))]
        self._pairs = []
        for first, second in index:
            axis = _unit(cameras[second].center_world - cameras[first].center_world)
            sights = [cameras[c].world_from_camera[:3, :3] @ middle[c] for c in (first, second)]
            ahead = _unit(np.cross(np.cross(axis, _unit(sum(sights))), axis))
            # Pixels per radian about the axis: the nearer a line of sight to the axis, the fewer.
            levers = [
                cameras[c].intrinsics[0, 0] * np.linalg.norm(np.cross(axis, sight))
                for c, sight in zip((first, second), sights, strict=True)
            ]
            self._pairs.append(((first, second), np.stack([ahead, np.cross(axis, ahead)], axis=1), min(levers)))

    def residuals(self, unknown: np.ndarray) -> np.ndarray:
        """Angles between what two cameras see as outermost [px], 0 where one of them does not see it, shape [n].

        Args:
            unknown: Turn [rad] and delay [frames] of each camera, shape [c, 4].
        """
        sides = [[self._outermost(c, plane, unknown[c]) for c in pair] for pair, plane, _ in self._pairs]
        return np.concatenate(
            [np.nan_to_num(lever * (a - b)).ravel() for (a, b), (*_, lever) in zip(sides, self._pairs, strict=True)]
        )

    def medians(self, residuals: np.ndarray) -> np.ndarray:
        """Median size of the residuals of each camera [px], NaN where it has none, shape [c]."""
        sizes = np.abs(np.where(residuals == 0.0, np.nan, residuals)).reshape(len(self._pairs), -1)
        own = [sizes[[c in pair for pair, *_ in self._pairs]] for c in range(len(self._seen.cameras))]
        return np.array([np.nanmedian(each) if np.isfinite(each).any() else np.nan for each in own])

    def slopes(self, unknown: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Derivatives of the residuals by central differences, shape [n, 4 c]; one camera at a time is in few pairs."""
        size = 2 * self._seen.corners.shape[0]
        slopes = np.zeros((len(self._pairs), size, *unknown.shape))
        for row, (pair, plane, lever) in enumerate(self._pairs):
            known = [np.isfinite(self._outermost(c, plane, unknown[c])) for c in pair]
            for sign, camera in zip((lever, -lever), pair, strict=True):
                for k, step in enumerate(steps[camera]):
                    shift = step * np.eye(4)[k]
                    high, low = (self._outermost(camera, plane, unknown[camera] + s * shift) for s in (1, -1))
                    slope = np.where(known[0] & known[1], sign * (high - low) / (2.0 * step), 0.0)
                    slopes[row, :, camera, k] = np.nan_to_num(slope).ravel()
        return slopes.reshape(len(self._pairs) * size, -1)

    def _outermost(self, camera: int, plane: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        """Least and largest angle of an outline at each instant, had the camera been in time, shape [g, 2]; NaN where
        not known.

        Args:
            plane: Directions of the angles 0 and pi/2, world frame, shape [3, 2].
            unknown: Turn [rad] and delay [frames] of the camera, shape [4].
        """
        turned = self._seen.cameras[camera].turned(unknown[:3]).world_from_camera[:3, :3]
        plane, delay = turned.T @ plane, unknown[3]
        corners, cut = self._seen.corners[:, :, camera], self._seen.cut[:, :, camera]
        ahead, aside = np.moveaxis(corners @ plane, -1, 0)
        angles = np.arctan2(aside, ahead)  # [g, 3, k]
        ends = []
        for at in (angles.argmin(axis=2), angles.argmax(axis=2)):
            end, is_cut = (np.take_along_axis(values, at[..., None], axis=2)[..., 0] for values in (angles, cut))
            ends.append(np.where(is_cut, np.nan, end))
        least, largest = ends
        around = np.ptp(angles, axis=2) > WIDEST
        both = np.where(around[..., None], np.nan, np.stack([least, largest], axis=2))  # [g, 3, 2]
        return both[:, 1] - 0.5 * delay * (both[:, 2] - both[:, 0])


def _hull(camera: Camera, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rays through the corners of a mask's convex outline, shape [CORNERS, 3], and which of them lie at the border."""
    step = max(1, round(max(mask.shape) / LONG_SIDE))
    small = (mask[step // 2 :: step, step // 2 :: step] > 127).astype(np.uint8)
    small = cv2.morphologyEx(small, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(small)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count < 2:
        return np.full((CORNERS, 3), np.nan), np.zeros(CORNERS, bool)
    rows, columns = np.nonzero(np.isin(labels, 1 + np.flatnonzero(areas >= LEAST_PART * areas.max())))
    hull = cv2.convexHull(np.stack([columns, rows], axis=1).astype(np.int32))[:, 0]
    # What is outlined are pixels, not their centers.
    hull = cv2.convexHull((hull[:, None] + [[0, 0], [0, 1], [1, 0], [1, 1]]).reshape(-1, 2).astype(np.int32))[:, 0]
    hull = hull[np.linspace(0, len(hull) - 1, CORNERS).round().astype(int)]
    cut = ((hull < 2) | (hull > np.array(small.shape[::-1]) - 2)).any(axis=1)
    pixels = np.concatenate([step * hull, np.ones((CORNERS, 1))], axis=1)
    return pixels @ np.linalg.inv(camera.intrinsics).T, cut


def _middle(rays: np.ndarray) -> np.ndarray:
    """Mean direction of rays of shape [n, 3], some NaN; straight ahead where all are: then nothing is compared."""
    known = np.isfinite(rays[:, 0])
    return _unit(rays[known].mean(axis=0)) if known.any() else np.array([0.0, 0.0, 1.0])


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
