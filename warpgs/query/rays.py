"""What a ray from a camera meets: every particle that covers a position in the picture, how much, and how deep.

The same splatting as the renderer's, at single positions and in float64 NumPy: alpha is ``sigmoid(o) exp(-d^2 / 2)``
with d the Mahalanobis distance from the projected Gaussian (EWA, Zwicker et al. 2001). The depth is not that of the
particle's center, as in the renderer, but that of its Gaussian over position and depth at that position, so that
particles of one slanted surface are met at its depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warpgs.math.pinhole import CLAMP, LOW_PASS_PX2
from warpgs.query.geometry import matrices_from_wxyz, to_camera
from warpgs.render.renderer import NEAR_SHARE
from warpgs.types import Camera, Gaussians

ALPHA_MIN, ALPHA_MAX = 1.0 / 255.0, 0.99
"""As in the renderer: fainter is not drawn, more opaque is cut."""
BAND_PX = 8
"""Height of the bands in which rays are looked up [px]; costs time alone."""


@dataclass(frozen=True, eq=False)
class Crossings:
    """Pairs of a ray and a particle that covers it, in no order."""

    ray: np.ndarray
    """Index of the ray, shape [k]."""
    particle: np.ndarray
    """Index of the particle, shape [k]."""
    alpha: np.ndarray
    """Share of the light that the particle takes, ALPHA_MIN..ALPHA_MAX, shape [k]."""
    depth: np.ndarray
    """Mean z of the particle at the ray's position in the picture [m], shape [k]."""
    depth_sigma: np.ndarray
    """Standard deviation of z there [m], shape [k]."""


def cross(points_px: np.ndarray, gaussians: Gaussians, camera: Camera, farthest: float = np.inf) -> Crossings:
    """Particles on the rays through positions in a picture.

    Args:
        points_px: Positions in the picture [px], shape [m, 2].
        gaussians: The particles.
        camera: Whose picture it is.
        farthest: Particles whose center is deeper may be left out [m].
    """
    in_camera = to_camera(gaussians.means.astype(np.float64), camera)
    z = in_camera[:, 2]
    near = NEAR_SHARE * np.linalg.norm(camera.center_world - np.median(gaussians.means, axis=0))
    rows = np.flatnonzero((z > near) & (z < farthest))
    ray, particle = _near_pairs(points_px, *_reach(gaussians.select(rows), in_camera[rows], camera), camera)
    used, particle = _compact(particle, len(rows))
    rows = rows[used]
    crossings = _meet(points_px, gaussians.select(rows), in_camera[rows], ray, particle, camera)
    return Crossings(crossings.ray, rows[crossings.particle], crossings.alpha, crossings.depth, crossings.depth_sigma)


def directions(points_px: np.ndarray, camera: Camera) -> np.ndarray:
    """Rays through positions in a picture, world frame, of length 1 along the optical axis; shape [m, 3]."""
    homogeneous = np.concatenate([points_px, np.ones((len(points_px), 1))], axis=1)
    return homogeneous @ np.linalg.inv(camera.intrinsics).T @ camera.world_from_camera[:3, :3].T


def _opacities(particles: Gaussians) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-particles.opacity_logits.astype(np.float64)))


