"""Priors as what holds things together in a simulation: the same objects as in tracking, as an energy in joules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import warp as wp

from warpgs.priors import Prior, Rest
from warpgs.priors.forces import Forces


@dataclass(frozen=True, eq=False)
class PriorEnergy:
    """Stiffness [Pa] times ``volume`` times the sum of some priors over all n particles of a model: where their mean
    energy is 1, a weight of 1 stores as many joules in each cubic metre as the stiffness has pascals."""

    priors: Sequence[Prior]
    """Terms on the poses of particles."""
    means: np.ndarray
    """At rest [m], world frame, shape [n, 3]."""
    rotations_wxyz: np.ndarray
    """At rest, world from particle, shape [n, 4]."""
    turns_wxyz: np.ndarray
    """Body from particle, shape [n, 4]."""
    scales: np.ndarray
    """Standard deviations along the axes of each particle [m], shape [n, 3]."""
    parts: np.ndarray
    """The part that each particle belongs to, shape [n]."""
    neighbors: np.ndarray
    """Of each particle, shape [n, k]."""
    weights: np.ndarray
    """Of each pair; 0 for those that nothing holds together, shape [n, k]."""
    volume: float
    """Of all particles [m^3]."""
    rate: float = 0.0
    """Square of the fastest oscillation [1/s^2] per pascal of stiffness."""

    def rest(self, device: wp.DeviceLike, dtype: type) -> Rest:
        """What priors remember of the rest shape, uploaded."""
        vec3, quat = wp.types.vector(3, dtype), wp.types.quaternion(dtype)
        neighbors = wp.array(self.neighbors, dtype=wp.int32, device=device)
        rest = Rest.build(
            wp.array(self.means, dtype=vec3, device=device),
            wp.array(np.roll(self.rotations_wxyz, -1, axis=1), dtype=quat, device=device),
            neighbors if neighbors.size else None,
            parts=self.parts,
            scales=self.scales,
        )
        if neighbors.size:
            rest.set_neighbors(self.neighbors, self.weights)
        return rest

    def forces(self, device: wp.DeviceLike, dtype: type) -> Forces:
        """Of the energy at a stiffness of 1 Pa."""
        return Forces(self.priors, self.rest(device, dtype), scale=self.volume)
