"""From a position in a picture to the point in space that it shows. NumPy, float64."""

from __future__ import annotations

import numpy as np

from warpgs.query.geometry import inside
from warpgs.query.rays import Crossings, cross, directions
from warpgs.types import Camera, Gaussians

SURFACE_LIGHT = 0.2
"""Share of a layer's light that comes from before its surface. Particles are fuzzy and lie inside the surface that they
show. Measured on a tracked scene: depths at half of the light lie 1.4 cm behind the surface, those at a fifth 0.8 cm,
and the median error of the tracks of pixels falls by a third."""


def lift(points_px: np.ndarray, gaussians: Gaussians, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """World positions of the surface that shows at positions in a picture.

    Of the layer that covers more of the position, foreground or background, the depth before which SURFACE_LIGHT of the
    layer's light comes from. (A mean depth lies behind the surface, and one over both layers between them.)

    Args:
        points_px: Positions in the picture [px], shape [m, 2].
        gaussians: The particles.
        camera: Whose picture it is.

    Returns:
        Positions [m], world frame, shape [m, 3]; and whether they are known, shape [m], bool: NaN where the position
        lies outside the picture or shows nothing.
    """
    depth = np.full(len(points_px), np.nan)
    rows = np.flatnonzero(inside(points_px, camera))
    crossings = front_to_back(cross(points_px[rows], gaussians, camera))
    foreground = gaussians.foreground[crossings.particle] >= 0.5
    light = _light(crossings)
    shown = np.zeros((2, len(rows)))
    for layer in range(2):
        of_layer = foreground == layer
        shown[layer] = np.bincount(crossings.ray[of_layer], light[of_layer], minlength=len(rows))
    wins = foreground == (shown[1] > shown[0])[crossings.ray]
    depth[rows] = surface_depth(_select(crossings, wins), len(rows))
    known = np.isfinite(depth)
    return camera.center_world + depth[:, None] * directions(points_px, camera), known


def _select(crossings: Crossings, chosen: np.ndarray) -> Crossings:
    return Crossings(**{name: values[chosen] for name, values in vars(crossings).items()})


def front_to_back(crossings: Crossings) -> Crossings:
    """Ray by ray, each from near to far."""
    return _select(crossings, np.lexsort((crossings.depth, crossings.ray)))


def _light(crossings: Crossings) -> np.ndarray:
    """Share of a position's light that each sorted crossing sends: its alpha times what passes those in front."""
    passes = np.log1p(-crossings.alpha)
    before = np.cumsum(passes) - passes
    first = np.searchsorted(crossings.ray, crossings.ray)  # of the same ray
    return crossings.alpha * np.exp(before - before[first])


def surface_depth(crossings: Crossings, ray_count: int, share: float = SURFACE_LIGHT) -> np.ndarray:
    """Depth of the sorted crossing that completes a share of a ray's light [m], shape [rays]; NaN without."""
    depth = np.full(ray_count, np.nan)
    light = np.cumsum(_light(crossings))
    rays, first = np.unique(crossings.ray, return_index=True)
    last = np.append(first[1:], len(light)) - 1
    if len(rays):
        start = np.where(first > 0, light[first - 1], 0.0)
        reached = np.searchsorted(light, start + share * (light[last] - start))
        depth[rays] = crossings.depth[np.clip(reached, first, last)]
    return depth
