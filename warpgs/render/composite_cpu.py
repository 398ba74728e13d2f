"""Tiles -> pixels and back, for the CPU: a tile of pixels stays in cache while its splats pass over it, eight pixels at
a time.

Written in clang vector types (``wp.func_native``), because Warp's own vectors of eight take twice as long. Every pixel
of a tile keeps its transmittance T; it is saturated ("stop here") when the next splat would bring T under 1e-4, and
then T is negative. The backward pass goes front to back once more and needs no stored weights: with S = v . (color
still to come), the derivative of a pixel by the alpha of a splat is T (v . c) - S / (1 - alpha). It writes one gradient
per (tile, splat) pair, so that tiles can run on any thread; ``reduce_pairs_kernel`` adds them up in a fixed order.
The twin for CUDA is composite_cuda.py; both are tested against the same float64 oracle.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.render.project import GRADIENT, RECORD

TILE_WIDTH = 64
TILE_HEIGHT = 32
"""[px] Measured: the fastest at 640x360 with 20k to 100k splats; all planes of a tile fit in the second-level cache."""

_EXP2_COEFFICIENTS = {
    # minimax polynomial of 2^f, |f| <= 1/2, relative error 2e-7
    wp.float32: (1.3333558e-3, 9.6181291e-3, 5.5504109e-2, 2.4022651e-1, 6.9314718e-1, 1.0),
    # Taylor series of 2^f to degree 13, relative error 1e-16, so that finite differences see no approximation
    wp.float64: (
        1.3691488853904e-12, 2.5678435993488e-11, 4.4455382718708e-10, 7.0549116208011e-9, 1.0178086009239e-7,
        1.3215486790144e-6, 1.5252733804060e-5, 1.5403530393382e-4, 1.3333558146428e-3, 9.6181291076285e-3,
        5.5504108664822e-2, 2.4022650695910e-1, 6.9314718055995e-1, 1.0,
    ),
}  # fmt: skip

_PRELUDE = """
#pragma clang fp contract(fast)
typedef $REAL Real;
typedef Real Real8 __attribute__((ext_vector_type(8), aligned(sizeof(Real))));
typedef Real Real4 __attribute__((ext_vector_type(4)));
typedef decltype(Real8() < Real8()) Bits8;  // int, or whichever long the compiler compares doubles to
enum { CHANNELS = $CHANNELS, RECORD = $RECORD, STRIDE = RECORD + CHANNELS, DEPTH = 8 };
enum { WIDTH = $TILE_WIDTH, HEIGHT = $TILE_HEIGHT, PIXELS = WIDTH * HEIGHT };
const Real LOG2E = (Real)1.4426950408889634;
const Real ALPHA_MIN = (Real)(1.0 / 255.0), ALPHA_MAX = (Real)0.99, T_MIN = (Real)1e-4;
const Bits8 SIGN = __builtin_bit_cast(Bits8, (Real8)(Real)-0.0);
const Real8 lanes = {0, 1, 2, 3, 4, 5, 6, 7};

auto exp2 = [&](Real8 x) -> Real8 {
    // clamped far below the alpha threshold, so that the exponent bits cannot wrap around
    x = __builtin_elementwise_max(x, (Real8)(Real)-30);
    Real8 whole = __builtin_elementwise_roundeven(x), f = x - whole;
    Real8 p = $POLYNOMIAL;
    const Bits8 exponent = __builtin_convertvector(whole, Bits8) << $MANTISSA;
    return __builtin_bit_cast(Real8, __builtin_bit_cast(Bits8, p) + exponent);
};
auto masked = [&](Real8 x, Bits8 mask) -> Real8 {
    return __builtin_bit_cast(Real8, __builtin_bit_cast(Bits8, x) & mask);
};
auto saturated = [&](const Real* T) -> bool {
    Real8 most = (Real8)(Real)0;
    for (int i = 0; i < PIXELS; i += 8) most = __builtin_elementwise_max(most, *(const Real8*)(T + i));
    return __builtin_reduce_max(most) <= T_MIN;
};

