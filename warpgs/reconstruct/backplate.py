"""What one static camera sees when nothing is in the way, learned from a handful of instants.

Two things tell a background: it returns over time, and it does not move. So its color at a pixel is the one that most
of the still instants have near each other; an instant is still where the optical flow to a frame soon after is next to
nothing (dense inverse search, Kroeger et al. 2016). Time alone fails where a body is there more often than not: what
it leaves free for a while looks like something new. The flow itself only ever leaves instants out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from warpgs.types import Camera

FLOW_PX = 0.4
"""Where pictures move by more than this from an instant to the frame after it, something moves."""
MOVING_WEIGHT = 0.02
"""An instant in motion counts this much of a still one: where all are in motion, time alone decides."""
SAME_COLOR = 12
"""Colors (0..255) that differ by no more than this in any channel are one."""
DIFFERENCE = 0.06
"""Color difference (0..1) below which nothing is foreground: 15 of 255, above what JPEG and sensors add."""
NOISE_SIGMAS = 4.0
"""A pixel is foreground beyond so many standard deviations of its own noise ..."""
NOISE_LIMIT = 0.15
"""... but never needs a larger difference than this: a pixel that bodies cross all the time is not noisy."""
DOUBT = 0.5
"""Where more than this share of the instants is in motion, the background may be the body itself."""


@dataclass(frozen=True, eq=False)
class Background:
    """What one camera sees when nothing is in the way."""

    camera: Camera
    color: np.ndarray
    """RGB 0..1, shape [height, width, 3], float32."""
    threshold: np.ndarray
    """Color difference that makes a pixel foreground, shape [height, width], float32."""
    doubtful: np.ndarray
    """True where too few instants are still to trust ``color``, shape [height, width], bool."""


def learn_background(camera: Camera, pictures: Sequence[np.ndarray], following: Sequence[np.ndarray]) -> Background:
    """The background of ``camera``.

    Args:
        camera: Of the size of the pictures.
        pictures: At several instants spread over the recording, uint8, shape [height, width, 3] each.
        following: The picture a moment after (or before) each of them.
    """
    series = np.stack(pictures)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    moving = np.stack([_moves(flow, *pair) for pair in zip(pictures, following, strict=True)])
    weights = np.where(moving, np.float32(MOVING_WEIGHT), np.float32(1.0))
    color = returning_color(series, weights) / np.float32(255.0)
    difference = np.abs(series / np.float32(255.0) - color).max(axis=3)
    noise = 1.4826 * _median_of(difference, ~moving)
    threshold = np.clip(NOISE_SIGMAS * noise, DIFFERENCE, NOISE_LIMIT).astype(np.float32)
    return Background(camera, color, threshold, moving.mean(axis=0) > DOUBT)


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


def _moves(flow: cv2.DISOpticalFlow, picture: np.ndarray, following: np.ndarray) -> np.ndarray:
    """True where something moves from one picture to the other, shape [height, width]."""
    grays = [cv2.cvtColor(np.ascontiguousarray(each), cv2.COLOR_RGB2GRAY) for each in (picture, following)]
    if min(grays[0].shape) < 16:  # smaller than the patches that are searched for
        return cv2.absdiff(*grays) > SAME_COLOR
    return np.linalg.norm(flow.calc(*grays, None), axis=2) > FLOW_PX


def _median_of(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Median over time of the chosen instants; of all where none is, shape [height, width]."""
    chosen = chosen | ~chosen.any(axis=0)
    ordered = np.sort(np.where(chosen, values, np.inf), axis=0)
    middle = (chosen.sum(axis=0) - 1) // 2
    return np.take_along_axis(ordered, middle[None], axis=0)[0]
