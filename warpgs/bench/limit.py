"""The limit of compositing on this core: the arithmetic of one splat over rows of pixels that lie in the first-level
cache, without anything that fetches, sorts or decides. Eight pixels at a time, in clang vector types.

The nanoseconds of one block of eight pixels, times the blocks inside the boxes of a scene's splats, are the limit that
compositing is compared with. A compositor that touches fewer blocks than those can be faster.
"""

from __future__ import annotations

import numpy as np
import warp as wp

SPLATS = 20_000
"""Splats that pass over the tile in one launch."""
DISTINCT = 64
"""Different ones among them."""
ROWS, BLOCKS_PER_ROW = 16, 2
"""What each of them covers: rows of two blocks of eight pixels, as most splats of a few pixels do."""
PLANE = 2048
"""Numbers of each plane of the tile."""
BLOCKS = SPLATS * ROWS * BLOCKS_PER_ROW
"""Blocks of one launch."""

_PRELUDE = """
#pragma clang fp contract(fast)
typedef float Real8 __attribute__((ext_vector_type(8), aligned(32)));
typedef int Int8 __attribute__((ext_vector_type(8)));
// Hides a constant from the compiler, which would fetch it from a pool at a 64-bit address for every block again.
auto hidden = [](auto constant) { volatile auto copy = constant; return copy; };
const Real8 lanes = hidden((Real8){0, 1, 2, 3, 4, 5, 6, 7});
const float ALPHA_MIN = hidden(1.0f / 255.0f), ALPHA_MAX = hidden(0.99f), T_MIN = hidden(1e-4f);
const float LOWEST = hidden(-126.0f), ONE = hidden(1.0f);
const float E0 = hidden(1.3333558e-3f), E1 = hidden(9.6181291e-3f), E2 = hidden(5.5504109e-2f);
const float E3 = hidden(2.4022651e-1f), E4 = hidden(6.9314718e-1f);
const Int8 SIGN = hidden((Int8)(int)0x80000000);
auto exp2 = [&](Real8 x) -> Real8 {
    x = x > LOWEST ? x : (Real8)LOWEST;
    const Real8 whole = __builtin_elementwise_roundeven(x), f = x - whole;
    const Real8 p = ((((E0 * f + E1) * f + E2) * f + E3) * f + E4) * f + ONE;
    return __builtin_bit_cast(Real8, __builtin_bit_cast(Int8, p) + (__builtin_convertvector(whole, Int8) << 23));
};
auto masked = [](Real8 x, Int8 mask) -> Real8 { return __builtin_bit_cast(Real8, __builtin_bit_cast(Int8, x) & mask); };
auto at = [](float* plane, int i) -> Real8& { return *(Real8*)(plane + i); };
alignas(64) float T[2048], A[2048], B[2048], C[2048], S[2048];
for (int i = 0; i < 2048; i++) {
    T[i] = 1.0f;
    A[i] = planes.data[i], B[i] = planes.data[2048 + i], C[i] = planes.data[4096 + i], S[i] = planes.data[6144 + i];
}
"""

_FORWARD = """
for (int k = 0; k < splat_count; k++) {
    const float* g = splats.data + (k & 63) * 8;
    const float a = g[0], red = g[3], green = g[4], blue = g[5];
    for (int y = 0; y < 16; y++) {
        const float dy = y - g[6], b = g[1] * dy, c = g[2] * dy * dy - 1.0f;
        #pragma clang loop unroll(full)
        for (int x = 0; x < 16; x += 8) {
            const int i = y * 64 + x;
            const Real8 t = at(T, i), dx = lanes + (x - g[7]);
            Real8 alpha = exp2((a * dx + b) * dx + c);
            alpha = alpha < ALPHA_MAX ? alpha : (Real8)ALPHA_MAX;
            const Real8 weight = t * alpha, next = t - weight;
            const Int8 seen = alpha >= ALPHA_MIN, live = next > T_MIN, drawn = seen & live;
            const Real8 share = masked(weight, drawn);
            at(A, i) += share * red;
            at(B, i) += share * green;
            at(C, i) += share * blue;
            const Real8 left = drawn ? next : t;
            at(T, i) = __builtin_bit_cast(Real8, __builtin_bit_cast(Int8, left) | (~live & seen & SIGN));
        }
    }
}
for (int i = 0; i < 1024; i++) out.data[i & 7] += T[i] + A[i] + B[i] + C[i];
"""

