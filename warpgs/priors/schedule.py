"""A prior whose weight changes over the steps of an optimization."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import warp as wp

from warpgs.checks import refuse
from warpgs.priors.base import Prior, State, check_weight, parameters
from warpgs.priors.rest import Rest


@cache
def schedule_kernel(dtype: type) -> Any:
    """The kernel for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    quat = wp.types.quaternion(dtype)

    @wp.kernel(module="unique", enable_backward=False)
    def schedule_kernel(
        # inputs
        step: wp.array(dtype=wp.int32),
        steps: real,
        begin: real,
        end: real,
        inner_loss: wp.array(dtype=wp.float64),
        inner_adj_means: wp.array(dtype=vec3),
        inner_adj_rotations: wp.array(dtype=quat),
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
        adj_rotations: wp.array(dtype=quat),
    ):
        i = wp.tid()
        factor = begin + (end - begin) * wp.min(real(step[0]) / steps, real(1.0))
        if i == 0:
            wp.atomic_add(loss, 0, wp.float64(factor) * inner_loss[0])
        adj_means[i] = adj_means[i] + factor * inner_adj_means[i]
        adj_rotations[i] = adj_rotations[i] + inner_adj_rotations[i] * factor

    return schedule_kernel


@dataclass(frozen=True)
class ScheduledPrior(Prior):
    """Another prior, times ``weight`` and a factor that goes linearly from ``begin`` to ``end``, and then stays.

    It follows ``rest.step``, which tracking counts anew at every timestep.
    """

    prior: Prior
    """What is scheduled. Its parameters cannot be learned."""
    steps: int
    """How many steps it takes from ``begin`` to ``end``; preset fast has 160 steps at most timesteps."""
    begin: float = 1.0
    """Factor at the first step."""
    end: float = 0.0
    """Factor after ``steps`` steps."""
    weight: float = 1.0
    """Multiplier on all of it."""

    def __post_init__(self):
        check_weight(self)
        if not (self.steps >= 1 and 0.0 <= self.begin < float("inf") and 0.0 <= self.end < float("inf")):
            refuse("ScheduledPrior", "at least 1 step and factors >= 0", (self.steps, self.begin, self.end))
        if parameters(self.prior):
            raise NotImplementedError(f"ScheduledPrior: {type(self.prior).__name__} with a parameter that is learned")

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        inner_loss, adj_means, adj_rotations = rest.once(
            (self, "inner"),
            lambda: (wp.zeros_like(loss), wp.zeros_like(state.means), wp.zeros_like(state.rotations)),
        )
        for array in (inner_loss, adj_means, adj_rotations):
            array.zero_()
        inner = State(state.means, state.rotations, adj_means, adj_rotations, state.motion)
        self.prior.accumulate(inner, rest, inner_loss)
        wp.launch(
            schedule_kernel(rest.dtype),
            rest.means.size,
            [
                *(rest.step, self.steps, self.weight * self.begin, self.weight * self.end),
                *(inner_loss, adj_means, adj_rotations),
            ],
            [loss, state.adj_means, state.adj_rotations],
            device=loss.device,
            record_tape=False,
        )
