"""Depth of the background by photo-consistency: a sweep over inverse depths, smoothed by semi-global matching.

Every picture is covered by a grid of cells. For each cell and inverse depth a patch is compared with its images in a
few neighboring cameras; semi-global matching (Hirschmueller 2008) carries depth from textured cells into plain ones.
Then every camera's depths are held against those of all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from warpgs.reconstruct.views import Views, for_each_camera

PATCH_SIDE = wp.constant(5)
"""Side of a patch [px]."""

PATCH_TAPS = wp.constant(13)
"""Pixels of a patch that are compared: every other one, as on a checkerboard."""

Patch = wp.types.vector(13, float)

NOISE_VARIANCE = wp.constant(1.0e-4)
"""Variance of gray values (0..1) that is noise: a patch with less says nothing, instead of matching at random."""

COLOR_CLIP = wp.constant(0.15)
"""Color difference (0..1) that counts as entirely different."""

COLOR_WEIGHT = wp.constant(0.3)
"""Cost of an entirely different color; that of uncorrelated patches is 1."""

CENTER_WEIGHT = wp.constant(0.01)
"""Cost of the outermost hypotheses over that of the middle one."""

SMALL_STEP = 0.06
"""Penalty of semi-global matching for one step of inverse depth between cells: slanted surfaces."""

LARGE_STEP = 0.6
"""Penalty for any larger step: depth edges."""

DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))
"""Paths of semi-global matching, (column, row) steps."""

USEFUL_ANGLE = np.radians(12.0)
"""Angle between two rays to a point at which it is best triangulated: wider ones no longer look alike."""


@dataclass(frozen=True)
class SweepRange:
    """Hypotheses of depth, equally spaced in inverse depth."""

    near: float
    """Least depth, rig radii."""
    far: float
    """Largest depth, rig radii."""
    count: int
    """Number of hypotheses."""

    @property
    def first(self) -> float:
        """Inverse depth of the farthest hypothesis."""
        return 1.0 / self.far

    @property
    def step(self) -> float:
        """Distance of hypotheses in inverse depth."""
        return (1.0 / self.near - 1.0 / self.far) / (self.count - 1)


@dataclass(frozen=True, eq=False)
class DepthMaps:
    """What the sweep found, one value per camera and cell."""

    inverse_depths: np.ndarray
    """Shape [c, rows, columns], float32, 1 / rig radii."""
    support: np.ndarray
    """Number of other cameras whose own depth confirms the cell, shape [c, rows, columns], int32."""
    conflict: np.ndarray
    """Number of other cameras that see through the cell's point, shape [c, rows, columns], int32."""
    excluded: np.ndarray
    """True where a cell holds foreground, shape [c, rows, columns], bool."""


@wp.func
def bilinear(image: wp.array3d[float], layer: int, u: float, v: float):
    """Value at continuous pixel (u, v), pixel centers at +0.5, clamped to the border."""
    height = image.shape[1]
    width = image.shape[2]
    x = wp.clamp(u - 0.5, 0.0, float(width - 1))
    y = wp.clamp(v - 0.5, 0.0, float(height - 1))
    x0 = wp.min(int(x), wp.max(width - 2, 0))
    y0 = wp.min(int(y), wp.max(height - 2, 0))
    x1 = wp.min(x0 + 1, width - 1)
    y1 = wp.min(y0 + 1, height - 1)
    fx = x - float(x0)
    fy = y - float(y0)
    top = image[layer, y0, x0] * (1.0 - fx) + image[layer, y0, x1] * fx
    bottom = image[layer, y1, x0] * (1.0 - fx) + image[layer, y1, x1] * fx
    return top * (1.0 - fy) + bottom * fy


