"""What does not move stays at its pose of the first timestep (in the paper's code, not in its text)."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import warp as wp

from warpgs.math.rotation import rotation_funcs
from warpgs.priors.base import Prior, State, check_weight
from warpgs.priors.rest import Rest


@cache
def background_kernel(dtype: type) -> Any:
    """The kernel for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    quat = wp.types.quaternion(dtype)
    normalize_adjoint = rotation_funcs(dtype).normalize_adjoint

    @wp.func
    def slope(x: real):
        """Derivative of |x|, 0 at 0."""
        return wp.where(x > real(0.0), real(1.0), wp.where(x < real(0.0), real(-1.0), real(0.0)))

    @wp.kernel(module="unique", enable_backward=False)
    def background_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        first_means: wp.array(dtype=vec3),
        first_rotations: wp.array(dtype=quat),
        mean_scale: real,
        rotation_scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
        adj_rotations: wp.array(dtype=quat),
    ):
        i = wp.tid()
        shift = means[i] - first_means[i]
        unit = wp.normalize(rotations[i])
        first = first_rotations[i]
        # q and -q are one rotation: the nearer one counts
        turn = unit - first * wp.where(wp.dot(unit, first) < real(0.0), real(-1.0), real(1.0))
        energy = mean_scale * (wp.abs(shift[0]) + wp.abs(shift[1]) + wp.abs(shift[2]))
        energy += rotation_scale * (wp.abs(turn[0]) + wp.abs(turn[1]) + wp.abs(turn[2]) + wp.abs(turn[3]))
        wp.atomic_add(loss, 0, wp.float64(energy))
        adj_means[i] = adj_means[i] + mean_scale * vec3(slope(shift[0]), slope(shift[1]), slope(shift[2]))
        adj_unit = rotation_scale * quat(slope(turn[0]), slope(turn[1]), slope(turn[2]), slope(turn[3]))
        adj_rotations[i] = adj_rotations[i] + normalize_adjoint(rotations[i], adj_unit)

    return background_kernel


@dataclass(frozen=True)
class BackgroundPrior(Prior):
    """Mean over particles of the L1 norms of x - x_first, in units of ``rest.length_unit``, and of q - q_first."""

    weight: float = 20.0
    """Multiplier on the mean change [1 per length unit; 1]."""

    def __post_init__(self):
        check_weight(self)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        scale = self.weight / max(rest.means.size, 1)
        wp.launch(
            background_kernel(rest.dtype),
            rest.means.size,
            [state.means, state.rotations, rest.means, rest.rotations, scale / rest.length_unit, scale],
            [loss, state.adj_means, state.adj_rotations],
            device=loss.device,
            record_tape=False,
        )
