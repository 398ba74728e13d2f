"""What changes during a simulation: the motion of every body. A free particle is a body of one particle."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import warp as wp


@dataclass(frozen=True, eq=False)
class State:
    """Bodies at one instant, m of them. ``dtype`` is ``wp.float32`` everywhere but in gradient checks."""

    centers: wp.array
    """Each body's reference point [m]: its center of mass, or where it is pinned; world frame, vec3, shape [m]."""
    rotations: wp.array
    """Unit quaternions, world from body, shape [m]."""
    velocities: wp.array
    """Of the reference points [m/s], vec3, shape [m]."""
    momenta: wp.array
    """Angular momenta about the reference points [kg m^2/s], world frame, vec3, shape [m]; of driven bodies, which have
    no inertia, their angular velocity [rad/s]."""
    impulses: wp.array
    """Of each pair of feeler and collider in the last step [kg m/s], vec3, shape [p]: where the next one starts."""

    @staticmethod
    def zeros(
        count: int, pairs: int, device: wp.DeviceLike, dtype: type = wp.float32, *, requires_grad: bool = False
    ) -> State:
        """All-zero arrays, to be written."""
        vec3, quat = wp.types.vector(3, dtype), wp.types.quaternion(dtype)
        sizes = ((vec3, count), (quat, count), (vec3, count), (vec3, count), (vec3, pairs))
        return State(*(wp.zeros(n, dtype=kind, device=device, requires_grad=requires_grad) for kind, n in sizes))

    def arrays(self) -> dict[str, wp.array]:
        """Name to array."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def assign(self, other: State) -> None:
        """Copy the numbers of another state of as many bodies."""
        for name, array in self.arrays().items():
            wp.copy(array, getattr(other, name))

    def gradient(self) -> dict[str, wp.array]:
        """Name to gradient."""
        return {name: array.grad for name, array in self.arrays().items()}

    def kept(self) -> dict[str, np.ndarray]:
        """A copy on the host."""
        return {name: array.numpy().copy() for name, array in self.arrays().items()}
