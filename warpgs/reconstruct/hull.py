"""The visual hull of the foreground masks: voxels carved on an octree, then its surface with colors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp
from scipy.ndimage import label, minimum_filter

from warpgs.reconstruct.views import Views

ROOT_CELLS = 16
"""Cells along each axis of the octree's first level."""

PREVIEW_LEVELS = 7
"""Halvings before the hull's distance from the cameras is known."""

FRONTAL_VIEWS = 5
"""Color is the median over this many of the most frontal views that see the voxel."""

OFFSETS = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], np.int32)
"""The children of an octree cell."""


@dataclass(frozen=True)
class HullVotes:
    """When a voxel counts as foreground."""

    dissent: float
    """Share of the cameras seeing it that may say background."""
    min_view_share: float
    """Share of all cameras that must see it."""
    extent: float
    """Half the edge of the searched cube, rig radii."""


@dataclass(frozen=True, eq=False)
class HullClaims:
    """Pixels that must be seen in a voxel, beside its votes: for a part of what the masks show."""

    masks: np.ndarray
    """1 at such pixels, else 0, shape [c, height, width], float32."""
    least_views: int
    """Views that must see one there."""
    share: float
    """Share of the views which see foreground there that must see one."""
    least_cells: int
    """Connected voxels fewer than these are left out."""


@wp.func
def pyramid_maximum(
    pyramid: wp.array2d[float], camera: int, size: wp.vec2i, low: wp.vec2, high: wp.vec2, level_limit: int
):
    """Largest mask value over a box of pixels, from the level where the box spans at most 2 texels."""
    offset = int(0)
    level = int(0)
    width = int(size[0])
    height = int(size[1])
    span = wp.max(high[0] - low[0], high[1] - low[1])
    texel = float(1.0)
    while texel < span and level < level_limit:
        offset += width * height
        width = (width + 1) // 2
        height = (height + 1) // 2
        texel *= 2.0
        level += 1
    x0 = wp.clamp(int(wp.floor(low[0] / texel)), 0, width - 1)
    x1 = wp.clamp(int(wp.floor(high[0] / texel)), 0, width - 1)
    y0 = wp.clamp(int(wp.floor(low[1] / texel)), 0, height - 1)
    y1 = wp.clamp(int(wp.floor(high[1] / texel)), 0, height - 1)
    value = float(0.0)
    for y in range(y0, y1 + 1):
        for x in range(x0, x1 + 1):
            value = wp.max(value, pyramid[camera, offset + y * width + x])
    return value


@wp.kernel(enable_backward=False)
def vote_kernel(
    # inputs
    cells: wp.array[wp.vec3],
    cell_radius: float,
    pixels_from_rig: wp.array[wp.mat33],
    centers: wp.array[wp.vec3],
    focal_px: wp.array[float],
    pyramid: wp.array2d[float],
    size: wp.vec2i,
    level_limit: int,
    # outputs
    seen: wp.array[int],
    refused: wp.array[int],
):
    """Count the cameras that may see a cell and those that see only background there; radius 0 asks for its center."""
    i = wp.tid()
    seen_count = int(0)
    refused_count = int(0)
    width = float(size[0])
    height = float(size[1])
    for c in range(centers.shape[0]):
        p = pixels_from_rig[c] * (cells[i] - centers[c])
        depth = p[2]
        if depth > 2.0 * cell_radius + 1.0e-6:
            spread = focal_px[c] * cell_radius / (depth - cell_radius)
            low = wp.vec2(p[0] / depth - spread, p[1] / depth - spread)
            high = wp.vec2(p[0] / depth + spread, p[1] / depth + spread)
            if high[0] >= 0.0 and high[1] >= 0.0 and low[0] < width and low[1] < height:
                inside = low[0] >= 0.0 and low[1] >= 0.0 and high[0] < width and high[1] < height
                if pyramid_maximum(pyramid, c, size, low, high, level_limit) >= 0.5:
                    seen_count += 1
                elif inside:  # across the border the part that matters may be the one that is not seen
                    seen_count += 1
                    refused_count += 1
        elif depth > -cell_radius:
            seen_count += wp.where(cell_radius > 0.0, 1, 0)
    seen[i] = seen_count
    refused[i] = refused_count