const int x0 = (tile % columns) * WIDTH, y0 = (tile / columns) * HEIGHT;
const int valid_columns = wp::min((int)WIDTH, width - x0), valid_rows = wp::min((int)HEIGHT, height - y0);
const int begin = starts.data[tile], end = starts.data[tile + 1];
const size_t plane = (size_t)width * height;

struct Box { int xa, xb, ya, yb; };
const Box tile_area = {0, valid_columns - 1, 0, valid_rows - 1};
auto box_of = [&](const Real* g, const Box& area) -> Box {
    // of a splat within the tile; aligned to blocks of eight pixels on the left, like every area
    const Real left = wp::max(g[0] - g[6] - x0, (Real)area.xa), right = wp::min(g[0] + g[6] - x0, (Real)area.xb);
    const Real top = wp::max(g[1] - g[7] - y0, (Real)area.ya), bottom = wp::min(g[1] + g[7] - y0, (Real)area.yb);
    return {(int)ceil(left) & ~7, (int)floor(right), (int)ceil(top), (int)floor(bottom)};
};

// With a backdrop, only pixels under the splats of this call are composited: the others are the backdrop's.
const bool has_backdrop = static_starts.shape[0] > 0;
const int static_end = has_backdrop ? static_starts.data[tile + 1] : 0;
int next_static = has_backdrop ? static_starts.data[tile] : 0;
Box area = tile_area;
if (has_backdrop) {
    area = {WIDTH, -1, HEIGHT, -1};
    for (int k = begin; k < end; k++) {
        const Box box = box_of(records.data + (size_t)pairs.data[k] * STRIDE, tile_area);
        area.xa = wp::min(area.xa, box.xa); area.xb = wp::max(area.xb, box.xb);
        area.ya = wp::min(area.ya, box.ya); area.yb = wp::max(area.yb, box.yb);
    }
}
auto static_is_nearer = [&](const Real* g) -> bool {
    if (next_static == static_end) return false;
    return static_records.data[(size_t)static_pairs.data[next_static] * STRIDE + DEPTH] < g[DEPTH];
};

alignas(64) Real T[PIXELS];
for (int i = 0; i < PIXELS; i++) T[i] = (Real)0;  // pixels outside the area count as saturated
for (int y = area.ya; y <= area.yb; y++) for (int x = area.xa; x <= area.xb; x++) T[y * WIDTH + x] = (Real)1;
"""

_FORWARD = """
alignas(64) Real C[CHANNELS][PIXELS];
for (int c = 0; c < CHANNELS; c++) for (int i = 0; i < PIXELS; i++) C[c][i] = (Real)0;
// the backdrop alone, in front of the splat at hand: what is behind follows from its finished picture
alignas(64) Real static_T[PIXELS];
alignas(64) Real static_C[CHANNELS][PIXELS];
bool split = false;

auto blend = [&](Real* t_at, Real (*c_at)[PIXELS], int i, Real8 alpha, const Real8* feature) {
    const Real8 t = *(Real8*)(t_at + i), weight = t * alpha, next = t - weight;
    const Bits8 hit = alpha >= ALPHA_MIN, live = next > T_MIN, drawn = hit & live;
    const Real8 w = masked(weight, drawn);
    for (int c = 0; c < CHANNELS; c++) *(Real8*)(c_at[c] + i) += w * feature[c];
    const Bits8 kept = __builtin_bit_cast(Bits8, drawn ? next : t) | (hit & ~live & SIGN);
    *(Real8*)(t_at + i) = __builtin_bit_cast(Real8, kept);
};

