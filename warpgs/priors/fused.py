"""All priors at once: rigidity, rotation and isometry in one pass over the pairs, built from their own pair energies.

A tracking step spends most of its prior time fetching neighbors: three passes take twice the time of one. On the CPU
fused_cpu.py takes eight neighbors at a time.
"""

from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.math.rotation import rotation_funcs
from warpgs.priors.base import Prior, State
from warpgs.priors.fused_cpu import lane_pairs_kernel
from warpgs.priors.isometry import IsometryPrior, isometry_kernels
from warpgs.priors.rest import Rest
from warpgs.priors.rigidity import RigidityPrior, rigidity_kernels
from warpgs.priors.rotation import RotationPrior, rotation_kernels


@cache
def fused_kernels(dtype: type) -> SimpleNamespace:
    """The kernels of the fused pass for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    quat = wp.types.quaternion(dtype)
    turn_between = rotation_funcs(dtype).turn_between
    torque_gradient = rotation_funcs(dtype).torque_gradient
    turn_adjoint = rotation_funcs(dtype).turn_adjoint
    rigidity_pair = rigidity_kernels(dtype).pair
    rotation_pair = rotation_kernels(dtype).pair
    isometry_pair = isometry_kernels(dtype).pair

    @wp.kernel(module="unique", enable_backward=False)
    def turns_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        reference_rotations: wp.array(dtype=quat),
        # outputs
        turns: wp.array(dtype=quat),
    ):
        i = wp.tid()
        turns[i] = turn_between(rotations[i], reference_rotations[i])

    @wp.kernel(module="unique", enable_backward=False)
    def pairs_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        turns: wp.array(dtype=quat),
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        reference_offsets: wp.array2d(dtype=vec3),
        lengths: wp.array2d(dtype=real),
        rigidity_scale: real,
        rotation_scale: real,
        isometry_scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
        adj_turns: wp.array(dtype=quat),
    ):
        i = wp.tid()
        mean = means[i]
        turn = turns[i]
        matrix = wp.quat_to_matrix(turn)
        energy = real(0.0)
        force = vec3()
        moment = vec3()
        adj_turn = quat(real(0.0), real(0.0), real(0.0), real(0.0))
        for j in range(neighbors.shape[1]):
            neighbor = neighbors[i, j]
            weight = weights[i, j]
            offset = means[neighbor] - mean
            bend, gradient = rigidity_pair(offset, reference_offsets[i, j], matrix, rigidity_scale * weight)
            moment += wp.cross(offset, gradient)
            stretch, pull = isometry_pair(offset, lengths[i, j], isometry_scale * weight)
            gradient += pull
            force += gradient
            wp.atomic_add(adj_means, neighbor, gradient)
            twist, own, other = rotation_pair(turn, turns[neighbor], rotation_scale * weight)
            adj_turn += own
            wp.atomic_add(adj_turns, neighbor, other)
            energy += bend + stretch + twist
        wp.atomic_add(loss, 0, wp.float64(energy))
        wp.atomic_add(adj_means, i, -force)
        wp.atomic_add(adj_turns, i, adj_turn + torque_gradient(turn, -moment))

    @wp.kernel(module="unique", enable_backward=False)
    def turns_adjoint_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        reference_rotations: wp.array(dtype=quat),
        # outputs
        adj_turns: wp.array(dtype=quat),  # consumed: set to zero
        adj_rotations: wp.array(dtype=quat),  # accumulated
    ):
        i = wp.tid()
        adj_turn = adj_turns[i]
        adj_turns[i] = quat(real(0.0), real(0.0), real(0.0), real(0.0))
        adj_rotations[i] = adj_rotations[i] + turn_adjoint(rotations[i], reference_rotations[i], adj_turn)

    @wp.kernel(module="unique", enable_backward=False)
    def poses_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        reference_rotations: wp.array(dtype=quat),
        # outputs
        poses: wp.array2d(dtype=real),
    ):
        i = wp.tid()
        mean = means[i]
        turn = turn_between(rotations[i], reference_rotations[i])
        for axis in range(3):
            poses[i, axis] = mean[axis]
        for axis in range(4):
            poses[i, 4 + axis] = turn[axis]

    @wp.kernel(module="unique", enable_backward=False)
    def poses_adjoint_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        reference_rotations: wp.array(dtype=quat),
        energies: wp.array(dtype=real),
        # outputs
        adj_poses: wp.array2d(dtype=real),  # consumed: set to zero
        loss: wp.array(dtype=wp.float64),  # accumulated, like the rest
        adj_means: wp.array(dtype=vec3),
        adj_rotations: wp.array(dtype=quat),
    ):
        i = wp.tid()
        wp.atomic_add(loss, 0, wp.float64(energies[i]))
        adj_means[i] += vec3(adj_poses[i, 0], adj_poses[i, 1], adj_poses[i, 2])
        adj_turn = quat(adj_poses[i, 4], adj_poses[i, 5], adj_poses[i, 6], adj_poses[i, 7])
        adj_rotations[i] = adj_rotations[i] + turn_adjoint(rotations[i], reference_rotations[i], adj_turn)
        for axis in range(8):
            adj_poses[i, axis] = real(0.0)

    return SimpleNamespace(
        turns=turns_kernel,
        pairs=pairs_kernel,
        turns_adjoint=turns_adjoint_kernel,
        poses=poses_kernel,
        poses_adjoint=poses_adjoint_kernel,
    )


def accumulate_priors(
    priors: Sequence[Prior], state: State, rest: Rest, loss: wp.array, *, portable: bool = False
) -> None:
    """Add every prior's weighted mean energy to ``loss`` and its gradient to the state's.

    Equal to calling ``accumulate`` of each in turn, to rounding; priors of weight 0 cost nothing.

    Args:
        priors: In any order.
        state: n particles on the device of ``rest``. Its gradients are added to.
        rest: Built from the same n particles; the reference pose is as last set.
        loss: wp.float64, shape [1]; added to.
        portable: Use the kernels of CUDA on the CPU too, to test them without a GPU.
    """
    active = [prior for prior in priors if prior.weight > 0.0]
    pairs = [prior for prior in active if isinstance(prior, RigidityPrior | RotationPrior | IsometryPrior)]
    if len(pairs) > 1:
        scales = _pair_scales(pairs, rest)
        if loss.device.is_cpu and not portable:
            _accumulate_lanes(scales, state, rest, loss)
        else:
            _accumulate_pairs(scales, state, rest, loss)
        active = [prior for prior in active if prior not in pairs]
    for prior in active:
        prior.accumulate(state, rest, loss)


def _pair_scales(priors: Sequence[Prior], rest: Rest) -> tuple[float, float, float]:
    """Factors on the pair energies of rigidity, rotation and isometry; several priors of one kind add their weights."""
    rigidity, rotation, isometry = (
        sum(prior.weight for prior in priors if isinstance(prior, kind)) / rest.pair_count
        for kind in (RigidityPrior, RotationPrior, IsometryPrior)
    )
    return rigidity / rest.length_unit, rotation, isometry / rest.length_unit


def _accumulate_pairs(scales: tuple[float, float, float], state: State, rest: Rest, loss: wp.array) -> None:
    """The fused pass, one thread per particle."""
    kernels, n, device = fused_kernels(rest.dtype), rest.means.size, rest.means.device
    poses = [state.rotations, rest.reference_rotations]
    pairs = [state.means, rest.turns, rest.neighbors, rest.weights, rest.reference_offsets, rest.lengths, *scales]
    gradients = [loss, state.adj_means, rest.adj_turns]
    wp.launch(kernels.turns, n, poses, [rest.turns], device=device, record_tape=False)
    wp.launch(kernels.pairs, n, pairs, gradients, device=device, record_tape=False)
    outputs = [rest.adj_turns, state.adj_rotations]
    wp.launch(kernels.turns_adjoint, n, poses, outputs, device=device, record_tape=False)


def _accumulate_lanes(scales: tuple[float, float, float], state: State, rest: Rest, loss: wp.array) -> None:
    """The fused pass on the CPU."""
    kernels, n, device = fused_kernels(rest.dtype), rest.means.size, rest.means.device
    poses = [state.rotations, rest.reference_rotations]
    pairs = [rest.poses, rest.lane_neighbors, rest.lane_constants, *scales]
    wp.launch(kernels.poses, n, [state.means, *poses], [rest.poses], device=device, record_tape=False)
    kernel, outputs = lane_pairs_kernel(rest.dtype), [rest.adj_poses, rest.energies]
    wp.launch(kernel, n, pairs, outputs, device=device, record_tape=False)
    outputs = [rest.adj_poses, loss, state.adj_means, state.adj_rotations]
    wp.launch(kernels.poses_adjoint, n, [*poses, rest.energies], outputs, device=device, record_tape=False)
