"""The C++ of composite_cuda.py: what one thread of a block does for one pixel.

The same text compiles for the CPU, where Warp runs a block as cooperative fibers: only the few operations by which
threads meet are written twice. All of these stand in control flow that is uniform, over the block for ``barrier`` and
``any_thread`` and over the warp for ``any_lane`` and ``shuffle_xor``: threads outside the picture or saturated take
part with nothing to add.
"""

import warp as wp

from warpgs.render.shade import GRADIENT, RECORD

TILE_WIDTH = 16
TILE_HEIGHT = 16
"""[px] One thread block per tile; the family's usual size."""
THREADS = TILE_WIDTH * TILE_HEIGHT
SHARED_BYTES = 16 * 1024
"""Shared memory of a block at most: eight blocks, all the threads that a multiprocessor holds, fit at once."""

_PRELUDE = """
typedef $REAL Real;
enum { CHANNELS = $CHANNELS, RECORD = $RECORD, STRIDE = RECORD + CHANNELS, GRADIENT = $GRADIENT };
enum { THREADS = $THREADS, BATCH = $BATCH };
// Of a record a pixel wants center, form, opacity and channels; a row is padded to whole groups of four.
enum { WANTED = 6 + CHANNELS, ROW = (WANTED + 3) / 4 * 4 };
const Real LOG2E = (Real)1.4426950408889634, LN2 = (Real)0.6931471805599453;
const Real LOG2_ALPHA_MIN = (Real)-7.994353436858858, ALPHA_MAX = (Real)0.99, T_MIN = (Real)1e-4;

#if defined(__CUDA_ARCH__)
struct Shared { alignas(16) Real rows[BATCH * ROW]; int splats[BATCH], last; };
__shared__ Shared shared;
const unsigned WARP = 0xffffffffu;
auto barrier = [&]() { __syncthreads(); };
auto any_thread = [&](bool says) -> bool { return __syncthreads_or(says); };
auto any_lane = [&](bool says) -> bool { return __any_sync(WARP, says); };
auto shuffle_xor = [&](Real value, int step) -> Real { return __shfl_xor_sync(WARP, value, step); };
auto add = [&](Real* at, Real value) { atomicAdd(at, value); };
auto raise = [&](int* at, int value) { atomicMax(at, value); };
#else
struct Shared {
    alignas(16) Real rows[BATCH * ROW]; int splats[BATCH], last; bool says[THREADS]; Real slots[2][THREADS];
};
wp::wp_block_shared<Shared> holder;
Shared& shared = *holder;
int turn = 0;
auto barrier = [&]() { WP_TILE_SYNC(); };
auto any_thread = [&](bool says) -> bool {
    shared.says[thread] = says;
    barrier();
    bool any = false;
    for (int i = 0; i < THREADS; i++) any |= shared.says[i];
    barrier();
    return any;
};
// fibers meet as a whole block only: no warp may leave the others
auto any_lane = any_thread;
auto shuffle_xor = [&](Real value, int step) -> Real {
    Real* slots = shared.slots[turn];  // in turns, so that no thread writes what another still reads
    turn = 1 - turn;
    slots[thread] = value;
    barrier();
    return slots[thread ^ step];
};
auto add = [&](Real* at, Real value) { *at += value; };  // fibers are not interrupted
auto raise = [&](int* at, int value) { *at = wp::max(*at, value); };
#endif

auto exp2_of = [&](Real x) -> Real { $EXP2 };

// A warp covers 8 x 4 pixels: more compact than two rows of 16, so that it passes by more splats.
const int lane = thread & 31, warp = thread >> 5;
const int x = (tile % grid.columns) * grid.tile_width + (warp & 1) * 8 + (lane & 7);
const int y = (tile / grid.columns) * grid.tile_height + (warp >> 1) * 4 + (lane >> 3);
const bool in_picture = x < width && y < height;
const size_t plane = (size_t)width * height, pixel = (size_t)y * width + x;
const int begin = starts.data[tile];
int end = starts.data[tile + 1];

// Puts up to BATCH splats of the tile in shared memory, with -log2(e)/2 folded into their forms.
auto fetch = [&](int base, int count) {
    for (int i = thread; i < count * WANTED; i += THREADS) {
        const int j = i / WANTED, k = i - j * WANTED, word = k < 6 ? k : k - 6 + RECORD;
        const Real value = records.data[(size_t)pairs.data[base + j] * STRIDE + word];
        const Real scaled = (Real)-0.5 * LOG2E * value, folded = k == 3 ? (Real)2 * scaled : scaled;
        shared.rows[j * ROW + k] = (unsigned)(k - 2) < 3u ? folded : value;
    }
    if (thread < count) shared.splats[thread] = pairs.data[base + thread];
};
"""

