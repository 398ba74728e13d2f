"""One step of time: the interface of solvers, and the explicit one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp

from warpgs.checks import refuse
from warpgs.simulate.contact import contact_kernels
from warpgs.simulate.forces import ParticleScratch, find_forces
from warpgs.simulate.model import Model
from warpgs.simulate.motion import motion_kernels
from warpgs.simulate.stability import stable_substeps
from warpgs.simulate.state import State
from warpgs.simulate.touch import touch_kernels
from warpgs.simulate.world import World

SWEEPS = 10
"""Of the contacts of rigid bodies; free particles touch one thing at a time and need one."""
RESTING_SPEED = 0.05
"""Approaches slower than this, and than what two steps of gravity make of rest, do not bounce [m/s]."""


@dataclass(frozen=True)
class Clock:
    """Where in time a step lies."""

    index: int
    """Of the step, from 0."""
    dt: float
    """Its length [s]."""


class Scratch:
    """What a step writes on its way; a gradient needs one for each step that it goes back through."""

    def __init__(self, world: World, sweeps: int, *, requires_grad: bool = False) -> None:
        real, device = world.dtype, world.device
        vec3, quat = wp.types.vector(3, real), wp.types.quaternion(real)
        m, p = world.body_count, world.pair_count

        def zeros(shape: int | tuple[int, ...], dtype: type = vec3) -> wp.array:
            return wp.zeros(shape, dtype=dtype, device=device, requires_grad=requires_grad)

        self.centers, self.rotations = zeros(m), zeros(m, quat)
        self.velocities, self.momenta = zeros(m), zeros(m)
        self.forces, self.torques = zeros(m), zeros(m)
        self.pushed_centers, self.pushed_rotations = zeros(m), zeros(m, quat)
        self.implicit: Any = None  # what an implicit step writes besides
        self.particles = ParticleScratch(world, requires_grad=requires_grad)
        self.face_points, self.face_normals = zeros(p), zeros(p)
        self.depths, self.goals, self.pushes = zeros(p, real), zeros(p, real), zeros(p, real)
        self.normals, self.arms, self.other_arms = zeros(p), zeros(p), zeros(p)
        self.counts = zeros(m, real)
        self.impulses = [zeros(p) for _ in range(sweeps + 1 if p else 0)]
        self.pulls = [zeros(m) for _ in range(sweeps + 1 if p else 1)]
        self.twists = [zeros(m) for _ in range(sweeps + 1 if p else 1)]
        self.shifts, self.turns = zeros(m), zeros(m)
        self.sums = [self.counts, *self.pulls, *self.twists, self.shifts, self.turns]

    def arrays(self) -> list[wp.array]:
        """All of it."""
        single = [value for value in vars(self).values() if isinstance(value, wp.array)]
        own = [] if self.implicit is None else self.implicit.arrays()
        return [*single, *own, *self.particles.arrays(), *self.impulses, *self.pulls, *self.twists]

    def clear(self) -> None:
        """Zero what is summed up."""
        for array in self.sums:
            array.zero_()


class Solver(ABC):
    """Takes a world from one instant to the next. Launches kernels, on a tape where one is open."""

    @property
    @abstractmethod
    def recordable(self) -> bool:
        """Whether launches may be recorded and replayed."""

    @abstractmethod
    def substeps(self, model: Model, seconds: float) -> int:
        """How many steps ``seconds`` need."""

    @abstractmethod
    def scratch(self, world: World, *, requires_grad: bool = False) -> Scratch:
        """What ``step`` needs to write. Allocates."""

    @abstractmethod
    def step(
        self, world: World, before: State, clock: Clock, scratch: Scratch, after: State, tape: wp.Tape | None = None
    ) -> None:
        """Advance by one step.

        Args:
            world: Constants and parameters.
            before: The state at the start of the step.
            clock: When that is.
            scratch: Written; made by ``scratch`` of this solver.
            after: Written: the state at the end. Not ``before``.
            tape: The one that is open, if any.
        """


@dataclass(frozen=True)
class Explicit(Solver):
    """Verlet steps with contact by impulses: fast, keeps energy; steps must be short where springs are stiff."""

    sweeps: int | None = None
    """Over the contacts of each step; None for SWEEPS where there are rigid bodies, 1 where there are none."""
    executor: Executor | None = None
    """Threads that share the springs; not on a tape."""

    def __post_init__(self) -> None:
        if self.sweeps is not None and self.sweeps < 1:
            refuse("Explicit: sweeps", "at least 1", self.sweeps)

    @property
    def recordable(self) -> bool:
        return self.executor is None

    def substeps(self, model: Model, seconds: float) -> int:
        return stable_substeps(model, seconds)

    def scratch(self, world: World, *, requires_grad: bool = False) -> Scratch:
        return Scratch(world, self.sweeps or default_sweeps(world), requires_grad=requires_grad)

    def step(
        self, world: World, before: State, clock: Clock, scratch: Scratch, after: State, tape: wp.Tape | None = None
    ) -> None:
        drift_half(world, before, clock, scratch)
        halfway = State(scratch.centers, scratch.rotations, before.velocities, before.momenta, before.impulses)
        find_forces(
            world, halfway, before, 0.5 * clock.dt, scratch.particles, scratch.forces, scratch.torques,
            executor=self.executor, tape=tape,
        )  # fmt: skip
        kick(world, before, clock, scratch)
        collide(world, before, clock, scratch, after)
        drift_rest(world, clock, scratch, after)


def default_sweeps(world: World) -> int:
    """Many where bodies touch with more than their center."""
    model = world.model
    return SWEEPS if np.any(model.feeler_radii) or np.any(model.feeler_offsets) else 1


def drift_half(world: World, before: State, clock: Clock, scratch: Scratch) -> None:
    """Where bodies are halfway through the step; driven ones where they are driven."""
    moving = [before.centers, before.rotations, before.velocities, before.momenta]
    inputs = [*moving, world.inverse_inertias, world.driven, 0.5 * clock.dt]
    halfway = [scratch.centers, scratch.rotations]
    wp.launch(motion_kernels(world.dtype).drift, world.body_count, inputs, halfway, device=world.device)
    drive(world, (clock.index + 0.5) * clock.dt, [*halfway, scratch.velocities, scratch.momenta])


def drift_rest(world: World, clock: Clock, scratch: Scratch, after: State) -> None:
    """The other half, from where contacts have pushed bodies."""
    moving = [scratch.pushed_centers, scratch.pushed_rotations, after.velocities, after.momenta]
    inputs = [*moving, world.inverse_inertias, world.driven, 0.5 * clock.dt]
    end = [after.centers, after.rotations]
    wp.launch(motion_kernels(world.dtype).drift, world.body_count, inputs, end, device=world.device)
    drive(world, (clock.index + 1) * clock.dt, [*end, after.velocities, after.momenta])


def drive(world: World, time_s: float, moved: list[wp.array]) -> None:
    """Put driven bodies where they are at an instant; theirs is the velocity of the way there."""
    if not world.driven_count:
        return
    instant = time_s * world.path_rate
    whole = max(0, math.ceil(instant - 1e-6) - 1)
    inputs = [world.driven_bodies, world.path_centers, world.path_rotations, whole, instant - whole, world.path_rate]
    wp.launch(
        motion_kernels(world.dtype).drive, world.driven_count, inputs, moved, device=world.device, record_tape=False
    )  # fmt: skip


def kick(world: World, before: State, clock: Clock, scratch: Scratch, kicked: Sequence[wp.array] | None = None) -> None:
    """What forces and gravity do to velocities in the whole step, in ``kicked``; those of ``scratch`` when None."""
    parameters = world.parameters
    inputs = [scratch.rotations, before.velocities, before.momenta, scratch.forces, scratch.torques]
    inputs += [world.inverse_masses, world.levers, world.driven, parameters.gravity, parameters.drag, clock.dt]
    kicked = [scratch.velocities, scratch.momenta] if kicked is None else kicked
    wp.launch(motion_kernels(world.dtype).kick, world.body_count, inputs, kicked, device=world.device)


def collide(world: World, before: State, clock: Clock, scratch: Scratch, after: State) -> None:
    """Answer contacts: velocities at the end of the step, and where bodies are pushed halfway through it."""
    kernels, device, parameters = contact_kernels(world.dtype), world.device, world.parameters
    touch = touch_kernels(world.dtype)
    kicked = [scratch.velocities, scratch.momenta]
    scratch.clear()
    if world.pair_count:
        pairs = [world.pair_bodies, world.pair_colliders, world.collider_bodies]
        feelers = [world.pair_bodies, world.pair_offsets, world.pair_radii, world.pair_colliders]
        colliders = [world.collider_kinds, world.collider_bodies, world.collider_centers]
        colliders += [world.collider_rotations, world.collider_sizes]
        faces, where = [scratch.face_points, scratch.face_normals], [scratch.centers, scratch.rotations]
        touching = [scratch.depths, scratch.normals, scratch.arms, scratch.other_arms]
        aims = [scratch.goals, scratch.pushes]
        turning = [scratch.rotations, *kicked]

        def launch(kernel: wp.Kernel, inputs: Sequence, outputs: Sequence, taped: bool = True) -> None:
            wp.launch(kernel, world.pair_count, inputs, outputs, device=device, record_tape=taped)

        if world.has_meshes:
            launch(touch.mesh, [*where, *feelers, *colliders, world.collider_meshes], faces, taped=False)
        launch(touch.touch, [*where, *feelers, *colliders, *faces], touching)
        launch(touch.count, [scratch.depths, *pairs], [scratch.counts], taped=False)
        fall = sum(float(g) ** 2 for g in world.model.gravity) ** 0.5
        resting = max(RESTING_SPEED, 4.0 * fall * clock.dt)
        inputs = [*turning, world.inverse_inertias, world.driven, *pairs, *touching]
        launch(kernels.aim, [*inputs, parameters.restitution, parameters.gravity, resting, clock.dt], aims)
        inputs = [*turning, world.inverse_masses, world.inverse_inertias, world.driven, *pairs, *touching]
        inputs += [scratch.goals, scratch.counts, parameters.friction]
        touched = [*pairs, scratch.depths, scratch.arms, scratch.other_arms]
        sums = list(zip(scratch.impulses, scratch.pulls, scratch.twists, strict=True))
        launch(kernels.recall, [*touched, before.impulses], sums[0])
        momentum = 1.0
        for k in range(len(sums) - 1):
            grown = 0.5 + (0.25 + momentum * momentum) ** 0.5
            launch(kernels.sweep, [*inputs, *sums[k], *sums[max(k - 1, 0)], (momentum - 1.0) / grown], sums[k + 1])
            momentum = grown
        inputs = [scratch.rotations, world.inverse_masses, world.inverse_inertias, *pairs, *touching]
        inputs += [scratch.pushes, scratch.counts, scratch.impulses[-1]]
        launch(kernels.push, inputs, [after.impulses, scratch.shifts, scratch.turns])
    inputs = [scratch.centers, scratch.rotations, *kicked, world.inverse_masses, world.driven]
    inputs += [scratch.pulls[-1], scratch.twists[-1], scratch.shifts, scratch.turns]
    settled = [scratch.pushed_centers, scratch.pushed_rotations, after.velocities, after.momenta]
    wp.launch(kernels.settle, world.body_count, inputs, settled, device=device)
