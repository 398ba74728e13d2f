"""Masks over the pictures they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from warpgs.files import whole_file
from warpgs.types import Frame

LONG_SIDE = 360
"""Pictures are shrunk to this many pixels along the longer side."""
MOST_CAMERAS = 8
"""Columns of a sheet."""
OUTLINE = np.array([255, 40, 40], np.uint8)
DIMMED = 0.35
"""What is background is gray and this bright."""


def masked_picture(picture: np.ndarray, mask: np.ndarray | None, long_side: int = LONG_SIDE) -> np.ndarray:
    """A small picture whose foreground has its colors and an outline; the whole in color where there is no mask.

    Args:
        picture: RGB, uint8, shape [height, width, 3].
        mask: Foreground share 0..255, uint8, shape [height, width].
        long_side: Of the result [px], at most.

    Returns:
        RGB, uint8.
    """
    small = Image.fromarray(picture)
    small.thumbnail((long_side, long_side), Image.Resampling.BOX)
    colors = np.asarray(small)
    if mask is None:
        return colors
    inside = np.asarray(Image.fromarray(mask).resize(small.size, Image.Resampling.BOX)) > 127
    gray = np.repeat((DIMMED * colors.mean(axis=2, keepdims=True)).astype(np.uint8), 3, axis=2)
    shown = np.where(inside[..., None], colors, gray)
    shown[inside & ~ndimage.binary_erosion(inside)] = OUTLINE
    return shown


def save_mask_sheet(path: Path, frames: Sequence[Frame]) -> None:
    """Write a PNG with a row for each frame and a column for each of at most 8 cameras, spread over all of them."""
    count = len(frames[0].cameras)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_CAMERAS)).round().astype(int))
    masks = [frame.masks or (None,) * count for frame in frames]
    rows = [[masked_picture(f.images[i], m[i]) for i in chosen] for f, m in zip(frames, masks, strict=True)]
    widths = [max(row[column].shape[1] for row in rows) for column in range(len(chosen))]
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    sheet = np.zeros((sum(heights), sum(widths), 3), np.uint8)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            top, left = sum(heights[:row]), sum(widths[:column])
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    with whole_file(path) as temporary:
        Image.fromarray(sheet).save(temporary)
