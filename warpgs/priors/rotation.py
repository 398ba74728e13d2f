"""Equal turns: neighbors rotate alike since the reference pose (Luiten et al. 2024, equation 6)."""

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.math.rotation import rotation_funcs
from warpgs.priors.base import Prior, State, check_weight
from warpgs.priors.rest import TINY, Rest


@cache
def rotation_kernels(dtype: type) -> SimpleNamespace:
    """The pair energy and its kernel for numbers of ``dtype``."""
    real = dtype
    quat = wp.types.quaternion(dtype)
    tiny = wp.constant(dtype(TINY))
    turn_between = rotation_funcs(dtype).turn_between
    turn_adjoint = rotation_funcs(dtype).turn_adjoint

    @wp.func
    def rotation_pair(turn: quat, neighbor_turn: quat, weight: real):
        """Energy w |s neighbor_turn - turn| and its gradients on ``turn`` and on ``neighbor_turn``.

        s = +-1 picks the nearer of the two quaternions of the neighbor's turn. The paper has s = 1: the same wherever
        two neighbors turned by less than half a revolution from each other.
        """
        sign = wp.where(wp.dot(turn, neighbor_turn) < real(0.0), real(-1.0), real(1.0))
        residual = neighbor_turn * sign - turn
        length = wp.length(residual)
        gradient = residual * (weight / wp.max(length, tiny))
        return weight * length, -gradient, gradient * sign

    @wp.kernel(module="unique", enable_backward=False)
    def rotation_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        reference_rotations: wp.array(dtype=quat),
        scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_rotations: wp.array(dtype=quat),
    ):
        i = wp.tid()
        turn = turn_between(rotations[i], reference_rotations[i])
        energy = real(0.0)
        adj_turn = quat(real(0.0), real(0.0), real(0.0), real(0.0))
        for j in range(neighbors.shape[1]):
            neighbor = neighbors[i, j]
            rotation, reference = rotations[neighbor], reference_rotations[neighbor]
            neighbor_turn = turn_between(rotation, reference)
            value, own, other = rotation_pair(turn, neighbor_turn, scale * weights[i, j])
            energy += value
            adj_turn += own
            wp.atomic_add(adj_rotations, neighbor, turn_adjoint(rotation, reference, other))
        wp.atomic_add(loss, 0, wp.float64(energy))
        wp.atomic_add(adj_rotations, i, turn_adjoint(rotations[i], reference_rotations[i], adj_turn))

    return SimpleNamespace(pair=rotation_pair, kernel=rotation_kernel)


@dataclass(frozen=True)
class RotationPrior(Prior):
    """Mean over pairs of w_ij |q_j q_j,ref^-1 - q_i q_i,ref^-1|, unit quaternions of the same half sphere."""

    weight: float = 4.0
    """Multiplier on the mean difference of quaternions, half an angle [rad] where small."""

    def __post_init__(self):
        check_weight(self)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        scale = self.weight / rest.pair_count
        wp.launch(
            rotation_kernels(rest.dtype).kernel,
            rest.means.size,
            [state.rotations, rest.neighbors, rest.weights, rest.reference_rotations, scale],
            [loss, state.adj_rotations],
            device=loss.device,
            record_tape=False,
        )
