"""L1 + D-SSIM for the CPU: each channel streams through the cache once, row by row.

A row of the picture is blurred along itself as it arrives; eleven such rows give one of SSIM and of its partial
derivatives, which are blurred along themselves in turn; eleven of those give one row of the gradient. Only these rings
of rows are kept, so that main memory sees the image, the picture, its moments and the gradient once each. Written in
clang vector types (``wp.func_native``): eight pixels at a time. The twin for CUDA is photometric_cuda.py; both are
tested against the same float64 oracle.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.losses.window import L1_SHARE, RADIUS, correction_func, window

MARGIN = 8
"""Zeros on either side of a row that is blurred: at least RADIUS, and whole blocks of eight."""

_PRELUDE = """
#pragma clang fp contract(fast)
typedef $REAL Real;
typedef Real Real8 __attribute__((ext_vector_type(8), aligned(sizeof(Real))));
typedef decltype(Real8() < Real8()) Bits8;
enum { RADIUS = 5, TAPS = 11, MARGIN = $MARGIN };
// Hides constants from the compiler, which would fetch each from a pool at a 64-bit address for every block again. The
// window is symmetric: these are its first taps.
auto hidden = [](auto constant) { volatile auto copy = constant; return copy; };
const Real written[TAPS] = { $WINDOW };
const Real8 w0 = (Real8)hidden(written[0]), w1 = (Real8)hidden(written[1]), w2 = (Real8)hidden(written[2]);
const Real8 w3 = (Real8)hidden(written[3]), w4 = (Real8)hidden(written[4]), w5 = (Real8)hidden(written[5]);
const Real8 window[TAPS] = {w0, w1, w2, w3, w4, w5, w4, w3, w2, w1, w0};
const Real8 zero = (Real8)(Real)0;
const size_t plane = (size_t)width * height;
const int padded = (width + 7) & ~7, line_size = padded + 2 * MARGIN;
Real* line = scratch.data + (size_t)(channel % channels) * scratch.shape[1];  // rows to be blurred, with margins
Real* nothing = line + 3 * line_size;                            // a row beyond the picture
Real* rings = nothing + 3 * padded;
for (int x = 0; x < 3 * (line_size + padded); x++) line[x] = 0;

