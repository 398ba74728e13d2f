"""Local rigidity: what surrounds a particle moves as the particle turns (Luiten et al. 2024, equation 4)."""

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.math.rotation import rotation_funcs
from warpgs.priors.base import Prior, State, check_weight
from warpgs.priors.rest import TINY, Rest


@cache
def rigidity_kernels(dtype: type) -> SimpleNamespace:
    """The pair energy and its kernel for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    quat = wp.types.quaternion(dtype)
    mat33 = wp.types.matrix((3, 3), dtype)
    tiny = wp.constant(dtype(TINY))
    turn_between = rotation_funcs(dtype).turn_between
    torque_gradient = rotation_funcs(dtype).torque_gradient
    turn_adjoint = rotation_funcs(dtype).turn_adjoint

    @wp.func
    def rigidity_pair(offset: vec3, reference: vec3, turn: mat33, weight: real):
        """Energy w |offset - turn reference| = w |reference - turn^-1 offset| and its gradient on ``offset``.

        The derivative on a small rotation vector added to ``turn`` is -offset x gradient: the gradient is parallel to
        the residual, so turning the offset instead of the reference gives the same moment.
        """
        residual = offset - turn * reference
        length = wp.length(residual)
        return weight * length, residual * (weight / wp.max(length, tiny))

    @wp.kernel(module="unique", enable_backward=False)
    def rigidity_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        reference_offsets: wp.array2d(dtype=vec3),
        reference_rotations: wp.array(dtype=quat),
        scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
        adj_rotations: wp.array(dtype=quat),
    ):
        i = wp.tid()
        turn = turn_between(rotations[i], reference_rotations[i])
        matrix = wp.quat_to_matrix(turn)
        energy = real(0.0)
        force = vec3()
        moment = vec3()
        for j in range(neighbors.shape[1]):
            neighbor = neighbors[i, j]
            offset = means[neighbor] - means[i]
            value, gradient = rigidity_pair(offset, reference_offsets[i, j], matrix, scale * weights[i, j])
            energy += value
            force += gradient
            moment += wp.cross(offset, gradient)
            wp.atomic_add(adj_means, neighbor, gradient)
        wp.atomic_add(loss, 0, wp.float64(energy))
        wp.atomic_add(adj_means, i, -force)
        adj_turn = torque_gradient(turn, -moment)
        wp.atomic_add(adj_rotations, i, turn_adjoint(rotations[i], reference_rotations[i], adj_turn))

    return SimpleNamespace(pair=rigidity_pair, kernel=rigidity_kernel)


@dataclass(frozen=True)
class RigidityPrior(Prior):
    """Mean over pairs of w_ij |(x_j - x_i)_ref - R_i,ref R_i^-1 (x_j - x_i)|, in units of ``rest.length_unit``."""

    weight: float = 4.0
    """Multiplier on the mean deviation [1 per length unit]."""

    def __post_init__(self):
        check_weight(self)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        scale = self.weight / (rest.pair_count * rest.length_unit)
        wp.launch(
            rigidity_kernels(rest.dtype).kernel,
            rest.means.size,
            [
                state.means,
                state.rotations,
                rest.neighbors,
                rest.weights,
                rest.reference_offsets,
                rest.reference_rotations,
                scale,
            ],
            [loss, state.adj_means, state.adj_rotations],
            device=loss.device,
            record_tape=False,
        )