def visual_hull(
    views: Views,
    masks: np.ndarray,
    votes: HullVotes,
    cell_px: float,
    max_points: int,
    device: wp.DeviceLike,
    *,
    claims: HullClaims | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Surface of the volume that the masks agree on.

    Args:
        views: Pictures.
        masks: Their foreground shares 0..1, shape [c, height, width].
        votes: When a voxel counts as foreground.
        cell_px: Edge of a voxel as seen from the cameras, median [px].
        max_points: The voxels grow until no more than this many lie on the surface.
        device: Where the votes are counted.
        claims: Only the part of the volume where these pixels are seen, if given.

    Returns:
        Surface voxels: positions in the rig frame, shape [n, 3], float32, and colors 0..1, shape [n, 3], float32.
        n = 0 where the masks do not agree on any voxel.
    """
    carver = _Carver(views, masks, votes, device, claims)
    preview, edge = carver.carve(2.0 * votes.extent / ROOT_CELLS, PREVIEW_LEVELS)
    if len(preview) == 0:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)
    edge = cell_px * _median_pixel(views, preview * edge)
    while True:
        levels = max(0, int(np.ceil(np.log2(2.0 * votes.extent / ROOT_CELLS / edge))))
        cells, edge = carver.carve(edge * 2.0**levels, levels)
        surface, normals = _surface(cells)
        if len(surface) <= max_points:
            break
        edge *= 1.05 * np.sqrt(len(surface) / max_points)
    points = (surface * edge).astype(np.float32)
    return points, _surface_colors(views, masks if claims is None else claims.masks, points, normals, edge)


class _Carver:
    """Holds the masks on the device and carves octrees of any cell size."""

    def __init__(
        self, views: Views, masks: np.ndarray, votes: HullVotes, device: wp.DeviceLike, claims: HullClaims | None
    ) -> None:
        self.votes, self.claims, self.device, self.count = votes, claims, device, len(views)
        self.size = wp.vec2i(views.width, views.height)
        self.pyramids = [_mask_pyramid(each) for each in (masks, *([] if claims is None else [claims.masks]))]
        self.pyramids = [(wp.array(pyramid, dtype=float, device=device), limit) for pyramid, limit in self.pyramids]
        self.pixels_from_rig = wp.array(views.pixels_from_rig, dtype=wp.mat33, device=device)
        self.centers = wp.array(views.centers, dtype=wp.vec3, device=device)
        self.focal_px = wp.array(_focal_px(views), dtype=float, device=device)

    def carve(self, root_edge: float, levels: int) -> tuple[np.ndarray, float]:
        """Centers of the foreground cells in units of their edge, shape [n, 3], float64; and that edge, rig radii."""
        axis = np.arange(-ROOT_CELLS // 2, ROOT_CELLS // 2)
        cells = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        edge = root_edge
        for level in range(levels + 1):
            if level > 0:
                cells = (2 * cells[:, None] + OFFSETS[None]).reshape(-1, 3)
                edge *= 0.5
            cells = cells[self._accepted(cells, edge, np.sqrt(0.75) * edge)]
        cells = cells[self._accepted(cells, edge, 0.0)] + 0.5
        return (cells if self.claims is None else _large_parts(cells, self.claims.least_cells)), edge

    def _accepted(self, cells: np.ndarray, edge: float, radius: float) -> np.ndarray:
        seen, refused = self._votes(0, cells, edge, radius)
        needed = max(2.0, self.votes.min_view_share * self.count)
        accepted = (seen >= needed) & (refused <= self.votes.dissent * seen)
        if self.claims is not None:
            claimed = np.subtract(*self._votes(1, cells, edge, radius))
            # the views of a large cell see more than the voxel in it that is looked for
            share = self.claims.share if radius == 0.0 else 0.0
            accepted &= claimed >= np.maximum(self.claims.least_views, share * (seen - refused))
        return accepted

    def _votes(self, which: int, cells: np.ndarray, edge: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
        """Views that may see each cell, and those that see only background there, by the masks or by the claims."""
        n, (pyramid, level_limit) = len(cells), self.pyramids[which]
        centers = wp.array(((cells + 0.5) * edge).astype(np.float32), dtype=wp.vec3, device=self.device)
        seen, refused = (wp.zeros(n, dtype=int, device=self.device) for _ in range(2))
        inputs = [centers, radius, self.pixels_from_rig, self.centers, self.focal_px, pyramid, self.size, level_limit]
        wp.launch(vote_kernel, n, inputs, [seen, refused], device=self.device)
        return seen.numpy(), refused.numpy()


def _focal_px(views: Views) -> np.ndarray:
    """The larger focal length of each camera [px], shape [c]: rows of K R without their part along the optical axis."""
    first, second, axis = (views.pixels_from_rig[:, i].astype(np.float64) for i in range(3))
    across = [np.linalg.norm(row - np.sum(row * axis, axis=1, keepdims=True) * axis, axis=1) for row in (first, second)]
    return np.maximum(*across).astype(np.float32)


def _median_pixel(views: Views, points: np.ndarray) -> float:
    """Median size of a pixel at ``points`` over the cameras that see them, rig radii."""
    sizes = []
    for c, focal in enumerate(_focal_px(views)):
        column, _, depth = views.project(c, points.astype(np.float32))
        sizes.append(depth[column >= 0] / focal)
    return float(np.median(np.concatenate(sizes)))


def _mask_pyramid(masks: np.ndarray) -> tuple[np.ndarray, int]:
    """Each mask and its max-pooled halves down to one texel, shape [c, total]; and the index of the last level."""
    level, parts = masks, [masks.reshape(len(masks), -1)]
    while max(level.shape[1:]) > 1:
        padded = np.pad(level, ((0, 0), (0, level.shape[1] % 2), (0, level.shape[2] % 2)))
        rows = np.maximum(padded[:, 0::2], padded[:, 1::2])
        level = np.maximum(rows[:, :, 0::2], rows[:, :, 1::2])
        parts.append(level.reshape(len(masks), -1))
    return np.ascontiguousarray(np.concatenate(parts, axis=1)), len(parts) - 1


def _large_parts(cells: np.ndarray, least: int) -> np.ndarray:
    """Those cells that are connected through faces, edges or corners with ``least`` at least, in their order."""
    if len(cells) == 0:
        return cells
    grid = np.floor(cells).astype(np.int64)
    grid -= grid.min(axis=0)
    full = np.zeros(grid.max(axis=0) + 1, bool)
    full[tuple(grid.T)] = True
    part = label(full, np.ones((3, 3, 3)))[0][tuple(grid.T)]
    return cells[np.bincount(part)[part] >= least]


def _surface(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells with an empty one among their 6 neighbors, shape [m, 3], and their outward normals, shape [m, 3]."""
    grid = np.floor(cells).astype(np.int64)
    if len(grid) == 0:
        return cells, cells
    low = grid.min(axis=0) - 1
    full = np.zeros(grid.max(axis=0) - low + 2, bool)
    full[tuple((grid - low).T)] = True
    normals = np.zeros((len(grid), 3))
    on_surface = np.zeros(len(grid), bool)
    for step in np.concatenate([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)]):
        empty = ~full[tuple((grid - low + step).T)]
        normals += empty[:, None] * step
        on_surface |= empty
    length = np.linalg.norm(normals[on_surface], axis=1, keepdims=True)
    return cells[on_surface], normals[on_surface] / np.maximum(length, 1e-9)