def _splats(in_camera: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of means in the camera's frame: centers [px], shape [n, 2]; depths [m], shape [n]; and the slopes x/z, y/z at
    which the projection is taken to be linear, shape [n, 2]."""
    focal, center = camera.intrinsics[[0, 1], [0, 1]], camera.intrinsics[:2, 2]
    slope = in_camera[:, :2] / in_camera[:, 2:]
    limit = CLAMP * 0.5 * np.array([camera.width, camera.height]) / focal
    return slope * focal + center, in_camera[:, 2], np.clip(slope, -limit, limit)


def _reach(particles: Gaussians, in_camera: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Centers [px], shape [n, 2], and how far from them a particle is drawn at most [px], shape [n]."""
    centers_px, z, slope = _splats(in_camera, camera)
    largest = np.exp(particles.log_scales.max(axis=1).astype(np.float64))
    focal = camera.intrinsics[[0, 1], [0, 1]].max()
    # No less than the splat reaches: its longest axis, seen from the broadest side.
    variance = (focal * largest / z) ** 2 * (1.0 + (slope**2).sum(axis=1)) + LOW_PASS_PX2
    return centers_px, np.sqrt(2.0 * np.log(np.maximum(_opacities(particles) / ALPHA_MIN, 1.0)) * variance)


def _near_pairs(
    points_px: np.ndarray, centers_px: np.ndarray, reach: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of every point and center that may lie within the center's ``reach`` [px]; no such pair is left out.

    The picture is cut into bands of rows, and the points of a band are sorted by column.
    """
    stride = 2.0 * camera.width  # so that no column of one band comes near those of the next
    keys = np.floor(points_px[:, 1] / BAND_PX) * stride + points_px[:, 0]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    bands = -(-camera.height // BAND_PX)
    first_band = np.clip(np.floor((centers_px[:, 1] - reach) / BAND_PX), 0, bands).astype(int)
    last_band = np.clip(np.floor((centers_px[:, 1] + reach) / BAND_PX), -1, bands - 1).astype(int)
    center, step = _ranges(np.maximum(last_band - first_band + 1, 0))
    left = (first_band[center] + step) * stride
    middle, half = centers_px[center, 0], reach[center]
    first = np.searchsorted(keys, left + np.clip(middle - half, 0.0, camera.width))
    last = np.searchsorted(keys, left + np.clip(middle + half, 0.0, camera.width), side="right")
    entry, step = _ranges(last - first)
    return order[first[entry] + step], center[entry]


def _ranges(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each i, ``counts[i]`` pairs (i, 0), (i, 1), ...: both columns, shape [sum of counts]."""
    index = np.repeat(np.arange(len(counts)), counts)
    return index, np.arange(len(index)) - (np.cumsum(counts) - counts)[index]


def _compact(index: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``count`` things are named in ``index``, in order, and ``index`` into those."""
    used = np.zeros(count, bool)
    used[index] = True
    return np.flatnonzero(used), (np.cumsum(used) - 1)[index]


def _meet(
    points_px: np.ndarray,
    particles: Gaussians,
    in_camera: np.ndarray,
    ray: np.ndarray,
    particle: np.ndarray,
    camera: Camera,
) -> Crossings:
    """Those of the pairs (``ray``, ``particle``) in which the particle is drawn at the ray's position.

    In the affine approximation of the projection a particle is one Gaussian over (x [px], y [px], z [m]): alpha is its
    density at a position, and depth its z given the position.
    """
    centers_px, z, slope = _splats(in_camera, camera)
    scales = np.exp(particles.log_scales.astype(np.float64))
    axes = matrices_from_wxyz(particles.rotations_wxyz.astype(np.float64)) * scales[:, None, :]
    axes = camera.camera_from_world[:3, :3] @ axes
    focal, w = camera.intrinsics[[0, 1], [0, 1]], axes[:, 2]
    u, v = (focal[i] / z[:, None] * (axes[:, i] - slope[:, i, None] * w) for i in range(2))
    xx, xy, yy = _dot(u, u) + LOW_PASS_PX2, _dot(u, v), _dot(v, v) + LOW_PASS_PX2
    inverse = np.stack([yy, -xy, xx], axis=1) / (xx * yy - xy * xy)[:, None]

    dx, dy = (points_px[ray] - centers_px[particle]).T
    a, b, c = inverse[particle].T
    squared = a * dx * dx + 2.0 * b * dx * dy + c * dy * dy
    alpha = np.minimum(_opacities(particles)[particle] * np.exp(-0.5 * squared), ALPHA_MAX)

    xz, yz = _dot(u, w), _dot(v, w)
    slope_x = inverse[:, 0] * xz + inverse[:, 1] * yz  # of z over x [m/px]
    slope_y = inverse[:, 1] * xz + inverse[:, 2] * yz
    variance = np.maximum(_dot(w, w) - slope_x * xz - slope_y * yz, 0.0)
    depth = z[particle] + slope_x[particle] * dx + slope_y[particle] * dy
    drawn = alpha >= ALPHA_MIN
    return Crossings(ray[drawn], particle[drawn], alpha[drawn], depth[drawn], np.sqrt(variance)[particle[drawn]])


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1)
