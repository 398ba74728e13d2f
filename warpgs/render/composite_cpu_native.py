"""The C++ of composite_cpu.py, in clang vector types, because Warp's own vectors of eight take twice as long.

Each snippet is the body of a function of one tile: a prelude that all share, then what one of the passes does.
"""

from dataclasses import dataclass

import warp as wp

from warpgs.render.shade import GRADIENT, RECORD


@dataclass(frozen=True)
class Pass:
    """One way to go over the splats of a tile."""

    block: str
    """What it keeps of the eight pixels of a block; T is their transmittance."""
    body: str
    """What it does once the prelude has made the blocks and ``take``, which hands out splats front to back."""


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
typedef Real Real4 __attribute__((ext_vector_type(4), aligned(sizeof(Real))));
typedef int Int8 __attribute__((ext_vector_type(8)));
typedef decltype(Real8() < Real8()) Bits8;  // int, or whichever long the compiler compares doubles to
enum { CHANNELS = $CHANNELS, RECORD = $RECORD, STRIDE = RECORD + CHANNELS, DEPTH = 8 };
enum { COLUMNS = $TILE_WIDTH / 4, ROWS = $TILE_HEIGHT / 2, BLOCKS = COLUMNS * ROWS };  // of blocks in a tile
// Hides a constant from the compiler, which would fetch it from a pool at a 64-bit address for every block again: Warp
// compiles for a large code model.
auto hidden = [](auto constant) { volatile auto copy = constant; return copy; };
const Real LOG2E = (Real)1.4426950408889634;
const Real ALPHA_MIN = hidden((Real)(1.0 / 255.0)), ALPHA_MAX = hidden((Real)0.99), T_MIN = hidden((Real)1e-4);
const Real EXPONENT_MIN = hidden((Real)-30), EXP2[] = {$EXP2};
const Real8 lanes_x = hidden((Real8){0, 1, 2, 3, 0, 1, 2, 3}), lanes_y = {0, 0, 0, 0, 1, 1, 1, 1};
const Real8 zero = (Real8)(Real)0;
const Bits8 SIGN = hidden(__builtin_bit_cast(Bits8, (Real8)(Real)-0.0));

auto exp2 = [&](Real8 x) -> Real8 {
    // clamped far below the alpha threshold, so that the exponent bits cannot wrap around; by hand, because the builtin
    // asks for NaN
    x = x > EXPONENT_MIN ? x : EXPONENT_MIN;
    const Real8 whole = __builtin_elementwise_roundeven(x), f = x - whole;
    Real8 p = (Real8)EXP2[0];
    for (int i = 1; i < $DEGREE; i++) p = p * f + EXP2[i];
    const Bits8 exponent = __builtin_convertvector(whole, Bits8) << $MANTISSA;
    return __builtin_bit_cast(Real8, __builtin_bit_cast(Bits8, p) + exponent);
};
auto masked = [&](Real8 x, Bits8 mask) -> Real8 {
    return __builtin_bit_cast(Real8, __builtin_bit_cast(Bits8, x) & mask);
};
auto sum = [](Real8 x) -> Real {
    const Real4 h = x.lo + x.hi;
    return (h.x + h.y) + (h.z + h.w);
};

const int x0 = (tile % columns) * $TILE_WIDTH, y0 = (tile / columns) * $TILE_HEIGHT;
const int begin = starts.data[tile], end = starts.data[tile + 1];
const size_t plane = (size_t)width * height;

// All a pass knows of eight pixels lies together: with one plane per channel, the planes would evict each other from
// the first-level cache as soon as there are more than its ways.
$BLOCK
alignas(64) Block blocks[BLOCKS];

