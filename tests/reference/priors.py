"""Particle priors in float64 NumPy, written from the formulas pair by pair. Quaternions are x, y, z, w."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass
class Poses:
    """Centers [n, 3] and quaternions [n, 4] of any length."""

    means: np.ndarray
    rotations: np.ndarray

    def turns(self, reference: "Poses") -> Rotation:
        """q q_ref^-1 of every particle."""
        return Rotation.from_quat(self.rotations) * Rotation.from_quat(reference.rotations).inv()


@dataclass
class RestOracle:
    """What the priors remember."""

    first: Poses
    reference: Poses
    neighbors: np.ndarray
    weight_sigma: float
    length_unit: float

    def pairs(self):
        """Index i, index j and weight of every ordered pair."""
        for i, row in enumerate(self.neighbors):
            for j in row:
                square = np.sum((self.first.means[j] - self.first.means[i]) ** 2)
                yield i, j, np.exp(-square / (2.0 * self.weight_sigma**2))


def rigidity(poses: Poses, rest: RestOracle) -> float:
    """Mean of w |(x_j - x_i)_ref - R_ref R^-1 (x_j - x_i)|, per length unit."""
    back = poses.turns(rest.reference).inv().as_matrix()
    total = 0.0
    for i, j, w in rest.pairs():
        before = rest.reference.means[j] - rest.reference.means[i]
        total += w * np.linalg.norm(before - back[i] @ (poses.means[j] - poses.means[i]))
    return total / rest.neighbors.size / rest.length_unit


def rotation(poses: Poses, rest: RestOracle) -> float:
    """Mean of w |q_j q_j,ref^-1 - q_i q_i,ref^-1|, the nearer of the two signs."""
    turns = poses.turns(rest.reference).as_quat()
    total = 0.0
    for i, j, w in rest.pairs():
        total += w * min(np.linalg.norm(turns[j] - turns[i]), np.linalg.norm(turns[j] + turns[i]))
    return total / rest.neighbors.size


def isometry(poses: Poses, rest: RestOracle) -> float:
    """Mean of w | |x_j - x_i|_first - |x_j - x_i| |, per length unit."""
    total = 0.0
    for i, j, w in rest.pairs():
        before = np.linalg.norm(rest.first.means[j] - rest.first.means[i])
        total += w * abs(before - np.linalg.norm(poses.means[j] - poses.means[i]))
    return total / rest.neighbors.size / rest.length_unit


def background(poses: Poses, rest: RestOracle) -> float:
    """Mean L1 norm of x - x_first, per length unit, plus that of q - q_first, the nearer of the two signs."""
    first = rest.first.rotations / np.linalg.norm(rest.first.rotations, axis=1, keepdims=True)
    unit = poses.rotations / np.linalg.norm(poses.rotations, axis=1, keepdims=True)
    unit = np.where(np.sum(unit * first, axis=1, keepdims=True) < 0.0, -unit, unit)
    shift = np.abs(poses.means - rest.first.means).sum(axis=1) / rest.length_unit
    return float((shift + np.abs(unit - first).sum(axis=1)).mean())


def ground(poses: Poses, rest: RestOracle) -> float:
    """Mean depth below z = 0, per length unit."""
    return float(np.maximum(-poses.means[:, 2], 0.0).mean() / rest.length_unit)


def of_world(oracle):
    """An oracle that takes a world of ``warpgs.priors.trial``."""

    def value(world) -> float:
        first, reference = Poses(*world.first), Poses(*world.reference)
        return oracle(Poses(*world.now), RestOracle(first, reference, world.neighbors, world.sigma, world.unit))

    return value


ORACLES = {
    "rigidity": of_world(rigidity),
    "rotation": of_world(rotation),
    "isometry": of_world(isometry),
    "background": of_world(background),
    "ground": of_world(ground),
}
