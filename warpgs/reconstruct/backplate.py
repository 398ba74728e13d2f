"""What static cameras see when nothing is in the way, learned from a handful of instants.

A background returns over time, goes on at its borders, does not move, and has other colors than what does: layers.py
says at which instants each pixel shows it. Its color is the one that most of these have near each other. Where bodies
are in the way at all instants there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from warpgs.reconstruct.layers import RARE, ColorOdds, background_shares
from warpgs.types import Camera

FLOW_PX = 0.4
"""Where pictures move by more than this from an instant to the frame after it, something moves (dense inverse search,
Kroeger et al. 2016)."""
SHARES_PIXELS = 320
"""Which instants show the background is decided at this many pixels along the longer side."""
LEAST_SHARE = 0.02
"""An instant counts by its share of the background, squared, relative to the largest at its pixel, or to this ..."""
LEAST_WEIGHT = 0.02
"""... and never less than this before it is squared: where no instant shows any background, time alone decides."""
SAME_COLOR = 12
"""Colors (0..255) that differ by no more than this in any channel are one."""
DIFFERENCE = 0.06
"""Color difference (0..1) below which nothing is foreground: 15 of 255, above what JPEG and sensors add."""
NOISE_SIGMAS = 4.0
"""A pixel is foreground beyond so many standard deviations of its own noise ..."""
NOISE_LIMIT = 0.15
"""... but never needs a larger difference than this: a pixel that bodies cross all the time is not noisy."""
TRUSTED = 0.5
"""Where no instant has a larger share of the background, the color taken for it may be a body's ..."""
MOVING = 0.5
"""... and where a larger share of the instants is in motion."""


@dataclass(frozen=True, eq=False)
class Background:
    """What one camera sees when nothing is in the way."""

    camera: Camera
    color: np.ndarray
    """RGB 0..1, shape [height, width, 3], float32."""
    threshold: np.ndarray
    """Color difference that makes a pixel foreground, shape [height, width], float32."""
    trust: np.ndarray
    """Log of the odds that ``color`` is the background's and not of a body that is always in the way, shape
    [height, width], float32."""
    doubtful: np.ndarray
    """True where it may well be a body's, shape [height, width], bool."""
    odds: ColorOdds
    """What the color of a pixel itself tells."""


def learn_backgrounds(
    cameras: Sequence[Camera],
    pictures: Sequence[Sequence[np.ndarray]],
    following: Sequence[Sequence[np.ndarray]],
    over: Callable = map,
) -> list[Background]:
    """The background of each camera.

    Args:
        cameras: Of the size of their pictures.
        pictures: Of each camera, at several instants spread over the recording, uint8, shape [height, width, 3].
        following: The picture a moment after (or before) each of them.
        over: ``map``, or the map of an executor.
    """
    series = [np.stack(each) for each in pictures]
    moving = list(over(_motion, pictures, following))
    small, moves = (list(over(_reduced, each)) for each in (series, moving))
    return list(over(_background, cameras, series, moving, *zip(*background_shares(small, moves, over), strict=True)))


def _background(
    camera: Camera, series: np.ndarray, moving: np.ndarray, small_shares: np.ndarray, odds: ColorOdds
) -> Background:
    size = (camera.width, camera.height)
    shares = np.stack([cv2.resize(each, size, interpolation=cv2.INTER_LINEAR) for each in small_shares])
    best = shares.max(axis=0)
    weights = np.maximum(shares / np.maximum(best, np.float32(LEAST_SHARE)), np.float32(LEAST_WEIGHT)) ** 2
    color = returning_color(series, weights) / np.float32(255.0)
    difference = np.abs(series / np.float32(255.0) - color).max(axis=3)
    noise = 1.4826 * _median_of(difference, ~moving & (shares > 0.5 * best))
    threshold = np.clip(NOISE_SIGMAS * noise, DIFFERENCE, NOISE_LIMIT).astype(np.float32)
    trust = np.log((best + np.float32(RARE)) / (1.0 - best + np.float32(RARE)))
    return Background(camera, color, threshold, trust, (best < TRUSTED) | (moving.mean(axis=0) > MOVING), odds)


def returning_color(series: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The color that the largest weight of instants has near each other.

    Args:
        series: RGB, uint8, shape [t, height, width, 3].
        weights: Of each instant at each pixel, positive, shape [t, height, width], float32.

    Returns:
        Mean of those instants, shape [height, width, 3], float32, 0..255.
    """
    most = np.zeros(series.shape[1:3], np.float32)
    color = np.zeros(series.shape[1:], np.float32)
    for candidate in series:
        near = np.stack([cv2.absdiff(picture, candidate).max(axis=2) <= SAME_COLOR for picture in series]) * weights
        weight = near.sum(axis=0)
        better = weight > most
        most[better] = weight[better]
        color[better] = np.einsum("tn,tnc->nc", near[:, better], series[:, better]) / weight[better, None]
    return color


def _motion(pictures: Sequence[np.ndarray], following: Sequence[np.ndarray]) -> np.ndarray:
    """True where something moves at each instant, shape [t, height, width]."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.stack([_moves(flow, *pair) for pair in zip(pictures, following, strict=True)])


def _moves(flow: cv2.DISOpticalFlow, picture: np.ndarray, following: np.ndarray) -> np.ndarray:
    """True where something moves from one picture to the other, shape [height, width]."""
    grays = [cv2.cvtColor(np.ascontiguousarray(each), cv2.COLOR_RGB2GRAY) for each in (picture, following)]
    if min(grays[0].shape) < 16:  # smaller than the patches that are searched for
        return cv2.absdiff(*grays) > SAME_COLOR
    return np.linalg.norm(flow.calc(*grays, None), axis=2) > FLOW_PX


def _reduced(series: np.ndarray) -> np.ndarray:
    """Pictures, or where something moves in them, at the size of SHARES_PIXELS, shape [t, height, width(, 3)]."""
    height, width = series.shape[1:3]
    scale = min(1.0, SHARES_PIXELS / max(height, width))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    averaged = [cv2.resize(each.astype(np.uint8), size, interpolation=cv2.INTER_AREA) for each in series]
    return np.stack(averaged).astype(series.dtype)


def _median_of(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Median over time of the chosen instants; of all where none is, shape [height, width]."""
    chosen = chosen | ~chosen.any(axis=0)
    ordered = np.sort(np.where(chosen, values, np.inf), axis=0)
    middle = (chosen.sum(axis=0) - 1) // 2
    return np.take_along_axis(ordered, middle[None], axis=0)[0]