def _surface_colors(
    views: Views, masks: np.ndarray, points: np.ndarray, normals: np.ndarray, edge: float
) -> np.ndarray:
    """Median color over the most frontal views in which a point is neither hidden nor outside the mask."""
    colors = np.full((len(views), len(points), 3), np.nan, np.float32)
    frontal = np.full((len(views), len(points)), -np.inf, np.float32)
    for c in range(len(views)):
        column, row, depth = views.project(c, points)
        shown = np.flatnonzero(column >= 0)
        x, y, z = column[shown], row[shown], depth[shown]
        nearest = np.full((views.height, views.width), np.inf, np.float32)
        np.minimum.at(nearest, (y, x), z)
        nearest = minimum_filter(nearest, size=5)
        clear = (z <= nearest[y, x] + 3.0 * edge) & (masks[c, y, x] >= 0.5)
        x, y, shown = x[clear], y[clear], shown[clear]
        to_camera = views.centers[c] - points[shown]
        to_camera /= np.linalg.norm(to_camera, axis=1, keepdims=True)
        frontal[c, shown] = np.sum(to_camera * normals[shown], axis=1)
        colors[c, shown] = views.images[c, y, x]
    best = np.argsort(-frontal, axis=0, kind="stable")[:FRONTAL_VIEWS]
    chosen = np.take_along_axis(colors, best[:, :, None], axis=0)
    hidden = np.isnan(chosen).all(axis=(0, 2))
    result = np.empty((len(points), 3), np.float32)
    result[~hidden] = np.nanmedian(chosen[:, ~hidden], axis=0)
    result[hidden] = np.median(result[~hidden], axis=0) if (~hidden).any() else 0.5
    return result
