"""Co-rotated elasticity: a neighborhood may turn, but not stretch or shear (Mueller and Gross, "Interactive virtual
materials", 2004)."""

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import warp as wp

from warpgs.checks import refuse
from warpgs.math.polar import nearest_rotation
from warpgs.priors import elastic_cpu
from warpgs.priors.base import Parameter, Prior, State, check_weight, parameter
from warpgs.priors.deformation import deformation_kernels, deformation_slopes
from warpgs.priors.rest import Rest


@cache
def neighbor_sums(dtype: type) -> SimpleNamespace:
    """For numbers of ``dtype``, beside ``deformation`` of deformation.py:

    - ``pull(i, ..., strained, stress, factor, solid, adj_means)``: adds ``factor`` times the gradient of energies whose
      slope by F is ``stress``, and of ``solid`` times half the weighted squares of what F leaves of offsets; returns
      these squares.
    """
    real = dtype
    vec3, vec4 = wp.types.vector(3, dtype), wp.types.vector(4, dtype)
    mat33 = wp.types.matrix((3, 3), dtype)

    @wp.func
    def pull(
        i: int,
        means: wp.array(dtype=vec3),
        neighbors: wp.array2d(dtype=wp.int32),
        reference_offsets: wp.array2d(dtype=vec3),
        slopes: wp.array2d(dtype=vec4),
        strained: mat33,
        stress: mat33,
        factor: real,
        solid: real,
        adj_means: wp.array(dtype=vec3),
    ):
        astray = real(0.0)
        left = stress
        for j in range(neighbors.shape[1]):
            off = means[neighbors[i, j]] - means[i] - strained * reference_offsets[i, j]
            weighted = solid * slopes[i, j][3] * off
            astray += wp.dot(weighted, off)
            left -= wp.outer(weighted, reference_offsets[i, j])
        force = vec3()
        for j in range(neighbors.shape[1]):
            slope = slopes[i, j]
            off = means[neighbors[i, j]] - means[i] - strained * reference_offsets[i, j]
            gradient = factor * (left * vec3(slope[0], slope[1], slope[2]) + solid * slope[3] * off)
            force += gradient
            wp.atomic_add(adj_means, neighbors[i, j], gradient)
        wp.atomic_add(adj_means, i, -force)
        return astray

    return SimpleNamespace(deformation=deformation_kernels(dtype).deformation, pull=pull)


@cache
def elastic_kernel(dtype: type, portable: bool) -> Any:
    """The kernel for numbers of ``dtype``; for the CPU alone unless ``portable``."""
    real = dtype
    vec3, vec4 = wp.types.vector(3, dtype), wp.types.vector(4, dtype)
    mat33 = wp.types.matrix((3, 3), dtype)
    sums = neighbor_sums(dtype) if portable else elastic_cpu.neighbor_sums(dtype)
    deformation, pull = sums.deformation, sums.pull

    @wp.kernel(module="unique", enable_backward=False)
    def elastic_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        neighbors: wp.array2d(dtype=wp.int32),
        reference_offsets: wp.array2d(dtype=vec3),
        slopes: wp.array2d(dtype=vec4),
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
        strained = deformation(i, means, neighbors, slopes)
        turned = mat33(nearest_rotation(wp.mat33d(strained))) * projections[i]
        strain = strained - turned
        dilation = wp.ddot(turned, strain)
        # by F alone: the best rotation does not change either term to first order, since R^T F is symmetric
        stress = strain + turned * (bulk * dilation)
        hard = wp.min(i, stiffness.shape[0] - 1)
        factor = real(2.0) * scale * stiffness[hard]
        solid = wp.where(wp.trace(projections[i]) > real(2.5), real(1.0), real(0.0))
        astray = pull(
            i, means, neighbors, reference_offsets, slopes, strained, stress, factor, solid, adj_means
        )  # fmt: skip
        energy = scale * (wp.ddot(strain, strain) + bulk * dilation * dilation + astray)
        wp.atomic_add(loss, 0, wp.float64(stiffness[hard] * energy))
        wp.atomic_add(adj_stiffness, hard, energy)

    return elastic_kernel


@dataclass(frozen=True)
class ElasticPrior(Prior):
    """Mean over particles of k_i (|F - R|^2 + nu / (1 - 2 nu) tr(R^T F - 1)^2 + a) / (2 + 2 nu).

    F carries the reference of a neighborhood to where it is now, R is the rotation nearest to F, and a, the mean square
    of what F leaves of the offsets to neighbors over that of the offsets, keeps zigzags between them out and has a
    block bend as its continuum does, to a twentieth where it is four or more particles thick; sheets have none of it.
    At weight and k 1 this is energy per volume over Young's modulus: in a simulation the material's ``stiffness`` is
    that modulus [Pa].
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
        accumulate_elastic(self, state, rest, loss)


def accumulate_elastic(
    prior: ElasticPrior, state: State, rest: Rest, loss: wp.array, *, portable: bool = False
) -> None:  # fmt: skip
    """``prior.accumulate``; with the kernel of CUDA on the CPU too where ``portable``, to test it without a GPU."""
    stiffness = parameter(prior.stiffness, rest)
    bulk = prior.poisson / (1.0 - 2.0 * prior.poisson)
    scale = prior.weight / (2.0 * (1.0 + prior.poisson) * max(rest.means.size, 1))
    pairs = [state.means, rest.neighbors, rest.reference_offsets, *deformation_slopes(rest)]
    wp.launch(
        elastic_kernel(rest.dtype, portable or not loss.device.is_cpu),
        rest.means.size,
        [*pairs, stiffness.values, bulk, scale],
        [loss, state.adj_means, stiffness.gradient],
        device=loss.device,
        record_tape=False,
    )
