"""The rotation of a particle seen in its neighbors: the local rigid fit since the first timestep."""

from functools import cache
from typing import Any

import warp as wp

from warpgs.checks import refuse
from warpgs.math.polar import rotation_and_spread
from warpgs.priors.rest import Rest

OPEN_ROTATION = 1e-3
"""Below this ratio of spreads (lengths squared, across over along) neighbors leave a rotation about their line open."""


@cache
def fit_kernel(dtype: type) -> Any:
    """The kernel for numbers of ``dtype``. It sums and decomposes in float64."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    quat = wp.types.quaternion(dtype)

    @wp.func
    def moments(
        i: int,
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        means: wp.array(dtype=vec3),
        first_means: wp.array(dtype=vec3),
    ):
        """Weighted covariance of current and first offsets about their centroids; the particle itself has weight 1."""
        total = wp.float64(1.0)
        offset_sum = wp.vec3d()
        first_sum = wp.vec3d()
        products = wp.mat33d()
        for j in range(neighbors.shape[1]):
            neighbor = neighbors[i, j]
            weight = wp.float64(weights[i, j])
            offset = wp.vec3d(means[neighbor] - means[i])
            first_offset = wp.vec3d(first_means[neighbor] - first_means[i])
            total += weight
            offset_sum += weight * offset
            first_sum += weight * first_offset
            products += wp.outer(weight * offset, first_offset)
        return products - wp.outer(offset_sum, first_sum / total)

    @wp.func
    def fitted_turn(covariance: wp.mat33d, open_rotation: wp.float64):
        """Rotation nearest to ``covariance`` (Kabsch), and whether it is determined at all."""
        rotation, spread = rotation_and_spread(covariance)
        determined = spread[1] + spread[2] > open_rotation * spread[0]
        return wp.quat_from_matrix(rotation), determined

    @wp.kernel(module="unique", enable_backward=False)
    def fit_local_rotations_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        first_means: wp.array(dtype=vec3),
        first_rotations: wp.array(dtype=quat),
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        tracked_share: real,
        open_rotation: wp.float64,
        # outputs
        fitted: wp.array(dtype=quat),
    ):
        i = wp.tid()
        tracked = wp.normalize(rotations[i])
        turn, determined = fitted_turn(moments(i, neighbors, weights, means, first_means), open_rotation)
        fit = tracked
        if determined:
            fit = quat(real(turn[0]), real(turn[1]), real(turn[2]), real(turn[3])) * first_rotations[i]
            if wp.dot(fit, tracked) < real(0.0):
                fit = -fit
        fitted[i] = wp.normalize(fit * (real(1.0) - tracked_share) + tracked * tracked_share)

    return fit_local_rotations_kernel


def fit_local_rotations(
    means: wp.array, rotations: wp.array, rest: Rest, fitted: wp.array, *, tracked_share: float = 0.1
) -> None:
    """Replace tracked rotations by what the neighbors' positions say, mixed with a share of the tracked ones.

    For each particle: the rotation that best carries its neighbors' offsets of the first timestep to the current ones
    (weighted least squares about their centroid, never a reflection), after its rotation at the first timestep.
    Where the neighbors leave a rotation open (on a line, or all in one point) the tracked rotation stays.

    Args:
        means: Current centers [m], world frame, shape [n].
        rotations: Tracked quaternions, world from particle, shape [n]; need not be normalized. Results are on
            their side of the sphere, so that no quaternion changes sign.
        rest: Built from the same n particles.
        fitted: Output, unit quaternions, shape [n]; may be ``rotations`` itself.
        tracked_share: Share of the tracked rotation in the result, 0..1.
    """
    if not 0.0 <= tracked_share <= 1.0:
        refuse("fit_local_rotations: tracked_share", "a share 0..1", tracked_share)
    wp.launch(
        fit_kernel(rest.dtype),
        means.size,
        [means, rotations, rest.means, rest.rotations, rest.neighbors, rest.weights, tracked_share, OPEN_ROTATION],
        [fitted],
        device=means.device,
        record_tape=False,
    )
