"""As rigid as possible: each neighborhood turns as a whole, by whatever rotation fits it best (Sorkine and Alexa 2007).

The rotation of a particle itself has no part in it. Rotations are the best ones, so the energy does not change with
them to first order, and its gradient is that of fixed rotations.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import warp as wp

from warpgs.math.polar import nearest_rotation
from warpgs.priors.base import Parameter, Prior, State, check_weight, parameter
from warpgs.priors.rest import Rest


@cache
def arap_kernel(dtype: type) -> Any:
    """The kernel for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)

    @wp.kernel(module="unique", enable_backward=False)
    def arap_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        reference_offsets: wp.array2d(dtype=vec3),
        stiffness: wp.array(dtype=real),
        scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
        adj_stiffness: wp.array(dtype=real),
    ):
        i = wp.tid()
        products = wp.mat33d()
        for j in range(neighbors.shape[1]):
            offset = wp.vec3d(means[neighbors[i, j]] - means[i])
            products += wp.outer(wp.float64(weights[i, j]) * offset, wp.vec3d(reference_offsets[i, j]))
        turn = nearest_rotation(products)
        hard = wp.min(i, stiffness.shape[0] - 1)
        energy = real(0.0)
        force = vec3()
        for j in range(neighbors.shape[1]):
            neighbor = neighbors[i, j]
            residual = means[neighbor] - means[i] - vec3(turn * wp.vec3d(reference_offsets[i, j]))
            pull = scale * weights[i, j] * residual
            energy += real(0.5) * wp.dot(pull, residual)
            force += stiffness[hard] * pull
            wp.atomic_add(adj_means, neighbor, stiffness[hard] * pull)
        wp.atomic_add(adj_means, i, -force)
        wp.atomic_add(loss, 0, wp.float64(stiffness[hard] * energy))
        wp.atomic_add(adj_stiffness, hard, energy)

    return arap_kernel


@dataclass(frozen=True)
class ArapPrior(Prior):
    """Mean over pairs of k_i w_ij |x_j - x_i - R_i (x_j - x_i)_ref|^2 / 2, in units of ``rest.spacing``; best R_i."""

    weight: float = 1.0
    """Multiplier on the mean energy."""
    stiffness: float | Parameter = 1.0
    """k, of each neighborhood or of all."""

    def __post_init__(self):
        check_weight(self)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        stiffness = parameter(self.stiffness, rest)
        scale = self.weight / (rest.pair_count * rest.spacing**2)
        wp.launch(
            arap_kernel(rest.dtype),
            rest.means.size,
            [state.means, rest.neighbors, rest.weights, rest.reference_offsets, stiffness.values, scale],
            [loss, state.adj_means, stiffness.gradient],
            device=loss.device,
            record_tape=False,
        )
