"""Poses as USD stores them: chosen particles of an instant, and where particles stand in the frame of a part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from usd_export.form import scales

EXTENT_SIGMAS = 3.0
"""Standard deviations inside the extent: what is outside weighs less than 0.012 of the opacity."""

INSTANTS = 32
"""Instants over which a pose in the frame of a part is averaged: enough for a fifth of the noise of one."""

ROUNDS = 8
"""Most reweightings in that average."""

AT_ONCE = 1 << 14
"""Particles that are averaged together: bounds the memory."""

SETTLED = 0.01
"""Share of the noise within which an average may still move when it is done."""

TURN_NOISE = 0.01
"""Distance of quaternions that counts as noise."""


@dataclass(frozen=True, eq=False)
class Pose:
    """Particles at an instant, in the order of the prim that holds them."""

    positions: np.ndarray
    """Centers [m], shape [n, 3], float32."""
    orientations_xyzw: np.ndarray
    """USD's order in memory, though its text and its Python constructor are w, x, y, z; shape [n, 4], float32."""
    extent: np.ndarray
    """Axis-aligned box [m] around the 3 sigma ellipsoids, shape [2, 3], float32."""


@wp.kernel(enable_backward=False)
def gather_kernel(
    # inputs
    means: wp.array[wp.vec3],
    rotations_wxyz: wp.array[wp.vec4],
    ids: wp.array[wp.int32],
    scales: wp.array[wp.vec3],
    radii: wp.array[float],
    sigmas: float,
    # outputs
    positions: wp.array[wp.vec3],
    orientations_xyzw: wp.array[wp.vec4],
    box: wp.array[wp.vec3],
):
    box_low = wp.vec3(wp.inf, wp.inf, wp.inf)
    box_high = -box_low
    for i in range(ids.shape[0]):  # by one thread: a box that holds most particles soon is seldom widened
        p = means[ids[i]]
        r = rotations_wxyz[ids[i]]
        positions[i] = p
        orientations_xyzw[i] = wp.vec4(r[1], r[2], r[3], r[0])
        # The box so far holds the sphere around most.
        if wp.min(wp.min(p - box_low), wp.min(box_high - p)) < radii[i]:
            s = scales[i]
            # An ellipsoid R S reaches sqrt(sum_j (R_kj s_j)^2) along world axis k.
            axes = wp.quat_to_matrix(wp.normalize(wp.quat(r[1], r[2], r[3], r[0])))
            x = wp.cw_mul(axes[0], s)
            y = wp.cw_mul(axes[1], s)
            z = wp.cw_mul(axes[2], s)
            reach = sigmas * wp.vec3(wp.length(x), wp.length(y), wp.length(z))
            box_low = wp.min(box_low, p - reach)
            box_high = wp.max(box_high, p + reach)
    box[0] = box_low
    box[1] = box_high


