"""Nothing below the floor (in the paper's code, not in its text), and finding the floor in a cloud."""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import warp as wp

from warpgs.checks import check_finite, check_shape, refuse
from warpgs.priors.base import Prior, State, check_weight
from warpgs.priors.rest import Rest


class Plane(NamedTuple):
    """Points x with normal . x + offset = 0; what lies above has a positive height normal . x + offset."""

    normal: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """Unit vector, world frame, pointing up."""
    offset: float = 0.0
    """Height of the origin above the plane [m]."""

    def heights(self, points_world: np.ndarray) -> np.ndarray:
        """Signed height of points [m], shape [n], from shape [n, 3]."""
        return points_world @ np.asarray(self.normal) + self.offset


def check_plane(what: str, plane: Plane) -> None:
    """Refuse a normal that is no unit vector, and an offset that is not finite."""
    if not abs(float(np.linalg.norm(plane.normal)) - 1.0) < 1e-6:
        refuse(f"{what} normal", "a unit vector", plane.normal)
    if not np.isfinite(plane.offset):
        refuse(f"{what} offset", "a finite height [m]", plane.offset)


GROUND_AT_ZERO = Plane()
"""The plane z = 0."""


@cache
def ground_kernel(dtype: type) -> Any:
    """The kernel for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)

    @wp.kernel(module="unique", enable_backward=False)
    def ground_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        normal: vec3,
        offset: real,
        scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        height = wp.dot(normal, means[i]) + offset
        if height < real(0.0):
            wp.atomic_add(loss, 0, wp.float64(-scale * height))
            adj_means[i] = adj_means[i] - scale * normal

    return ground_kernel


@dataclass(frozen=True)
class GroundPrior(Prior):
    """Mean over particles of the depth of their centers below a plane, in units of ``rest.length_unit``."""

    weight: float = 2.0
    """Multiplier on the mean depth [1 per length unit]."""
    plane: Plane = GROUND_AT_ZERO
    """The floor, world frame; see ``find_ground``."""

    def __post_init__(self):
        check_weight(self)
        check_plane("GroundPrior: plane", self.plane)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        scale = self.weight / (max(rest.means.size, 1) * rest.length_unit)
        wp.launch(
            ground_kernel(rest.dtype),
            rest.means.size,
            [state.means, list(self.plane.normal), self.plane.offset, scale],
            [loss, state.adj_means],
            device=loss.device,
            record_tape=False,
        )


@dataclass(frozen=True)
class GroundSearch:
    """How ``find_ground`` recognizes a floor."""

    tolerance: float = 0.005
    """Points this close to a plane lie on it, as a share of the diagonal of the cloud."""
    max_tilt_rad: float = 0.35
    """Largest angle between the plane's normal and the z axis [rad]."""
    min_share: float = 0.05
    """Smallest share of all points that must lie on the plane."""
    max_below: float = 0.02
    """Largest share of all points below the plane: reconstructions have a few strays under the floor."""
    trials: int = 500
    """Planes that are tried, each through three random points."""
    seed: int = 0
    """Of the random choice of points."""


def find_ground(points_world: np.ndarray, search: GroundSearch | None = None) -> Plane | None:
    """Find the floor: the nearly horizontal plane with most points on it and next to none below.

    Args:
        points_world: Points of the whole scene [m], world frame (z up), shape [n, 3].
        search: What counts as a floor; the default when None.

    Returns:
        The plane, None when no plane qualifies.

    Raises:
        ValueError: Points of another shape or not finite.
    """
    search = search or GroundSearch()
    points = np.asarray(points_world, np.float64)
    check_shape("find_ground: points_world", points, (None, 3))
    check_finite("find_ground: points_world", points, "remove the broken points")
    if len(points) < 3:
        return None
    # Percentiles: one far stray must not widen the tolerance
    tolerance = search.tolerance * float(np.linalg.norm(np.subtract(*np.percentile(points, [99.0, 1.0], axis=0))))
    rng = np.random.default_rng(search.seed)
    sample = points if len(points) <= 20000 else points[rng.choice(len(points), 20000, replace=False)]
    best, best_count = None, search.min_share * len(sample)
    for _ in range(search.trials):
        plane = _plane_through(sample[rng.choice(len(sample), 3, replace=False)], search.max_tilt_rad)
        if plane is None:
            continue
        on, below = _on_and_below(plane, sample, tolerance)
        if on.sum() > best_count and below <= search.max_below * len(sample):
            best, best_count = plane, on.sum()
    return best and _refined(best, points, tolerance, search)


def _plane_through(corners: np.ndarray, max_tilt_rad: float) -> Plane | None:
    """The plane of three points, normal up; None when they are on a line or the plane is too steep."""
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    length = np.linalg.norm(normal)
    if not length > 1e-12 or abs(normal[2]) < np.cos(max_tilt_rad) * length:
        return None
    normal = normal * (np.sign(normal[2]) / length)
    return Plane(tuple(map(float, normal)), -float(normal @ corners[0]))


def _on_and_below(plane: Plane, points: np.ndarray, tolerance: float) -> tuple[np.ndarray, int]:
    """Which points lie on the plane, and how many lie below."""
    heights = plane.heights(points)
    return np.abs(heights) <= tolerance, int((heights < -tolerance).sum())


def _refined(plane: Plane, points: np.ndarray, tolerance: float, search: GroundSearch) -> Plane:
    """Least squares through the points on the plane, twice; the plane itself where that leaves the rules."""
    for _ in range(2):
        on = points[_on_and_below(plane, points, tolerance)[0]]
        center = on.mean(axis=0)
        normal = np.linalg.svd(on - center, full_matrices=False)[2][2]
        if abs(normal[2]) < np.cos(search.max_tilt_rad):
            return plane
        normal = normal * np.sign(normal[2])
        fitted = Plane(tuple(map(float, normal)), -float(normal @ center))
        if _on_and_below(fitted, points, tolerance)[1] > search.max_below * len(points):
            return plane
        plane = fitted
    return plane