FORWARD = """
Real t = (Real)1, sums[CHANNELS];
int median_splat = -1;
bool live = in_picture;
#pragma unroll
for (int c = 0; c < CHANNELS; c++) sums[c] = (Real)0;
for (int base = begin; base < end; base += BATCH) {
    if (!any_thread(live)) break;  // also: all are done with the batch before
    const int count = wp::min((int)BATCH, end - base);
    fetch(base, count);
    barrier();
    for (int j = 0; j < count && live; j++) {
        const Real* g = shared.rows + j * ROW;
        const Real dx = (Real)x - g[0], dy = (Real)y - g[1];
        const Real exponent = (g[2] * dx + g[3] * dy) * dx + g[4] * dy * dy + g[5];
        if (!(exponent >= LOG2_ALPHA_MIN)) continue;
        const Real alpha = wp::min(exp2_of(exponent), ALPHA_MAX), weight = t * alpha;
        if (t - weight <= T_MIN) { live = false; break; }
        #pragma unroll
        for (int c = 0; c < CHANNELS; c++) sums[c] += weight * g[6 + c];
        if ($MEDIAN && t > (Real)0.5 && t - weight <= (Real)0.5) median_splat = shared.splats[j];
        t -= weight;
    }
}
if (!in_picture) return;
transmittance.data[pixel] = t;
if ($MEDIAN) median_splats.data[pixel] = median_splat;
#pragma unroll
for (int c = 0; c < CHANNELS; c++)
    image.data[c * plane + pixel] = background.shape[0] > 0 ? sums[c] + t * background.data[c] : sums[c];
"""

_BATCHES = """
for (int base = begin; base < end; base += BATCH) {
    if (!any_thread($WANTS_MORE)) break;  // also: all are done with the batch before
    const int count = wp::min((int)BATCH, end - base);
    fetch(base, count);
    barrier();
    for (int j = 0; j < count; j++) {
        const Real* g = shared.rows + j * ROW;
        const Real dx = (Real)x - g[0], dy = (Real)y - g[1];
        const Real exponent = (g[2] * dx + g[3] * dy) * dx + g[4] * dy * dy + g[5];
        const bool hit = $WANTS_MORE && exponent >= LOG2_ALPHA_MIN;
        const Real bare = hit ? exp2_of(exponent) : (Real)0, alpha = wp::min(bare, ALPHA_MAX);
        Real weight = t * alpha;
        if (hit && t - weight <= T_MIN) live = false;
        if (!live) weight = (Real)0;
        if (!any_lane(hit)) continue;
        const int splat = shared.splats[j];
        $VISIT
    }
}
"""

BACKWARD = """
if (active_count < records.shape[0]) {
    // behind the last splat that wants a gradient there is nothing to learn: ``rest`` already holds what follows
    if (thread == 0) shared.last = begin - 1;
    barrier();
    int last = begin - 1;
    for (int k = begin + thread; k < end; k += THREADS) if (pairs.data[k] < active_count) last = k;
    if (last >= begin) raise(&shared.last, last);
    barrier();
    end = shared.last + 1;
}
Real t = (Real)1, rest = (Real)0, upstream[CHANNELS];
bool live = in_picture;
#pragma unroll
for (int c = 0; c < CHANNELS; c++) upstream[c] = (Real)0;
if (in_picture) {
    #pragma unroll
    for (int c = 0; c < CHANNELS; c++) {
        upstream[c] = image_gradient.data[c * plane + pixel];
        rest += upstream[c] * image.data[c * plane + pixel];
    }
    if (transmittance_gradient.shape[0] > 0) rest += transmittance_gradient.data[pixel] * transmittance.data[pixel];
}
""" + _BATCHES.replace("$WANTS_MORE", "live").replace(
    "$VISIT",
    """
        Real along = (Real)0;  // v . c
        #pragma unroll
        for (int c = 0; c < CHANNELS; c++) along += upstream[c] * g[6 + c];
        rest -= weight * along;
        const Real e = live && bare < ALPHA_MAX ? alpha * (t * along - rest / ((Real)1 - alpha)) : (Real)0;
        t -= weight;
        if (splat >= active_count) continue;
        Real numbers[$NUMBERS];
        numbers[0] = -LN2 * e * ((Real)2 * g[2] * dx + g[3] * dy);
        numbers[1] = -LN2 * e * (g[3] * dx + (Real)2 * g[4] * dy);
        numbers[2] = (Real)-0.5 * e * dx * dx;
        numbers[3] = -e * dx * dy;
        numbers[4] = (Real)-0.5 * e * dy * dy;
        numbers[5] = e;
        #pragma unroll
        for (int c = 0; c < $NUMBERS - GRADIENT; c++) numbers[GRADIENT + c] = c < CHANNELS ? weight * upstream[c] : 0;
        Real* to = record_gradients.data + (size_t)splat * (GRADIENT + CHANNELS);
        $ADD_UP
""",
)

