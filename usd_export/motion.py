"""Velocities of a part from its poses."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from warpgs.types import Tracks

REACH = 2
"""Instants on either side that a velocity is fitted to."""


def velocities(
    tracks: Tracks, world_from_part: np.ndarray, index: int, birth: int, center: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Velocity of a part at an instant: the slope there of the parabola through its neighbors in time.

    Args:
        tracks: For the times.
        world_from_part: Poses, shape [t, 4, 4].
        index: The instant.
        birth: The part's first instant: nothing before counts.
        center: The point whose velocity is meant, part frame [m], shape [3].

    Returns:
        Linear [m/s] and angular velocity [rad/s], world frame, shape [3] each.
    """
    near = np.arange(max(index - REACH, birth), min(index + REACH + 1, len(tracks)))
    if len(near) < 2:
        return np.zeros(3), np.zeros(3)
    time_s = (np.array(tracks.timesteps)[near] - tracks.timesteps[index]) / tracks.fps
    centers = world_from_part[near, :3, :3] @ center + world_from_part[near, :3, 3]
    turns = Rotation.from_matrix(world_from_part[near, :3, :3] @ world_from_part[index, :3, :3].T).as_rotvec()
    degree = min(2, len(near) - 1)
    slopes = np.polynomial.polynomial.polyfit(time_s, np.concatenate([centers, turns], axis=1), degree)[1]
    return slopes[:3], slopes[3:]
