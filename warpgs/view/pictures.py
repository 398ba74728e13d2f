"""Particles to 8-bit pictures: color, depth, mask, normals; to a folder, a video or a strip beside the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import matplotlib
import numpy as np
from PIL import Image

from warpgs.bodies import Parts
from warpgs.checks import check_absent, refuse, sentence
from warpgs.files import whole_file
from warpgs.types import Camera, Gaussians, Tracks
from warpgs.view.moments import moment
from warpgs.view.trails import Trails, draw_trails, positions, slack
from warpgs.view.video import VIDEO_SUFFIXES, tile, write_video

if TYPE_CHECKING:
    from warpgs.render import Picture, Renderer

Channel = Literal["color", "depth", "mask", "normals"]

DEPTH_COLORS = "turbo"
"""Matplotlib color map of depth: red is near, blue is far, black is nothing."""
EMPTY_ALPHA = 0.05
"""Pixels less covered than this have no depth."""
STRIP_GAP_PX = 4


@dataclass(frozen=True)
class DepthRange:
    """Depths [m] that get the first and the last color; fixed over a recording, so that colors do not flicker."""

    near: float
    """Drawn red [m]."""
    far: float
    """Drawn blue [m]."""


def depth_range(cameras: Sequence[Camera], means: np.ndarray) -> DepthRange:
    """From the 1st to the 99th percentile of the depths at which cameras see particles, whose centers [m], world frame,
    are ``means``, shape [n, 3]."""
    depths = []
    for camera in cameras:
        pose = camera.camera_from_world
        in_camera = means.astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]
        pixels = in_camera @ camera.intrinsics.T
        z = in_camera[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = (z > 0) & (pixels[:, 0] / z < camera.width) & (pixels[:, 1] / z < camera.height)
        depths.append(z[inside & (pixels[:, 0] >= 0) & (pixels[:, 1] >= 0)])
    seen = np.concatenate(depths)
    near, far = np.percentile(seen, [1, 99]) if seen.size else (0.0, 1.0)
    return DepthRange(float(near), float(max(far, near + 1e-6)))


def to_pixels(picture: Picture, channel: Channel, depths: DepthRange) -> np.ndarray:
    """One channel of a rendered picture as 8-bit RGB, shape [h, w, 3].

    ``color`` is clipped to 0..1. ``mask`` is the foreground share, white. ``depth`` is the mean depth of what covers
    the pixel (z along the optical axis), drawn with ``DEPTH_COLORS`` over ``depths``. ``normals`` are unit vectors of
    the world from -1..1, x, y, z as red, green, blue; they need a picture with normals.
    """
    if channel == "color":
        return _bytes(picture.color)
    if channel == "mask":
        return np.repeat(_bytes(picture.foreground)[..., None], 3, axis=2)
    covered = picture.alpha > EMPTY_ALPHA
    if channel == "normals":
        if picture.normals is None:
            refuse("picture", "one with normals", "none")
        length = np.linalg.norm(picture.normals, axis=2, keepdims=True)
        normals = picture.normals / np.maximum(length, 1e-9)
        return _bytes(np.where(covered[..., None] & (length > 1e-9), 0.5 + 0.5 * normals, 0.0))
    depth = np.divide(picture.depth, picture.alpha, out=np.zeros_like(picture.depth), where=covered)
    share = (depths.far - depth) / (depths.far - depths.near)
    colors = matplotlib.colormaps[DEPTH_COLORS](np.clip(share, 0.0, 1.0))[..., :3]
    return _bytes(np.where(covered[..., None], colors, 0.0))


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.round(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)


def render_views(
    tracks: Tracks,
    renderer: Renderer,
    views: Sequence[Sequence[Camera]],
    channel: Channel | Trails = "color",
    times: Sequence[float] | np.ndarray | None = None,
    parts: Parts | None = None,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Pictures of every instant, one per camera, in the neutral color; one instant in memory at a time.

    Args:
        tracks: What to draw.
        renderer: Draws it.
        views: Cameras of each time.
        channel: What to show; trails are drawn over the color.
        times: When, see ``moment``; every instant when None.
        parts: Rigid parts, for times between instants.
    """
    times = range(len(tracks)) if times is None else times
    if len(views) != len(times):
        refuse("views", f"the cameras of {len(times)} instants", len(views))
    depths = depth_range(views[0], tracks.at(0).means)
    for time, cameras in zip(times, views, strict=True):
        gaussians = moment(tracks, time, parts)
        if isinstance(channel, Trails):
            way = positions(channel, tracks, time, parts)
            yield tuple(_with_trails(tracks, renderer, gaussians, camera, channel, way) for camera in cameras)
        else:
            normals = channel == "normals"
            pictures = (renderer.view(gaussians, camera, normals=normals) for camera in cameras)
            yield tuple(to_pixels(picture, channel, depths) for picture in pictures)


