"""A model on one device: the arrays that steps read and never write, and parameters that gradients reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from warpgs.simulate.colliders import Kind
from warpgs.simulate.model import Model
from warpgs.simulate.state import State


@dataclass(frozen=True, eq=False)
class Parameters:
    """What gradients are asked for; ``.grad`` of each is added to."""

    gravity: wp.array
    """[m/s^2], vec3, shape [1]."""
    friction: wp.array
    """Of each body, shape [m]."""
    restitution: wp.array
    """Of each body, shape [m]."""
    stiffness: wp.array
    """Young's modulus of springs, energy density of priors [Pa], shape [1]."""
    damping: wp.array
    """Time constant of dampers [s], shape [1]."""
    drag: wp.array
    """[1/s], shape [1]."""

    @property
    def gradient(self) -> dict[str, np.ndarray]:
        """Name to gradient, on the host."""
        return {name: array.grad.numpy().copy() for name, array in vars(self).items()}


class World:
    """A model uploaded once; its arrays are the constants of every step. Allocates; steps do not."""

    def __init__(self, model: Model, device: wp.DeviceLike = "cpu", dtype: type = wp.float32) -> None:
        self.model, self.device, self.dtype = model, wp.get_device(device), dtype
        self.body_count, self.particle_count = len(model.masses), len(model.bodies)
        vec3, quat, mat33 = wp.types.vector(3, dtype), wp.types.quaternion(dtype), wp.types.matrix((3, 3), dtype)
        m = self.body_count
        levers = np.zeros((m, 3)) if model.levers is None else model.levers
        self.inverse_masses = self._up(1.0 / np.asarray(model.masses, np.float64), dtype)
        self.inverse_inertias = self._up(_inverses(model.inertias), mat33)
        self.levers = self._up(levers, vec3)
        self.bodies = self._up(model.bodies, wp.int32)
        self.offsets = self._up(model.offsets, vec3)
        starts, others, lengths, areas = model.springs.rows(self.particle_count)
        self.spring_count = len(model.springs.lengths)
        self.starts, self.others = self._up(starts, wp.int32), self._up(others, wp.int32)
        self.lengths, self.areas = self._up(lengths, dtype), self._up(areas, dtype)
        energy = model.energy
        self.push = None if energy is None else energy.forces(self.device, dtype)
        turns = [] if energy is None else np.roll(energy.turns_wxyz, -1, axis=1)
        self.turns = self._up(turns, quat)
        self._upload_contacts(vec3, quat)
        self._upload_path(vec3, quat)
        self.parameters = Parameters(
            gravity=self._up([model.gravity], vec3, True),
            friction=self._up(np.broadcast_to(model.friction, m), dtype, True),
            restitution=self._up(np.broadcast_to(model.restitution, m), dtype, True),
            stiffness=self._up([model.stiffness], dtype, True),
            damping=self._up([model.damping_s], dtype, True),
            drag=self._up([model.drag], dtype, True),
        )

    def _upload_contacts(self, vec3: Any, quat: Any) -> None:
        """Feelers and colliders, pair by pair."""
        model, colliders = self.model, self.model.colliders
        feelers, touched = model.contacts()
        self.pair_count = len(feelers)
        self.pair_bodies = self._up(np.asarray(model.feeler_bodies)[feelers], wp.int32)
        self.pair_offsets = self._up(np.asarray(model.feeler_offsets)[feelers], vec3)
        self.pair_radii = self._up(np.asarray(model.feeler_radii)[feelers], self.dtype)
        self.pair_colliders = self._up(touched, wp.int32)
        self.meshes = [collider.uploaded(self.device) for collider in colliders]  # kept alive: kernels know their ids
        self.has_meshes = any(collider.kind == Kind.MESH for collider in colliders)
        self.collider_kinds = self._up([int(collider.kind) for collider in colliders], wp.int32)
        self.collider_bodies = self._up([collider.body for collider in colliders], wp.int32)
        self.collider_centers = self._up(_rows([collider.center for collider in colliders], 3), vec3)
        turns = np.roll(_rows([collider.rotation_wxyz for collider in colliders], 4), -1, axis=1)
        self.collider_rotations = self._up(turns, quat)
        self.collider_sizes = self._up(_rows([collider.size for collider in colliders], 3), vec3)
        self.collider_meshes = self._up([mesh.id if mesh else 0 for mesh in self.meshes], wp.uint64)

    def _upload_path(self, vec3: Any, quat: Any) -> None:
        """Driven bodies: which, and where."""
        path, driven = self.model.path, np.full(self.body_count, -1)
        self.driven_count = 0 if path is None else len(path.bodies)
        if path is not None:
            driven[path.bodies] = np.arange(self.driven_count)
            self.driven_bodies = self._up(path.bodies, wp.int32)
            self.path_centers = self._up(path.centers, vec3)
            self.path_rotations = self._up(np.roll(path.rotations_wxyz, -1, axis=2), quat)
            self.path_rate = path.rate
        self.driven = self._up(driven, wp.int32)

    @property
    def pulled(self) -> bool:
        """Whether anything but gravity and contact acts."""
        return self.spring_count > 0 or self.push is not None

    def empty_state(self, *, requires_grad: bool = False) -> State:
        """A state of this world, to be written."""
        return State.zeros(self.body_count, self.pair_count, self.device, self.dtype, requires_grad=requires_grad)

    def start(self, centers: Any, rotations_wxyz: Any = None, velocities: Any = None, spins: Any = None) -> State:
        """A state on the device.

        Args:
            centers: Reference points [m], shape [m, 3].
            rotations_wxyz: World from body, shape [m, 4]; the identity when None.
            velocities: [m/s], shape [m, 3]; zero when None.
            spins: Angular velocities [rad/s], world frame, shape [m, 3]; zero when None.
        """
        m = self.body_count
        turns = np.tile([1.0, 0.0, 0.0, 0.0], (m, 1)) if rotations_wxyz is None else np.asarray(rotations_wxyz)
        xyzw = np.roll(turns / np.linalg.norm(turns, axis=1, keepdims=True), -1, axis=1)
        state = self.empty_state()
        state.centers.assign(np.asarray(centers, np.float64))
        state.rotations.assign(xyzw)
        if velocities is not None:
            state.velocities.assign(np.asarray(velocities, np.float64))
        if spins is not None:
            state.momenta.assign(self.momenta(xyzw, np.asarray(spins, np.float64)))
        return state

    def momenta(self, rotations_xyzw: np.ndarray, spins: np.ndarray) -> np.ndarray:
        """Angular momenta [kg m^2/s] of bodies that turn with ``spins`` [rad/s]; of driven ones the spins."""
        turns = Rotation.from_quat(rotations_xyzw).as_matrix()
        momenta = np.einsum("mij,mjk,mlk,ml->mi", turns, np.asarray(self.model.inertias, np.float64), turns, spins)
        if self.model.path is not None:
            momenta[self.model.path.bodies] = spins[self.model.path.bodies]
        return momenta

    def _up(self, values: Any, dtype: Any, requires_grad: bool = False) -> wp.array:
        return wp.array(np.ascontiguousarray(values), dtype=dtype, device=self.device, requires_grad=requires_grad)


def _rows(rows: list[np.ndarray], width: int) -> np.ndarray:
    return np.array(rows, np.float64).reshape(len(rows), width)


def _inverses(inertias: np.ndarray) -> np.ndarray:
    """Inverse tensors, zero for zero."""
    inertias = np.asarray(inertias, np.float64)
    inverses = np.zeros_like(inertias)
    solid = (inertias.reshape(-1, 9) != 0.0).any(axis=1)
    inverses[solid] = np.linalg.inv(inertias[solid])
    return inverses