auto load = [](const Real* at) -> Real8 { return *(const Real8*)at; };
auto store = [](Real* at, Real8 v) { *(Real8*)at = v; };
auto store_part = [&](Real* row, int x, Real8 v) {
    if (x + 8 <= width) store(row + x, v);
    else for (int i = 0; i < width - x; i++) row[x + i] = v[i];
};
auto sum = [](Real8 v) -> double {
    double total = 0;
    for (int i = 0; i < 8; i++) total += v[i];
    return total;
};
// A ring holds three maps, eight pixels of each in turn: one address per row then serves all three.
auto ring_row = [&](int ring, int y) -> Real* { return rings + (size_t)(ring * TAPS + y % TAPS) * 3 * padded; };
auto blur_line = [&](int ring, int y, int begin, int end) {
    // rows of ``line`` -> row y of a ring
    Real* to = ring_row(ring, y);
    for (int m = 0; m < 3; m++) {
        const Real* from = line + m * line_size + MARGIN - RADIUS;
        for (int x = begin; x < end; x += 8) {
            Real8 even = window[0] * load(from + x), odd = window[1] * load(from + x + 1);
            for (int k = 2; k < TAPS - 1; k += 2) {
                even += window[k] * load(from + x + k);
                odd += window[k + 1] * load(from + x + k + 1);
            }
            store(to + 3 * x + 8 * m, even + window[TAPS - 1] * load(from + x + TAPS - 1) + odd);
        }
    }
};
struct Column { const Real* rows[TAPS]; };
struct Maps { Real8 a, aa, ab; };
auto column_of = [&](int ring, int y) -> Column {
    Column column;
    for (int k = 0; k < TAPS; k++) {
        const int from = y + k - RADIUS;
        column.rows[k] = from >= 0 && from < height ? ring_row(ring, from) : nothing;
    }
    return column;
};
auto blur_column = [&](const Column& column, int x) -> Maps {
    Maps maps = {zero, zero, zero};
    for (int k = 0; k < TAPS; k++) {
        const Real* at = column.rows[k] + 3 * x;
        maps.a += window[k] * load(at);
        maps.aa += window[k] * load(at + 8);
        maps.ab += window[k] * load(at + 16);
    }
    return maps;
};
"""

_MOMENTS = """
const Real* picture = pictures.data + (size_t)channel * plane;
for (int y = 0; y < height + RADIUS; y++) {
    if (y < height) {
        Real *b = line + MARGIN, *bb = b + line_size;
        for (int x = 0; x < width; x++) b[x] = picture[(size_t)y * width + x];
        for (int x = 0; x < width; x++) bb[x] = b[x] * b[x];
        blur_line(0, y, 0, padded);
    }
    if (y < RADIUS) continue;
    const Column column = column_of(0, y - RADIUS);
    // planes of a picture: the means of all its channels, then those of their squares
    const size_t of = channel / channels * 2 * channels + channel % channels;
    Real *mean = moments.data + of * plane + (size_t)(y - RADIUS) * width, *square = mean + channels * plane;
    for (int x = 0; x < padded; x += 8) {
        const Maps maps = blur_column(column, x);
        store_part(mean, x, maps.a);
        store_part(square, x, maps.aa);
    }
}
"""

_EVALUATE = """
const Real8 c1 = (Real8)hidden((Real)1e-4), c2 = (Real8)hidden((Real)9e-4), one = (Real8)hidden((Real)1);
const Real l1_scale = (Real)$L1_SHARE * weight / plane, ssim_scale = (Real)(1 - $L1_SHARE) * weight / plane;
const Real* raw = image.data + (size_t)channel * plane;
const Real* picture = pictures.data + (size_t)(index * channels + channel) * plane;
const Real* mean_b = moments.data + (size_t)(index * 2 * channels + channel) * plane;
const Real* square_b = mean_b + (size_t)channels * plane;
Real* out = gradient.data + (size_t)channel * plane;
double absolute = 0, squared = 0, ssim = 0, by_log_gain = 0, by_offset = 0;

// Blocks that lie in the picture are told from the last one by their type, so that they need no masks.
struct Whole { enum { value = 1 }; };
struct Part { enum { value = 0 }; };
auto in_blocks = [&](int from, int to, auto visit) {
    const int whole = wp::min(to, width & ~7);
    for (int x = from; x < whole; x += 8) visit(x, Whole());
    if (whole < to) visit(whole, Part());
};
auto load_part = [&](const Real* row, int x, auto kind) -> Real8 {
    if (kind.value) return load(row + x);
    Real8 v = zero;
    for (int i = 0; i < width - x; i++) v[i] = row[x + i];
    return v;
};
const Real8 lanes = hidden((Real8){0, 1, 2, 3, 4, 5, 6, 7});
auto inside = [&](Real8 v, int x, auto kind) -> Real8 {
    if (kind.value) return v;
    return lanes < (Real)(width - x) ? v : zero;
};

// The gradient is wanted from row first to row last, and in columns in blocks from begin to end; SSIM a window further
// out, and the picture another window.
const bool everywhere = area.shape[0] == 0;
const int first = everywhere ? 0 : area.data[2], last = everywhere ? height - 1 : area.data[3];
const int begin = everywhere ? 0 : area.data[0] & ~7, end = everywhere ? padded : (area.data[1] & ~7) + 8;
const int ssim_begin = wp::max(begin - 8, 0), ssim_end = wp::min(end + 8, padded);
const int raw_begin = wp::max(ssim_begin - 8, 0), raw_end = wp::min(ssim_end + 8, padded);
const int ssim_first = wp::max(first - RADIUS, 0), ssim_last = wp::min(last + RADIUS, height - 1);
const int raw_last = wp::min(ssim_last + RADIUS, height - 1);

