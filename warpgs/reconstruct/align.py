"""By what all cameras are off together, which their pictures alone do not tell: seen against the starting cloud.

Each camera is aligned by itself with the colors of the cloud's points (direct image alignment; Baker and Matthews,
"Lucas-Kanade 20 Years On", 2004). Points are compared where they are, so that it does not matter how thick the surfaces
of a first fit are. Only the common part of the turns is kept, for pictures tell the rest better (refine.py).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, minimum_filter
from scipy.spatial.transform import Rotation

from warpgs.reconstruct.refine import own_turns
from warpgs.reconstruct.views import fitted_size, for_each_camera, pixels_of, resample
from warpgs.types import Camera, Frame, PointCloud

LONG_SIDE_PX = 640
"""Pictures are averaged to this size or less: of larger ones a camera that is off sees nothing in common."""
BLUR_PX = 1.0
"""Standard deviation of the blur: colors change over about as much as cameras are off."""
ITERATIONS = 12
"""Gauss-Newton steps. Errors of up to 2 px settle in 5 to 10."""
MOST_POINTS, FEWEST_POINTS = 5000, 500
"""Points that a camera compares, spread over all it sees; one that sees fewer is not to be trusted."""
COVER_PX, COVER_SHARE = 5, 0.05
"""A point is hidden by others within as many pixels that are nearer by this share."""
ACCURACY_PX = 0.2
"""How far a turn found by it may be off: 0.02 to 0.09 px with exact points, 0.3 px with those of real depth cameras,
whose own calibration is off."""


def common_turns(frame: Frame, cloud: PointCloud, center: np.ndarray) -> np.ndarray:
    """The part of the cameras' errors that they have in common, as turns about their centers.

    Errors of single cameras tell how large it may be: the common part of n independent errors is a projection of them.
    Where they are not larger than this alignment errs, as with exact cameras, it is zero.

    Args:
        frame: The first timestep.
        cloud: Its points with their colors, in the same frame and unit.
        center: Of what is seen [m], shape [3].

    Returns:
        Rotation vectors in the cameras' own frames [rad], shape [c, 3]; zero where a camera sees too few points.
    """
    count = len(frame.cameras)
    size = fitted_size(frame, LONG_SIDE_PX)
    cameras = [camera.resized(*size) for camera in frame.cameras]
    turns = np.full((count, 3), np.nan)

    def align(i: int) -> None:
        seen = _visible(cameras[i], cloud.points)
        if len(seen) >= FEWEST_POINTS:
            chosen = seen[:: -(-len(seen) // MOST_POINTS)]
            image = resample(frame.images[i], *size)
            turns[i] = _aligned(cameras[i], image, cloud.points[chosen], cloud.colors[chosen])

    for_each_camera(align, count)
    if not np.isfinite(turns).all():
        return np.zeros((count, 3))
    own = np.einsum("ijkl,jl->ik", own_turns(cameras, center), turns)
    accuracy = ACCURACY_PX / np.mean([camera.intrinsics[0, 0] for camera in cameras])
    variance = max((own**2).sum() / max(3 * count - 6, 1) - accuracy**2, 0.0)
    return variance / (variance + accuracy**2) * (turns - own)


def _visible(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Indices of the points that lie in the picture with no others in front."""
    index, column, row, depth = pixels_of(camera, points)
    nearest = np.full((camera.height, camera.width), np.inf)
    np.minimum.at(nearest, (row, column), depth)
    return index[depth < (1.0 + COVER_SHARE) * minimum_filter(nearest, COVER_PX)[row, column]]


def _aligned(camera: Camera, image: np.ndarray, points: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """The turn after which ``image`` [h, w, 3] shows ``colors`` [n, 3] best at ``points`` [n, 3], shape [3].

    Minimizes sum rho(image(project(Exp(-turn) p)) - gain color - offset) over the turn, with gain and offset of each
    channel and the weights of rho, a Geman-McClure loss, taken anew in each step.
    """
    smooth = gaussian_filter(image, (BLUR_PX, BLUR_PX, 0.0))
    planes = np.concatenate([smooth, np.gradient(smooth, axis=1), np.gradient(smooth, axis=0)], axis=2)
    local = (points.astype(np.float64) - camera.center_world) @ camera.world_from_camera[:3, :3]
    rotation, weights = np.eye(3), np.ones(colors.shape)
    for _ in range(ITERATIONS):
        turned = local @ rotation
        taken = _bilinear(planes, _project(camera, turned))
        seen, across, down = taken[:, :3], taken[:, 3:6], taken[:, 6:]
        misses = seen - _matched(colors, seen, weights)
        spread = 2.0 * np.median(np.abs(misses)) + 1e-6
        weights = 1.0 / (1.0 + (misses / spread) ** 2) ** 2
        slopes = across[..., None] * _turning(camera, turned, 0) + down[..., None] * _turning(camera, turned, 1)
        hessian = np.einsum("nci,ncj,nc->ij", slopes, slopes, weights)
        step = -np.linalg.lstsq(hessian, np.einsum("nci,nc,nc->i", slopes, misses, weights), rcond=None)[0]
        rotation = rotation @ Rotation.from_rotvec(step).as_matrix()
    return Rotation.from_matrix(rotation).as_rotvec()


def _matched(colors: np.ndarray, seen: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """gain colors + offset nearest to ``seen``, each channel by itself."""
    mean_color, mean_seen = (np.average(values, axis=0, weights=weights) for values in (colors, seen))
    apart = colors - mean_color
    gain = (weights * apart * (seen - mean_seen)).sum(axis=0) / np.maximum((weights * apart**2).sum(axis=0), 1e-12)
    return mean_seen + gain * apart


def _project(camera: Camera, local: np.ndarray) -> np.ndarray:
    """Pixels of points in the camera's frame, shape [n, 2]."""
    pixels = local @ camera.intrinsics.T
    return pixels[:, :2] / pixels[:, 2:]


def _turning(camera: Camera, local: np.ndarray, axis: int) -> np.ndarray:
    """Derivative of the pixel's coordinate ``axis`` with respect to a turn at zero, shape [n, 1, 3].

    With d Exp(-t) p = p x t, and u = f x / z + c.
    """
    x, y, _ = (local / local[:, 2:]).T
    slopes = [x * y, -1.0 - x * x, y] if axis == 0 else [1.0 + y * y, -x * y, -x]
    return camera.intrinsics[axis, axis] * np.stack(slopes, axis=1)[:, None]


def _bilinear(planes: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """``planes`` [h, w, k] at ``pixels`` [n, 2], shape [n, k]; the outermost pixels go on outside."""
    height, width = planes.shape[:2]
    place = np.clip(pixels - 0.5, 0.0, (width - 1.000001, height - 1.000001))
    (column, row), (across, down) = np.floor(place).astype(np.int64).T, np.modf(place)[0].T[..., None]
    upper = planes[row, column] * (1.0 - across) + planes[row, column + 1] * across
    lower = planes[row + 1, column] * (1.0 - across) + planes[row + 1, column + 1] * across
    return upper * (1.0 - down) + lower * down
