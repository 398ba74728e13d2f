"""Whether a camera sees a point, judged by the particles in front of it. NumPy, float64.

The transmittance in front of a point is the product of ``1 - alpha`` over the particles in front of it, see
``warpgs.query.rays``. A surface is a layer of overlapping particles, and those of the point's own surface must not hide
it: a particle is in front when its depth where the point appears is smaller by more than FRONT_SIGMAS of its standard
deviations there. A point is called visible when it lies in the picture and more than
VISIBLE_ABOVE of its light arrives.
"""

from __future__ import annotations

import numpy as np

from warpgs.query.geometry import inside, project, to_camera
from warpgs.query.rays import cross
from warpgs.types import Camera, Gaussians

FRONT_SIGMAS = 1.0
"""Measured on a tracked scene: right for 95.4 % of surface points; 2 and 3 sigmas cost one percent each, depths of
centers half a percent."""
VISIBLE_ABOVE = 0.5


def visible(points: np.ndarray, gaussians: Gaussians, camera: Camera) -> np.ndarray:
    """Whether each point lies in the picture with little in front; arguments as in ``transmittance``, shape [m]."""
    return transmittance(points, gaussians, camera) > VISIBLE_ABOVE


def transmittance(points: np.ndarray, gaussians: Gaussians, camera: Camera) -> np.ndarray:
    """Share of the light of each point that reaches the picture.

    Args:
        points: Positions [m], world frame, shape [m, 3]; NaN where unknown.
        gaussians: What may stand in front.
        camera: Who looks.

    Returns:
        Shares, 0..1, shape [m]; zero for points outside the picture.
    """
    result = np.zeros(len(points))
    points_px, in_front = project(points, camera)
    rows = np.flatnonzero(in_front & inside(points_px, camera))
    if not rows.size:
        return result
    depth = to_camera(points[rows], camera)[:, 2]
    crossings = cross(points_px[rows], gaussians, camera, farthest=depth.max())
    hides = crossings.depth + FRONT_SIGMAS * crossings.depth_sigma < depth[crossings.ray]
    taken = -np.log1p(-crossings.alpha[hides])
    result[rows] = np.exp(-np.bincount(crossings.ray[hides], taken, minlength=len(rows)))
    return result
