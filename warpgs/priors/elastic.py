"""Co-rotated elasticity: a neighborhood may turn, but not stretch or shear (Mueller and Gross, "Interactive virtual
materials", 2004)."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import warp as wp

from warpgs.checks import refuse
from warpgs.math.polar import nearest_rotation
from warpgs.priors.base import Parameter, Prior, State, check_weight, parameter
from warpgs.priors.deformation import deformation_kernels, inverse_moments
from warpgs.priors.rest import Rest


@cache
def elastic_kernel(dtype: type) -> Any:
    """The kernel for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    mat33 = wp.types.matrix((3, 3), dtype)
    deformation, pull = deformation_kernels(dtype).deformation, deformation_kernels(dtype).pull

    @wp.kernel(module="unique", enable_backward=False)
    def elastic_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        reference_offsets: wp.array2d(dtype=vec3),
        inverse_moments: wp.array(dtype=mat33),
        projections: wp.array(dtype=mat33),
        stiffness: wp.array(dtype=real),
        bulk: real,
        scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
        adj_stiffness: wp.array(dtype=real),
    ):
        i = wp.tid()
        strained = deformation(i, means, neighbors, weights, reference_offsets, inverse_moments)
        turn, _ = nearest_rotation(wp.mat33d(strained))
        turned = mat33(turn) * projections[i]
        strain = strained - turned
        dilation = wp.ddot(turned, strain)
        energy = scale * (wp.ddot(strain, strain) + bulk * dilation * dilation)
        hard = wp.min(i, stiffness.shape[0] - 1)
        wp.atomic_add(loss, 0, wp.float64(stiffness[hard] * energy))
        wp.atomic_add(adj_stiffness, hard, energy)
        # by F alone: the best rotation does not change either term to first order, since R^T F is symmetric
        adj_strained = (strain + turned * (bulk * dilation)) * (real(2.0) * scale * stiffness[hard])
        pull(i, adj_strained, neighbors, weights, reference_offsets, inverse_moments, adj_means)

    return elastic_kernel


@dataclass(frozen=True)
class ElasticPrior(Prior):
    """Mean over particles of k_i (|F - R|^2 + nu / (1 - 2 nu) tr(R^T F - 1)^2).

    F carries the reference of a neighborhood to where it is now, R is the rotation nearest to F. In a simulation
    ``weight * stiffness`` is the shear modulus over the density [m^2/s^2]. F is a mean over neighbors and does not see
    what averages out, such as zigzags between them: a light ``ArapPrior`` beside it does.
    """

    weight: float = 1.0
    """Multiplier on the mean energy."""
    stiffness: float | Parameter = 1.0
    """k, of each neighborhood or of all."""
    poisson: float = 0.3
    """nu, Poisson's ratio: how far what is stretched narrows; 0 not at all, near 0.5 it keeps its volume."""

    def __post_init__(self):
        check_weight(self)
        if not 0.0 <= self.poisson < 0.5:
            refuse("ElasticPrior: poisson", "a ratio from 0 to less than 0.5", self.poisson)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        stiffness = parameter(self.stiffness, rest)
        inverses, projections = inverse_moments(rest)
        bulk = self.poisson / (1.0 - 2.0 * self.poisson)
        pairs = [state.means, rest.neighbors, rest.weights, rest.reference_offsets, inverses, projections]
        wp.launch(
            elastic_kernel(rest.dtype),
            rest.means.size,
            [*pairs, stiffness.values, bulk, self.weight / max(rest.means.size, 1)],
            [loss, state.adj_means, stiffness.gradient],
            device=loss.device,
            record_tape=False,
        )