class Gather:
    """Reads the poses of the same particles, instant after instant, into the same arrays."""

    def __init__(self, ids: np.ndarray, log_scales: np.ndarray) -> None:
        """``ids``: indices into the tracks, shape [n]; ``log_scales``: those of all particles of the tracks."""
        self._ids = wp.array(ids.astype(np.int32), dtype=wp.int32, device="cpu")
        sizes = scales(log_scales[ids])
        self._scales = wp.array(sizes, dtype=wp.vec3, device="cpu")
        self._radii = wp.array(EXTENT_SIGMAS * sizes.max(axis=1), dtype=float, device="cpu")
        self._box = wp.empty(2, dtype=wp.vec3, device="cpu")
        self._positions = wp.empty(len(ids), dtype=wp.vec3, device="cpu")
        self._orientations_xyzw = wp.empty(len(ids), dtype=wp.vec4, device="cpu")

    def __call__(self, means: np.ndarray, rotations_wxyz: np.ndarray) -> Pose:
        """The pose at an instant, until the next; means and rotations are those of all particles, shapes [m, 3] and
        [m, 4]."""
        poses = [_array(means, wp.vec3), _array(rotations_wxyz, wp.vec4)]
        inputs = [*poses, self._ids, self._scales, self._radii, EXTENT_SIGMAS]
        outputs = [self._positions, self._orientations_xyzw, self._box]
        wp.launch(gather_kernel, 1, inputs, outputs, device="cpu")
        box = self._box.numpy().copy()
        # Outwards by the rounding of the sums above: it must not cut into an ellipsoid.
        slack = 4.0 * np.finfo(np.float32).eps * np.maximum(np.abs(box).max(), np.ptp(box, axis=0))
        box += np.array([[-1.0], [1.0]], np.float32) * slack.astype(np.float32)
        return Pose(self._positions.numpy(), self._orientations_xyzw.numpy(), box)


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
    # scratch
    seen_means: wp.array2d[wp.vec3],
    seen_turns: wp.array2d[wp.quat],
    # outputs
    local_means: wp.array[wp.vec3],
    local_rotations: wp.array[wp.quat],
):
    i = wp.tid()
    count = int(0)
    for s in range(instants.shape[0]):
        if births[i] <= instants[s] or s == instants.shape[0] - 1:
            back = wp.quat_inverse(rotations[s])
            r = rotations_wxyz[instants[s], ids[i]]
            q = back * wp.normalize(wp.quat(r[1], r[2], r[3], r[0]))
            seen_means[count, i] = wp.quat_rotate(back, means[instants[s], ids[i]] - translations[s])
            seen_turns[count, i] = q
            count += 1
    first_mean = seen_means[0, i]  # sums are of differences from the first: what stands still stays as it is
    first_turn = seen_turns[0, i]
    mean = first_mean
    turn = first_turn  # it also says which of q and -q is meant
    for k in range(wp.static(ROUNDS)):
        sum_mean = wp.vec3()
        sum_turn = wp.quat(0.0, 0.0, 0.0, 0.0)
        weight = float(0.0)
        weight_turn = float(0.0)
        for s in range(count):
            x = seen_means[s, i]
            q = seen_turns[s, i]
            if wp.dot(q, turn) < 0.0:
                q = -q
            w = float(1.0)
            w_turn = float(1.0)
            if k > 0:
                w = 1.0 / wp.sqrt(wp.length_sq(x - mean) + noise * noise)
                w_turn = 1.0 / wp.sqrt(wp.length_sq(q - turn) + wp.static(TURN_NOISE**2))
            sum_mean += w * (x - first_mean)
            weight += w
            sum_turn += w_turn * (q - first_turn)
            weight_turn += w_turn
        old_mean = mean
        old_turn = turn
        mean = first_mean + sum_mean / weight
        turn = wp.normalize(first_turn + sum_turn / weight_turn)
        settled = wp.length(mean - old_mean) <= wp.static(SETTLED) * noise
        if k > 0 and settled and wp.length(turn - old_turn) <= wp.static(SETTLED * TURN_NOISE):
            break
    local_means[i] = mean
    local_rotations[i] = turn


def pose_in_part(
    means: np.ndarray,
    rotations_wxyz: np.ndarray,
    ids: np.ndarray,
    births: np.ndarray,
    world_from_part: np.ndarray,
    noise: float,
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

    Returns:
        Centers [m], shape [n, 3], and unit quaternions w, x, y, z, shape [n, 4], in the part's frame, float32.
    """
    instants = np.unique(np.linspace(births.min(), len(means) - 1, INSTANTS).round().astype(np.int32))
    turns_xyzw = Rotation.from_matrix(world_from_part[instants, :3, :3]).as_quat()
    frames = [
        wp.array(instants, dtype=wp.int32, device="cpu"),
        wp.array(world_from_part[instants, :3, 3].astype(np.float32), dtype=wp.vec3, device="cpu"),
        wp.array(turns_xyzw.astype(np.float32), dtype=wp.quat, device="cpu"),
        max(noise, 1e-6),
    ]
    local_means, local_rotations_xyzw = np.empty((len(ids), 3), np.float32), np.empty((len(ids), 4), np.float32)
    sightings = [_array(means, wp.vec3), _array(rotations_wxyz, wp.vec4)]
    for low in range(0, len(ids), AT_ONCE):
        part = slice(low, low + AT_ONCE)
        count = len(ids[part])
        who = [wp.array(a[part].astype(np.int32), dtype=wp.int32, device="cpu") for a in (ids, births)]
        scratch = [wp.empty((len(instants), count), dtype=kind, device="cpu") for kind in (wp.vec3, wp.quat)]
        outputs = [_array(local_means[part], wp.vec3), _array(local_rotations_xyzw[part], wp.quat)]
        wp.launch(average_kernel, count, [*sightings, *who, *frames, *scratch], outputs, device="cpu")
    return local_means, np.ascontiguousarray(np.roll(local_rotations_xyzw, 1, axis=1))


def _array(values: np.ndarray, dtype: type) -> wp.array:
    """The same memory, where it is in order."""
    return wp.array(np.ascontiguousarray(values), dtype=dtype, device="cpu", copy=False)