def _with_trails(
    tracks: Tracks, renderer: Renderer, gaussians: Gaussians, camera: Camera, trails: Trails, way: np.ndarray
) -> np.ndarray:
    picture = renderer.view(gaussians, camera, median_depth=True)
    color = to_pixels(picture, "color", DepthRange(0.0, 1.0))
    return draw_trails(color, picture.median_depth, camera, way, trails.colors, slack(trails, tracks))


def save_views(
    tracks: Tracks,
    renderer: Renderer,
    views: Sequence[Sequence[Camera]],
    output: str | Path,
    *,
    channel: Channel | Trails = "color",
    times: Sequence[float] | np.ndarray | None = None,
    parts: Parts | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw every instant into a folder of ``<camera>/<timestep:06d>.png``, or into one .mp4 or .gif.

    In a video the cameras stand side by side, and pictures follow each other at ``tracks.fps``. Where ``times`` are
    given, pictures in a folder are numbered from 0.

    Args:
        tracks: What to draw.
        renderer: Draws it.
        views: Cameras of each time.
        output: A folder, or a file ending in .mp4 or .gif.
        channel: What to show; trails are drawn over the color.
        times: When, see ``moment``; every instant when None.
        parts: Rigid parts, for times between instants.
        overwrite: Replace an existing file; write into an existing folder.
        progress: Called as ``progress(done, total)`` after each time.

    Raises:
        ValueError: a suffix that is neither a video's nor absent.
        FileExistsError: the output exists and ``overwrite`` is not set.
        OSError: the disk is full or refuses.
    """
    output = Path(output)
    check_output(output, overwrite)
    _check_folder_names(views)
    pictures = _counted(render_views(tracks, renderer, views, channel, times, parts), len(views), progress)
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.suffix:
        write_video(output, (tile(instant) for instant in pictures), tracks.fps)
        return output
    numbers = tracks.timesteps if times is None else range(len(times))
    for cameras, number, instant in zip(views, numbers, pictures, strict=True):
        for camera, picture in zip(cameras, instant, strict=True):
            save_picture(output / camera.name / f"{number:06d}.png", picture)
    return output


def check_output(output: Path, overwrite: bool) -> None:
    """Refuse an output of unknown kind or one that exists; done before any drawing."""
    if output.suffix.lower() not in ("", *VIDEO_SUFFIXES):
        refuse(output, "a folder, or a file ending in " + " or ".join(VIDEO_SUFFIXES), repr(output.suffix))
    check_absent(output, overwrite)
    if output.exists() and output.is_dir() != (output.suffix == ""):
        kind = "folder" if output.is_dir() else "file"
        raise FileExistsError(sentence(output, "a path of the same kind", f"an existing {kind}", "choose another path"))


def _check_folder_names(views: Sequence[Sequence[Camera]]) -> None:
    """Refuse camera names that would leave the output folder."""
    for name in {camera.name for cameras in views for camera in cameras}:
        if name in ("", ".", "..") or Path(name).name != name:
            refuse(f"camera {name!r}", "a name that can be a folder's", "one that cannot", "rename the camera")


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write an 8-bit RGB picture, making its folder; the file is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        Image.fromarray(picture).save(temporary)


def strip(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Rows of pictures of one size on white: for a comparison, the truth above the render; uint8 [h, w, 3]."""
    height, width, _ = rows[0][0].shape
    step_y, step_x = height + STRIP_GAP_PX, width + STRIP_GAP_PX
    canvas = np.full((len(rows) * step_y - STRIP_GAP_PX, len(rows[0]) * step_x - STRIP_GAP_PX, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            canvas[i * step_y : i * step_y + height, j * step_x : j * step_x + width] = picture
    return canvas


def _counted(
    instants: Iterator[tuple[np.ndarray, ...]], total: int, progress: Callable[[int, int], None] | None
) -> Iterator[tuple[np.ndarray, ...]]:
    for done, instant in enumerate(instants, start=1):
        yield instant
        if progress is not None:
            progress(done, total)
