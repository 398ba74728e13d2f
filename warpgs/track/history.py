"""The last two timesteps on the device, for priors on velocities."""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp

from warpgs.priors import Motion


def make_motion(count: int, step_s: float, device: wp.DeviceLike) -> Motion:
    """Room for the last two poses of ``count`` particles; nothing is known yet."""
    means, rotations = ([wp.zeros(count, dtype=kind, device=device) for _ in range(2)] for kind in (wp.vec3, wp.quat))
    known = wp.zeros(count, dtype=float, device=device)
    return Motion(means[0], rotations[0], means[1], rotations[1], known, step_s)


def remember(motion: Motion, last: Any, before: Any, known: np.ndarray, accelerations: np.ndarray | float) -> None:
    """Fill ``motion``.

    Args:
        motion: Of the n particles that move.
        last: Centers and quaternions w, x, y, z of all particles, those that move first.
        before: The same one timestep earlier; None when there is none.
        known: Which of the n particles were there then, shape [n].
        accelerations: By how much velocities are expected to change until the next timestep, shape [n, 3], or 0.
    """
    count = motion.known.size
    if before is not None:  # what then goes on as it does has the velocity that is expected
        before = before[0][:count] - accelerations, before[1]
    pairs = ((last, motion.last_means, motion.last_rotations), (before, motion.before_means, motion.before_rotations))
    for poses, means, rotations in pairs:
        earlier = last if poses is None else poses
        means.assign(earlier[0][:count])
        rotations.assign(np.roll(earlier[1][:count], -1, axis=1))
    motion.known.assign(known.astype(np.float32))