VISIBILITY = """
Real t = (Real)1;
bool live = in_picture;  // alpha is summed behind a saturated pixel too
""" + _BATCHES.replace("$WANTS_MORE", "in_picture").replace(
    "$VISIT",
    """
        t -= weight;
        Real numbers[$NUMBERS] = {alpha, weight};
        Real* to = sums.data + (size_t)splat * 2;
        $ADD_UP
""",
)

_ADD_UP = """{
            // The sums over a warp of $SIZE numbers at once: in each round a thread keeps half of its numbers and
            // swaps the other half for its partner's, so that in the end it holds the sum of one. That takes half to a
            // fifth of the shuffles of one sum after another, and the threads then add to neighboring addresses.
            Real held[$SIZE];
            #pragma unroll
            for (int i = 0; i < $SIZE; i++) held[i] = numbers[$FIRST + i];
            #pragma unroll
            for (int round = 0; round < $ROUNDS; round++) {
                const int half = $SIZE >> (round + 1), step = 16 >> round;
                const bool upper = lane & step;
                #pragma unroll
                for (int i = 0; i < $SIZE / 2; i++) {
                    if (i >= half) break;  // a constant bound: all is unrolled, so that held[] stays in registers
                    const Real sent = upper ? held[i] : held[half + i], kept = upper ? held[half + i] : held[i];
                    held[i] = kept + shuffle_xor(sent, step);
                }
            }
            #pragma unroll
            for (int round = $ROUNDS; round < 5; round++) held[0] += shuffle_xor(held[0], 16 >> round);
            const int number = lane / (32 / $SIZE);
            if (lane % (32 / $SIZE) == 0 && number < $COUNT) add(to + $FIRST + number, held[0]);
        }
"""


def _add_up(count: int) -> tuple[str, int]:
    """Code that adds ``count`` numbers over each warp, and how many those are with padding."""
    parts, first = [], 0
    while first < count:
        left = count - first
        size = next(size for size in (2, 4, 8, 16, 32) if size >= min(left, 32))
        if left > 24:
            size = 32
        elif left > 16:
            size = 16  # 16 and 8 take fewer shuffles than 32
        part = _ADD_UP
        values = {"SIZE": size, "ROUNDS": size.bit_length() - 1, "FIRST": first, "COUNT": min(size, left)}
        for name, value in values.items():
            part = part.replace("$" + name, str(value))
        parts.append(part)
        first += size
    return "".join(parts), first


def batch_size(dtype: type, channels: int) -> int:
    """How many splats a block holds in shared memory: a power of two."""
    row_bytes = -(-(6 + channels) // 4) * 4 * wp.types.type_size_in_bytes(dtype) + 4
    size = THREADS
    while size * row_bytes + 4 > SHARED_BYTES:
        size //= 2
    return size


def snippet(body: str, dtype: type, channels: int, numbers: int, *, median: bool = False) -> str:
    """The code of one pass; ``numbers`` are added up per splat."""
    add_up, padded = _add_up(numbers)
    if dtype is wp.float64:
        exp2 = "return ::exp2(x);"
    else:
        # one instruction, 2 ulp; never a denormal here
        fast = 'Real y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y;'
        exp2 = f"\n#if defined(__CUDA_ARCH__)\n{fast}\n#else\nreturn ::exp2f(x);\n#endif\n"
    values = {
        "ADD_UP": add_up,
        "NUMBERS": padded,
        "REAL": "double" if dtype is wp.float64 else "float",
        "EXP2": exp2,
        "CHANNELS": channels,
        "RECORD": RECORD,
        "GRADIENT": GRADIENT,
        "THREADS": THREADS,
        "BATCH": batch_size(dtype, channels),
        "MEDIAN": int(median),
    }
    text = _PRELUDE + body
    for name, value in values.items():
        text = text.replace("$" + name, str(value))
    return "{" + text + "}"