_BACKWARD = """
for (int k = 0; k < splat_count; k++) {
    const float* g = splats.data + (k & 63) * 8;
    const float a = g[0], red = g[3], green = g[4], blue = g[5];
    Real8 s0 = 0, s1 = 0, s2 = 0, sxx = 0, sxy = 0, syy = 0, d0 = 0, d1 = 0, d2 = 0;
    for (int y = 0; y < 16; y++) {
        const float dy = y - g[6], b = g[1] * dy, c = g[2] * dy * dy - 1.0f;
        Real8 r0 = 0, r1 = 0;
        #pragma clang loop unroll(full)
        for (int x = 0; x < 16; x += 8) {
            const int i = y * 64 + x;
            const Real8 t = at(T, i), dx = lanes + (x - g[7]);
            const Real8 e = exp2((a * dx + b) * dx + c), alpha = e < ALPHA_MAX ? e : (Real8)ALPHA_MAX;
            const Real8 weight = t * alpha, next = t - weight;
            const Int8 seen = alpha >= ALPHA_MIN, live = next > T_MIN, drawn = seen & live;
            const Real8 share = masked(weight, drawn), v0 = at(A, i), v1 = at(B, i), v2 = at(C, i);
            const Real8 pull = red * v0 + (green * v1 + blue * v2), behind = at(S, i) - share * pull;
            at(S, i) = behind;
            const Real8 adj_alpha = t * pull - behind / (ONE - alpha);
            const Real8 power = masked(alpha * adj_alpha, drawn & (e < ALPHA_MAX)), px = power * dx;
            d0 += share * v0, d1 += share * v1, d2 += share * v2;
            r0 += power, r1 += px, sxx += px * dx;
            const Real8 left = drawn ? next : t;
            at(T, i) = __builtin_bit_cast(Real8, __builtin_bit_cast(Int8, left) | (~live & seen & SIGN));
        }
        const Real8 ry = r0 * dy;
        s0 += r0, s1 += r1, s2 += ry, syy += ry * dy, sxy += r1 * dy;
    }
    const Real8 all = s0 + s1 + s2 + sxx + sxy + syy + d0 + d1 + d2;
    for (int i = 0; i < 8; i++) out.data[i] += all[i];
}
"""


@wp.func_native(_PRELUDE + _FORWARD)
def pass_forward(splats: wp.array[float], planes: wp.array[float], splat_count: int, out: wp.array[float]): ...


@wp.func_native(_PRELUDE + _BACKWARD)
def pass_backward(splats: wp.array[float], planes: wp.array[float], splat_count: int, out: wp.array[float]): ...


@wp.kernel(enable_backward=False)
def limit_forward_kernel(
    # inputs
    splats: wp.array[float],
    planes: wp.array[float],
    splat_count: int,
    # outputs
    out: wp.array[float],
):
    pass_forward(splats, planes, splat_count, out)


@wp.kernel(enable_backward=False)
def limit_backward_kernel(
    # inputs
    splats: wp.array[float],
    planes: wp.array[float],
    splat_count: int,
    # outputs
    out: wp.array[float],
):
    pass_backward(splats, planes, splat_count, out)


class Limit:
    """The two loops, ready to be timed on the CPU: each call is ``BLOCKS`` blocks."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        splats = rng.random((DISTINCT, 8))
        # curvatures of a few pixels in powers of two, colors, and a center inside the rows
        splats[:, [0, 2]] = -0.01 * (0.5 + splats[:, [0, 2]])
        splats[:, 1] *= 0.002
        splats[:, 6] *= ROWS
        splats[:, 7] *= 8
        self._splats = wp.array(splats.ravel(), dtype=float, device="cpu")
        self._planes = wp.array(rng.random(4 * PLANE), dtype=float, device="cpu")
        self._out = wp.zeros(8, dtype=float, device="cpu")

    def forward(self) -> None:
        """One pass of all splats over the rows."""
        self._launch(limit_forward_kernel)

    def backward(self) -> None:
        """The same with the nine sums of the gradient."""
        self._launch(limit_backward_kernel)

    def _launch(self, kernel: wp.Kernel) -> None:
        inputs = [self._splats, self._planes, SPLATS]
        wp.launch(kernel, 1, inputs, [self._out], device="cpu", record_tape=False)
