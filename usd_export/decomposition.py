"""A part as several convex pieces, so that what is hollow or bent can be gripped."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

from usd_export.hull import Hull, of_the_shape, spacing
from warpgs.checks import sentence
from warpgs.types import Gaussians

CELLS = 24
"""Most cells of the grid along the longest side of a part."""

CELL = 1.0
"""Least size of a cell [median distance of the fourth neighbor]: in smaller ones, surfaces are full of holes."""

GAP = 2
"""Cells by which particles are widened while it is asked what they enclose: holes of twice that are none."""

SIDES = 3
"""Of four, on which particles lie around what is inside: a body that stands against something is not seen there."""

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

    Particles lie on surfaces: a cell of a grid is inside where they lie over it and on three of its four sides. What
    stands on something was not seen from below, what stands against something not from there; what is open to above,
    or to two sides, is hollow.
    """
    import coacd  # pyright: ignore[reportMissingImports]

    vertices, faces = _surface(solid_cells(gaussians))
    coacd.set_log_level("error")
    pieces = coacd.run_coacd(coacd.Mesh(vertices, faces), CONCAVITY, max_ch_vertex=64, seed=0, **SEARCH)
    return [Hull.of(np.asarray(points, np.float64)) for points, _ in pieces]


def solid_cells(gaussians: Gaussians) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which cells of a grid are solid, shape [x, y, z], bool; corner of the first and edges of each [m], shape [3]."""
    points = gaussians.means[of_the_shape(gaussians)].astype(np.float64)
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    least = max(extent.max() / CELLS, CELL * spacing(points), 1e-9)
    counts = np.maximum(np.round(extent / least), 1).astype(int)  # the grid ends where the particles do
    size = np.where(extent > 0.0, extent / counts, least)
    filled = np.zeros(counts, bool)
    filled[tuple(np.minimum((points - low) / size, counts - 1).astype(int).T)] = True
    wide = binary_dilation(np.pad(filled, 2 * GAP), iterations=GAP)
    sides = np.sum([_reaches(wide, axis, way) for axis in (0, 1) for way in (1, -1)], axis=0)
    inside = wide | (_reaches(wide, 2, 1) & (sides >= SIDES))
    return binary_erosion(inside, iterations=GAP), low - 2 * GAP * size, size


def _reaches(filled: np.ndarray, axis: int, way: int) -> np.ndarray:
    """Whether a filled cell lies beyond each cell along an axis, where it rises (way 1) or falls (-1)."""
    along = np.moveaxis(filled, axis, 0)[::-way]
    return np.moveaxis(np.maximum.accumulate(along)[::-way], 0, axis)


def _surface(solid: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
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
