"""Masks of what moves, for recordings without any: static cameras tell the background (backplate.py).

What differs from the background is foreground, unless it is the same pattern made darker: a shadow (compare Jacques et
al. 2005). Where cameras stand around the scene, what they agree on in space cleans the masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import warp as wp
from PIL import Image
from scipy import ndimage

from warpgs.reconstruct.backplate import Background, learn_backgrounds
from warpgs.reconstruct.consensus import agreed_masks
from warpgs.reconstruct.hull import HullVotes, visual_hull
from warpgs.reconstruct.views import Rig, Views, fitted_size, resample, resized
from warpgs.types import Camera, Frame, Scene

SAMPLES = 24
"""Instants that the background is learned from, spread evenly over the recording."""
FLOW_S = 1.0 / 30.0
"""Time [s] over which motion is looked for, one frame at least."""
LEAST_SAMPLES = 5
"""With fewer instants the background cannot be told from what moves."""
LONG_SIDE = 640
"""Masks are made from pictures of at most this many pixels along the longer side; so are the stored backgrounds."""
SHADOW = (0.35, 0.98)
"""Brightness of a shadow relative to the background, least and most."""
SHADOW_WINDOW = 5
"""Side of the window [px] over which a shadow is the background times one number."""
SHADOW_MISFIT = 0.04
"""Root mean square (0..1) of what such a number leaves over, at most."""
SHADOW_ODDS = -2.0
"""What has the colors of foreground is none, log of the odds for background."""
BODY_ODDS = -3.0
"""Below such odds, of a pixel's color and of the background there together, it is foreground without any difference:
bodies that are always in the way are taken for background."""
FILL_ODDS = 1.0
"""What other cameras see is filled in only where colors do not speak against it."""
SPECK_SHARE = 2e-4
"""Connected regions smaller than this share of the picture are noise, and so are such holes."""
HULL_PIXELS = 160
"""To see whether masks agree in space, they are carved at this many pixels along the longer side ..."""
HULL_VOXEL_PX = 2.0
"""... into voxels of this size [px] ..."""
HULL_VOTES = HullVotes(dissent=0.1, min_view_share=0.5, extent=16.0)
"""... that half of the cameras see: the cones of two or three reach far out."""
AGREEMENT = 0.7
"""Masks of bodies that move too little to be seen whole leave a hull that covers a smaller share of them. Measured:
0.97 on moving bodies, 0.4 on people within 0.4 s, 0.9 with their true masks."""


class MotionMasks:
    """Adds masks to the frames of a scene that has none."""

    def __init__(self, backgrounds: Sequence[Background]) -> None:
        """Use these backgrounds, one per training camera; ``learn`` makes them."""
        self._backgrounds = tuple(backgrounds)

    @staticmethod
    def learn(scene: Scene, over: Callable = map, *, device: wp.DeviceLike = "cpu") -> MotionMasks | None:
        """Learn the background of every training camera; None where it cannot be told from what moves: cameras that
        move, a handful of instants, bodies that never leave their place.

        Args:
            scene: Where the pictures come from; SAMPLES of its instants are read.
            over: ``map``, or the map of an executor.
            device: Where masks are carved, to see whether they agree in space.
        """
        count = min(SAMPLES, scene.timestep_count)
        if count < LEAST_SAMPLES:
            return None
        picked = np.linspace(0, scene.timestep_count - 1, count).round().astype(int).tolist()
        gap = max(1, round(FLOW_S * scene.fps))
        first = scene.frame(picked[0])
        small = [_reduced(camera) for camera in first.cameras]
        series: list[list[np.ndarray]] = [[] for _ in small]
        following: list[list[np.ndarray]] = [[] for _ in small]
        for timestep in picked:
            other = timestep + gap if timestep + gap < scene.timestep_count else max(timestep - gap, 0)
            for frame, into in ((scene.frame(timestep), series), (scene.frame(other), following)):
                if not _same_poses(frame.cameras, first.cameras):
                    return None
                for pictures, picture, camera in zip(into, frame.images, small, strict=True):
                    pictures.append(resized(picture, camera.width, camera.height))
        motion = MotionMasks(learn_backgrounds(small, series, following, over))
        return motion if _agreement(motion.add_to(first, over), device) >= AGREEMENT else None

    def add_to(self, frame: Frame, over: Callable = map) -> Frame:
        """``frame`` with masks."""
        return replace(frame, masks=tuple(over(self._mask, self._backgrounds, frame.images, frame.cameras)))

    def agreed(self, frame: Frame, device: wp.DeviceLike = "cpu") -> Frame:
        """``frame``, which ``add_to`` gave masks, with what the cameras agree on in space. Takes seconds."""
        doubtful = []
        for background, picture in zip(self._backgrounds, frame.images, strict=True):
            size = background.camera.width, background.camera.height
            colored = background.odds.of(resized(picture, *size)) < FILL_ODDS
            doubtful.append(background.doubtful & colored)
        return replace(frame, masks=agreed_masks(frame, doubtful, device))

    @staticmethod
    def _mask(background: Background, picture: np.ndarray, camera: Camera) -> np.ndarray:
        small = resample(picture, background.camera.width, background.camera.height)
        difference = np.abs(small - background.color).max(axis=2)
        odds = background.odds.of(255.0 * small)
        shadow = _is_shadow(small, background.color) & (odds > SHADOW_ODDS)
        mask = _cleaned((difference > background.threshold) & ~shadow | (background.trust + odds < BODY_ODDS))
        whole = Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0)))
        return np.asarray(whole.resize((camera.width, camera.height), Image.Resampling.BILINEAR))


def _agreement(frame: Frame, device: wp.DeviceLike) -> float:
    """Share of the masks' area that their common hull covers, 0..1."""
    rig = Rig.of(frame.cameras)
    views = Views.of(frame, rig, *fitted_size(frame, HULL_PIXELS))
    if views.masks is None or not views.masks.any():
        return 0.0
    points, _ = visual_hull(views, views.masks, HULL_VOTES, HULL_VOXEL_PX, 50_000, device)
    covered, marked = 0, 0
    for index, mask in enumerate(views.masks):
        column, row, _ = views.project(index, points)
        drawn = np.zeros(mask.shape, bool)
        drawn[row[row >= 0], column[row >= 0]] = True
        inside = mask > 0.5
        covered += int((ndimage.binary_dilation(drawn, iterations=2) & inside).sum())
        marked += int(inside.sum())
    return covered / max(marked, 1)


