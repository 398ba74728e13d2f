"""Momentum: what moves goes on as it did, or falls (the inertia of an implicit step; Martin et al., "Example-based
elastic materials", 2011)."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import warp as wp

from warpgs.checks import check_finite, check_shape, refuse
from warpgs.math.rotation import rotation_funcs
from warpgs.priors.base import Prior, State, check_weight
from warpgs.priors.rest import Rest


@cache
def momentum_kernel(dtype: type) -> Any:
    """The kernel for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    quat = wp.types.quaternion(dtype)
    normalize_adjoint = rotation_funcs(dtype).normalize_adjoint

    @wp.kernel(module="unique", enable_backward=False)
    def momentum_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        last_means: wp.array(dtype=vec3),
        last_rotations: wp.array(dtype=quat),
        before_means: wp.array(dtype=vec3),
        before_rotations: wp.array(dtype=quat),
        known: wp.array(dtype=real),
        fall: vec3,
        inverse_limit: real,
        mean_scale: real,
        rotation_scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
        adj_rotations: wp.array(dtype=quat),
    ):
        i = wp.tid()
        shift = means[i] - real(2.0) * last_means[i] + before_means[i] - fall
        goal = last_rotations[i] * wp.quat_inverse(before_rotations[i]) * last_rotations[i]
        unit = wp.normalize(rotations[i])
        turn = unit - goal * wp.where(wp.dot(unit, goal) < real(0.0), real(-1.0), real(1.0))
        # pseudo-Huber: limit^2 (sqrt(1 + (|shift| / limit)^2) - 1), in a form that allows 1 / limit = 0
        square = wp.dot(shift, shift)
        slower = wp.sqrt(real(1.0) + square * inverse_limit * inverse_limit)
        energy = mean_scale * square / (real(1.0) + slower) + real(0.5) * rotation_scale * wp.dot(turn, turn)
        wp.atomic_add(loss, 0, wp.float64(known[i] * energy))
        adj_means[i] = adj_means[i] + (known[i] * mean_scale / slower) * shift
        adj_unit = turn * (known[i] * rotation_scale)
        adj_rotations[i] = adj_rotations[i] + normalize_adjoint(rotations[i], adj_unit)

    return momentum_kernel


@dataclass(frozen=True)
class MomentumPrior(Prior):
    """Mean over particles of |x - 2 x_last + x_before - a h^2|^2 / 2, in ``rest.spacing``, and likewise of turns.

    Nothing where the state does not know its motion, and for particles that have not been there for two steps.
    """

    weight: float = 1.0
    """Multiplier on the mean energy."""
    turning: float = 1.0
    """Weight of half the square of the angle [rad] by which a particle turns otherwise than in the last step."""
    limit: float = float("inf")
    """Deviations count as squares up to about this [``rest.spacing``], and linearly beyond: what bounces is not held
    back with ever more force."""
    acceleration_m_s2: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """a, which is known and the same everywhere, such as that of gravity [m/s^2], in the frame of the scene."""

    def __post_init__(self):
        check_weight(self)
        check_shape("MomentumPrior: acceleration_m_s2", np.asarray(self.acceleration_m_s2), (3,))
        check_finite("MomentumPrior: acceleration_m_s2", np.asarray(self.acceleration_m_s2))
        if not self.limit > 0.0:
            refuse("MomentumPrior: limit", "more than 0", self.limit)
        if not 0.0 <= self.turning < float("inf"):
            refuse("MomentumPrior: turning", "a finite number >= 0", self.turning)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        motion = state.motion
        if motion is None:
            return
        world = rest.world_from_rest
        fall = world.rotation.T @ np.asarray(self.acceleration_m_s2) * motion.step_s**2 / world.scale
        scale = self.weight / max(rest.means.size, 1)
        poses = [motion.last_means, motion.last_rotations, motion.before_means, motion.before_rotations, motion.known]
        wp.launch(
            momentum_kernel(rest.dtype),
            rest.means.size,
            [
                *(state.means, state.rotations, *poses, fall.tolist(), 1.0 / (self.limit * rest.spacing)),
                # the square of the difference of unit quaternions is a quarter of that of the angle
                *(scale / rest.spacing**2, 4.0 * scale * self.turning),
            ],
            [loss, state.adj_means, state.adj_rotations],
            device=loss.device,
            record_tape=False,
        )
