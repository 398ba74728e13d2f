"""Masks of several cameras held against each other: what they agree on in space stays, and fills what one missed."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import warp as wp
from scipy import ndimage

from warpgs.reconstruct.hull import HullClaims, HullVotes, visual_hull
from warpgs.reconstruct.views import Rig, Views, fitted_size
from warpgs.types import Frame

DISSENT, VIEW_SHARE, LEAST_VIEWS, EXTENT = 0.1, 0.5, 4, 16.0
"""See HullVotes; at least so many views must see a voxel (of four cameras three, of fewer all): the cones of two reach
far out."""
CLAIM_SHARE = 0.7
"""Of the cameras that may see foreground in a voxel, this share must say so."""
PIXELS = 320
"""Masks are compared at this many pixels along the longer side ..."""
VOXEL_PX = 3.0
"""... in voxels of this size [px] ..."""
LEAST_CELLS = 10
"""... that come in lumps of so many."""
POINTS = 100_000
"""Voxels grow until the surface of what is agreed on has no more."""
COVERED = 0.3
"""A region of a mask stays if so much of it is agreed on."""
GAP = 12.0 / 320.0
"""Only holes and gaps of a mask are filled, gaps up to twice this wide, share of the longer side: a hull of few cameras
has limbs that nobody has."""
HOLE_SHARE = 1e-3
"""Holes that are smaller than this share of the picture are filled."""


def agreed_masks(frame: Frame, doubtful: Sequence[np.ndarray], device: wp.DeviceLike) -> tuple[np.ndarray, ...]:
    """The masks of a frame without regions that no other camera confirms, and with what the others see where one
    cannot tell.

    Args:
        frame: With masks.
        doubtful: Per camera, True where the mask may miss foreground, any size, shape [height, width], bool.
        device: Where voxels are carved.

    Returns:
        0..255, uint8, shape [height, width] each; as they were where nothing is agreed on.
    """
    rig = Rig.of(frame.cameras)
    views = Views.of(frame, rig, *fitted_size(frame, PIXELS))
    assert views.masks is not None, "the caller gives masks"
    masks = views.masks > 0.5
    doubts = np.stack([_nearest(doubt, masks.shape[1:]) for doubt in doubtful])
    claims = HullClaims(masks.astype(np.float32), least_views=2, share=CLAIM_SHARE, least_cells=LEAST_CELLS)
    possible = (masks | doubts).astype(np.float32)
    least = min(LEAST_VIEWS, max(len(views) - 1, 3), len(views))
    votes = HullVotes(DISSENT, max(VIEW_SHARE, least / len(views)), EXTENT)
    points, _ = visual_hull(views, possible, votes, VOXEL_PX, POINTS, device, claims=claims)
    if len(points) == 0:
        return frame.masks or ()
    cleaned = []
    for index, whole in enumerate(frame.masks or ()):
        outline = _silhouette(views, index, points)
        gaps = ndimage.binary_fill_holes(_closed(masks[index], round(GAP * max(views.width, views.height))))
        kept = _confirmed(masks[index] | (outline & doubts[index] & gaps), outline)
        # at full size the edge is the mask's own; what was added or dropped is coarse
        own = whole > 127
        near = ndimage.binary_dilation(masks[index] & kept, iterations=2)
        added = kept & ~masks[index]
        whole_kept = (own & _nearest(near, own.shape)) | _nearest(added, own.shape)
        filled = ~_large(~whole_kept, HOLE_SHARE * own.size)
        cleaned.append(np.where(filled, np.maximum(whole, np.uint8(255) * (filled & ~own)), np.uint8(0)))
    return tuple(cleaned)


def _silhouette(views: Views, index: int, points: np.ndarray) -> np.ndarray:
    """True where the surface ``points`` of a volume cover a picture, shape [height, width]."""
    column, row, _ = views.project(index, points)
    drawn = np.zeros((views.height, views.width), bool)
    drawn[row[row >= 0], column[row >= 0]] = True
    return _closed(drawn, 3)


def _closed(mask: np.ndarray, radius: int) -> np.ndarray:
    """``mask`` with gaps closed that are up to twice ``radius`` px wide."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    padded = np.pad(mask, radius).astype(np.uint8)  # what lies beyond the border is not foreground
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc) > 0
    return closed[radius : radius + mask.shape[0], radius : radius + mask.shape[1]]


def _confirmed(mask: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Those connected regions of ``mask`` that ``outline`` covers well enough."""
    labels, count = ndimage.label(mask)
    covered = ndimage.mean(ndimage.binary_dilation(outline, iterations=2), labels, np.arange(1, count + 1))
    return np.concatenate([[False], covered > COVERED])[labels]


def _large(mask: np.ndarray, least: float) -> np.ndarray:
    """Those connected regions of ``mask`` that have at least so many pixels."""
    labels, count = ndimage.label(mask)
    return mask & (np.bincount(labels.ravel(), minlength=count + 1) >= least)[labels]


def _nearest(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``mask`` at another size, shape [height, width]."""
    resized = cv2.resize(mask.astype(np.uint8), (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return resized > 0
