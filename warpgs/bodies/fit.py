"""The pose of parts over time. NumPy, float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import solveh_banded
from scipy.spatial.transform import Rotation

from warpgs.bodies.motion import distances, fit_generations
from warpgs.bodies.parts import Parts
from warpgs.math.rigid import steady_quaternions
from warpgs.types import Tracks

TURN_SHARE = 0.1
"""How much of its size a particle's own rotation counts by: enough to decide where positions leave a rotation open."""
SPOKESMEN = 500
"""Most particles whose own rotations are asked."""
LEAST_WEIGHT = 1e-3
"""Of particles that are transparent or lost, so that some weight is always left."""


def fit_parts(tracks: Tracks, part_index: np.ndarray, names: Sequence[str], *, smooth: float = 0.0) -> Parts:
    """Fit the pose of every part at every instant: weighted by opacity and confidence, robust to bad tracks.

    Args:
        tracks: Of n particles at t instants.
        part_index: As in ``Parts``, shape [n]; every part has particles.
        names: As in ``Parts``.
        smooth: Time constant [timesteps] over which poses are smoothed; 0 leaves them as they are. What is faster,
            as impacts are, is blurred.
    """
    count = len(names)
    birth = np.zeros(count, np.int32)
    poses = np.tile(np.eye(4), (len(tracks), count, 1, 1))
    residual = np.zeros((len(tracks), count))
    for part in range(count):
        members = np.flatnonzero(part_index == part)
        born = np.zeros(len(members), int) if tracks.birth is None else tracks.birth[members]
        first = int(born.min())
        paths = tracks.means[first:, members].astype(np.float64)
        center = paths[0, born == first].mean(axis=0)
        paths -= center
        weights = _weights(tracks, members)[first:]
        motions = fit_generations(paths, born - first, weights, _turns(tracks, members, born, weights))
        if smooth > 0.0:
            motions = smooth_motions(motions, smooth)
        residual[first:, part] = _residual(paths, born - first, motions)
        motions[:, :3, 3] += center
        birth[part], poses[first:, part] = first, motions
        poses[:first, part] = motions[0]
    return Parts(part_index.astype(np.int32), tuple(names), poses, residual, birth)


def smooth_motions(motions: np.ndarray, time_constant: float) -> np.ndarray:
    """Motions of which what changes within less than ``time_constant`` [timesteps] is smoothed away; the first stays.

    Penalized least squares (Whittaker 1923) with third differences: constant acceleration is left as it is. Quaternions
    are smoothed by their numbers, so that the result turns with the world and with the body.
    """
    quaternions = steady_quaternions(motions[:, :3, :3])
    values = _whittaker(np.concatenate([quaternions, motions[:, :3, 3]], axis=1), time_constant)
    result = np.array(motions)
    result[1:, :3, :3] = Rotation.from_quat(values[1:, :4]).as_matrix()
    result[1:, :3, 3] = values[1:, 4:]
    return result


def _whittaker(values: np.ndarray, time_constant: float) -> np.ndarray:
    """Smoothed columns, shape [t, c], their first row as it is."""
    count = len(values)
    if count < 4:
        return values
    difference = np.diff(np.eye(count), 3, axis=0)
    matrix = np.eye(count) + time_constant**6 * difference.T @ difference
    matrix[0, 0] += 1e9  # holds the first
    banded = np.stack([np.append(np.zeros(offset), np.diagonal(matrix, offset)) for offset in (3, 2, 1, 0)])
    right = values.copy()
    right[0] *= 1.0 + 1e9
    return solveh_banded(banded, right)


def _residual(paths: np.ndarray, birth: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """Root mean square distance [m] of points from where their motion puts them, shape [t]; those before their birth do
    not count."""
    square = np.zeros(len(paths))
    for instant in np.unique(birth):
        square[instant + 1 :] += (distances(paths[instant:, birth == instant], motions[instant:]) ** 2).sum(axis=1)
    return np.sqrt(square / np.searchsorted(np.sort(birth), np.arange(len(paths)), side="right"))


def _weights(tracks: Tracks, members: np.ndarray) -> np.ndarray:
    """How much each particle counts at each instant, shape [t, m]."""
    opacity = 0.5 + 0.5 * np.tanh(0.5 * tracks.opacity_logits[members].astype(np.float64))
    confidence = 1.0 if tracks.confidence is None else tracks.confidence[:, members].astype(np.float64)
    return np.broadcast_to(np.maximum(opacity * confidence, LEAST_WEIGHT), (len(tracks), len(members)))


def _turns(tracks: Tracks, members: np.ndarray, born: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What the particles' own rotations since their birth say, as ``fit_motions`` takes it, from their first instant
    on."""
    first, step = int(born.min()), -(-len(members) // SPOKESMEN)
    members, born, weights = members[::step], born[::step], weights[:, ::step]
    size = TURN_SHARE * np.exp(tracks.log_scales[members].astype(np.float64).mean(axis=1))
    at_birth = Rotation.from_quat(tracks.rotations_wxyz[born, members], scalar_first=True)
    turns = np.zeros((len(tracks) - first, 3, 3))
    for index in range(len(turns)):
        here = born <= first + index
        turn = Rotation.from_quat(tracks.rotations_wxyz[first + index, members[here]], scalar_first=True)
        matrices = (turn * at_birth[here].inv()).as_matrix()
        turns[index] = np.einsum("m,mij->ij", weights[index, here] * size[here] ** 2, matrices)
    return turns
