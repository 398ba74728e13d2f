"""Poses as USD stores them: chosen particles of an instant, and where particles stand in the frame of a part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from usd_export.form import scales

EXTENT_SIGMAS = 3.0
"""Standard deviations inside the extent: what is outside weighs less than 0.012 of the opacity."""

BLOCK = 1024
"""Particles that one thread visits, so that a box of all is a reduction of few boxes."""

INSTANTS = 32
"""Instants over which a pose in the frame of a part is averaged: enough for a fifth of the noise of one."""

ROUNDS = 8
"""Of reweighting in that average."""


@dataclass(frozen=True, eq=False)
class Pose:
    """Particles at an instant, in the order of the prim that holds them."""

    positions: np.ndarray
    """Centers [m], shape [n, 3], float32."""
    orientations_xyzw: np.ndarray
    """As USD keeps quaternions in memory, shape [n, 4], float32; its text and its Python constructor are w, x, y, z."""
    extent: np.ndarray
    """Axis-aligned box [m] around the 3 sigma ellipsoids, shape [2, 3], float32."""


@wp.kernel(enable_backward=False)
def gather_kernel(
    # inputs
    means: wp.array[wp.vec3],
    rotations_wxyz: wp.array[wp.vec4],
    ids: wp.array[wp.int32],
    scales: wp.array[wp.vec3],
    sigmas: float,
    # outputs
    positions: wp.array[wp.vec3],
    orientations_xyzw: wp.array[wp.vec4],
    low: wp.array[wp.vec3],
    high: wp.array[wp.vec3],
):
    block = wp.tid()
    box_low = wp.vec3(wp.inf, wp.inf, wp.inf)
    box_high = -box_low
    for i in range(block * wp.static(BLOCK), wp.min((block + 1) * wp.static(BLOCK), ids.shape[0])):
        p = means[ids[i]]
        r = rotations_wxyz[ids[i]]
        positions[i] = p
        orientations_xyzw[i] = wp.vec4(r[1], r[2], r[3], r[0])
        # An ellipsoid R S reaches sqrt(sum_j (R_kj s_j)^2) along world axis k.
        axes = wp.quat_to_matrix(wp.normalize(wp.quat(r[1], r[2], r[3], r[0])))
        s = scales[i]
        x = wp.cw_mul(axes[0], s)
        y = wp.cw_mul(axes[1], s)
        z = wp.cw_mul(axes[2], s)
        reach = sigmas * wp.vec3(wp.length(x), wp.length(y), wp.length(z))
        box_low = wp.min(box_low, p - reach)
        box_high = wp.max(box_high, p + reach)
    low[block] = box_low
    high[block] = box_high


class Gather:
    """Reads the poses of the same particles, instant after instant, into memory of its own."""

    def __init__(self, ids: np.ndarray, log_scales: np.ndarray, device: str) -> None:
        """``ids``: indices into the tracks, shape [n]; ``log_scales``: those of all particles of the tracks."""
        count, blocks = len(ids), -(-len(ids) // BLOCK)
        self._device = device
        self._ids = wp.array(ids.astype(np.int32), dtype=wp.int32, device=device)
        self._scales = wp.array(scales(log_scales[ids]), dtype=wp.vec3, device=device)
        self._positions = wp.empty(count, dtype=wp.vec3, device=device)
        self._orientations = wp.empty(count, dtype=wp.vec4, device=device)
        self._low, self._high = (wp.empty(blocks, dtype=wp.vec3, device=device) for _ in range(2))

    def __call__(self, means: np.ndarray, rotations_wxyz: np.ndarray) -> Pose:
        """The pose at an instant of all particles of the tracks, shapes [m, 3] and [m, 4]; valid until the next."""
        arrays = [_array(means, wp.vec3, self._device), _array(rotations_wxyz, wp.vec4, self._device)]
        outputs = [self._positions, self._orientations, self._low, self._high]
        inputs = [*arrays, self._ids, self._scales, EXTENT_SIGMAS]
        wp.launch(gather_kernel, self._low.size, inputs, outputs, device=self._device)
        box = np.stack([self._low.numpy().min(axis=0), self._high.numpy().max(axis=0)])
        # Outwards by the rounding of the sums above: it must not cut into an ellipsoid.
        slack = 4.0 * np.finfo(np.float32).eps * np.maximum(np.abs(box).max(), np.ptp(box, axis=0))
        box += np.array([[-1.0], [1.0]], np.float32) * slack.astype(np.float32)
        return Pose(self._positions.numpy(), self._orientations.numpy(), box)


@wp.kernel(enable_backward=False)
def average_kernel(
    # inputs
    means: wp.array2d[wp.vec3],
    rotations_wxyz: wp.array2d[wp.vec4],
    ids: wp.array[wp.int32],
    births: wp.array[wp.int32],
    instants: wp.array[wp.int32],
    translations: wp.array[wp.vec3],
    rotations: wp.array[wp.quat],
    noise: float,
    # outputs
    local_means: wp.array[wp.vec3],
    local_rotations: wp.array[wp.quat],
):
    i = wp.tid()
    particle = ids[i]
    last = instants.shape[0] - 1
    first_mean = wp.vec3()  # sums are of differences from the first: what stands still stays as it is
    first_turn = wp.quat()
    mean = wp.vec3()
    turn = wp.quat()
    for k in range(wp.static(ROUNDS)):
        sum_mean = wp.vec3()
        sum_turn = wp.quat(0.0, 0.0, 0.0, 0.0)
        weight = float(0.0)
        weight_turn = float(0.0)
        for s in range(instants.shape[0]):
            t = instants[s]
            if births[i] <= t or s == last:
                back = wp.quat_inverse(rotations[s])
                x = wp.quat_rotate(back, means[t, particle] - translations[s])
                r = rotations_wxyz[t, particle]
                q = back * wp.normalize(wp.quat(r[1], r[2], r[3], r[0]))
                if k == 0 and weight == 0.0:  # it also says which of q and -q is meant
                    first_mean = x
                    first_turn = q
                    turn = q
                if wp.dot(q, turn) < 0.0:
                    q = -q
                w = float(1.0)
                w_turn = float(1.0)
                if k > 0:
                    w = 1.0 / wp.sqrt(wp.length_sq(x - mean) + noise * noise)
                    w_turn = 1.0 / wp.sqrt(wp.length_sq(q - turn) + 1.0e-4)
                sum_mean += w * (x - first_mean)
                weight += w
                sum_turn += w_turn * (q - first_turn)
                weight_turn += w_turn
        mean = first_mean + sum_mean / weight
        turn = wp.normalize(first_turn + sum_turn / weight_turn)
    local_means[i] = mean
    local_rotations[i] = turn


def pose_in_part(
    means: np.ndarray,
    rotations_wxyz: np.ndarray,
    ids: np.ndarray,
    births: np.ndarray,
    world_from_part: np.ndarray,
    noise: float,
    device: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Where particles stand in the frame of a part that carries them.

    The average over time of their pose in that frame, reweighted so that instants at which a particle was lost hardly
    count: squares within ``noise`` and distances beyond (pseudo-Huber), which has one minimum.

    Args:
        means: Of all particles at all instants [m], world frame, shape [t, m, 3], float32.
        rotations_wxyz: World from particle, shape [t, m, 4], float32.
        ids: Particles of the part, shape [n].
        births: Index of the first instant of each, shape [n].
        world_from_part: Shape [t, 4, 4], float64; constant before the part exists.
        noise: Of the tracks [m].
        device: Where to compute.

    Returns:
        Centers [m], shape [n, 3], and unit quaternions w, x, y, z, shape [n, 4], in the part's frame, float32.
    """
    instants = np.unique(np.linspace(births.min(), len(means) - 1, INSTANTS).round().astype(np.int32))
    turns_xyzw = Rotation.from_matrix(world_from_part[instants, :3, :3]).as_quat()
    local_means = wp.empty(len(ids), dtype=wp.vec3, device=device)
    local_rotations = wp.empty(len(ids), dtype=wp.quat, device=device)
    inputs = [
        _array(means, wp.vec3, device),
        _array(rotations_wxyz, wp.vec4, device),
        wp.array(ids.astype(np.int32), dtype=wp.int32, device=device),
        wp.array(births.astype(np.int32), dtype=wp.int32, device=device),
        wp.array(instants, dtype=wp.int32, device=device),
        wp.array(world_from_part[instants, :3, 3].astype(np.float32), dtype=wp.vec3, device=device),
        wp.array(turns_xyzw.astype(np.float32), dtype=wp.quat, device=device),
        max(noise, 1e-6),
    ]
    wp.launch(average_kernel, len(ids), inputs, [local_means, local_rotations], device=device)
    return local_means.numpy(), np.ascontiguousarray(np.roll(local_rotations.numpy(), 1, axis=1))


def _array(values: np.ndarray, dtype: type, device: str) -> wp.array:
    """On the CPU the same memory."""
    return wp.array(np.ascontiguousarray(values), dtype=dtype, device=device, copy=False)
