"""One clock for videos that started at different times, at different rates and ran for different lengths."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenes.video_file import VideoFile
from warpgs.checks import refuse

logger = logging.getLogger(__name__)

WORTH_TELLING = 0.02
"""Share of an instant's length beyond which the distance to the nearest frame is told."""


@dataclass(frozen=True, eq=False)
class Clock:
    """Which frame of each video is shown at each instant."""

    fps: float
    """Instants per second."""
    indices: np.ndarray
    """Index of a frame, shape [t, c], int64."""
    errors_s: np.ndarray
    """How long after the instant that frame was taken [s], shape [t, c], float64."""


def common_clock(root: Path, videos: Sequence[VideoFile], offsets_s: Sequence[float], fps: float | None) -> Clock:
    """Instants through the time that all videos have, each camera at its nearest frame.

    Args:
        root: Names the recording in refusals and in the log.
        offsets_s: When each video started [s].
        fps: Instants per second; those of the slowest video, at its own frames, when None.
    """
    times_s = [video.times_s + offset for video, offset in zip(videos, offsets_s, strict=True)]
    slowest = min(range(len(videos)), key=lambda i: videos[i].fps)
    rate = fps or videos[slowest].fps
    # Half a frame beyond its first and last one, a video still has a nearest frame as good as any.
    start = max(taken[0] - 0.5 / video.fps for taken, video in zip(times_s, videos, strict=True))
    stop = min(taken[-1] + 0.5 / video.fps for taken, video in zip(times_s, videos, strict=True))
    ticks = times_s[slowest][times_s[slowest] >= start - 1e-9]
    count = int(np.floor((stop - ticks[0]) * rate + 1e-6)) + 1 if len(ticks) else 0
    if count < 1:
        spans = ", ".join(f"{v.path.name} {t[0]:.3f} to {t[-1]:.3f}" for v, t in zip(videos, times_s, strict=True))
        refuse(root, "videos that overlap in time", f"{spans} [s]", "correct offset_s in recording.toml")
    instants = ticks[0] + np.arange(count) / rate
    indices = np.stack([_nearest(taken, instants) for taken in times_s], axis=1)
    errors_s = np.stack([taken[i] - instants for taken, i in zip(times_s, indices.T, strict=True)], axis=1)
    _tell(root, videos, rate, errors_s)
    return Clock(rate, indices, errors_s)


def _nearest(taken: np.ndarray, instants: np.ndarray) -> np.ndarray:
    """Index of the nearest of the rising times ``taken``, the earlier of two as near; shape of ``instants``."""
    after = np.searchsorted(taken, instants).clip(1, len(taken) - 1) if len(taken) > 1 else np.zeros(len(instants), int)
    before = np.maximum(after - 1, 0)
    return np.where(instants - taken[before] <= taken[after] - instants + 1e-9, before, after)


def _tell(root: Path, videos: Sequence[VideoFile], rate: float, errors_s: np.ndarray) -> None:
    """Log what resampling costs, and gaps."""
    lengths = [len(video.times_s) for video in videos]
    if len(set(lengths)) > 1 or len(errors_s) < max(lengths):
        logger.info("%s: %d instants of videos of %s frames", root, len(errors_s), ", ".join(map(str, lengths)))
    for video, worst in zip(videos, np.abs(errors_s).max(axis=0), strict=True):
        if worst > WORTH_TELLING / rate:
            level = logging.WARNING if worst > 0.51 / video.fps else logging.INFO
            logger.log(level, "%s: frames up to %.1f ms off the common clock", video.path, 1e3 * worst)
