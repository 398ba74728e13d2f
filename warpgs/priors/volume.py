"""Volume: each neighborhood may flow into any shape of the same volume, as a fluid does.

The determinant of its deformation gradient stays 1: with the first timestep as reference the volume is kept, with the
previous one the velocity field is free of divergence. The quadratic term of incompressible elasticity (Smith, de Goes,
Kim, "Stable neo-Hookean flesh simulation", 2018).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import warp as wp

from warpgs.priors.base import Parameter, Prior, State, check_weight, parameter
from warpgs.priors.deformation import deformation_kernels, deformation_slopes
from warpgs.priors.rest import Rest


@cache
def volume_kernel(dtype: type) -> Any:
    """The kernel for numbers of ``dtype``."""
    real = dtype
    vec3, vec4 = wp.types.vector(3, dtype), wp.types.vector(4, dtype)
    mat33 = wp.types.matrix((3, 3), dtype)
    deformation = deformation_kernels(dtype).deformation

    @wp.kernel(module="unique", enable_backward=False)
    def volume_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        neighbors: wp.array2d(dtype=wp.int32),
        slopes: wp.array2d(dtype=vec4),
        projections: wp.array(dtype=mat33),
        stiffness: wp.array(dtype=real),
        scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
        adj_stiffness: wp.array(dtype=real),
    ):
        i = wp.tid()
        if wp.trace(projections[i]) < real(2.5):
            return  # particles of a sheet or a line enclose no volume
        strained = deformation(i, means, neighbors, slopes)
        x = vec3(strained[0, 0], strained[1, 0], strained[2, 0])
        y = vec3(strained[0, 1], strained[1, 1], strained[2, 1])
        z = vec3(strained[0, 2], strained[1, 2], strained[2, 2])
        growth = wp.dot(x, wp.cross(y, z)) - real(1.0)
        hard = wp.min(i, stiffness.shape[0] - 1)
        energy = real(0.5) * scale * growth * growth
        wp.atomic_add(loss, 0, wp.float64(stiffness[hard] * energy))
        wp.atomic_add(adj_stiffness, hard, energy)
        cofactors = wp.matrix_from_cols(wp.cross(y, z), wp.cross(z, x), wp.cross(x, y))
        adj_strained = cofactors * (scale * stiffness[hard] * growth)
        force = vec3()
        for j in range(neighbors.shape[1]):
            slope = slopes[i, j]
            gradient = adj_strained * vec3(slope[0], slope[1], slope[2])
            force += gradient
            wp.atomic_add(adj_means, neighbors[i, j], gradient)
        wp.atomic_add(adj_means, i, -force)

    return volume_kernel


@dataclass(frozen=True)
class VolumePrior(Prior):
    """Mean over particles of k_i (det F - 1)^2 / 2, where F maps the reference of a neighborhood to now."""

    weight: float = 1.0
    """Multiplier on the mean energy."""
    stiffness: float | Parameter = 1.0
    """k, of each neighborhood or of all."""

    def __post_init__(self):
        check_weight(self)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        stiffness = parameter(self.stiffness, rest)
        pairs = [state.means, rest.neighbors, *deformation_slopes(rest)]
        wp.launch(
            volume_kernel(rest.dtype),
            rest.means.size,
            [*pairs, stiffness.values, self.weight / max(rest.means.size, 1)],
            [loss, state.adj_means, stiffness.gradient],
            device=loss.device,
            record_tape=False,
        )