// First and last column, first and last row of blocks in the tile.
struct Box { int xa, xb, ya, yb; };
const Box tile_area = {
    0, (wp::min((int)$TILE_WIDTH, width - x0) - 1) >> 2, 0, (wp::min((int)$TILE_HEIGHT, height - y0) - 1) >> 1
};
auto box_of = [&](const Real* g, const Box& area) -> Box {
    const Real left = wp::max(g[0] - g[6] - x0, (Real)(4 * area.xa));
    const Real right = wp::min(g[0] + g[6] - x0, (Real)(4 * area.xb + 3));
    const Real top = wp::max(g[1] - g[7] - y0, (Real)(2 * area.ya));
    const Real bottom = wp::min(g[1] + g[7] - y0, (Real)(2 * area.yb + 1));
    return {
        (int)__builtin_elementwise_ceil(left) >> 2, (int)__builtin_elementwise_floor(right) >> 2,
        (int)__builtin_elementwise_ceil(top) >> 1, (int)__builtin_elementwise_floor(bottom) >> 1
    };
};

// Visits the blocks of a splat's box (block, x from the center, opacity times the Gaussian) and the end of each row.
auto over_blocks = [&](const Real* g, const Box& box, auto visit, auto end_row) {
    const Real8 xx = (Real8)((Real)-0.5 * LOG2E * g[2]), xy = (Real8)(-LOG2E * g[3]);
    const Real8 yy = (Real8)((Real)-0.5 * LOG2E * g[4]), log_opacity = (Real8)g[5];
    for (int row = box.ya; row <= box.yb; row++) {
        const Real8 dy = lanes_y + ((Real)(2 * row + y0) - g[1]);
        const Real8 linear = xy * dy, constant = yy * dy * dy + log_opacity;
        Real8 x = lanes_x + (Real)(4 * box.xa + x0);
#pragma clang loop unroll(disable)  // rows are two or three blocks long
        for (int column = box.xa; column <= box.xb; column++, x += (Real)4) {
            const Real8 dx = x - g[0];
            visit(row * COLUMNS + column, dx, exp2((xx * dx + linear) * dx + constant));
        }
        end_row(dy);
    }
};
auto no_end = [](Real8) {};

// Light goes through a splat, T is what is left of it. A pixel that the splat would bring under T_MIN stops before it.
struct Passage { Real8 alpha, weight; Bits8 live; };  // alpha is 0 below the threshold, weight where a pixel stopped
auto pass = [&](Real8& T, Real8 bare) -> Passage {
    const Real8 capped = bare < ALPHA_MAX ? bare : ALPHA_MAX, alpha = masked(capped, capped >= ALPHA_MIN);
    const Real8 weight = T * alpha, next = T - weight;
    const Bits8 live = next > T_MIN;
    T = live ? next : __builtin_bit_cast(Real8, __builtin_bit_cast(Bits8, T) | SIGN);
    return {alpha, masked(weight, live), live};
};

// Loads and stores of one plane of the picture; blocks may reach over its border.
auto is_whole = [&](int x, int y) -> bool { return x + 4 <= width && y + 2 <= height; };
auto in_picture = [&](int x, int y, int lane) -> bool { return x + (lane & 3) < width && y + (lane >> 2) < height; };
auto load = [&](const Real* from, int x, int y) -> Real8 {
    const Real* at = from + (size_t)y * width + x;
    Real8 value = zero;
    if (is_whole(x, y)) { value.lo = *(const Real4*)at; value.hi = *(const Real4*)(at + width); return value; }
    for (int i = 0; i < 8; i++) if (in_picture(x, y, i)) value[i] = at[(i >> 2) * width + (i & 3)];
    return value;
};
auto store = [&](auto* to, int x, int y, auto value) {
    auto* at = to + (size_t)y * width + x;
    const auto upper = value.lo, lower = value.hi;
    if (is_whole(x, y)) {
        __builtin_memcpy(at, &upper, sizeof(upper));
        __builtin_memcpy(at + width, &lower, sizeof(lower));
        return;
    }
    for (int i = 0; i < 8; i++) if (in_picture(x, y, i)) at[(i >> 2) * width + (i & 3)] = value[i];
};

