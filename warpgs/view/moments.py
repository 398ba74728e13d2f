"""Times between the stored instants: slow motion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from warpgs.bodies import Parts
from warpgs.checks import refuse
from warpgs.retime import slerp
from warpgs.types import Gaussians, Tracks


def slowed(count: int, factor: int) -> np.ndarray:
    """Times of ``factor`` pictures per step through ``count`` instants, both ends included, shape [(count - 1) factor +
    1]; a time is an index into ``Tracks.timesteps``, fractional between two.

    Raises:
        ValueError: a factor below 1.
    """
    if factor < 1:
        refuse("slow motion", "a whole number from 1 on", factor)
    return np.arange((count - 1) * factor + 1) / factor


def moment(tracks: Tracks, time: float, parts: Parts | None = None) -> Gaussians:
    """The particles at a time: positions on the straight line between two instants, rotations on the shortest arc.

    On straight lines, what turns by an angle a per step comes nearer to its center by up to the share 1 - cos(a / 2)
    half way: 1.5 % at 20 degrees. So rigid parts move as ``poses_at`` has them, and their particles on straight lines
    within them. At an instant, the particles are as stored, bit for bit; what is born at the later instant is not there
    yet before it.

    Args:
        tracks: Of t instants.
        time: An index into ``tracks.timesteps``, 0..t - 1, fractional between two.
        parts: Rigid parts of the tracks; without, all goes on straight lines.
    """
    if not 0.0 <= time <= len(tracks) - 1:
        refuse("time", f"from 0 to {len(tracks) - 1}", time)
    index = int(time)
    before, share = tracks.at(index), np.float32(time - index)
    if share == 0.0:
        return before
    rows = slice(len(before))
    means = (1 - share) * before.means + share * tracks.means[index + 1, rows]
    for part in range(0 if parts is None else len(parts)):
        members = parts.members(part)
        members = members[members < len(before)]
        poses = parts.world_from_part[index : index + 2, part]
        ends = tracks.means[index : index + 2, members] - poses[:, None, :3, 3]
        within = np.einsum("tji,tnj->tni", poses[:, :3, :3], ends)
        pose = poses_at(poses, np.array([share]))[0]
        means[members] = ((1 - share) * within[0] + share * within[1]) @ pose[:3, :3].T + pose[:3, 3]
    return replace(
        before,
        means=means,
        rotations_wxyz=slerp(before.rotations_wxyz, tracks.rotations_wxyz[index + 1, rows], share),
    )


def poses_at(poses: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Rigid transforms at times, centers on straight lines and rotations on the shortest arcs: shapes [t, 4, 4] and [k]
    to [k, 4, 4]."""
    result = np.array(poses[np.zeros(len(times), int)], np.float64)
    if len(poses) > 1:
        instants = np.arange(len(poses))
        result[:, :3, :3] = Slerp(instants, Rotation.from_matrix(poses[:, :3, :3]))(times).as_matrix()
        for axis in range(3):
            result[:, axis, 3] = np.interp(times, instants, poses[:, axis, 3])
    return result
