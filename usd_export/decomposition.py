"""A part as several convex pieces, so that what is hollow or bent can be gripped."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_closing

from usd_export.form import opacities
from usd_export.hull import FAINT, Hull
from warpgs.checks import sentence
from warpgs.types import Gaussians

CELLS = 24
"""Cells of the grid along the longest side of a part."""

GAP = 2
"""Cells by which particles of a surface may lie apart: a hole opens the solid behind it, which costs pieces."""

CONCAVITY = 0.15
"""What may be left, as a share of the size: surfaces that are tracked are rough by a tenth."""

SEARCH = {"mcts_iterations": 20, "mcts_max_depth": 2, "mcts_nodes": 10, "resolution": 1000, "preprocess_mode": "off"}
"""Of the cuts, of a mesh that is closed already: a tenth of the time that the library takes by itself."""


def check_decomposition() -> None:
    """Refuse where the library that decomposes is absent."""
    try:
        import coacd  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        extra = "install the extra: pip install 'warpgs[decomposition]'"
        raise ImportError(sentence("convex decomposition", "the package coacd", "none", extra)) from error


def convex_pieces(gaussians: Gaussians) -> list[Hull]:
    """Convex pieces of the solid that particles enclose.

    Particles lie on surfaces: a cell of a grid is inside where they lie on all sides of it but the lower, for what
    stands on something was not seen from below.
    """
    import coacd  # pyright: ignore[reportMissingImports]

    vertices, faces = _surface(_inside(gaussians))
    coacd.set_log_level("error")
    pieces = coacd.run_coacd(coacd.Mesh(vertices, faces), CONCAVITY, max_ch_vertex=64, seed=0, **SEARCH)
    return [Hull.of(np.asarray(points, np.float64)) for points, _ in pieces]


def _inside(gaussians: Gaussians) -> tuple[np.ndarray, np.ndarray, float]:
    """Which cells of a grid are solid, shape [x, y, z], bool; the corner of the first; their size [m]."""
    points = gaussians.means[opacities(gaussians.opacity_logits) >= FAINT].astype(np.float64)
    points = points if len(points) else gaussians.means.astype(np.float64)
    low, size = points.min(axis=0), max(float(np.ptp(points, axis=0).max()), 1e-9) / CELLS
    cells = np.floor((points - low) / size).astype(int)
    filled = np.zeros(cells.max(axis=0) + 1, bool)
    filled[tuple(cells.T)] = True
    filled = binary_closing(np.pad(filled, GAP), iterations=GAP)
    inside = np.ones_like(filled)
    for axis in range(3):
        below = np.maximum.accumulate(filled, axis=axis)
        above = np.flip(np.maximum.accumulate(np.flip(filled, axis), axis=axis), axis)
        inside &= above if axis == 2 else below & above
    return inside | filled, low - GAP * size, size


def _surface(solid: tuple[np.ndarray, np.ndarray, float]) -> tuple[np.ndarray, np.ndarray]:
    """The sides of solid cells that face cells that are not, as triangles: vertices [m] and indices of them."""
    inside, low, size = solid
    padded = np.pad(inside, 1)
    quads = []
    for axis in range(3):
        u, v = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        for side in (1, 0):
            open_cells = inside & ~np.roll(padded, 1 - 2 * side, axis)[1:-1, 1:-1, 1:-1]
            corner = np.argwhere(open_cells) + side * np.eye(3, dtype=int)[axis]
            ring = (corner, corner + u, corner + u + v, corner + v)
            quads.append(np.stack(ring if side else ring[::-1], axis=1))
    corners = np.concatenate(quads)
    vertices, index = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    index = index.reshape(-1, 4)
    return low + size * vertices, np.concatenate([index[:, [0, 1, 2]], index[:, [0, 2, 3]]]).astype(np.int32)
