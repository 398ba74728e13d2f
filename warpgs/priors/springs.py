"""Springs between neighbors, with dampers beside them (Kelvin-Voigt).

The energy of Hooke's law as an optimization has it (Liu, Bargteil, O'Brien, Kavan, "Fast simulation of mass-spring
systems", 2013); the dampers as the potential of an implicit step, whose slope is their force (Kharevych et al.,
"Geometric, variational integrators for computer animation", 2006).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import warp as wp

from warpgs.checks import refuse
from warpgs.priors.base import Parameter, Prior, State, check_weight, parameter
from warpgs.priors.rest import TINY, Rest


@cache
def springs_kernel(dtype: type) -> Any:
    """The kernel for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    tiny = wp.constant(dtype(TINY))

    @wp.kernel(module="unique", enable_backward=False)
    def springs_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        last_means: wp.array(dtype=vec3),
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        lengths: wp.array2d(dtype=real),
        stiffness: wp.array(dtype=real),
        damping: wp.array(dtype=real),
        scale: real,
        damping_scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
        adj_stiffness: wp.array(dtype=real),
        adj_damping: wp.array(dtype=real),
    ):
        i = wp.tid()
        hard = wp.min(i, stiffness.shape[0] - 1)
        slow = wp.min(i, damping.shape[0] - 1)
        stretched = real(0.0)
        stretching = real(0.0)
        force = vec3()
        for j in range(neighbors.shape[1]):
            neighbor = neighbors[i, j]
            weight = weights[i, j]
            offset = means[neighbor] - means[i]
            length = wp.length(offset)
            stretch = length - lengths[i, j]
            change = length - wp.length(last_means[neighbor] - last_means[i])
            stretched += real(0.5) * weight * stretch * stretch
            stretching += real(0.5) * weight * change * change
            tension = weight * (scale * stiffness[hard] * stretch + damping_scale * damping[slow] * change)
            gradient = offset * (tension / wp.max(length, tiny))
            force += gradient
            wp.atomic_add(adj_means, neighbor, gradient)
        wp.atomic_add(adj_means, i, -force)
        energy = scale * stiffness[hard] * stretched + damping_scale * damping[slow] * stretching
        wp.atomic_add(loss, 0, wp.float64(energy))
        wp.atomic_add(adj_stiffness, hard, scale * stretched)
        wp.atomic_add(adj_damping, slow, damping_scale * stretching)

    return springs_kernel


@dataclass(frozen=True)
class SpringPrior(Prior):
    """Mean over pairs of w_ij (k_i e^2 + c_i h (de/dt)^2) / 2, where e is the change of length in ``rest.spacing``.

    h is the time since the last instant; de/dt the change of e since then over h.
    """

    weight: float = 1.0
    """Multiplier on the mean energy."""
    stiffness: float | Parameter = 1.0
    """k, of each particle's own springs or of all."""
    damping_s: float | Parameter = 0.0
    """c [s], the same: stiffness times the time in which a stretched spring without mass relaxes. Acts where the state
    knows its motion."""

    def __post_init__(self):
        check_weight(self)
        for name in ("stiffness", "damping_s"):
            value = getattr(self, name)
            if not isinstance(value, Parameter) and not 0.0 <= value < float("inf"):
                refuse(f"SpringPrior: {name}", "a finite number >= 0", value)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        stiffness, damping = parameter(self.stiffness, rest), parameter(self.damping_s, rest)
        scale = self.weight / (rest.pair_count * rest.spacing**2)
        moves = state.motion is not None
        wp.launch(
            springs_kernel(rest.dtype),
            rest.means.size,
            [
                state.means,
                state.motion.last_means if moves else state.means,
                rest.neighbors,
                rest.weights,
                rest.lengths,
                stiffness.values,
                damping.values,
                scale,
                scale / state.motion.step_s if moves else 0.0,
            ],
            [loss, state.adj_means, stiffness.gradient, damping.gradient],
            device=loss.device,
            record_tape=False,
        )