for (int y = wp::max(ssim_first - RADIUS, 0); y <= last + 2 * RADIUS; y++) {
    if (y <= raw_last) {
        const Real *a_row = raw + (size_t)y * width, *b_row = picture + (size_t)y * width;
        Real* to = line + MARGIN;
        in_blocks(raw_begin, raw_end, [&](int x, auto kind) {
            const Real8 a = inside(gain * load_part(a_row, x, kind) + offset, x, kind);
            const Real8 b = load_part(b_row, x, kind);
            store(to + x, a);
            store(to + line_size + x, a * a);
            store(to + 2 * line_size + x, a * b);
        });
        blur_line(0, y, ssim_begin, ssim_end);
    }
    const int middle = y - RADIUS;
    if (middle >= ssim_first && middle <= ssim_last) {
        const Column column = column_of(0, middle);
        const Real *mb_row = mean_b + (size_t)middle * width, *bb_row = square_b + (size_t)middle * width;
        Real* to = line + MARGIN;
        Real8 row_ssim = zero;
        in_blocks(ssim_begin, ssim_end, [&](int x, auto kind) {
            const Maps maps = blur_column(column, x);
            const Real8 ma = maps.a, aa = maps.aa, ab = maps.ab;
            const Real8 mb = load_part(mb_row, x, kind), bb = load_part(bb_row, x, kind);
            const Real8 luminance = 2 * ma * mb + c1, contrast = 2 * (ab - ma * mb) + c2;
            const Real8 sum_means = ma * ma + mb * mb + c1, sum_variances = aa - ma * ma + bb - mb * mb + c2;
            const Real8 inverse = one / (sum_means * sum_variances), v = luminance * contrast * inverse;
            // derivatives of v by the three blurred maps: a, a a, a b
            const Real8 by_aa = -v * inverse * sum_means;
            const Real8 by_a = 2 * (mb * (contrast - luminance) * inverse - ma * (by_aa + v * inverse * sum_variances));
            store(to + x, inside(by_a, x, kind));
            store(to + line_size + x, inside(by_aa, x, kind));
            store(to + 2 * line_size + x, inside(2 * luminance * inverse, x, kind));
            row_ssim += inside(v, x, kind);
        });
        ssim += sum(row_ssim);
        blur_line(1, middle, begin, end);
    }
    const int done = y - 2 * RADIUS;
    if (done < first) continue;
    const Column column = column_of(1, done);
    const size_t row = (size_t)done * width;
    Real8 row_absolute = zero, row_squared = zero, row_by_log_gain = zero, row_by_offset = zero;
    in_blocks(begin, end, [&](int x, auto kind) {
        const Real8 corrected = gain * load_part(raw + row, x, kind), b = load_part(picture + row, x, kind);
        const Real8 a = corrected + offset, e = inside(a - b, x, kind);
        const Real8 sign = (e > zero ? one : zero) - (e < zero ? one : zero);
        const Maps maps = blur_column(column, x);
        const Real8 by_ssim = maps.a + 2 * a * maps.aa + b * maps.ab;
        const Real8 g = inside(l1_scale * sign - ssim_scale * by_ssim, x, kind);
        if (kind.value) store(out + row + x, gain * g);
        else store_part(out + row, x, gain * g);
        row_absolute += sign * e;
        row_squared += e * e;
        row_by_log_gain += g * corrected;
        row_by_offset += g;
    });
    absolute += sum(row_absolute);
    squared += sum(row_squared);
    by_log_gain += sum(row_by_log_gain);
    by_offset += sum(row_by_offset);
}
sums.data[channel * 4] = l1_scale * absolute + ssim_scale * ((double)plane - ssim);
sums.data[channel * 4 + 1] = squared;
sums.data[channel * 4 + 2] = by_log_gain;
sums.data[channel * 4 + 3] = by_offset;
"""


def _snippet(body: str, dtype: type) -> str:
    text = "{" + _PRELUDE + body + "}"
    values = {"REAL": "double" if dtype is wp.float64 else "float", "L1_SHARE": repr(L1_SHARE)}
    values |= {"MARGIN": str(MARGIN), "WINDOW": ", ".join(f"(Real){w!r}" for w in window())}
    for name, value in values.items():
        text = text.replace("$" + name, value)
    return text


@cache
def photometric_kernels(dtype: type) -> SimpleNamespace:
    """Both passes for numbers of ``dtype``; a launch has one thread per channel."""
    real = dtype
    planes, stacks = wp.array3d(dtype=real), wp.array4d(dtype=real)
    correction = correction_func(dtype)

    # arguments of native functions must not begin with adj_: Warp declares those names itself
    @wp.func_native(_snippet(_MOMENTS, dtype))
    def stream_moments(
        pictures: stacks, channels: int, height: int, width: int,
        scratch: wp.array2d(dtype=real), moments: stacks, channel: int,
    ): ...  # fmt: skip

    @wp.func_native(_snippet(_EVALUATE, dtype))
    def stream_loss(
        image: planes, pictures: stacks, moments: stacks, index: int, weight: real, gain: real, offset: real,
        area: wp.array(dtype=wp.int32), channels: int, height: int, width: int,
        scratch: wp.array2d(dtype=real), gradient: planes, sums: wp.array2d(dtype=wp.float64), channel: int,
    ): ...  # fmt: skip

    @wp.kernel(module="unique", enable_backward=False)
    def moments_kernel(pictures: stacks, scratch: wp.array2d(dtype=real), moments: stacks):
        stream_moments(
            pictures, pictures.shape[1], pictures.shape[2], pictures.shape[3], scratch, moments, wp.tid()
        )  # fmt: skip

    @wp.kernel(module="unique", enable_backward=False)
    def loss_kernel(
        # inputs
        image: planes,
        pictures: stacks,
        moments: stacks,
        picture_index: wp.array(dtype=wp.int32),
        weights: wp.array(dtype=real),
        log_gains: wp.array2d(dtype=real),
        offsets: wp.array2d(dtype=real),
        view_index: wp.array(dtype=wp.int32),
        area: wp.array(dtype=wp.int32),
        # outputs
        scratch: wp.array2d(dtype=real),
        gradient: planes,
        sums: wp.array2d(dtype=wp.float64),
    ):
        c = wp.tid()
        gain, offset = correction(log_gains, offsets, view_index[0], c)
        stream_loss(
            image, pictures, moments, picture_index[0], weights[c], gain, offset, area,
            image.shape[0], image.shape[1], image.shape[2], scratch, gradient, sums, c,
        )  # fmt: skip

    return SimpleNamespace(moments=moments_kernel, loss=loss_kernel)


class Driver:
    """Launches the passes over one image size; owns their scratch."""

    def __init__(self, shape: tuple[int, int, int], device: wp.Device, dtype: type) -> None:
        channels, _, width = shape
        padded = -(-width // 8) * 8
        self._kernels = photometric_kernels(dtype)
        # three rows with margins, a row of nothing, and two rings of three maps
        size = 3 * (padded + 2 * MARGIN) + 3 * padded * (1 + 2 * (2 * RADIUS + 1))
        self._scratch = wp.zeros((channels, size), dtype=dtype, device=device)

    def prepare(self, pictures: wp.array4d, moments: wp.array4d) -> None:
        """Launch the moments of all pictures."""
        threads = pictures.shape[0] * pictures.shape[1]
        self._launch(self._kernels.moments, threads, [pictures], [self._scratch, moments])

    def evaluate(self, inputs: list, outputs: list) -> None:
        """Launch the loss; arguments as in the kernel, without the scratch."""
        self._launch(self._kernels.loss, self._scratch.shape[0], inputs, [self._scratch, *outputs])

    def _launch(self, kernel: wp.Kernel, threads: int, inputs: list, outputs: list) -> None:
        wp.launch(kernel, threads, inputs, outputs, device=self._scratch.device, record_tape=False)