// With a backdrop, only blocks under the splats of this call are composited: the others are the backdrop's.
const bool has_backdrop = static_starts.shape[0] > 0;
const int static_end = has_backdrop ? static_starts.data[tile + 1] : 0;
int next_static = has_backdrop ? static_starts.data[tile] : 0;
Box area = tile_area;
if (has_backdrop) {
    area = {COLUMNS, -1, ROWS, -1};
    for (int k = begin; k < end; k++) {
        const Box box = box_of(records.data + (size_t)pairs.data[k] * STRIDE, tile_area);
        area.xa = wp::min(area.xa, box.xa); area.xb = wp::max(area.xb, box.xb);
        area.ya = wp::min(area.ya, box.ya); area.yb = wp::max(area.yb, box.yb);
    }
}
// Hands out the splats of this call and of the backdrop, front to back.
struct Splat { const Real* g; int pair; };  // a pair of -1 is of the backdrop
int k = begin;
// The records of a tile lie all over the memory: waiting for them took half of the time of 100,000 splats.
auto prefetch = [](const auto& from, const auto& order, int now, int last) {
    const Real* record = from.data + (size_t)order.data[wp::min(now + 8, last - 1)] * STRIDE;
    __builtin_prefetch(record);
    __builtin_prefetch(record + STRIDE - 1);
};
auto take = [&]() -> Splat {
    const Real* g = records.data + (size_t)pairs.data[k] * STRIDE;
    prefetch(records, pairs, k, end);
    if (next_static < static_end) {
        const Real* other = static_records.data + (size_t)static_pairs.data[next_static] * STRIDE;
        prefetch(static_records, static_pairs, next_static, static_end);
        if (other[DEPTH] < g[DEPTH]) { next_static++; return {other, -1}; }
    }
    return {g, k++};
};

// Every pixel starts with the transmittance 1; those outside the area or the picture count as saturated.
for (int row = 0; row < ROWS; row++)
    for (int column = 0; column < COLUMNS; column++) {
        const bool inside = row >= area.ya && row <= area.yb && column >= area.xa && column <= area.xb;
        const Bits8 seen = (lanes_x < (Real)(width - x0 - 4 * column)) & (lanes_y < (Real)(height - y0 - 2 * row));
        blocks[row * COLUMNS + column].T = inside ? masked((Real8)(Real)1, seen) : zero;
    }
int first_live = 0;  // block; a saturated pixel stays so, so that the search goes on where it ended
auto saturated = [&]() -> bool {
    while (first_live < BLOCKS && !__builtin_reduce_or((Bits8)(blocks[first_live].T > 0))) first_live++;
    return first_live == BLOCKS;
};
"""

FORWARD = Pass(
    block="""
#if $MEDIAN
struct Block { Real8 T, C[CHANNELS]; Bits8 median; };
#else
struct Block { Real8 T, C[CHANNELS]; };
#endif
""",
    body="""
for (int row = area.ya; row <= area.yb; row++)
    for (int column = area.xa; column <= area.xb; column++)
        for (int c = 0; c < CHANNELS; c++) blocks[row * COLUMNS + column].C[c] = zero;
#if $MEDIAN
for (int i = 0; i < BLOCKS; i++) blocks[i].median = (Bits8)-1;
#endif
// the backdrop alone, in front of the splat at hand: what is behind follows from its finished picture
alignas(64) Block static_blocks[BLOCKS];
bool split = false;
const bool has_background = background.shape[0] > 0;

auto blend = [&](Block& block, Real8 bare, const Real* feature, int splat) {
    const Real8 before = block.T;
    const Passage p = pass(block.T, bare);
    for (int c = 0; c < CHANNELS; c++) block.C[c] += p.weight * feature[c];
#if $MEDIAN
    block.median = p.live & (before > (Real)0.5) & (block.T <= (Real)0.5) ? (Bits8)splat : block.median;
#endif
};

