"""Rendered against recorded pictures, camera by camera and instant by instant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from warpgs.evaluate.images import decibels, ssim_map, weighted_mean
from warpgs.types import Camera, Frame, Scene, Split, Tracks

if TYPE_CHECKING:
    from warpgs.render import Renderer

LEVELS = 255.0
STILL_LEVELS = 8
"""A pixel stands still when its recorded color changes by no more than this many of 255 levels: more than the noise of
a camera, less than a shadow that passes."""
SCORERS = 2
"""Pictures scored at once, beside the rendering of the next ones."""


@dataclass(frozen=True)
class PictureScore:
    """How one rendered picture matches the recorded one."""

    camera: str
    """Camera.name."""
    timestep: int
    """Index of the instant in the scene."""
    psnr: float
    """Whole picture [dB]."""
    ssim: float
    """Whole picture."""
    foreground_psnr: float
    """Inside the mask [dB]; NaN where the scene has no masks or the mask is empty."""
    foreground_ssim: float
    """Inside the mask; NaN where the scene has no masks or the mask is empty."""
    flicker: float
    """Mean absolute change of the error picture since the instant before [1/255], over pixels that stand still; see
    ``flicker``. NaN at the first instant, and for cameras that move."""


@dataclass(frozen=True, eq=False)
class _View:
    """One camera's picture at one instant: recorded uint8, rendered float32 0..1, mask uint8 or None."""

    camera: Camera
    recorded: np.ndarray
    rendered: np.ndarray
    mask: np.ndarray | None


def compare_pictures(
    tracks: Tracks,
    scene: Scene,
    split: Split,
    renderer: Renderer,
    *,
    image_scale: float,
    progress: Callable[[int, int], None] | None,
) -> tuple[PictureScore, ...]:
    """Score every picture of ``split`` at the instants of ``tracks``; see ``evaluate`` for the arguments."""
    jobs: list[Future[PictureScore]] = []
    before: dict[int, _View] = {}
    with ThreadPoolExecutor(SCORERS) as pool:
        for index, timestep in enumerate(tracks.timesteps):
            frame = scaled(scene.frame(timestep, split), image_scale)
            for number, camera in enumerate(frame.cameras):
                # By split, not by name: in a broken capture a held-out camera may share a training camera's name.
                taken = refined(camera, tracks) if split == "train" else camera
                color = renderer.view(tracks.at(index), taken).color
                color = corrected(color, tracks, camera.name) if split == "train" else color
                mask = None if frame.masks is None else frame.masks[number]
                view = _View(camera, frame.images[number], np.clip(color, 0.0, 1.0), mask)
                jobs.append(pool.submit(_score, view, before.get(number), timestep))
                before[number] = view
            for job in jobs[: -len(frame.cameras)]:  # the pictures of two instants at most are in memory
                job.result()
            if progress is not None:
                progress(index + 1, len(tracks))
        return tuple(job.result() for job in jobs)


def flicker(error: np.ndarray, error_before: np.ndarray, still: np.ndarray) -> float:
    """Mean of |e_t - e_(t-1)| over still pixels and color channels; NaN where none is still.

    An error that stays is no flicker, however large; a change of the render that follows the recording is none either.
    The noise of the recording is part of it.

    Args:
        error: Rendered minus recorded picture, shape [h, w, 3].
        error_before: The same at the instant before.
        still: Whether each pixel counts, shape [h, w], bool.
    """
    return float(np.abs(error - error_before)[still].mean()) if still.any() else float("nan")


def corrected(color: np.ndarray, tracks: Tracks, camera_name: str) -> np.ndarray:
    """A rendered picture as a training camera would have taken it: exp(log_gain) * color + offset, shape [h, w, 3].

    The neutral color is returned for cameras that took no part in the fitting.
    """
    if camera_name not in tracks.camera_names:
        return color
    index = tracks.camera_names.index(camera_name)
    return np.exp(tracks.camera_log_gains[index]) * color + tracks.camera_offsets[index]


def refined(camera: Camera, tracks: Tracks) -> Camera:
    """A training camera as it was turned while the first timestep was fitted; others as they are."""
    if tracks.camera_turns is None or camera.name not in tracks.camera_names:
        return camera
    return camera.turned(tracks.camera_turns[tracks.camera_names.index(camera.name)])


def scaled(frame: Frame, image_scale: float) -> Frame:
    """The frame with its pictures reduced by area averaging and its cameras to match; itself at scale 1."""
    if image_scale == 1.0:
        return frame
    cameras = tuple(
        camera.resized(max(1, round(camera.width * image_scale)), max(1, round(camera.height * image_scale)))
        for camera in frame.cameras
    )
    masks = None if frame.masks is None else _reduce(frame.masks, cameras)
    return Frame(frame.timestep, frame.time_s, cameras, _reduce(frame.images, cameras), masks)


def _reduce(pictures: Sequence[np.ndarray], cameras: Sequence[Camera]) -> tuple[np.ndarray, ...]:
    return tuple(
        np.asarray(Image.fromarray(picture).resize((camera.width, camera.height), Image.Resampling.BOX))
        for picture, camera in zip(pictures, cameras, strict=True)
    )


def _score(view: _View, before: _View | None, timestep: int) -> PictureScore:
    rendered, recorded = view.rendered.astype(np.float64), view.recorded / LEVELS
    squared = ((rendered - recorded) ** 2).mean(axis=2)
    similarity = ssim_map(rendered, recorded).mean(axis=2)
    foreground = np.zeros(squared.shape) if view.mask is None else view.mask / LEVELS
    return PictureScore(
        camera=view.camera.name,
        timestep=timestep,
        psnr=decibels(weighted_mean(squared, None)),
        ssim=weighted_mean(similarity, None),
        foreground_psnr=decibels(weighted_mean(squared, foreground)),
        foreground_ssim=weighted_mean(similarity, foreground),
        flicker=float("nan") if before is None else _flicker_since(before, view),
    )


def _flicker_since(before: _View, view: _View) -> float:
    """See ``flicker``; still are pixels without foreground at both instants whose recorded color hardly changes."""
    a, b = before.camera, view.camera
    if not (np.array_equal(a.world_from_camera, b.world_from_camera) and np.array_equal(a.intrinsics, b.intrinsics)):
        return float("nan")
    change = np.abs(view.recorded.astype(np.int16) - before.recorded)
    still = (change <= STILL_LEVELS).all(axis=2)
    for mask in (before.mask, view.mask):
        if mask is not None:
            still &= mask == 0
    errors = [LEVELS * v.rendered - v.recorded for v in (view, before)]
    return flicker(*errors, still)