def _is_shadow(picture: np.ndarray, background: np.ndarray) -> np.ndarray:
    """True where a window of the picture is its background times one number below 1, shape [height, width]."""

    def window_sum(values: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(values.sum(axis=2), SHADOW_WINDOW, mode="nearest")

    own, both, base = window_sum(picture**2), window_sum(picture * background), window_sum(background**2)
    ratio = both / np.maximum(base, 1e-6)
    misfit = np.sqrt(np.maximum(own - ratio * both, 0.0) / 3.0)
    return (ratio > SHADOW[0]) & (ratio < SHADOW[1]) & (misfit < SHADOW_MISFIT)


def _cleaned(mask: np.ndarray) -> np.ndarray:
    """``mask`` with thin gaps closed, specks removed and small holes filled."""
    closed = ndimage.binary_closing(np.pad(mask, 2), iterations=2)[2:-2, 2:-2]
    least = SPECK_SHARE * mask.size
    return ~_without_specks(~_without_specks(closed, least), least)


def _without_specks(mask: np.ndarray, least: float) -> np.ndarray:
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    return mask & (sizes >= least)[labels]


def _reduced(camera: Camera) -> Camera:
    scale = min(1.0, LONG_SIDE / max(camera.width, camera.height))
    return camera.resized(max(1, round(scale * camera.width)), max(1, round(scale * camera.height)))


def _same_poses(cameras: Sequence[Camera], others: Sequence[Camera]) -> bool:
    return len(cameras) == len(others) and all(
        np.allclose(a.world_from_camera, b.world_from_camera, atol=1e-9) and np.allclose(a.intrinsics, b.intrinsics)
        for a, b in zip(cameras, others, strict=True)
    )
