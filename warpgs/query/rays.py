"""What a ray from a camera meets: every particle that covers a position in the picture, how much, and how deep.

The same splatting as the renderer's, at single positions, in float64 and on the CPU: alpha is
``sigmoid(o) exp(-d^2 / 2)`` with d the Mahalanobis distance from the projected Gaussian (EWA, Zwicker et al. 2001). The
depth is not that of the particle's center, as in the renderer, but that of its Gaussian over position and depth at that
position, so that particles of one slanted surface are met at its depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from warpgs.math.pinhole import LOW_PASS_PX2, upload_views, view_struct
from warpgs.render.renderer import NEAR_SHARE
from warpgs.types import Camera, Gaussians

ALPHA_MIN, ALPHA_MAX = 1.0 / 255.0, 0.99
"""As in the renderer: fainter is not drawn, more opaque is cut."""
BAND_PX = 8
"""Height of the bands in which rays are looked up [px]; costs time alone."""
ROOM = 64
"""Pairs per ray that there is room for at first."""

vec3 = wp.vec3d
View = view_struct(wp.float64)


@wp.kernel(enable_backward=False)
def cross_kernel(
    # inputs
    means: wp.array2d[float],
    rotations_wxyz: wp.array2d[float],
    log_scales: wp.array2d[float],
    opacity_logits: wp.array[float],
    points_px: wp.array2d[wp.float64],
    keys: wp.array[wp.float64],
    views: wp.array[View],
    farthest: wp.float64,
    # outputs
    count: wp.array[wp.int32],
    pairs: wp.array2d[wp.int32],
    values: wp.array2d[wp.float64],
):
    """Every point that particle i covers: (point, particle), and alpha, depth and its standard deviation. ``count``
    says how many there are, of which as many are written as there is room for.

    In the affine approximation of the projection a particle is one Gaussian over (x [px], y [px], z [m]): alpha is its
    density at a position, and depth its z given the position.
    """
    i = wp.tid()
    view = views[0]
    zero, one, two = wp.float64(0.0), wp.float64(1.0), wp.float64(2.0)
    mean = vec3(wp.float64(means[i, 0]), wp.float64(means[i, 1]), wp.float64(means[i, 2]))
    local = view.rotation * mean + view.translation
    z = local[2]
    opacity = one / (one + wp.exp(-wp.float64(opacity_logits[i])))
    if not (z > view.near and z < farthest) or opacity < wp.static(wp.float64(ALPHA_MIN)):
        return
    q = wp.normalize(
        wp.quatd(
            wp.float64(rotations_wxyz[i, 1]),
            wp.float64(rotations_wxyz[i, 2]),
            wp.float64(rotations_wxyz[i, 3]),
            wp.float64(rotations_wxyz[i, 0]),
        )
    )
    scales = vec3(
        wp.exp(wp.float64(log_scales[i, 0])), wp.exp(wp.float64(log_scales[i, 1])), wp.exp(wp.float64(log_scales[i, 2]))
    )
    axes = view.rotation * wp.quat_to_matrix(q) * wp.diag(scales)
    slope_x, slope_y = local[0] / z, local[1] / z
    x, y = slope_x * view.focal_px[0] + view.center_px[0], slope_y * view.focal_px[1] + view.center_px[1]
    slope_x = wp.clamp(slope_x, -view.tangent_limit[0], view.tangent_limit[0])
    slope_y = wp.clamp(slope_y, -view.tangent_limit[1], view.tangent_limit[1])
    w = axes[2]
    u = view.focal_px[0] / z * (axes[0] - slope_x * w)
    v = view.focal_px[1] / z * (axes[1] - slope_y * w)
    xx = wp.dot(u, u) + wp.static(wp.float64(LOW_PASS_PX2))
    yy = wp.dot(v, v) + wp.static(wp.float64(LOW_PASS_PX2))
    xy, xz, yz = wp.dot(u, v), wp.dot(u, w), wp.dot(v, w)
    determinant = xx * yy - xy * xy
    a, b, c = yy / determinant, -xy / determinant, xx / determinant
    depth_by_x, depth_by_y = a * xz + b * yz, b * xz + c * yz
    sigma = wp.sqrt(wp.max(wp.dot(w, w) - depth_by_x * xz - depth_by_y * yz, zero))

    reach = two * wp.log(opacity / wp.static(wp.float64(ALPHA_MIN)))  # squared, in standard deviations
    half_x, half_y = wp.sqrt(reach * xx), wp.sqrt(reach * yy)
    band_px = wp.static(wp.float64(BAND_PX))
    width = wp.float64(view.width)
    last_band = wp.floor(wp.float64(view.height) / band_px)
    band = wp.clamp(wp.floor((y - half_y) / band_px), zero, last_band)
    end = wp.min(wp.floor((y + half_y) / band_px), last_band)
    while band <= end:
        left = band * two * width
        first = wp.lower_bound(keys, left + wp.clamp(x - half_x, zero, width))
        last = wp.lower_bound(keys, left + wp.clamp(x + half_x, zero, width) + wp.static(wp.float64(1e-6)))
        for point in range(first, last):
            dx, dy = points_px[point, 0] - x, points_px[point, 1] - y
            squared = a * dx * dx + two * b * dx * dy + c * dy * dy
            alpha = wp.min(opacity * wp.exp(-wp.float64(0.5) * squared), wp.static(wp.float64(ALPHA_MAX)))
            if alpha >= wp.static(wp.float64(ALPHA_MIN)):
                index = wp.atomic_add(count, 0, 1)
                if index < pairs.shape[0]:
                    pairs[index, 0] = point
                    pairs[index, 1] = i
                    values[index, 0] = alpha
                    values[index, 1] = z + depth_by_x * dx + depth_by_y * dy
                    values[index, 2] = sigma
        band += one


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
    near = NEAR_SHARE * float(np.linalg.norm(camera.center_world - np.median(gaussians.means, axis=0)))
    keys, order = _banded(points_px, camera)
    view = upload_views([camera], near, "cpu", wp.float64)
    arrays = (gaussians.means, gaussians.rotations_wxyz, gaussians.log_scales, gaussians.opacity_logits)
    inputs = [wp.array(np.ascontiguousarray(array, np.float32), device="cpu", copy=False) for array in arrays]
    inputs += [wp.array(array, device="cpu", copy=False) for array in (points_px[order].astype(np.float64), keys)]
    room = ROOM * len(points_px) + len(gaussians)
    while True:
        pairs, values = np.empty((room, 2), np.int32), np.empty((room, 3))
        count = wp.zeros(1, dtype=wp.int32, device="cpu")
        outputs = [count, *(wp.array(array, device="cpu", copy=False) for array in (pairs, values))]
        wp.launch(cross_kernel, len(gaussians), [*inputs, view, farthest], outputs, device="cpu", record_tape=False)
        found = int(count.numpy()[0])
        if found <= room:
            break
        room = found
    return Crossings(order[pairs[:found, 0]], pairs[:found, 1].astype(np.int64), *values[:found].T)


def directions(points_px: np.ndarray, camera: Camera) -> np.ndarray:
    """Rays through positions in a picture, world frame, of length 1 along the optical axis; shape [m, 3]."""
    homogeneous = np.concatenate([points_px, np.ones((len(points_px), 1))], axis=1)
    return homogeneous @ np.linalg.inv(camera.intrinsics).T @ camera.world_from_camera[:3, :3].T


def _banded(points_px: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Points by bands of rows, and by column within a band: what they are sorted by, and an infinity, at which a search
    for more than all ends, shape [m + 1]; and their indices in that order, shape [m]."""
    # so that no column of one band comes near those of the next
    keys = np.floor(points_px[:, 1] / BAND_PX) * (2.0 * camera.width) + points_px[:, 0]
    order = np.argsort(keys, kind="stable")
    return np.append(keys[order], np.inf), order
