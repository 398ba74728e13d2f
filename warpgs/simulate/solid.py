"""From the particles of a rigid part to a solid: what it weighs, how hard it is to turn, what it touches with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.spatial import ConvexHull, QhullError

from warpgs.checks import refuse

ROUND = 0.04
"""Largest root mean square distance of points from a sphere, over its radius, for them to be a ball."""
FEELERS = 150
"""Most points that a part touches with, spread over its surface."""
THIN = 1e-3
"""Thickness of points in a plane or on a line, over their size: hulls have a volume."""


@dataclass(frozen=True, eq=False)
class Solid:
    """A rigid body of even density, in the frame of the points that it was made from."""

    mass: float
    """[kg]."""
    center: np.ndarray
    """Of mass [m], shape [3]."""
    inertia: np.ndarray
    """About the center of mass [kg m^2], shape [3, 3]."""
    radius: float
    """Of a ball [m]; 0 for what is not one."""
    vertices: np.ndarray
    """Of the convex hull [m], shape [v, 3]."""
    triangles: np.ndarray
    """Of the convex hull, counterclockwise seen from outside, shape [f, 3]."""
    feelers: np.ndarray
    """Points that it touches with [m], shape [f, 3]; the center of a ball."""

    @staticmethod
    def of(points: np.ndarray, density: float) -> Solid:
        """What ``density`` [kg/m^3] makes of the convex hull of points [m], shape [n, 3]; a ball of what lies on one.

        Raises:
            ValueError: fewer than four points, or all of them in one place.
        """
        points = np.asarray(points, np.float64)
        if len(points) < 4 or np.ptp(points, axis=0).max() == 0.0:
            refuse("rigid part", "at least 4 particles in different places", f"{len(points)}", "leave it deformable")
        center, radius = fit_sphere(points)
        if radius > 0.0:
            mass = density * 4.0 / 3.0 * np.pi * radius**3
            ball = trimesh.creation.icosphere(subdivisions=3, radius=radius)
            inertia = 0.4 * mass * radius**2 * np.eye(3)
            return Solid(mass, center, inertia, radius, ball.vertices + center, ball.faces, center[None])
        hull = convex_hull(points)
        hull.density = density
        inertia = np.asarray(hull.moment_inertia, np.float64)
        return Solid(
            float(hull.mass), np.asarray(hull.center_mass), 0.5 * (inertia + inertia.T), 0.0,
            np.asarray(hull.vertices), np.asarray(hull.faces), spread(points, hull.vertices),
        )  # fmt: skip


def fit_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Center [m] and radius [m] of the sphere through points, shape [n, 3]; radius 0 where they lie on none, or on too
    little of one to tell."""
    shift = points.mean(axis=0)
    local = points - shift
    solution = np.linalg.lstsq(np.column_stack([2.0 * local, np.ones(len(local))]), (local**2).sum(axis=1), rcond=None)
    center = solution[0][:3]
    radius = float(np.sqrt(max(solution[0][3] + center @ center, 0.0)))
    error = np.sqrt(np.mean((np.linalg.norm(local - center, axis=1) - radius) ** 2))
    around = np.linalg.norm(local.mean(axis=0) - center)  # the middle of a half shell is half a radius off
    if len(points) < 20 or radius == 0.0 or error > ROUND * radius or around > 0.5 * radius:
        return shift, 0.0
    return center + shift, radius


def convex_hull(points: np.ndarray) -> trimesh.Trimesh:
    """The hull of points [m]; what is flat or straight is given a little thickness."""
    try:
        hull = ConvexHull(points)
    except QhullError:
        axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2]
        thickness = 0.5 * THIN * np.ptp(points @ axes.T, axis=0).max()
        points = np.concatenate([points + sign * thickness * axis for axis in axes[1:] for sign in (-1.0, 1.0)])
        hull = ConvexHull(points)
    corners = points[hull.vertices]
    renamed = np.zeros(len(points), int)
    renamed[hull.vertices] = np.arange(len(corners))
    triangles = renamed[hull.simplices]
    a, b, c = np.moveaxis(corners[triangles], 1, 0)
    inward = np.einsum("fk,fk->f", np.cross(b - a, c - a), hull.equations[:, :3]) < 0.0
    triangles[inward] = triangles[inward][:, ::-1]
    return trimesh.Trimesh(corners, triangles, process=False)


def spread(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """At most FEELERS of the points and corners, each the farthest from those chosen before; corners first."""
    chosen = []
    for candidates, most in ((np.asarray(corners), FEELERS // 2), (points, FEELERS)):
        distance = np.full(len(candidates), np.inf)
        for known in chosen:
            distance = np.minimum(distance, np.linalg.norm(candidates - known, axis=1))
        if not chosen:
            distance = np.linalg.norm(candidates - points.mean(axis=0), axis=1)
        while len(chosen) < most and distance.max() > 0.0:
            farthest = candidates[np.argmax(distance)]
            away = np.linalg.norm(candidates - farthest, axis=1)
            distance = away if not chosen else np.minimum(distance, away)
            chosen.append(farthest)
    return np.array(chosen)
