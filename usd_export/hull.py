"""The convex hull of a part: what it collides with, and what it weighs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree
from scipy.spatial.transform import Rotation

from usd_export.form import opacities, scales
from warpgs.math.graph import connected_pieces
from warpgs.types import Gaussians

MAX_VERTICES = 64
"""What PhysX takes."""

SURFACE_OPACITY = 0.5
"""A particle is solid where its opacity is higher."""

FAINT = 0.1
"""Particles of lower opacity say nothing about the surface."""

CELL = 3.0
"""Size of the cells that link particles [median distance of the fourth neighbor]."""

SPOKESMEN = 500
"""Most particles that are asked for that distance."""

STRAY_SHARE = 0.05
"""Of the particles of a part: a clump that holds less, off the rest, is not part of its shape."""


@dataclass(frozen=True, eq=False)
class Hull:
    """A convex polyhedron."""

    vertices: np.ndarray
    """Corners [m], shape [v, 3], float32; at most MAX_VERTICES."""
    triangles: np.ndarray
    """Indices of corners, counterclockwise from outside, shape [f, 3], int32."""
    normals: np.ndarray
    """Outward unit normals of the triangles, shape [f, 3], float32."""

    @classmethod
    def of(cls, points: np.ndarray) -> Hull:
        """Around points [m] that span a volume, shape [n, 3].

        Where the hull has too many corners, some stay, moved outwards so that the volume is kept.
        """
        whole = ConvexHull(points)
        corners = points[whole.vertices]
        if len(corners) > MAX_VERTICES:
            corners = corners[_chosen(corners)]
            center = corners.mean(axis=0)
            corners = center + np.cbrt(whole.volume / ConvexHull(corners).volume) * (corners - center)
        hull = ConvexHull(corners)
        used = hull.vertices
        triangles = np.searchsorted(np.sort(used), hull.simplices)
        corners = corners[np.sort(used)]
        a, b, c = np.moveaxis(corners[triangles], 1, 0)
        normals = np.cross(b - a, c - a)
        inward = np.einsum("fk,fk->f", normals, hull.equations[:, :3]) < 0.0
        triangles[inward] = triangles[inward][:, ::-1]
        return cls(corners.astype(np.float32), triangles.astype(np.int32), hull.equations[:, :3].astype(np.float32))


def hull_of(gaussians: Gaussians) -> Hull:
    """Around the solid of particles: each reaches to where its own opacity falls to a half, or is a point.

    Left out are particles that are nearly transparent, and strays: clumps, linked by neighbors, that hold less than a
    twentieth of the particles. No ellipsoid reaches further than three times the median one: needles do not shape it.
    """
    shape = gaussians.select(of_the_shape(gaussians))
    sigmas, opacity = scales(shape.log_scales).astype(np.float64), opacities(shape.opacity_logits)
    axes = Rotation.from_quat(shape.rotations_wxyz, scalar_first=True).as_matrix()
    reach = np.sqrt(2.0 * np.log(np.maximum(opacity / SURFACE_OPACITY, 1.0)))[:, None] * sigmas
    reach = np.minimum(reach, 3.0 * np.median(sigmas.max(axis=1)))
    ends = axes * reach[:, None, :]  # columns
    centers = shape.means.astype(np.float64)
    points = np.concatenate([centers, *(centers + sign * ends[:, :, k] for k in range(3) for sign in (-1.0, 1.0))])
    try:
        return Hull.of(points)
    except QhullError:  # all in a plane, or one point: as thick as the smallest particle, or a millionth of the size
        thickness = max(float(np.median(sigmas)), 1e-6, 1e-6 * float(np.ptp(points, axis=0).max()))
        box = thickness * np.array(np.meshgrid(*3 * [[-1.0, 1.0]])).reshape(3, -1).T
        return Hull.of((points[:, None] + box).reshape(-1, 3))


def of_the_shape(gaussians: Gaussians) -> np.ndarray:
    """Indices of the particles that shape a part: not nearly transparent ones, not strays."""
    solid = np.flatnonzero(opacities(gaussians.opacity_logits) >= FAINT)
    if len(solid) == 0:
        return np.arange(len(gaussians))
    if len(solid) < 3:
        return solid
    points = gaussians.means[solid].astype(np.float64)
    # Linked to what is about as near as neighbors are elsewhere: cells that touch, even if at a corner.
    cells, cell = np.unique(np.floor(points / max(CELL * spacing(points), 1e-12)), axis=0, return_inverse=True)
    pairs = cKDTree(cells).query_pairs(1.5, p=np.inf, output_type="ndarray")
    labels = connected_pieces(*pairs.T, len(cells))[cell.ravel()]
    counts = np.bincount(labels)
    return solid[counts[labels] >= min(STRAY_SHARE * len(solid), counts.max())]


def spacing(points: np.ndarray) -> float:
    """Median distance of the fourth neighbor, or of the last where there are fewer, among points of shape [n, 3]."""
    asked = points[:: -(-len(points) // SPOKESMEN)]
    return float(np.median(cKDTree(points).query(asked, [min(5, len(points))])[0]))


def _chosen(corners: np.ndarray) -> np.ndarray:
    """Indices of at most MAX_VERTICES corners that leave little of the hull out: the outermost in evenly spread
    directions, then, again and again, those furthest outside."""
    chosen = np.unique((corners @ _directions(MAX_VERTICES // 2).T).argmax(axis=0))
    while len(chosen) < MAX_VERTICES:
        planes = ConvexHull(corners[chosen]).equations
        outside = corners @ planes[:, :3].T + planes[:, 3]
        farthest = np.unique(outside.argmax(axis=0))  # one at most from beyond each triangle
        farthest = farthest[np.argsort(-outside[farthest].max(axis=1), kind="stable")][:8]
        fresh = np.setdiff1d(farthest, chosen)[: MAX_VERTICES - len(chosen)]
        if len(fresh) == 0:
            break
        chosen = np.concatenate([chosen, fresh])
    return chosen


def _directions(count: int) -> np.ndarray:
    """Unit vectors spread evenly, shape [count, 3]: a Fibonacci lattice."""
    index = np.arange(count) + 0.5
    z, angle = 1.0 - 2.0 * index / count, np.pi * (1.0 + np.sqrt(5.0)) * index
    radius = np.sqrt(1.0 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
