"""What priors remember of the rest shape: poses, pairs of neighbors, the reference pose, and their scratch memory."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import warp as wp

from warpgs.checks import check_array, check_shape, refuse
from warpgs.math.numbers import number_type
from warpgs.similarity import Similarity

T = TypeVar("T")

TINY = 1e-12
"""Lengths are divided by at least this much [m], or unit of a quaternion: the gradient of a norm at zero is zero."""
LANES = 8
"""Neighbors that the CPU takes at a time."""


@wp.kernel(enable_backward=False)
def advance_kernel(
    # outputs
    step: wp.array(dtype=wp.int32),
):
    step[0] = step[0] + 1


@cache
def rest_kernels(dtype: type) -> SimpleNamespace:
    """The kernels that fill a Rest, for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    quat = wp.types.quaternion(dtype)

    @wp.kernel(module="unique", enable_backward=False)
    def lengths_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        neighbors: wp.array2d(dtype=wp.int32),
        # outputs
        lengths: wp.array2d(dtype=real),
    ):
        i, j = wp.tid()
        lengths[i, j] = wp.length(means[neighbors[i, j]] - means[i])

    @wp.kernel(module="unique", enable_backward=False)
    def weights_kernel(
        # inputs
        lengths: wp.array2d(dtype=real),
        weight_sigma: real,
        # outputs
        weights: wp.array2d(dtype=real),
    ):
        i, j = wp.tid()
        length = lengths[i, j]
        weights[i, j] = wp.exp(real(-0.5) * (length / weight_sigma) * (length / weight_sigma))

    @wp.kernel(module="unique", enable_backward=False)
    def reference_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        neighbors: wp.array2d(dtype=wp.int32),
        # outputs
        reference_offsets: wp.array2d(dtype=vec3),
        reference_rotations: wp.array(dtype=quat),
    ):
        i = wp.tid()
        reference_rotations[i] = wp.normalize(rotations[i])
        for j in range(neighbors.shape[1]):
            reference_offsets[i, j] = means[neighbors[i, j]] - means[i]

    @wp.kernel(module="unique", enable_backward=False)
    def lanes_kernel(
        # inputs
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        lengths: wp.array2d(dtype=real),
        reference_offsets: wp.array2d(dtype=vec3),
        # outputs
        lane_neighbors: wp.array2d(dtype=wp.int32),
        lane_constants: wp.array3d(dtype=real),
    ):
        i, j = wp.tid()
        lane_neighbors[i, j] = i  # a neighbor of weight 0
        if j < neighbors.shape[1]:
            lane_neighbors[i, j] = neighbors[i, j]
            lane_constants[i, 0, j] = weights[i, j]
            lane_constants[i, 1, j] = lengths[i, j]
            for axis in range(3):
                lane_constants[i, 2 + axis, j] = reference_offsets[i, j][axis]

    return SimpleNamespace(
        lengths=lengths_kernel, weights=weights_kernel, reference=reference_kernel, lanes=lanes_kernel
    )


