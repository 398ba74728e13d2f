"""Paths drawn over pictures."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw

DOT_PX = 3
HIDDEN_SHADE = 0.4
"""Paths are drawn this dark where they are hidden."""


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


def distinct_colors(count: int) -> np.ndarray:
    """Bright 8-bit RGB colors, evenly spread in hue, shape [count, 3]."""
    return np.array([[255 * c for c in colorsys.hsv_to_rgb(i / max(count, 1), 0.8, 1.0)] for i in range(count)]).astype(
        np.uint8
    )