@wp.func
def tap_offset(i: int):
    """Offset of the i-th pixel of a patch from its center [px]."""
    return wp.vec2(float((2 * i) % PATCH_SIDE - PATCH_SIDE // 2), float((2 * i) // PATCH_SIDE - PATCH_SIDE // 2))


@wp.func
def color_difference(colors: wp.array3d[wp.vec3], a: int, ua: wp.vec2, b: int, ub: wp.vec2):
    """Clipped mean difference of two nearest pixels, in units of the clip."""
    height = colors.shape[1]
    width = colors.shape[2]
    xa = wp.clamp(int(ua[0]), 0, width - 1)
    ya = wp.clamp(int(ua[1]), 0, height - 1)
    xb = wp.clamp(int(ub[0]), 0, width - 1)
    yb = wp.clamp(int(ub[1]), 0, height - 1)
    d = colors[a, ya, xa] - colors[b, yb, xb]
    return wp.min((wp.abs(d[0]) + wp.abs(d[1]) + wp.abs(d[2])) / (3.0 * COLOR_CLIP), 1.0)


@wp.func
def patch_around(grays: wp.array3d[float], camera: int, center: wp.vec2):
    """Gray values around ``center`` with their mean removed."""
    patch = Patch()
    mean = float(0.0)
    for i in range(PATCH_TAPS):
        offset = tap_offset(i)
        patch[i] = bilinear(grays, camera, center[0] + offset[0], center[1] + offset[1])
        mean += patch[i]
    mean /= float(PATCH_TAPS)
    for i in range(PATCH_TAPS):
        patch[i] = patch[i] - mean
    return patch


@wp.func
def patch_cost(
    patch: Patch,
    variance: float,
    center: wp.vec2,
    grays: wp.array3d[float],
    other: int,
    from_camera: wp.mat33,
    shift: wp.vec3,
):
    """1 - correlation of a patch around ``center`` with its image in ``other``, within 0..1."""
    total = float(0.0)
    square = float(0.0)
    product = float(0.0)
    for i in range(PATCH_TAPS):
        offset = tap_offset(i)
        q = from_camera * wp.vec3(center[0] + offset[0], center[1] + offset[1], 1.0) + shift
        scale = 1.0 / wp.max(q[2], 1.0e-6)
        value = bilinear(grays, other, q[0] * scale, q[1] * scale)
        total += value
        square += value * value
        product += patch[i] * value
    taps = float(PATCH_TAPS)
    other_variance = wp.max(square - total * total / taps, 0.0) / taps
    correlation = product / taps / (wp.sqrt(variance * other_variance) + NOISE_VARIANCE)
    return 1.0 - wp.clamp(correlation, 0.0, 1.0)


@wp.kernel(enable_backward=False)
def cost_kernel(
    # inputs
    camera: int,
    grays: wp.array3d[float],
    colors: wp.array3d[wp.vec3],
    excluded: wp.array3d[wp.uint8],
    pixels_from_rig: wp.array[wp.mat33],
    centers: wp.array[wp.vec3],
    neighbors: wp.array2d[int],
    first: wp.array3d[float],
    step: float,
    # outputs
    costs: wp.array4d[float],
):
    """Cost of every hypothesis at a cell: mean over the two neighbors that agree best, so that one may be occluded."""
    row, column = wp.tid()
    rows = costs.shape[1]
    columns = costs.shape[2]
    count = costs.shape[3]
    width = float(grays.shape[2])
    height = float(grays.shape[1])
    cell = wp.vec2(width / float(columns), height / float(rows))
    center = wp.vec2((float(column) + 0.5) * cell[0], (float(row) + 0.5) * cell[1])
    rig_from_pixels = wp.inverse(pixels_from_rig[camera])
    is_background = excluded[camera, row, column] == wp.uint8(0)
    patch = patch_around(grays, camera, center)
    variance = wp.dot(patch, patch) / float(PATCH_TAPS)
    for d in range(count):
        inverse_depth = first[camera, row, column] + float(d) * step
        best = float(1.0 + COLOR_WEIGHT)
        second = float(1.0 + COLOR_WEIGHT)
        if is_background and inverse_depth > 0.0:
            for k in range(neighbors.shape[1]):
                n = neighbors[camera, k]
                from_camera = pixels_from_rig[n] * rig_from_pixels
                shift = pixels_from_rig[n] * (centers[camera] - centers[n]) * inverse_depth
                q = from_camera * wp.vec3(center[0], center[1], 1.0) + shift
                if q[2] > 1.0e-4:
                    target = wp.vec2(q[0] / q[2], q[1] / q[2])
                    if target[0] > 1.0 and target[1] > 1.0 and target[0] < width - 1.0 and target[1] < height - 1.0:
                        other_row = wp.min(int(target[1] / cell[1]), rows - 1)
                        other_column = wp.min(int(target[0] / cell[0]), columns - 1)
                        if excluded[n, other_row, other_column] == wp.uint8(0):
                            cost = patch_cost(patch, variance, center, grays, n, from_camera, shift)
                            cost += COLOR_WEIGHT * color_difference(colors, camera, center, n, target)
                            second = wp.min(second, wp.max(best, cost))
                            best = wp.min(best, cost)
        # among equals the middle wins: where the pictures say nothing a refined depth stays as it was
        aside = wp.abs(2.0 * float(d) / float(count - 1) - 1.0)
        costs[camera, row, column, d] = 0.5 * (best + second) + CENTER_WEIGHT * aside


@wp.kernel(enable_backward=False)
def path_kernel(
    # inputs
    camera: int,
    costs: wp.array4d[float],
    column_step: int,
    row_step: int,
    small_step: float,
    large_step: float,
    # outputs
    path: wp.array4d[float],
    total: wp.array4d[float],
):
    """Semi-global matching along one line of cells; ``total`` accumulates over directions."""
    line = wp.tid()
    rows = costs.shape[1]
    columns = costs.shape[2]
    count = costs.shape[3]
    length = wp.where(column_step != 0, columns, rows)
    row = int(line)
    column = int(line)
    if column_step != 0:
        column = wp.where(column_step > 0, 0, columns - 1)
    else:
        row = wp.where(row_step > 0, 0, rows - 1)
    least = float(0.0)
    for i in range(length):
        next_least = float(1.0e30)
        for d in range(count):
            value = costs[camera, row, column, d]
            if i > 0:
                before_row = row - row_step
                before_column = column - column_step
                reach = wp.min(path[camera, before_row, before_column, d], least + large_step)
                if d > 0:
                    reach = wp.min(reach, path[camera, before_row, before_column, d - 1] + small_step)
                if d < count - 1:
                    reach = wp.min(reach, path[camera, before_row, before_column, d + 1] + small_step)
                value += reach - least
            path[camera, row, column, d] = value
            total[camera, row, column, d] += value
            next_least = wp.min(next_least, value)
        least = next_least
        row += row_step
        column += column_step


@wp.kernel(enable_backward=False)
def pick_kernel(
    # inputs
    camera: int,
    total: wp.array4d[float],
    first: wp.array3d[float],
    step: float,
    # outputs
    inverse_depths: wp.array3d[float],
):
    """The cheapest hypothesis, between hypotheses by a parabola."""
    row, column = wp.tid()
    count = total.shape[3]
    best = int(0)
    for d in range(count):
        if total[camera, row, column, d] < total[camera, row, column, best]:
            best = d
    offset = float(0.0)
    if best > 0 and best < count - 1:
        before = total[camera, row, column, best - 1]
        here = total[camera, row, column, best]
        after = total[camera, row, column, best + 1]
        bend = before - 2.0 * here + after
        if bend > 1.0e-6:
            offset = wp.clamp(0.5 * (before - after) / bend, -0.5, 0.5)
    found = first[camera, row, column] + (float(best) + offset) * step
    inverse_depths[camera, row, column] = wp.max(found, 0.25 * step)


@wp.kernel(enable_backward=False)
def agreement_kernel(
    # inputs
    inverse_depths: wp.array3d[float],
    excluded: wp.array3d[wp.uint8],
    pixels_from_rig: wp.array[wp.mat33],
    centers: wp.array[wp.vec3],
    cell: wp.vec2,
    tolerance: float,
    # outputs
    support: wp.array3d[int],
    conflict: wp.array3d[int],
):
    """Count the cameras that see the cell's point at their own depth, and those that see through it."""
    c, row, column = wp.tid()
    rows = inverse_depths.shape[1]
    columns = inverse_depths.shape[2]
    u = (float(column) + 0.5) * cell[0]
    v = (float(row) + 0.5) * cell[1]
    ray = wp.inverse(pixels_from_rig[c]) * wp.vec3(u, v, 1.0)
    point = centers[c] + ray / inverse_depths[c, row, column]
    confirmed = int(0)
    contradicted = int(0)
    for n in range(centers.shape[0]):
        q = pixels_from_rig[n] * (point - centers[n])
        if n != c and q[2] > 1.0e-4:
            x = int(wp.floor(q[0] / q[2] / cell[0]))
            y = int(wp.floor(q[1] / q[2] / cell[1]))
            if x >= 0 and y >= 0 and x < columns and y < rows:
                if excluded[n, y, x] == wp.uint8(0):
                    difference = 1.0 / q[2] - inverse_depths[n, y, x]
                    if wp.abs(difference) < tolerance:
                        confirmed += 1
                    elif difference > 3.0 * tolerance:
                        contradicted += 1
    support[c, row, column] = confirmed
    conflict[c, row, column] = contradicted


def sweep_depths(
    views: Views,
    excluded: np.ndarray,
    neighbors: np.ndarray,
    first: np.ndarray,
    step: float,
    count: int,
    *,
    device: wp.DeviceLike,
) -> np.ndarray:
    """The best of equally spaced inverse depths for every background cell of every picture.

    Args:
        views: Pictures at a few pixels per cell.
        excluded: True where a cell holds foreground, shape [c, rows, columns].
        neighbors: Cameras that each picture is compared with, shape [c, k].
        first: Least inverse depth tried in each cell, 1 / rig radii, shape [c, rows, columns].
        step: Distance of the inverse depths, 1 / rig radii.
        count: Number of inverse depths.
        device: Where the sweep runs.

    Returns:
        Inverse depths, 1 / rig radii, shape [c, rows, columns], float32, > 0; in foreground cells those around suggest.
    """
    shape = excluded.shape
    inputs = [
        wp.array(views.images.mean(axis=3), dtype=float, device=device),
        wp.array(views.images, dtype=wp.vec3, device=device),
        wp.array(excluded.astype(np.uint8), dtype=wp.uint8, device=device),
        wp.array(views.pixels_from_rig, dtype=wp.mat33, device=device),
        wp.array(views.centers, dtype=wp.vec3, device=device),
        wp.array(neighbors.astype(np.int32), dtype=int, device=device),
    ]
    least = wp.array(first.astype(np.float32), dtype=float, device=device)
    costs, path, total = (wp.zeros((*shape, count), dtype=float, device=device) for _ in range(3))
    inverse_depths = wp.zeros(shape, dtype=float, device=device)
    wp.load_module(device=device)  # before the threads: they must not compile the same module twice

    def sweep_camera(c: int) -> None:
        wp.launch(cost_kernel, shape[1:], [c, *inputs, least, step], [costs], device=device)
        for column_step, row_step in DIRECTIONS:
            lines = shape[1] if column_step else shape[2]
            settings = [column_step, row_step, SMALL_STEP, LARGE_STEP]
            wp.launch(path_kernel, lines, [c, costs, *settings], [path, total], device=device)
        wp.launch(pick_kernel, shape[1:], [c, total, least, step], [inverse_depths], device=device)

    for_each_camera(sweep_camera, len(views), parallel=not wp.get_device(device).is_cuda)
    return inverse_depths.numpy()


def agreement(
    views: Views,
    inverse_depths: np.ndarray,
    excluded: np.ndarray,
    tolerance: float,
    device: wp.DeviceLike,
) -> tuple[np.ndarray, np.ndarray]:
    """How many other cameras confirm and contradict each cell, shape [c, rows, columns] each; see DepthMaps."""
    support, conflict = (wp.zeros(inverse_depths.shape, dtype=int, device=device) for _ in range(2))
    inputs = [
        wp.array(inverse_depths, dtype=float, device=device),
        wp.array(excluded.astype(np.uint8), dtype=wp.uint8, device=device),
        wp.array(views.pixels_from_rig, dtype=wp.mat33, device=device),
        wp.array(views.centers, dtype=wp.vec3, device=device),
        wp.vec2(views.width / excluded.shape[2], views.height / excluded.shape[1]),
        tolerance,
    ]
    wp.launch(agreement_kernel, inverse_depths.shape, inputs, [support, conflict], device=device)
    return support.numpy(), conflict.numpy()


def rank_neighbors(views: Views, camera: int, hypotheses: SweepRange) -> np.ndarray:
    """The other cameras, most useful first: they see much of what ``camera`` sees, under an angle that tells depth."""
    points = _frustum_points(views, camera, hypotheses)
    own = points - views.centers[camera]
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    scores = np.full(len(views), -1.0)
    for other in range(len(views)):
        if other == camera:
            continue
        column, _, _ = views.project(other, points)
        ray = points - views.centers[other]
        cosine = np.sum(ray * own, axis=1) / np.maximum(np.linalg.norm(ray, axis=1), 1e-9)
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))
        usefulness = np.exp(-(np.log2(np.maximum(angle, 1e-3) / USEFUL_ANGLE) ** 2))
        scores[other] = np.sum(usefulness[column >= 0])
    order = np.argsort(-scores, kind="stable")
    return order[order != camera]


def _frustum_points(views: Views, camera: int, hypotheses: SweepRange) -> np.ndarray:
    """Points that ``camera`` sees: 6 x 4 rays at 8 inverse depths of the farther half of the range, shape [192, 3]."""
    u, v = np.meshgrid((np.arange(6) + 0.5) / 6 * views.width, (np.arange(4) + 0.5) / 4 * views.height)
    pixels = np.stack([u.ravel(), v.ravel(), np.ones(u.size)], axis=1)
    rays = pixels @ np.linalg.inv(views.pixels_from_rig[camera].astype(np.float64)).T
    inverse = hypotheses.first + np.linspace(0.05, 0.5, 8) * hypotheses.step * (hypotheses.count - 1)
    return (views.centers[camera] + rays[None] / inverse[:, None, None]).reshape(-1, 3)
