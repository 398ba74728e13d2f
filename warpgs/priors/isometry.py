"""Isometry: neighbors stay at their distance of the first timestep (Luiten et al. 2024, equation 7)."""

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.priors.base import Prior, State, check_weight
from warpgs.priors.rest import TINY, Rest


@cache
def isometry_kernels(dtype: type) -> SimpleNamespace:
    """The pair energy and its kernel for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    tiny = wp.constant(dtype(TINY))

    @wp.func
    def isometry_pair(offset: vec3, rest_length: real, weight: real):
        """Energy w | |offset| - rest_length | and its gradient on ``offset``, zero where the energy is."""
        length = wp.length(offset)
        stretch = length - rest_length
        slope = wp.where(stretch > real(0.0), weight, wp.where(stretch < real(0.0), -weight, real(0.0)))
        return weight * wp.abs(stretch), offset * (slope / wp.max(length, tiny))

    @wp.kernel(module="unique", enable_backward=False)
    def isometry_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        lengths: wp.array2d(dtype=real),
        scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        energy = real(0.0)
        force = vec3()
        for j in range(neighbors.shape[1]):
            neighbor = neighbors[i, j]
            value, gradient = isometry_pair(means[neighbor] - means[i], lengths[i, j], scale * weights[i, j])
            energy += value
            force += gradient
            wp.atomic_add(adj_means, neighbor, gradient)
        wp.atomic_add(loss, 0, wp.float64(energy))
        wp.atomic_add(adj_means, i, -force)

    return SimpleNamespace(pair=isometry_pair, kernel=isometry_kernel)


@dataclass(frozen=True)
class IsometryPrior(Prior):
    """Mean over pairs of w_ij | |x_j - x_i| - |x_j - x_i|_first |, in units of ``rest.length_unit``."""

    weight: float = 2.0
    """Multiplier on the mean stretch [1 per length unit]."""

    def __post_init__(self):
        check_weight(self)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        scale = self.weight / (rest.pair_count * rest.length_unit)
        wp.launch(
            isometry_kernels(rest.dtype).kernel,
            rest.means.size,
            [state.means, rest.neighbors, rest.weights, rest.lengths, scale],
            [loss, state.adj_means],
            device=loss.device,
            record_tape=False,
        )
