"""The implicit step: what inertia, springs and priors together make smallest, then contacts.

The forces of a step are those at the pose that they lead to. With y(F) the pose and F the forces and torques on all
bodies, F = -E'(y(F)): where inertia + energy is stationary (Kharevych et al., "Geometric, variational integrators for
computer animation", 2006). With y in the middle of the step that is the implicit midpoint rule, which keeps the energy
of what rings; with y at its end it damps what the step does not resolve.

Newton's method, each round by so many conjugate gradients (Hestenes and Stiefel 1952); products with the second
derivative are central differences of forces. Counts are fixed, and numbers stay on the device. What the iterations do
not reach acts softer than it is, but momentum is kept and nothing explodes. The adjoint solves the same linear
equations (implicit function theorem): right as far as the step has converged. It takes them for symmetric, and leaves
out how lever arms of rigid bodies and dampers turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import warp as wp

from warpgs.checks import refuse
from warpgs.priors.forces import STEP
from warpgs.simulate.conjugate import conjugate_kernels
from warpgs.simulate.forces import find_forces
from warpgs.simulate.model import Model
from warpgs.simulate.motion import motion_kernels
from warpgs.simulate.stability import STEP_S, whole_substeps
from warpgs.simulate.state import State
from warpgs.simulate.step import Clock, Scratch, Solver, collide, default_sweeps, drift_half, drift_rest, drive, kick
from warpgs.simulate.world import World


@dataclass(frozen=True)
class Implicit(Solver):
    """Steps of any length, however stiff springs and priors are."""

    rounds: int = 2
    """Of Newton's method."""
    iterations: int = 12
    """Conjugate gradients of each."""
    place: float = 1.0
    """Where in the step forces are taken: 0.5, the middle, keeps the energy of what rings; 1, the end, damps most."""
    sweeps: int | None = None
    """Over the contacts of each step; as in Explicit."""

    def __post_init__(self) -> None:
        for name in ("rounds", "iterations", "sweeps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                refuse(f"Implicit: {name}", "at least 1", value)
        if not 0.5 <= self.place <= 1.0:
            refuse("Implicit: place", "from 0.5 to 1", self.place)

    @property
    def recordable(self) -> bool:
        return True

    def substeps(self, model: Model, seconds: float) -> int:
        return whole_substeps(seconds, STEP_S)

    def scratch(self, world: World, *, requires_grad: bool = False) -> Scratch:
        scratch = Scratch(world, self.sweeps or default_sweeps(world), requires_grad=requires_grad)
        scratch.implicit = ImplicitScratch(world, self.iterations, requires_grad=requires_grad)
        return scratch

    def step(
        self, world: World, before: State, clock: Clock, scratch: Scratch, after: State, tape: wp.Tape | None = None
    ) -> None:
        drift_half(world, before, clock, scratch)
        if world.pulled:
            with paused(tape):
                self._minimize(world, before, clock, scratch)
            if tape is not None:
                backward = self._adjoint(world, before, clock, scratch)
                tape.record_func(backward, [scratch.forces, scratch.torques, scratch.centers, scratch.rotations])
        kick(world, before, clock, scratch)
        collide(world, before, clock, scratch, after)
        drift_rest(world, clock, scratch, after)

    def _minimize(self, world: World, before: State, clock: Clock, scratch: Scratch) -> None:
        """Find the forces of the step, from none."""
        own, kernels = scratch.implicit, conjugate_kernels(world.dtype)
        scratch.forces.zero_()
        scratch.torques.zero_()
        for number in range(self.rounds):
            if number == 0:
                self._look_from_start(world, before, clock, scratch)
            else:
                self._look_ahead(world, before, clock, scratch)
                inputs = [own.forces, own.torques, scratch.forces, scratch.torques]
                _launch(kernels.residual, world, inputs, [own.residual])
            self._solve(world, before, clock, scratch)
            inputs = [own.rotations, world.inverse_masses, world.inverse_inertias, own.solution]
            _launch(kernels.accept, world, inputs, [scratch.forces, scratch.torques])

    def _look_ahead(
        self, world: World, before: State, clock: Clock, scratch: Scratch, tape: wp.Tape | None = None
    ) -> None:
        """The pose that the forces so far lead to, and the forces there."""
        own, kernels = scratch.implicit, motion_kernels(world.dtype)
        kicked = [own.kicked_velocities, own.kicked_momenta]
        kick(world, before, clock, scratch, kicked)
        blend, started = conjugate_kernels(world.dtype).blend, [before.velocities, before.momenta]
        inputs, way = [*started, *kicked, self.place - 1.0, self.place], [own.way_velocities, own.way_momenta]
        _launch(blend, world, inputs, way)
        _launch(blend, world, [*started, *kicked, 0.5, 0.5], [own.velocities, own.momenta])
        inputs = [scratch.centers, scratch.rotations, *way, world.inverse_inertias, world.driven, 0.5 * clock.dt]
        _launch(kernels.drift, world, inputs, [own.centers, own.rotations])
        moved = [own.centers, own.rotations, own.velocities, own.momenta]
        drive(world, (clock.index + self.place) * clock.dt, moved)
        at = State(own.centers, own.rotations, own.velocities, own.momenta, before.impulses)
        elapsed = self.place * clock.dt
        find_forces(world, at, before, elapsed, scratch.particles, own.forces, own.torques, tape=tape)

    def _look_from_start(self, world: World, before: State, clock: Clock, scratch: Scratch) -> None:
        """The first residual: forces at the end of the way that inertia takes, as straight on as their slope is where
        it starts. What is at rest there is stiff in all directions; what inertia has pressed together is not."""
        own, kernels, elapsed = scratch.implicit, conjugate_kernels(world.dtype), self.place * clock.dt
        kicked = [own.kicked_velocities, own.kicked_momenta]
        kick(world, before, clock, scratch, kicked)
        inputs = [before.velocities, before.momenta, *kicked, 0.5, 0.5]
        _launch(kernels.blend, world, inputs, [own.velocities, own.momenta])
        wp.copy(own.centers, before.centers)
        wp.copy(own.rotations, before.rotations)
        inputs = [own.rotations, own.velocities, own.momenta, world.inverse_inertias, world.driven, elapsed]
        _launch(kernels.way, world, inputs, [own.direction])
        own.largest.zero_()
        self._pull_around(world, before, elapsed, scratch, 0)
        inputs = [*own.ahead, *own.behind, own.largest, own.nudge]
        _launch(kernels.extrapolate, world, inputs, [own.residual])

    def _pull_around(self, world: World, before: State, elapsed: float, scratch: Scratch, k: int) -> None:
        """Forces a little ahead and a little behind, along the direction."""
        own, kernels = scratch.implicit, conjugate_kernels(world.dtype)
        _launch(kernels.largest, world, [own.direction, world.model.spacing, k], [own.largest])
        nudged = State(own.nudged_centers, own.nudged_rotations, own.nudged_velocities, own.momenta, before.impulses)
        pose = [own.centers, own.rotations, own.velocities, own.direction]
        for sign, pulls in ((1.0, own.ahead), (-1.0, own.behind)):
            inputs = [*pose, own.largest, k, sign * own.nudge, elapsed]
            _launch(kernels.nudge, world, inputs, [nudged.centers, nudged.rotations, nudged.velocities])
            find_forces(world, nudged, before, elapsed, scratch.particles, *pulls)

    def _solve(self, world: World, before: State, clock: Clock, scratch: Scratch) -> None:
        """Conjugate gradients: (mass + stiffness times how far forces move the pose) ``solution`` = ``residual``."""
        own, kernels = scratch.implicit, conjugate_kernels(world.dtype)
        light = [world.inverse_masses, world.inverse_inertias]
        own.solution.zero_()
        own.steepness.zero_()
        own.curvature.zero_()
        own.inertia.zero_()
        own.largest.zero_()
        inputs = [own.rotations, *light, own.residual]
        _launch(kernels.start, world, inputs, [own.direction, own.steepness])
        elapsed, moved = self.place * clock.dt, 0.5 * self.place * clock.dt**2
        for k in range(self.iterations):
            self._pull_around(world, before, elapsed, scratch, k)
            inputs = [own.rotations, *light, own.direction, *own.ahead, *own.behind, own.largest, k, own.nudge]
            inputs += [world.parameters.drag, clock.dt, moved]
            _launch(kernels.product, world, inputs, [own.product, own.curvature, own.inertia])
            inputs = [own.rotations, *light, own.direction, own.product, k, own.curvature, own.inertia]
            _launch(kernels.advance, world, inputs, [own.solution, own.residual, own.steepness])
            _launch(kernels.turn, world, [own.rotations, *light, own.residual, k, own.steepness], [own.direction])

    def _adjoint(self, world: World, before: State, clock: Clock, scratch: Scratch):
        """What gradients of the forces of a step say about what they follow from."""
        own, kernels = scratch.implicit, conjugate_kernels(world.dtype)

        def backward() -> None:
            self._look_ahead(world, before, clock, scratch)
            inputs = [own.rotations, world.inverse_masses, world.inverse_inertias]
            _launch(kernels.weigh, world, [*inputs, scratch.forces.grad, scratch.torques.grad], [own.residual])
            self._solve(world, before, clock, scratch)
            with wp.Tape() as tape:
                self._look_ahead(world, before, clock, scratch, tape)
            _launch(kernels.split, world, [own.solution], [own.forces.grad, own.torques.grad])
            tape.backward()
            scratch.forces.grad.zero_()
            scratch.torques.grad.zero_()

        return backward


class ImplicitScratch:
    """What the implicit step writes on its way. Vectors of equations hold the linear parts of all m bodies, then the
    angular ones, shape [2 m]."""

    def __init__(self, world: World, iterations: int, *, requires_grad: bool = False) -> None:
        real, device, m = world.dtype, world.device, world.body_count
        vec3, quat = wp.types.vector(3, real), wp.types.quaternion(real)
        self.nudge = STEP[real] * world.model.spacing

        def zeros(shape: int, dtype: type = vec3, grad: bool = False) -> wp.array:
            return wp.zeros(shape, dtype=dtype, device=device, requires_grad=grad and requires_grad)

        self.kicked_velocities, self.kicked_momenta = zeros(m, grad=True), zeros(m, grad=True)
        self.way_velocities, self.way_momenta = zeros(m, grad=True), zeros(m, grad=True)
        self.velocities, self.momenta = zeros(m, grad=True), zeros(m, grad=True)
        self.centers, self.rotations = zeros(m, grad=True), zeros(m, quat, grad=True)
        self.forces, self.torques = zeros(m, grad=True), zeros(m, grad=True)
        self.nudged_centers, self.nudged_rotations, self.nudged_velocities = zeros(m), zeros(m, quat), zeros(m)
        self.ahead, self.behind = (zeros(m), zeros(m)), (zeros(m), zeros(m))
        self.solution, self.residual = zeros(2 * m), zeros(2 * m)
        self.direction, self.product = zeros(2 * m), zeros(2 * m)
        self.steepness = zeros(iterations + 1, wp.float64)
        self.curvature, self.inertia = zeros(iterations, wp.float64), zeros(iterations, wp.float64)
        self.largest = zeros(iterations, real)

    def arrays(self) -> list[wp.array]:
        """All of it."""
        return [*(a for a in vars(self).values() if isinstance(a, wp.array)), *self.ahead, *self.behind]


def _launch(kernel: wp.Kernel, world: World, inputs: list, outputs: list[wp.array]) -> None:
    wp.launch(kernel, world.body_count, inputs, outputs, device=world.device)


@contextmanager
def paused(tape: wp.Tape | None) -> Iterator[None]:
    """Launches that an open tape does not see."""
    if tape is None:
        yield
        return
    tape.__exit__(None, None, None)
    try:
        yield
    finally:
        tape.__enter__()
