"""What pulls at bodies: springs between their particles, and priors on them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

import warp as wp

from warpgs.priors import Motion
from warpgs.simulate.motion import motion_kernels
from warpgs.simulate.springs import spring_kernel
from warpgs.simulate.state import State
from warpgs.simulate.world import World

BANDS = 8
"""Pieces of the rows of springs that threads take; a constant, though nothing depends on it."""


class ParticleScratch:
    """What forces on particles write on their way to those on bodies."""

    def __init__(self, world: World, *, requires_grad: bool = False) -> None:
        real, device = world.dtype, world.device
        vec3, quat = wp.types.vector(3, real), wp.types.quaternion(real)
        springs = world.particle_count if world.spring_count else 0
        priors = world.particle_count if world.push is not None else 0

        def zeros(shape: int, dtype: type = vec3) -> wp.array:
            return wp.zeros(shape, dtype=dtype, device=device, requires_grad=requires_grad)

        self.positions, self.forces = zeros(max(springs, priors)), zeros(springs)
        self.velocities = zeros(springs if world.model.damping_s > 0.0 else 0)
        self.attitudes, self.pushes, self.twists = zeros(priors, quat), zeros(priors), zeros(priors, quat)
        self.last_positions, self.last_attitudes = zeros(priors), zeros(priors, quat)
        self.unknown = wp.zeros(priors, dtype=wp.int32, device=device)

    def arrays(self) -> list[wp.array]:
        """All of it."""
        return list(vars(self).values())


def find_forces(
    world: World,
    at: State,
    last: State,
    elapsed_s: float,
    scratch: ParticleScratch,
    forces: wp.array,
    torques: wp.array,
    *,
    executor: Executor | None = None,
    tape: wp.Tape | None = None,
) -> None:
    """Sum up what springs and priors pull bodies with.

    Args:
        world: Constants and parameters.
        at: Where bodies are, and the velocities that dampers of springs see.
        last: Where they were a little earlier, for priors on motion; constant, receives no gradients.
        elapsed_s: Time since then [s].
        scratch: Written.
        forces: Output, on each body [N].
        torques: Output, about its reference point [N m].
        executor: Threads that share the springs; not on a tape.
        tape: The one that is open, if any.
    """
    if not world.pulled:
        return
    kernels, count, device = motion_kernels(world.dtype), world.particle_count, world.device
    on_bodies = [world.bodies, world.offsets]
    forces.zero_()
    torques.zero_()
    wp.launch(kernels.pose, count, [at.centers, at.rotations, *on_bodies], [scratch.positions], device=device)
    if world.spring_count:
        _pull_springs(world, at, scratch, forces, torques, executor)
    if world.push is None:
        return
    wp.launch(kernels.attitude, count, [at.rotations, world.bodies, world.turns], [scratch.attitudes], device=device)
    constant = {"device": device, "record_tape": False}
    wp.launch(kernels.pose, count, [last.centers, last.rotations, *on_bodies], [scratch.last_positions], **constant)
    wp.launch(
        kernels.attitude, count, [last.rotations, world.bodies, world.turns], [scratch.last_attitudes], **constant
    )
    before = [scratch.last_positions, scratch.last_attitudes]
    scratch.pushes.zero_()
    scratch.twists.zero_()
    world.push.accumulate(
        scratch.positions, scratch.attitudes, scratch.pushes, scratch.twists,
        motion=Motion(*before, *before, scratch.unknown, elapsed_s), tape=tape,
    )  # fmt: skip
    inputs = [at.rotations, *on_bodies, scratch.attitudes, scratch.pushes, scratch.twists, world.parameters.stiffness]
    wp.launch(kernels.gather_energy, count, inputs, [forces, torques], device=device)


def _pull_springs(
    world: World, at: State, scratch: ParticleScratch, forces: wp.array, torques: wp.array, executor: Executor | None
) -> None:
    kernels, device, parameters = motion_kernels(world.dtype), world.device, world.parameters
    on_bodies = [world.bodies, world.offsets]
    if scratch.velocities.size:
        inputs = [at.rotations, at.velocities, at.momenta, world.inverse_inertias, world.driven, *on_bodies]
        wp.launch(kernels.velocity, world.particle_count, inputs, [scratch.velocities], device=device)
    inputs = [scratch.positions, scratch.velocities, world.starts, world.others, world.lengths, world.areas]
    inputs += [parameters.stiffness, parameters.damping]
    _launch_bands(spring_kernel(world.dtype), world.particle_count, inputs, [scratch.forces], device, executor)
    inputs = [at.rotations, *on_bodies, scratch.forces]
    wp.launch(kernels.gather, world.particle_count, inputs, [forces, torques], device=device)


def _launch_bands(
    kernel: wp.Kernel, count: int, inputs: Sequence, outputs: Sequence, device: wp.Device, executor: Executor | None
) -> None:
    """Launch over rows, in bands on threads where there are any."""
    if executor is None:
        wp.launch(kernel, count, [*inputs, 0], outputs, device=device)
        return
    edges = [count * band // BANDS for band in range(BANDS + 1)]

    def launch(low: int, high: int) -> None:
        wp.launch(kernel, high - low, [*inputs, low], outputs, device=device, record_tape=False)

    list(executor.map(launch, edges[:-1], edges[1:]))
