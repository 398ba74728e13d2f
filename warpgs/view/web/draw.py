"""What a visitor sees, drawn by the house's rasterizer. Knows nothing of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import matplotlib
import numpy as np
from scipy.spatial.transform import Rotation

from warpgs.bodies import DEFORMABLE, Parts
from warpgs.render import Renderer
from warpgs.types import Camera, Gaussians, Tracks
from warpgs.view.overlay import distinct_colors
from warpgs.view.pictures import Channel, DepthRange, depth_range, to_pixels

Show = Literal["color", "parts", "confidence", "visibility", "depth", "normals", "mask"]
SHOWS: tuple[Show, ...] = get_args(Show)
CHANNELS: dict[Show, Channel] = {"depth": "depth", "normals": "normals", "mask": "mask"}
"""What the rasterizer draws beside color; all else is a matter of the particles' colors."""
SHARE_COLORS = "RdYlGn"
"""Matplotlib color map of confidence and visibility: red is 0, green is 1."""
REST_SHADE, BENDING_GRAY = 0.25, 0.7
"""Background is drawn this dark, and what bends in this gray, where parts are colored."""
NOTHING_M = 1e4
"""Depth of pixels that show nothing: behind everything [m]."""


@dataclass(frozen=True)
class Wish:
    """What one picture is to show."""

    index: int
    """The instant, an index into ``Tracks.timesteps``."""
    show: Show = "color"
    """What of it."""
    foreground_only: bool = False
    """Whether the background is left out."""


def particles(tracks: Tracks, parts: Parts | None, wish: Wish) -> Gaussians:
    """The particles of a wish, in the colors that it wants; without ``parts`` all of the foreground bends."""
    gaussians = tracks.at(wish.index)
    count = len(gaussians)
    if wish.show == "parts":
        gaussians = replace(gaussians, colors=_part_colors(gaussians, parts), harmonics=None)
    shares = getattr(tracks, wish.show) if wish.show in ("confidence", "visibility") else None
    if shares is not None:
        colors = matplotlib.colormaps[SHARE_COLORS](shares[wish.index, :count])[:, :3]
        gaussians = replace(gaussians, colors=colors.astype(np.float32), harmonics=None)
    return gaussians.select(gaussians.foreground > 0.5) if wish.foreground_only else gaussians


def available(tracks: Tracks) -> tuple[Show, ...]:
    """What these tracks can show."""
    return tuple(
        show for show in SHOWS if show not in ("confidence", "visibility") or getattr(tracks, show) is not None
    )


def draw(
    gaussians: Gaussians, wish: Wish, camera: Camera, renderer: Renderer, *, with_depth: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """The picture of a wish.

    Args:
        gaussians: Of ``particles``.
        wish: What to show of them.
        camera: Who looks.
        renderer: Draws.
        with_depth: Find depths too, for what the browser puts into the picture.

    Returns:
        8-bit RGB, shape [h, w, 3], and z [m], NOTHING_M where nothing is, shape [h, w], or None.
    """
    if not len(gaussians):
        black = np.zeros((camera.height, camera.width, 3), np.uint8)
        return black, np.full(black.shape[:2], NOTHING_M) if with_depth else None
    channel = CHANNELS.get(wish.show, "color")
    picture = renderer.view(gaussians, camera, normals=channel == "normals", median_depth=with_depth)
    depths = depth_range([camera], gaussians.means) if channel == "depth" else DepthRange(0.0, 1.0)
    pixels = to_pixels(picture, channel, depths)
    depth = picture.median_depth
    return pixels, None if depth is None else np.where(depth > 0.0, depth, NOTHING_M)


def camera_of(wxyz: Sequence[float], position: Sequence[float], fov_rad: float, aspect: float, height: int) -> Camera:
    """The camera of a browser's window: OpenCV axes, field of view from top to bottom, drawn ``height`` pixels high."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(wxyz, scalar_first=True).as_matrix()
    pose[:3, 3] = position
    width = max(1, round(height * aspect))
    focal = 0.5 * height / np.tan(0.5 * fov_rad)
    intrinsics = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    return Camera("view", width, height, intrinsics, pose)


def part_palette(parts: Parts) -> np.ndarray:
    """A color for each part, RGB 0..1, shape [p, 3]."""
    return distinct_colors(len(parts)).reshape(-1, 3) / 255.0


def _part_colors(gaussians: Gaussians, parts: Parts | None) -> np.ndarray:
    colors = REST_SHADE * gaussians.colors
    index = np.full(len(gaussians), DEFORMABLE) if parts is None else parts.part_index[: len(gaussians)]
    colors[(index == DEFORMABLE) & (gaussians.foreground > 0.5)] = BENDING_GRAY
    if parts is not None:
        colors[index >= 0] = part_palette(parts)[index[index >= 0]]
    return colors.astype(np.float32)