int count = 0;
for (int k = begin; k < end;) {
    if ((count++ & 15) == 15 && saturated(T)) break;
    const Real* g = records.data + (size_t)pairs.data[k] * STRIDE;
    const bool is_static = static_is_nearer(g);
    if (is_static) g = static_records.data + (size_t)static_pairs.data[next_static++] * STRIDE;
    else k++;
    if (has_backdrop && !is_static && !split) {
        split = true;
        for (int i = 0; i < PIXELS; i++) static_T[i] = T[i];
        for (int c = 0; c < CHANNELS; c++) for (int i = 0; i < PIXELS; i++) static_C[c][i] = C[c][i];
    }
    const bool both = is_static && split;
    const Box box = box_of(g, area);
    Real8 feature[CHANNELS];
    for (int c = 0; c < CHANNELS; c++) feature[c] = (Real8)g[RECORD + c];
    const Real8 quadratic = (Real8)((Real)-0.5 * LOG2E * g[2]);
    for (int y = box.ya; y <= box.yb; y++) {
        const Real dy = (Real)(y + y0) - g[1];
        const Real8 linear = (Real8)(-LOG2E * g[3] * dy);
        const Real8 constant = (Real8)(g[5] - (Real)0.5 * LOG2E * g[4] * dy * dy);
        for (int x = box.xa; x <= box.xb; x += 8) {
            const int i = y * WIDTH + x;
            const Real8 dx = lanes + ((Real)(x + x0) - g[0]);
            const Real8 bare = exp2((quadratic * dx + linear) * dx + constant);
            const Real8 alpha = __builtin_elementwise_min(bare, (Real8)ALPHA_MAX);
            blend(T, C, i, alpha, feature);
            if (both) blend(static_T, static_C, i, alpha, feature);
        }
    }
}

for (int y = 0; y < valid_rows; y++) {
    const size_t row = (size_t)(y + y0) * width + x0;
    if (!has_backdrop) {
        for (int x = 0; x < valid_columns; x++) transmittance.data[row + x] = wp::abs(T[y * WIDTH + x]);
        for (int c = 0; c < CHANNELS; c++)
            for (int x = 0; x < valid_columns; x++) image.data[c * plane + row + x] = C[c][y * WIDTH + x];
        continue;
    }
    // share of the backdrop's light that still comes through; at most 1, so nothing is amplified
    Real passed[WIDTH];
    const bool inside_row = split && y >= area.ya && y <= area.yb;
    for (int x = 0; x < valid_columns; x++) {
        const int i = y * WIDTH + x;
        const bool inside = inside_row && x >= area.xa && x <= area.xb;
        passed[x] = !inside ? (Real)1 : T[i] > 0 ? T[i] / wp::abs(static_T[i]) : (Real)0;
        transmittance.data[row + x] = passed[x] * static_transmittance.data[row + x];
    }
    for (int c = 0; c < CHANNELS; c++)
        for (int x = 0; x < valid_columns; x++) {
            const Real whole = static_image.data[c * plane + row + x];
            const bool inside = inside_row && x >= area.xa && x <= area.xb;
            const int i = y * WIDTH + x;
            image.data[c * plane + row + x] = inside ? C[c][i] + passed[x] * (whole - static_C[c][i]) : whole;
        }
}
"""

_BACKWARD = """
enum { GRADIENT = $GRADIENT };
// behind the last splat that wants a gradient there is nothing to learn: S already holds what follows
int last = end - 1;
while (last >= begin && pairs.data[last] >= active_count) last--;
for (int k = begin; k < end; k++) {
    if (pairs.data[k] >= active_count) continue;
    Real* gradient = pair_gradients.data + (size_t)k * (GRADIENT + CHANNELS);
    for (int c = 0; c < GRADIENT + CHANNELS; c++) gradient[c] = (Real)0;
}
if (last < begin) return;

alignas(64) Real S[PIXELS];
alignas(64) Real V[CHANNELS][PIXELS];
for (int i = 0; i < PIXELS; i++) S[i] = (Real)0;
for (int c = 0; c < CHANNELS; c++) for (int i = 0; i < PIXELS; i++) V[c][i] = (Real)0;
for (int y = area.ya; y <= area.yb; y++) {
    const size_t row = (size_t)(y + y0) * width + x0;
    for (int c = 0; c < CHANNELS; c++)
        for (int x = area.xa; x <= area.xb; x++) {
            const Real v = image_gradient.data[c * plane + row + x];
            V[c][y * WIDTH + x] = v;
            S[y * WIDTH + x] += v * image.data[c * plane + row + x];
        }
}

