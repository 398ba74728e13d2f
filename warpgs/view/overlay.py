"""Paths drawn over pictures, flat; see ``warpgs.view.trails`` for paths that the scene hides."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw

from warpgs.query.geometry import project
from warpgs.query.visibility import visible
from warpgs.types import Camera, Tracks

DOT_PX = 3
HIDDEN_SHADE = 0.4
"""Paths are drawn this dark where they are hidden."""
MOST_TRACKS = 80
TAIL_INSTANTS = 10
"""Only the last part of each path is drawn, so that pictures stay readable."""
DRAWN_WIDTH_PX = 960
"""Pictures are enlarged to about this width."""


def draw_paths(
    picture: np.ndarray, points_px: np.ndarray, visible: np.ndarray, colors: np.ndarray, *, scale: int = 1
) -> np.ndarray:
    """A picture with paths over it that end in dots; dark where the point is hidden.

    Args:
        picture: 8-bit RGB, shape [h, w, 3].
        points_px: Positions in the picture [px], shape [t, m, 2]; a path has a gap where it is not finite.
        visible: Whether each point is visible, shape [t, m], bool.
        colors: 8-bit RGB of each path, shape [m, 3].
        scale: Pixels are repeated this often along each side, so that lines stay thin.

    Returns:
        8-bit RGB, shape [scale h, scale w, 3].
    """
    height, width, _ = picture.shape
    image = Image.fromarray(picture).resize((scale * width, scale * height), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    # Far outside, PIL's integers overflow.
    near = (np.abs(points_px) < 10 * max(width, height)).all(axis=2)
    xy = scale * np.where(near[..., None], points_px, 0.0)
    for path in range(points_px.shape[1]):
        shades = [tuple((colors[path] * shade).astype(int).tolist()) for shade in (HIDDEN_SHADE, 1.0)]
        for instant in range(1, len(xy)):
            if near[instant - 1, path] and near[instant, path]:
                ends = [tuple(xy[instant - 1, path]), tuple(xy[instant, path])]
                draw.line(ends, fill=shades[int(visible[instant, path])])
        if len(xy) and near[-1, path]:
            x, y = xy[-1, path]
            color = shades[int(visible[-1, path])]
            draw.ellipse([x - DOT_PX, y - DOT_PX, x + DOT_PX, y + DOT_PX], outline=(0, 0, 0), fill=color)
    return np.asarray(image)


def draw_particles(picture: np.ndarray, tracks: Tracks, camera: Camera) -> np.ndarray:
    """The picture of the last instant, enlarged, with paths of foreground particles that the camera sees there.

    Args:
        picture: 8-bit RGB, shape [h, w, 3].
        tracks: Whose particles.
        camera: Whose picture it is; it does not move.
    """
    last = tracks.at(len(tracks) - 1)
    foreground = np.flatnonzero(last.foreground > 0.5)
    candidates = foreground[evenly(len(foreground), 4 * MOST_TRACKS)]
    seen = candidates[visible(last.means[candidates].astype(np.float64), last, camera)]
    chosen = seen[evenly(len(seen), MOST_TRACKS)]
    points_px, _ = project(tracks.means[-TAIL_INSTANTS:, chosen].astype(np.float64), camera)
    colors = distinct_colors(len(chosen)).reshape(-1, 3)
    return draw_paths(picture, points_px, np.ones(points_px.shape[:2], bool), colors, scale=enlargement(picture))


def evenly(count: int, most: int) -> np.ndarray:
    """At most ``most`` indices below ``count``, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def enlargement(picture: np.ndarray) -> int:
    """How often pixels of a picture are repeated so that paths over it can be seen."""
    return max(1, round(DRAWN_WIDTH_PX / picture.shape[1]))


def distinct_colors(count: int) -> np.ndarray:
    """Bright 8-bit RGB colors, evenly spread in hue, shape [count, 3]."""
    return np.array([[255 * c for c in colorsys.hsv_to_rgb(i / max(count, 1), 0.8, 1.0)] for i in range(count)]).astype(
        np.uint8
    )
