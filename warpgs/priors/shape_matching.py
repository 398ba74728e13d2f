"""Shape matching of oriented particles: each neighborhood moves as one rigid body, of which every particle is an
extended piece (Mueller and Chentanez, "Solid simulation with oriented particles", 2011).

A Gaussian is such a piece: its covariance is the second moment that theirs takes from an ellipsoid. So the energy is
the mean square distance of all points of the Gaussians, not of their centers alone, from where the best rigid motion
puts them, and even a single row of particles resists being turned. Rotation and translation are the best ones, so the
gradient is that of fixed ones.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import warp as wp

from warpgs.math.polar import nearest_rotation
from warpgs.math.rotation import rotation_funcs
from warpgs.priors.base import Parameter, Prior, State, check_weight, parameter
from warpgs.priors.rest import Rest


@cache
def shape_matching_kernel(dtype: type) -> Any:
    """The kernel for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    quat = wp.types.quaternion(dtype)
    mat33 = wp.types.matrix((3, 3), dtype)
    turn_between = rotation_funcs(dtype).turn_between
    torque_gradient = rotation_funcs(dtype).torque_gradient
    turn_adjoint = rotation_funcs(dtype).turn_adjoint

    @wp.func
    def covariance(rotation: quat, scale: vec3):
        """Of a Gaussian [m^2], world frame."""
        axes = wp.quat_to_matrix(rotation)
        return axes * wp.diag(wp.cw_mul(scale, scale)) * wp.transpose(axes)

    @wp.kernel(module="unique", enable_backward=False)
    def shape_matching_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        scales: wp.array(dtype=vec3),
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        reference_offsets: wp.array2d(dtype=vec3),
        reference_rotations: wp.array(dtype=quat),
        stiffness: wp.array(dtype=real),
        scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
        adj_rotations: wp.array(dtype=quat),
        adj_stiffness: wp.array(dtype=real),
    ):
        i = wp.tid()
        count = neighbors.shape[1]
        total = real(1.0)  # weight of the particle itself, which is the origin of offsets
        center = vec3()
        reference_center = vec3()
        for j in range(count):
            total += weights[i, j]
            center += weights[i, j] * (means[neighbors[i, j]] - means[i])
            reference_center += weights[i, j] * reference_offsets[i, j]
        center = center / total
        reference_center = reference_center / total
        products = mat33()
        for j in range(-1, count):
            k = i
            weight = real(1.0)
            reference = -reference_center
            if j >= 0:
                k = neighbors[i, j]
                weight = weights[i, j]
                reference = reference_offsets[i, j] - reference_center
            turned = wp.quat_to_matrix(turn_between(rotations[k], reference_rotations[k]))
            products += weight * wp.outer(means[k] - means[i] - center, reference)
            products += weight * (turned * covariance(reference_rotations[k], scales[k]))
        best = nearest_rotation(wp.mat33d(products))
        rotation = mat33(best)
        hard = wp.min(i, stiffness.shape[0] - 1)
        energy = real(0.0)
        for j in range(-1, count):
            k = i
            weight = scale / total
            reference = -reference_center
            if j >= 0:
                k = neighbors[i, j]
                weight = weight * weights[i, j]
                reference = reference_offsets[i, j] - reference_center
            turn = turn_between(rotations[k], reference_rotations[k])
            turned = wp.quat_to_matrix(turn)
            residual = means[k] - means[i] - center - rotation * reference
            spread = covariance(reference_rotations[k], scales[k])
            twist = (turned - rotation) * spread
            energy += real(0.5) * weight * (wp.dot(residual, residual) + wp.ddot(twist, turned - rotation))
            wp.atomic_add(adj_means, k, stiffness[hard] * weight * residual)
            moment = (stiffness[hard] * weight) * (twist * wp.transpose(turned))
            torque = vec3(moment[2, 1] - moment[1, 2], moment[0, 2] - moment[2, 0], moment[1, 0] - moment[0, 1])
            adj_turn = torque_gradient(turn, torque)
            wp.atomic_add(adj_rotations, k, turn_adjoint(rotations[k], reference_rotations[k], adj_turn))
        wp.atomic_add(loss, 0, wp.float64(stiffness[hard] * energy))
        wp.atomic_add(adj_stiffness, hard, energy)

    return shape_matching_kernel


@dataclass(frozen=True)
class ShapeMatchingPrior(Prior):
    """Mean over neighborhoods of k_i times half the mean square distance, in ``rest.spacing``, from a rigid motion.

    The inner mean is over the particle and its neighbors, weighted with 1 and w_ij, and over the points of each.
    """

    weight: float = 1.0
    """Multiplier on the mean energy."""
    stiffness: float | Parameter = 1.0
    """k, of each neighborhood or of all."""

    def __post_init__(self):
        check_weight(self)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        stiffness = parameter(self.stiffness, rest)
        pairs = [rest.neighbors, rest.weights, rest.reference_offsets, rest.reference_rotations]
        scale = self.weight / (max(rest.means.size, 1) * rest.spacing**2)
        wp.launch(
            shape_matching_kernel(rest.dtype),
            rest.means.size,
            [state.means, state.rotations, rest.scales, *pairs, stiffness.values, scale],
            [loss, state.adj_means, state.adj_rotations, stiffness.gradient],
            device=loss.device,
            record_tape=False,
        )