while (k < end && !saturated()) {
    const int splat = pairs.data[k];
    const Splat next = take();
    const Real* g = next.g;
    const int pair = next.pair;
    const Box box = box_of(g, area);
    const Real* feature = g + RECORD;
    if (has_backdrop && pair >= 0 && !split) {
        split = true;
        for (int i = 0; i < BLOCKS; i++) static_blocks[i] = blocks[i];
    }
    if (pair < 0 && split)
        over_blocks(g, box, [&](int i, Real8, Real8 bare) {
            blend(blocks[i], bare, feature, splat);
            blend(static_blocks[i], bare, feature, splat);
        }, no_end);
    else
        over_blocks(g, box, [&](int i, Real8, Real8 bare) { blend(blocks[i], bare, feature, splat); }, no_end);
}

for (int row = tile_area.ya; row <= tile_area.yb; row++)
    for (int column = tile_area.xa; column <= tile_area.xb; column++) {
        const int i = row * COLUMNS + column, x = x0 + 4 * column, y = y0 + 2 * row;
        const Block& block = blocks[i];
        if (!has_backdrop) {
            const Real8 left = __builtin_elementwise_abs(block.T);
            store(transmittance.data, x, y, left);
            for (int c = 0; c < CHANNELS; c++) {
                const Real behind = has_background ? background.data[c] : (Real)0;
                store(image.data + c * plane, x, y, block.C[c] + left * behind);
            }
#if $MEDIAN
            store(median_splats.data, x, y, __builtin_convertvector(block.median, Int8));
#endif
            continue;
        }
        const bool inside = split && row >= area.ya && row <= area.yb && column >= area.xa && column <= area.xb;
        const Block& other = static_blocks[i];
        // share of the backdrop's light that still comes through; at most 1, so nothing is amplified
        Real8 passed = (Real8)(Real)1;
        if (inside) passed = block.T > 0 ? block.T / __builtin_elementwise_abs(other.T) : zero;
        store(transmittance.data, x, y, passed * load(static_transmittance.data, x, y));
        for (int c = 0; c < CHANNELS; c++) {
            Real8 whole = load(static_image.data + c * plane, x, y);
            if (inside) whole = block.C[c] + passed * (whole - other.C[c]);
            store(image.data + c * plane, x, y, whole);
        }
    }
""",
)

BACKWARD = Pass(
    block="struct Block { Real8 T, S, V[CHANNELS]; };",
    body="""
enum { GRADIENT = $GRADIENT };
const bool has_transmittance_gradient = transmittance_gradient.shape[0] > 0;
// behind the last splat that wants a gradient there is nothing to learn: S already holds what follows
int last = end - 1;
while (last >= begin && pairs.data[last] >= active_count) last--;
if (last < begin) return;

for (int row = area.ya; row <= area.yb; row++)
    for (int column = area.xa; column <= area.xb; column++) {
        Block& block = blocks[row * COLUMNS + column];
        const int x = x0 + 4 * column, y = y0 + 2 * row;
        block.S = zero;
        // what is left in the end is one more color, behind all splats
        if (has_transmittance_gradient)
            block.S = load(transmittance_gradient.data, x, y) * load(transmittance.data, x, y);
        for (int c = 0; c < CHANNELS; c++) {
            block.V[c] = load(image_gradient.data + c * plane, x, y);
            block.S += block.V[c] * load(image.data + c * plane, x, y);
        }
    }

