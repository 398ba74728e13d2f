"""Rigidity, rotation and isometry of all pairs for the CPU, eight neighbors of a particle at a time.

Written in clang vector types (``wp.func_native``). Poses and their gradients lie in rows of eight numbers, so that a
neighbor is one load and one store; rows of eight neighbors are transposed on the way in and on the way out. The twin
for CUDA is ``pairs_kernel`` in fused.py, whose energies these are.
"""

from functools import cache

import warp as wp

from warpgs.math.lanes import LANES, lanes
from warpgs.priors.rest import TINY

_PAIRS = (
    LANES
    + """
const Real8 tiny = (Real8)(Real)$TINY;
const Real* pose = poses.data + (size_t)i * 8;
const int* neighbor = lane_neighbors.data + (size_t)i * lanes;
const Real* constants = lane_constants.data + (size_t)i * 5 * lanes;
const Real qx = pose[4], qy = pose[5], qz = pose[6], qw = pose[7];
// rows of the matrix of the turn
const Real xx = 1 - 2 * (qy * qy + qz * qz), xy = 2 * (qx * qy - qz * qw), xz = 2 * (qx * qz + qy * qw);
const Real yx = 2 * (qx * qy + qz * qw), yy = 1 - 2 * (qx * qx + qz * qz), yz = 2 * (qy * qz - qx * qw);
const Real zx = 2 * (qx * qz - qy * qw), zy = 2 * (qy * qz + qx * qw), zz = 1 - 2 * (qx * qx + qy * qy);

// sums over neighbors: force, energy; gradient of the own turn; moment
Rows own = {zero, zero, zero, zero, zero, zero, zero, zero};
Real8 mx = zero, my = zero, mz = zero;
for (int j = 0; j < lanes; j += 8) {
    Rows rows;
    for (int k = 0; k < 8; k++) rows.r[k] = load(poses.data + (size_t)neighbor[j + k] * 8);
    const Rows there = transposed(rows);
    const Real8 weight = load(constants + j), length = load(constants + lanes + j);
    const Real8 rx = load(constants + 2 * lanes + j), ry = load(constants + 3 * lanes + j);
    const Real8 rz = load(constants + 4 * lanes + j);
    const Real8 ox = there.r[0] - pose[0], oy = there.r[1] - pose[1], oz = there.r[2] - pose[2];

    const Real8 ex = ox - (xx * rx + xy * ry + xz * rz), ey = oy - (yx * rx + yy * ry + yz * rz);
    const Real8 ez = oz - (zx * rx + zy * ry + zz * rz);
    const Real8 bend = root(ex * ex + ey * ey + ez * ez), bend_weight = rigidity * weight;
    const Real8 bend_slope = bend_weight / __builtin_elementwise_max(bend, tiny);
    Real8 gx = ex * bend_slope, gy = ey * bend_slope, gz = ez * bend_slope;
    mx += oy * gz - oz * gy;
    my += oz * gx - ox * gz;
    mz += ox * gy - oy * gx;

    const Real8 distance = root(ox * ox + oy * oy + oz * oz), stretch = distance - length;
    const Real8 pull = isometry * weight;
    const Real8 pull_slope = (stretch > zero ? pull : stretch < zero ? -pull : zero)
                             / __builtin_elementwise_max(distance, tiny);
    gx += ox * pull_slope; gy += oy * pull_slope; gz += oz * pull_slope;

    const Real8 *q = there.r + 4;
    const Real8 same = q[0] * qx + q[1] * qy + q[2] * qz + q[3] * qw;
    const Real8 sign = same < zero ? (Real8)(Real)-1 : (Real8)(Real)1;
    const Real8 tx = q[0] * sign - qx, ty = q[1] * sign - qy, tz = q[2] * sign - qz, tw = q[3] * sign - qw;
    const Real8 twist = root(tx * tx + ty * ty + tz * tz + tw * tw), twist_weight = rotation * weight;
    const Real8 twist_slope = twist_weight / __builtin_elementwise_max(twist, tiny);
    const Real8 hx = tx * twist_slope, hy = ty * twist_slope, hz = tz * twist_slope, hw = tw * twist_slope;

    own.r[0] += gx; own.r[1] += gy; own.r[2] += gz;
    own.r[3] += bend_weight * bend + pull * __builtin_elementwise_abs(stretch) + twist_weight * twist;
    own.r[4] -= hx; own.r[5] -= hy; own.r[6] -= hz; own.r[7] -= hw;
    const Rows others = transposed({gx, gy, gz, zero, hx * sign, hy * sign, hz * sign, hw * sign});
    for (int k = 0; k < 8; k++) {
        Real* at = pose_gradients.data + (size_t)neighbor[j + k] * 8;
        *(Real8*)at = load(at) + others.r[k];
    }
}
const Rows sums = transposed(own), moments = transposed({mx, my, mz, zero, zero, zero, zero, zero});
auto total = [](const Rows& rows) -> Real8 {
    const Real8* r = rows.r;
    return ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
};
const Real8 sum = total(sums), moment = total(moments);
// gradient of the turn by its torque, minus the moment: the quaternion (t, 0) times the turn, see torque_gradient
const Real tx = -2 * moment[0], ty = -2 * moment[1], tz = -2 * moment[2];
const Real8 torque = {0, 0, 0, 0, qw * tx + ty * qz - tz * qy, qw * ty + tz * qx - tx * qz, qw * tz + tx * qy - ty * qx,
                      -(tx * qx + ty * qy + tz * qz)};
Real* at = pose_gradients.data + (size_t)i * 8;
const Real8 force = {-sum[0], -sum[1], -sum[2], 0, sum[4], sum[5], sum[6], sum[7]};
*(Real8*)at = load(at) + force + torque;
energies.data[i] = sum[3];
"""
)


@cache
def lane_pairs_kernel(dtype: type) -> wp.Kernel:
    """The pass over pairs for numbers of ``dtype``; a launch has one thread per particle."""
    real = dtype
    rows = wp.array2d(dtype=real)
    text = "{" + lanes(_PAIRS.replace("$TINY", repr(TINY)), dtype) + "}"

    # named *_gradients: Warp declares an adj_ twin of every argument of a native function
    @wp.func_native(text)
    def lane_pairs(
        poses: rows, lane_neighbors: wp.array2d(dtype=wp.int32), lane_constants: wp.array3d(dtype=real), lanes: int,
        rigidity: real, rotation: real, isometry: real, pose_gradients: rows, energies: wp.array(dtype=real), i: int,
    ): ...  # fmt: skip

    @wp.kernel(module="unique", enable_backward=False)
    def lane_pairs_kernel(
        # inputs
        poses: rows,
        lane_neighbors: wp.array2d(dtype=wp.int32),
        lane_constants: wp.array3d(dtype=real),
        rigidity: real,
        rotation: real,
        isometry: real,
        # outputs
        adj_poses: rows,  # accumulated
        energies: wp.array(dtype=real),
    ):
        lanes = lane_neighbors.shape[1]
        lane_pairs(
            poses, lane_neighbors, lane_constants, lanes, rigidity, rotation, isometry, adj_poses, energies, wp.tid()
        )  # fmt: skip

    return lane_pairs_kernel