int count = 0;
for (int k = begin; k <= last;) {
    if ((count++ & 15) == 15 && saturated(T)) break;
    const int splat = pairs.data[k];
    const Real* g = records.data + (size_t)splat * STRIDE;
    const bool is_static = static_is_nearer(g), active = !is_static && splat < active_count;
    Real* adj = pair_gradients.data + (size_t)k * (GRADIENT + CHANNELS);
    if (is_static) g = static_records.data + (size_t)static_pairs.data[next_static++] * STRIDE;
    else k++;
    const Box box = box_of(g, area);
    Real8 feature[CHANNELS], adj_feature[CHANNELS];
    for (int c = 0; c < CHANNELS; c++) { feature[c] = (Real8)g[RECORD + c]; adj_feature[c] = (Real8)(Real)0; }
    const Real8 quadratic = (Real8)((Real)-0.5 * LOG2E * g[2]), zero = (Real8)(Real)0;
    // moments of (alpha dL/dalpha) over the pixels of the splat
    Real8 m0 = zero, mx = zero, my = zero, mxx = zero, mxy = zero, myy = zero;
    for (int y = box.ya; y <= box.yb; y++) {
        const Real dy = (Real)(y + y0) - g[1];
        const Real8 linear = (Real8)(-LOG2E * g[3] * dy);
        const Real8 constant = (Real8)(g[5] - (Real)0.5 * LOG2E * g[4] * dy * dy);
        Real8 row0 = zero, row_x = zero;
        for (int x = box.xa; x <= box.xb; x += 8) {
            const int i = y * WIDTH + x;
            const Real8 t = *(Real8*)(T + i), dx = lanes + ((Real)(x + x0) - g[0]);
            const Real8 bare = exp2((quadratic * dx + linear) * dx + constant);
            const Real8 alpha = __builtin_elementwise_min(bare, (Real8)ALPHA_MAX);
            const Real8 weight = t * alpha, next = t - weight;
            const Bits8 hit = alpha >= ALPHA_MIN, live = next > T_MIN, drawn = hit & live;
            const Real8 w = masked(weight, drawn);
            Real8 vc = *(Real8*)(V[0] + i) * feature[0];
            for (int c = 1; c < CHANNELS; c++) vc += *(Real8*)(V[c] + i) * feature[c];
            const Real8 rest = *(Real8*)(S + i) - w * vc;
            *(Real8*)(S + i) = rest;
            const Bits8 kept = __builtin_bit_cast(Bits8, drawn ? next : t) | (hit & ~live & SIGN);
            *(Real8*)(T + i) = __builtin_bit_cast(Real8, kept);
            if (!active) continue;
            const Real8 adj_alpha = t * vc - rest / ((Real)1 - alpha);
            const Real8 e = masked(alpha * adj_alpha, drawn & (bare < ALPHA_MAX));
            for (int c = 0; c < CHANNELS; c++) adj_feature[c] += w * *(Real8*)(V[c] + i);
            const Real8 ex = e * dx;
            row0 += e; row_x += ex; mxx += ex * dx;
        }
        m0 += row0; mx += row_x; mxy += row_x * dy;
        const Real8 row_y = row0 * dy;
        my += row_y; myy += row_y * dy;
    }
    if (!active) continue;
    auto sum = [](Real8 v) -> Real { Real4 h = v.lo + v.hi; return (h.x + h.y) + (h.z + h.w); };
    const Real sx = sum(mx), sy = sum(my);
    adj[0] = g[2] * sx + g[3] * sy;
    adj[1] = g[3] * sx + g[4] * sy;
    adj[2] = (Real)-0.5 * sum(mxx);
    adj[3] = -sum(mxy);
    adj[4] = (Real)-0.5 * sum(myy);
    adj[5] = sum(m0);
    for (int c = 0; c < CHANNELS; c++) adj[GRADIENT + c] = sum(adj_feature[c]);
}
"""


def _snippet(body: str, dtype: type, channels: int) -> str:
    double = dtype is wp.float64
    polynomial = "(Real8)(Real)" + repr(_EXP2_COEFFICIENTS[dtype][0])
    for coefficient in _EXP2_COEFFICIENTS[dtype][1:]:
        polynomial = f"({polynomial}) * f + (Real){coefficient!r}"
    values = {
        "REAL": "double" if double else "float",
        "MANTISSA": 52 if double else 23,
        "POLYNOMIAL": polynomial,
        "CHANNELS": channels,
        "RECORD": RECORD,
        "GRADIENT": GRADIENT,
        "TILE_WIDTH": TILE_WIDTH,
        "TILE_HEIGHT": TILE_HEIGHT,
    }
    text = _PRELUDE + body
    for name, value in values.items():
        text = text.replace("$" + name, str(value))
    return "{" + text + "}"


@cache
def composite_kernels(dtype: type, channels: int) -> SimpleNamespace:
    """Forward, backward and reduction kernels for numbers of ``dtype`` and ``channels`` channels."""
    real = dtype

    @wp.func_native(_snippet(_FORWARD, dtype, channels))
    def composite_tile(
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        static_starts: wp.array(dtype=wp.int32),
        static_pairs: wp.array(dtype=wp.int32),
        static_records: wp.array2d(dtype=real),
        columns: int,
        width: int,
        height: int,
        static_image: wp.array3d(dtype=real),
        static_transmittance: wp.array2d(dtype=real),
        image: wp.array3d(dtype=real),
        transmittance: wp.array2d(dtype=real),
        tile: int,
    ): ...

    # named *_gradients: Warp declares an adj_ twin of every argument of a native function
    @wp.func_native(_snippet(_BACKWARD, dtype, channels))
    def composite_tile_adjoint(
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        active_count: int,
        static_starts: wp.array(dtype=wp.int32),
        static_pairs: wp.array(dtype=wp.int32),
        static_records: wp.array2d(dtype=real),
        columns: int,
        width: int,
        height: int,
        image: wp.array3d(dtype=real),
        image_gradient: wp.array3d(dtype=real),
        pair_gradients: wp.array2d(dtype=real),
        tile: int,
    ): ...

    @wp.kernel(module="unique", enable_backward=False)
    def composite_kernel(
        # inputs
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        static_starts: wp.array(dtype=wp.int32),
        static_pairs: wp.array(dtype=wp.int32),
        static_records: wp.array2d(dtype=real),
        columns: int,
        width: int,
        height: int,
        static_image: wp.array3d(dtype=real),
        static_transmittance: wp.array2d(dtype=real),
        first_tile: int,
        # outputs
        image: wp.array3d(dtype=real),
        transmittance: wp.array2d(dtype=real),
    ):
        tile = first_tile + wp.tid()
        composite_tile(
            starts, pairs, records, static_starts, static_pairs, static_records, columns, width, height,
            static_image, static_transmittance, image, transmittance, tile,
        )  # fmt: skip

    @wp.kernel(module="unique", enable_backward=False)
    def composite_adjoint_kernel(
        # inputs
        starts: wp.array(dtype=wp.int32),
        pairs: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        active_count: int,
        static_starts: wp.array(dtype=wp.int32),
        static_pairs: wp.array(dtype=wp.int32),
        static_records: wp.array2d(dtype=real),
        columns: int,
        width: int,
        height: int,
        image: wp.array3d(dtype=real),
        adj_image: wp.array3d(dtype=real),
        first_tile: int,
        # outputs
        adj_pairs: wp.array2d(dtype=real),
    ):
        tile = first_tile + wp.tid()
        composite_tile_adjoint(
            starts, pairs, records, active_count, static_starts, static_pairs, static_records, columns, width, height,
            image, adj_image, adj_pairs, tile,
        )  # fmt: skip

    @wp.kernel(module="unique", enable_backward=False)
    def reduce_pairs_kernel(
        # inputs
        pairs: wp.array(dtype=wp.int32),
        pair_count: int,
        active_count: int,
        adj_pairs: wp.array2d(dtype=real),
        # outputs
        adj_records: wp.array2d(dtype=real),
    ):
        for i in range(active_count):
            for c in range(wp.static(GRADIENT + channels)):
                adj_records[i, c] = real(0.0)
        for k in range(pair_count):
            splat = pairs[k]
            if splat < active_count:
                for c in range(wp.static(GRADIENT + channels)):
                    adj_records[splat, c] = adj_records[splat, c] + adj_pairs[k, c]

    return SimpleNamespace(forward=composite_kernel, adjoint=composite_adjoint_kernel, reduce=reduce_pairs_kernel)