while (k <= last && !saturated()) {
    const Splat next = take();
    const Real* g = next.g;
    const int pair = next.pair;
    const bool active = pair >= 0 && pairs.data[pair] < active_count;
    Real8 adj_feature[CHANNELS];
    for (int c = 0; c < CHANNELS; c++) adj_feature[c] = zero;
    // moments of (alpha dL/dalpha) over the pixels of a row of blocks and of the splat
    Real8 row0 = zero, row_x = zero;
    Real8 m0 = zero, mx = zero, my = zero, mxx = zero, mxy = zero, myy = zero;
    over_blocks(g, box_of(g, area), [&](int i, Real8 dx, Real8 bare) {
        Block& block = blocks[i];
        const Real8 t = block.T;
        const Passage p = pass(block.T, bare);
        Real8 vc = block.V[0] * g[RECORD];
        for (int c = 1; c < CHANNELS; c++) vc += block.V[c] * g[RECORD + c];
        const Real8 rest = block.S - p.weight * vc;
        block.S = rest;
        if (!active) return;
        const Real8 adj_alpha = t * vc - rest / ((Real)1 - p.alpha);
        const Real8 e = masked(p.alpha * adj_alpha, p.live & (bare < ALPHA_MAX));
        for (int c = 0; c < CHANNELS; c++) adj_feature[c] += p.weight * block.V[c];
        const Real8 ex = e * dx;
        row0 += e; row_x += ex; mxx += ex * dx;
    }, [&](Real8 dy) {
        const Real8 row_y = row0 * dy;
        m0 += row0; mx += row_x; my += row_y; mxy += row_x * dy; myy += row_y * dy;
        row0 = row_x = zero;
    });
    if (!active) continue;
    Real* adj = pair_gradients.data + (size_t)pair * (GRADIENT + CHANNELS);
    const Real sx = sum(mx), sy = sum(my);
    adj[0] = g[2] * sx + g[3] * sy;
    adj[1] = g[3] * sx + g[4] * sy;
    adj[2] = (Real)-0.5 * sum(mxx);
    adj[3] = -sum(mxy);
    adj[4] = (Real)-0.5 * sum(myy);
    adj[5] = sum(m0);
    for (int c = 0; c < CHANNELS; c++) adj[GRADIENT + c] = sum(adj_feature[c]);
}
for (; k <= last; k++) {  // hidden
    Real* adj = pair_gradients.data + (size_t)k * (GRADIENT + CHANNELS);
    for (int c = 0; c < GRADIENT + CHANNELS; c++) adj[c] = (Real)0;
}
""",
)

VISIBILITY = Pass(
    block="struct Block { Real8 T; };",
    body="""
// The sum of alpha counts what is hidden too, so that nothing ends early.
while (k < end) {
    const Splat next = take();
    const Real* g = next.g;
    const int pair = next.pair;
    Real8 alphas = zero, weights = zero;
    over_blocks(g, box_of(g, area), [&](int i, Real8, Real8 bare) {
        const Bits8 in_picture = blocks[i].T != 0;
        const Passage p = pass(blocks[i].T, bare);
        alphas += masked(p.alpha, in_picture);
        weights += p.weight;
    }, no_end);
    if (pair < 0) continue;
    pair_sums.data[(size_t)pair * 2] = sum(alphas);
    pair_sums.data[(size_t)pair * 2 + 1] = sum(weights);
}
""",
)


def snippet(what: Pass, dtype: type, channels: int, tile: tuple[int, int], *, median: bool = False) -> str:
    """Body of a function of one tile of ``tile`` pixels; the names of its arguments are those of composite_cpu.py."""
    double = dtype is wp.float64
    values = {
        "BLOCK": what.block,
        "MEDIAN": int(median),
        "REAL": "double" if double else "float",
        "MANTISSA": 52 if double else 23,
        "DEGREE": len(_EXP2_COEFFICIENTS[dtype]),
        "EXP2": ", ".join(f"hidden((Real){coefficient!r})" for coefficient in _EXP2_COEFFICIENTS[dtype]),
        "CHANNELS": channels,
        "RECORD": RECORD,
        "GRADIENT": GRADIENT,
        "TILE_WIDTH": tile[0],
        "TILE_HEIGHT": tile[1],
    }
    text = _PRELUDE + what.body
    for name, value in values.items():
        text = text.replace("$" + name, str(value))
    return "{" + text + "}"
