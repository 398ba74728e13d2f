"""What is drawn once and kept."""

from __future__ import annotations

from dataclasses import dataclass

import warp as wp


@dataclass(frozen=True, eq=False)
class Backdrop:
    """Particles that do not change, already seen from one fixed view; others are composited among them.

    Exact but for saturation: a pixel stops at a transmittance of 1e-4 in either order of work.
    """

    records: wp.array
    """Splats, see project.py, shape [m, RECORD + channels]."""
    starts: wp.array
    """First pair of each tile, int32, shape [tiles + 1]; empty where there is no backdrop."""
    pairs: wp.array
    """Splats of each tile, front to back, int32."""
    image: wp.array
    """Planar channels of these particles alone, shape [channels, height, width]."""
    transmittance: wp.array
    """Light that passes these particles, shape [height, width]."""
