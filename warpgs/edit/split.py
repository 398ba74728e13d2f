"""Particles cut into smaller ones, for detail that they are too large for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from warpgs.edit.pieces import check_chosen
from warpgs.query.geometry import matrices_from_wxyz
from warpgs.retime import rows
from warpgs.types import Tracks

OFFSET = 0.75
"""Distance of the halves' centers from the whole's [its standard deviation]; with sqrt(1 - OFFSET^2) of its size the
spread of both together is that of the whole."""
SIGNS = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])


def split(tracks: Tracks, chosen: np.ndarray) -> Tracks:
    """Tracks in which four stand for each chosen particle, side by side along its two longer axes, and move as it did.

    Args:
        tracks: Of n particles.
        chosen: Mask, shape [n], bool.
    """
    check_chosen(tracks, chosen)
    index = np.repeat(np.arange(len(chosen)), np.where(chosen, len(SIGNS), 1))
    new, cut = rows(tracks, index), chosen[index]
    which = np.tile(np.arange(len(SIGNS)), int(chosen.sum()))
    longer = np.argsort(new.log_scales[cut], axis=1)[:, 1:]
    sizes = np.take_along_axis(np.exp(new.log_scales[cut].astype(np.float64)), longer, axis=1)
    offsets = np.zeros((len(which), 3))
    np.put_along_axis(offsets, longer, OFFSET * sizes * SIGNS[which], axis=1)
    means, log_scales = new.means.copy(), new.log_scales.copy()
    for instant, rotations_wxyz in enumerate(new.rotations_wxyz[:, cut]):
        axes = matrices_from_wxyz(rotations_wxyz.astype(np.float64))
        means[instant, cut] += np.einsum("nij,nj->ni", axes, offsets).astype(np.float32)
    smaller = log_scales[cut]
    np.put_along_axis(
        smaller, longer, np.take_along_axis(smaller, longer, axis=1) + 0.5 * np.log(1.0 - OFFSET**2), axis=1
    )
    log_scales[cut] = smaller
    return replace(new, means=means, log_scales=log_scales)