@dataclass(frozen=True, eq=False)
class Rest:
    """The shape that priors hold on to, built once at the first timestep."""

    means: wp.array
    """Centers at the first timestep [m], world frame, vec3, shape [n]."""
    rotations: wp.array
    """Unit quaternions at the first timestep, world from particle, shape [n]."""
    neighbors: wp.array
    """Index of each particle's k neighbors, int32, shape [n, k]."""
    lengths: wp.array
    """Distance to each neighbor at the first timestep [m], shape [n, k]."""
    weights: wp.array
    """w_ij = exp(-length^2 / (2 weight_sigma^2)), shape [n, k]."""
    reference_offsets: wp.array
    """From each particle to its neighbors in the reference pose [m], world frame, vec3, shape [n, k]."""
    reference_rotations: wp.array
    """Unit quaternions in the reference pose, world from particle, shape [n]."""
    length_unit: float
    """Unit in which priors measure lengths [m]; makes their weights independent of the scale of the scene."""
    turns: wp.array
    """Scratch of the fused neighbor priors: rotations since the reference pose, shape [n]."""
    adj_turns: wp.array
    """Scratch of the fused neighbor priors: gradient with respect to ``turns``, zero between calls, shape [n]."""
    lane_neighbors: wp.array
    """``neighbors`` in whole blocks of LANES, filled up with the particle itself, shape [n, lanes]; CPU only."""
    lane_constants: wp.array
    """Weight, length and reference offset (x, y, z) of each pair, 0 where filled up, shape [n, 5, lanes]; CPU only."""
    poses: wp.array
    """Scratch of the fused neighbor priors: center, 0, rotation since the reference pose, shape [n, 8]; CPU only."""
    adj_poses: wp.array
    """Scratch: gradient with respect to ``poses``, zero between calls, shape [n, 8]; CPU only."""
    energies: wp.array
    """Scratch: energy of each particle's pairs, shape [n]; CPU only."""
    parts: wp.array
    """The body that each particle belongs to, int32, shape [n]; 0 where nobody knows."""
    scales: wp.array
    """Standard deviations of each particle along its own axes [m], vec3, shape [n]; 0 for points."""
    spacing: float
    """Median distance to a neighbor at the first timestep [m]: the length that settings of priors are relative to."""
    world_from_rest: Similarity
    """From the frame and unit of all poses here, called world frame and [m] above, to those of the scene. Places in the
    scene and lengths whose names end in ``_m`` are given in the latter."""
    step: wp.array
    """Steps that an optimization has taken, int32, shape [1]; for priors whose weight changes. Whoever iterates sets
    it to zero and calls ``advance``."""
    memory: dict[Hashable, Any] = field(default_factory=dict)
    """What ``once`` made."""
    derivations: dict[Hashable, Callable[[], None]] = field(default_factory=dict)
    """What computes again that which ``derived`` made."""

    @staticmethod
    def build(
        means: wp.array,
        rotations: wp.array,
        neighbors: wp.array | None = None,
        *,
        weight_sigma: float = 1.0,
        length_unit: float = 1.0,
        parts: np.ndarray | None = None,
        scales: np.ndarray | None = None,
        world_from_rest: Similarity | None = None,
    ) -> "Rest":
        """Remember a pose, which becomes the reference too. Allocates.

        Args:
            means: Centers at the first timestep [m], world frame, vec3, shape [n]; copied.
            rotations: Quaternions at the first timestep, world from particle, shape [n]; copied, normalized.
            neighbors: Index of each particle's neighbors, int32, shape [n, k]; None for priors that need none.
            weight_sigma: Distance at which the weight of a pair falls to exp(-1/2) [m]; see ``weight_sigma``.
            length_unit: Unit in which priors measure lengths [m].
            parts: The body that each particle belongs to, shape [n]; one body when None.
            scales: Standard deviations of each particle along its own axes [m], shape [n, 3]; points when None.
            world_from_rest: Frame and unit of the scene from those of ``means``; the same when None.

        Raises:
            ValueError: Sizes that differ, a neighbor that does not exist, a length that is not positive.
        """
        n, device = means.size, means.device
        dtype = number_type(means)
        if not (weight_sigma > 0.0 and length_unit > 0.0):
            refuse("Rest: weight_sigma and length_unit", "lengths > 0 [m]", (weight_sigma, length_unit))
        vec3, quat = wp.types.vector(3, dtype), wp.types.quaternion(dtype)
        if neighbors is None:
            neighbors = wp.zeros((n, 0), dtype=wp.int32, device=device)
        k = neighbors.shape[1]
        check_array("Rest: means", means, vec3, (n,))
        check_array("Rest: rotations", rotations, quat, (n,))
        check_array("Rest: neighbors", neighbors, wp.int32, (n, k))
        _check_neighbors(neighbors.numpy(), n)
        parts = np.zeros(n, np.int32) if parts is None else np.asarray(parts, np.int32)
        scales = np.zeros((n, 3)) if scales is None else np.asarray(scales)
        check_shape("Rest: parts", parts, (n,))
        check_shape("Rest: scales", scales, (n, 3))
        lanes, rows = (-(-k // LANES) * LANES, n) if device.is_cpu else (0, 0)
        rest = Rest(
            means=wp.clone(means),
            rotations=wp.zeros(n, dtype=quat, device=device),
            neighbors=neighbors,
            lengths=wp.zeros((n, k), dtype=dtype, device=device),
            weights=wp.zeros((n, k), dtype=dtype, device=device),
            reference_offsets=wp.zeros((n, k), dtype=vec3, device=device),
            reference_rotations=wp.zeros(n, dtype=quat, device=device),
            length_unit=length_unit,
            turns=wp.zeros(n, dtype=quat, device=device),
            adj_turns=wp.zeros(n, dtype=quat, device=device),
            lane_neighbors=wp.zeros((rows, lanes), dtype=wp.int32, device=device),
            lane_constants=wp.zeros((rows, 5, lanes), dtype=dtype, device=device),
            poses=wp.zeros((rows, 8), dtype=dtype, device=device),
            adj_poses=wp.zeros((rows, 8), dtype=dtype, device=device),
            energies=wp.zeros(rows, dtype=dtype, device=device),
            parts=wp.array(parts, dtype=wp.int32, device=device),
            scales=wp.array(scales, dtype=vec3, device=device),
            spacing=length_unit,
            step=wp.zeros(1, dtype=wp.int32, device=device),
            world_from_rest=world_from_rest or Similarity(),
        )
        kernels, constant = rest_kernels(dtype), {"device": device, "record_tape": False}
        wp.launch(kernels.lengths, (n, k), [rest.means, neighbors], [rest.lengths], **constant)
        wp.launch(kernels.weights, (n, k), [rest.lengths, weight_sigma], [rest.weights], **constant)
        rest.set_reference(means, rotations)
        wp.copy(rest.rotations, rest.reference_rotations)
        median = float(np.median(rest.lengths.numpy())) if neighbors.size else 0.0
        return replace(rest, spacing=median) if median > 0.0 else rest

    def advance(self) -> None:
        """Count a step. One launch."""
        wp.launch(advance_kernel, 1, [], [self.step], device=self.step.device, record_tape=False)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` returned when this key was first asked for: memory of a prior's own, made once.

        Priors may not allocate from the second call on, since their launches are recorded. ``key`` begins with the
        prior, so that two of them do not share.
        """
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]

    def derived(self, key: Hashable, make: Callable[[], T], fill: Callable[[T], None]) -> T:
        """The same for what follows from pairs and reference: ``fill`` computes it now and whenever they change."""
        if key not in self.memory:
            made = self.once(key, make)
            self.derivations[key] = lambda: fill(made)
            fill(made)
        return self.memory[key]

    @property
    def dtype(self) -> type:
        """wp.float32 or wp.float64."""
        return self.lengths.dtype

    @property
    def pair_count(self) -> int:
        """Number of ordered pairs n k, at least 1: what the neighbor priors average over."""
        return max(self.neighbors.size, 1)

    def set_neighbors(self, neighbors: np.ndarray, weights: np.ndarray) -> None:
        """Hold on to other pairs, as they were at the first timestep, which becomes the reference.

        Args:
            neighbors: Index of each particle's neighbors, int32, shape [n, k] as before.
            weights: w_ij of each pair, shape [n, k].

        Raises:
            ValueError: Another shape, a neighbor that does not exist.
        """
        check_shape("Rest: neighbors", neighbors, self.neighbors.shape)
        check_shape("Rest: weights", weights, self.weights.shape)
        _check_neighbors(neighbors, self.means.size)
        self.neighbors.assign(neighbors)
        wp.launch(
            rest_kernels(self.dtype).lengths,
            self.neighbors.shape,
            [self.means, self.neighbors],
            [self.lengths],
            device=self.means.device,
            record_tape=False,
        )
        self.weights.assign(weights)
        self.set_reference(self.means, self.rotations)

    def set_reference(self, means: wp.array, rotations: wp.array) -> None:
        """Measure changes of pose from here on: the previous timestep in the paper's form, the first in ours.

        Args:
            means: Centers [m], world frame, shape [n].
            rotations: Quaternions, world from particle, shape [n]; need not be normalized.
        """
        wp.launch(
            rest_kernels(self.dtype).reference,
            self.means.size,
            [means, rotations, self.neighbors],
            [self.reference_offsets, self.reference_rotations],
            device=self.means.device,
            record_tape=False,
        )
        wp.launch(
            rest_kernels(self.dtype).lanes,
            self.lane_neighbors.shape,
            [self.neighbors, self.weights, self.lengths, self.reference_offsets],
            [self.lane_neighbors, self.lane_constants],
            device=self.means.device,
            record_tape=False,
        )
        for fill in self.derivations.values():
            fill()


def weight_sigma(falloff: float, *, square_root: bool) -> float:
    """Distance at which a pair's weight falls to exp(-1/2) [m], from the paper's lambda.

    Args:
        falloff: lambda [1/m^2]; 2000 in the paper.
        square_root: False for the paper's formula w = exp(-lambda d^2) (1.6 cm); True for what its code computes
            and its text says, the square root of that (2.2 cm).
    """
    if not falloff > 0.0:
        refuse("weight_sigma: falloff", "lambda > 0 [1/m^2]", falloff)
    return falloff**-0.5 if square_root else (2.0 * falloff) ** -0.5


def _check_neighbors(neighbors: np.ndarray, n: int) -> None:
    """Refuse indices outside the particles and particles that are their own neighbor."""
    if neighbors.size == 0:
        return
    if neighbors.min() < 0 or neighbors.max() >= n:
        refuse("Rest: neighbors", f"indices 0 to {n - 1}", f"{neighbors.min()} to {neighbors.max()}")
    own = np.flatnonzero((neighbors == np.arange(n)[:, None]).any(axis=1))
    if own.size:
        refuse("Rest: neighbors", "other particles", f"particle {own[0]} as its own neighbor")
