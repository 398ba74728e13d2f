"""0.8 L1 + 0.2 D-SSIM per channel, value and gradient in four passes over rows (Luiten et al. 2024, section 3.3; SSIM:
Wang et al. 2004, window of 11 pixels, sigma 1.5, zero padding as in the 3DGS family).

Color and mask channels go through together, each with its own weight. The rendered color is first corrected per
camera, picture = exp(log_gain) * color + offset, and the correction receives its gradient here too.

Written by hand in plain C++: the gradient of SSIM is three more blurs of maps that the value has just computed, which
the tape cannot know; and compilers vectorize rows that they can see.
"""

from functools import cache
from types import SimpleNamespace

import numpy as np
import warp as wp

from warpgs.checks import check_array

RADIUS = 5
SIGMA_PX = 1.5
L1_SHARE = 0.8
MAPS = 3

_PRELUDE = """
#pragma clang fp contract(fast)
typedef $REAL Real;
enum { RADIUS = 5, TAPS = 11, BLOCK = 128 };
const Real window[TAPS] = { $WINDOW };
const int channel = row / height, y = row % height;
const size_t plane = (size_t)width * height, map = (size_t)channels * plane;
const size_t at = (size_t)row * width;
"""

_ROW_BLURS = """
// out[m] = horizontal blur of in[m] over one block of a row
auto blur_block = [&](const Real (&in)[MAPS][BLOCK + 2 * RADIUS], Real* out, int x0, int n) {
    for (int m = 0; m < MAPS; m++)
        for (int x = 0; x < n; x++) {
            Real sum = 0;
            for (int k = 0; k < TAPS; k++) sum += window[k] * in[m][x + k];
            out[m * map + at + x0 + x] = sum;
        }
};
"""

_COLUMN_BLURS = """
// out[m] = vertical blur of in[m] over one block of a row; taps outside the image weigh nothing
Real taps[TAPS];
size_t lines[TAPS];
for (int k = 0; k < TAPS; k++) {
    const int from = y + k - RADIUS;
    const bool inside = from >= 0 && from < height;
    taps[k] = inside ? window[k] : (Real)0;
    lines[k] = (size_t)channel * plane + (size_t)(inside ? from : y) * width;
}
auto blur_columns = [&](const Real* in, Real (&out)[MAPS][BLOCK], int x0, int n) {
    for (int m = 0; m < MAPS; m++) {
        const Real* at_map = in + m * map + x0;
        for (int x = 0; x < n; x++) {
            Real sum = 0;
            for (int k = 0; k < TAPS; k++) sum += taps[k] * at_map[lines[k] + x];
            out[m][x] = sum;
        }
    }
};
"""

_BLUR_TARGET = (
    """
enum { MAPS = 2 };
"""
    + _ROW_BLURS
    + """
for (int x0 = 0; x0 < width; x0 += BLOCK) {
    const int n = wp::min((int)BLOCK, width - x0);
    Real in[MAPS][BLOCK + 2 * RADIUS];
    for (int x = 0; x < n + 2 * RADIUS; x++) {
        const int from = x0 + x - RADIUS;
        const Real b = from >= 0 && from < width ? target.data[at + from] : (Real)0;
        in[0][x] = b; in[1][x] = b * b;
    }
    blur_block(in, blurred.data, x0, n);
}
"""
)

_TARGET_MOMENTS = (
    """
enum { MAPS = 2 };
"""
    + _COLUMN_BLURS
    + """
for (int x0 = 0; x0 < width; x0 += BLOCK) {
    const int n = wp::min((int)BLOCK, width - x0);
    Real out[MAPS][BLOCK];
    blur_columns(blurred.data, out, x0, n);
    for (int m = 0; m < MAPS; m++) for (int x = 0; x < n; x++) moments.data[m * map + at + x0 + x] = out[m][x];
}
"""
)

_BLUR_IMAGE = (
    """
enum { MAPS = 3 };
"""
    + _ROW_BLURS
    + """
for (int x0 = 0; x0 < width; x0 += BLOCK) {
    const int n = wp::min((int)BLOCK, width - x0);
    Real in[MAPS][BLOCK + 2 * RADIUS];
    for (int x = 0; x < n + 2 * RADIUS; x++) {
        const int from = x0 + x - RADIUS;
        const bool inside = from >= 0 && from < width;
        const Real a = inside ? gain * image.data[at + from] + offset : (Real)0;
        const Real b = inside ? target.data[at + from] : (Real)0;
        in[0][x] = a; in[1][x] = a * a; in[2][x] = a * b;
    }
    blur_block(in, blurred.data, x0, n);
}
"""
)

_SSIM = (
    """
enum { MAPS = 3 };
"""
    + _COLUMN_BLURS
    + """
const Real c1 = (Real)1e-4, c2 = (Real)9e-4;
double ssim = 0;
for (int x0 = 0; x0 < width; x0 += BLOCK) {
    const int n = wp::min((int)BLOCK, width - x0);
    Real out[MAPS][BLOCK], value[BLOCK];
    blur_columns(blurred.data, out, x0, n);
    const Real* mean_b = moments.data + at + x0;
    const Real* square_b = moments.data + map + at + x0;
    Real* partial = partials.data + at + x0;
    for (int x = 0; x < n; x++) {
        const Real ma = out[0][x], mb = mean_b[x];
        const Real luminance = 2 * ma * mb + c1, contrast = 2 * (out[2][x] - ma * mb) + c2;
        const Real sum_means = ma * ma + mb * mb + c1;
        const Real sum_variances = out[1][x] - ma * ma + square_b[x] - mb * mb + c2;
        const Real inverse = 1 / (sum_means * sum_variances), v = luminance * contrast * inverse;
        // derivatives of v by the three blurred maps: a, a a, a b
        partial[x] = 2 * (mb * (contrast - luminance) * inverse + ma * (v / sum_variances - v / sum_means));
        partial[map + x] = -v / sum_variances;
        partial[2 * map + x] = 2 * luminance * inverse;
        value[x] = v;
    }
    for (int x = 0; x < n; x++) ssim += value[x];
}
sums.data[row * 4] = ssim;
"""
)

_BLUR_PARTIALS = (
    """
enum { MAPS = 3 };
"""
    + _ROW_BLURS
    + """
for (int x0 = 0; x0 < width; x0 += BLOCK) {
    const int n = wp::min((int)BLOCK, width - x0);
    Real in[MAPS][BLOCK + 2 * RADIUS];
    for (int m = 0; m < MAPS; m++)
        for (int x = 0; x < n + 2 * RADIUS; x++) {
            const int from = x0 + x - RADIUS;
            in[m][x] = from >= 0 && from < width ? partials.data[m * map + at + from] : (Real)0;
        }
    blur_block(in, blurred.data, x0, n);
}
"""
)

_GRADIENT = (
    """
enum { MAPS = 3 };
"""
    + _COLUMN_BLURS
    + """
const Real l1_scale = (Real)$L1_SHARE * weight / plane, ssim_scale = (Real)(1 - $L1_SHARE) * weight / plane;
double absolute = 0, squared = 0, adj_log_gain = 0, adj_offset = 0;
for (int x0 = 0; x0 < width; x0 += BLOCK) {
    const int n = wp::min((int)BLOCK, width - x0);
    Real out[MAPS][BLOCK], g[BLOCK], e[BLOCK];
    blur_columns(blurred.data, out, x0, n);
    const Real *raw = image.data + at + x0, *b = target.data + at + x0;
    for (int x = 0; x < n; x++) {
        const Real a = gain * raw[x] + offset;
        e[x] = a - b[x];
        const Real sign = (Real)(e[x] > 0) - (Real)(e[x] < 0);
        g[x] = l1_scale * sign - ssim_scale * (out[0][x] + 2 * a * out[1][x] + b[x] * out[2][x]);
        gradient.data[at + x0 + x] = gain * g[x];
    }
    for (int x = 0; x < n; x++) {
        absolute += wp::abs(e[x]); squared += e[x] * e[x];
        adj_log_gain += g[x] * gain * raw[x]; adj_offset += g[x];
    }
}
const double ssim = sums.data[row * 4];
sums.data[row * 4] = l1_scale * absolute + ssim_scale * (width - ssim);
sums.data[row * 4 + 1] = squared;
sums.data[row * 4 + 2] = adj_log_gain;
sums.data[row * 4 + 3] = adj_offset;
"""
)


def _snippet(body: str, dtype: type) -> str:
    offsets = np.arange(-RADIUS, RADIUS + 1)
    window = np.exp(-0.5 * (offsets / SIGMA_PX) ** 2)
    window /= window.sum()
    text = "{" + _PRELUDE + body + "}"
    text = text.replace("$REAL", "double" if dtype is wp.float64 else "float")
    text = text.replace("$L1_SHARE", repr(L1_SHARE))
    return text.replace("$WINDOW", ", ".join(f"(Real){w!r}" for w in window.tolist()))


@cache
def photometric_kernels(dtype: type) -> SimpleNamespace:
    """The passes over rows for numbers of ``dtype``; a launch has one thread per row of each channel."""
    real = dtype
    planes = wp.array3d(dtype=real)

    # arguments of native functions must not begin with adj_: Warp declares those names itself
    @wp.func_native(_snippet(_BLUR_TARGET, dtype))
    def blur_target(target: planes, channels: int, height: int, width: int, blurred: planes, row: int): ...

    @wp.func_native(_snippet(_TARGET_MOMENTS, dtype))
    def target_moments(blurred: planes, channels: int, height: int, width: int, moments: planes, row: int): ...

    @wp.func_native(_snippet(_BLUR_IMAGE, dtype))
    def blur_image(
        image: planes, target: planes, gain: real, offset: real,
        channels: int, height: int, width: int, blurred: planes, row: int,
    ): ...  # fmt: skip

    @wp.func_native(_snippet(_SSIM, dtype))
    def ssim(
        blurred: planes, moments: planes, channels: int, height: int, width: int,
        partials: planes, sums: wp.array2d(dtype=wp.float64), row: int,
    ): ...  # fmt: skip

    @wp.func_native(_snippet(_BLUR_PARTIALS, dtype))
    def blur_partials(partials: planes, channels: int, height: int, width: int, blurred: planes, row: int): ...

    @wp.func_native(_snippet(_GRADIENT, dtype))
    def gradient_row(
        blurred: planes, image: planes, target: planes, weight: real, gain: real, offset: real,
        channels: int, height: int, width: int, gradient: planes, sums: wp.array2d(dtype=wp.float64), row: int,
    ): ...  # fmt: skip

    @wp.func
    def correction(log_gains: wp.array2d(dtype=real), offsets: wp.array2d(dtype=real), camera: int, channel: int):
        """Gain and offset of a channel; masks are not corrected."""
        gain = real(1.0)
        offset = real(0.0)
        if channel < 3:
            gain = wp.exp(log_gains[camera, channel])
            offset = offsets[camera, channel]
        return gain, offset

    @wp.kernel(module="unique", enable_backward=False)
    def blur_target_kernel(target: planes, blurred: planes):
        blur_target(target, target.shape[0], target.shape[1], target.shape[2], blurred, wp.tid())

    @wp.kernel(module="unique", enable_backward=False)
    def target_moments_kernel(blurred: planes, target: planes, moments: planes):
        target_moments(blurred, target.shape[0], target.shape[1], target.shape[2], moments, wp.tid())

    @wp.kernel(module="unique", enable_backward=False)
    def blur_image_kernel(
        # inputs
        image: planes,
        target: planes,
        log_gains: wp.array2d(dtype=real),
        offsets: wp.array2d(dtype=real),
        camera: int,
        # outputs
        blurred: planes,
    ):
        row = wp.tid()
        c, h, w = image.shape[0], image.shape[1], image.shape[2]
        gain, offset = correction(log_gains, offsets, camera, row / h)
        blur_image(image, target, gain, offset, c, h, w, blurred, row)

    @wp.kernel(module="unique", enable_backward=False)
    def ssim_kernel(
        # inputs
        blurred: planes,
        moments: planes,
        image: planes,
        # outputs
        partials: planes,
        sums: wp.array2d(dtype=wp.float64),
    ):
        ssim(blurred, moments, image.shape[0], image.shape[1], image.shape[2], partials, sums, wp.tid())

    @wp.kernel(module="unique", enable_backward=False)
    def blur_partials_kernel(partials: planes, image: planes, blurred: planes):
        blur_partials(partials, image.shape[0], image.shape[1], image.shape[2], blurred, wp.tid())

    @wp.kernel(module="unique", enable_backward=False)
    def gradient_kernel(
        # inputs
        blurred: planes,
        image: planes,
        target: planes,
        weights: wp.array(dtype=real),
        log_gains: wp.array2d(dtype=real),
        offsets: wp.array2d(dtype=real),
        camera: int,
        # outputs
        gradient: planes,
        sums: wp.array2d(dtype=wp.float64),
    ):
        row = wp.tid()
        c, h, w = image.shape[0], image.shape[1], image.shape[2]
        gain, offset = correction(log_gains, offsets, camera, row / h)
        gradient_row(blurred, image, target, weights[row / h], gain, offset, c, h, w, gradient, sums, row)

    @wp.kernel(module="unique", enable_backward=False)
    def correction_adjoint_kernel(
        # inputs
        sums: wp.array2d(dtype=wp.float64),
        height: int,
        camera: int,
        # outputs, accumulated
        adj_log_gains: wp.array2d(dtype=real),
        adj_offsets: wp.array2d(dtype=real),
    ):
        channel = wp.tid()
        log_gain = wp.float64(0.0)
        offset = wp.float64(0.0)
        for y in range(height):
            log_gain += sums[channel * height + y, 2]
            offset += sums[channel * height + y, 3]
        adj_log_gains[camera, channel] += real(log_gain)
        adj_offsets[camera, channel] += real(offset)

    return SimpleNamespace(
        blur_target=blur_target_kernel,
        target_moments=target_moments_kernel,
        blur_image=blur_image_kernel,
        ssim=ssim_kernel,
        blur_partials=blur_partials_kernel,
        gradient=gradient_kernel,
        correction_adjoint=correction_adjoint_kernel,
    )


class PhotometricLoss:
    """The loss of one rendered view against one picture. Owns its buffers; one per worker thread."""

    def __init__(self, shape: tuple[int, int, int], device: wp.DeviceLike, dtype: type = wp.float32) -> None:
        """Allocate for images of ``shape`` [channels, height, width]."""
        channels, height, width = shape
        self.device, self.dtype, self.shape = device, dtype, shape
        self._kernels = photometric_kernels(dtype)
        maps = (MAPS * channels, height, width)
        self._blurred = wp.zeros(maps, dtype=dtype, device=device)
        self._partials = wp.zeros(maps, dtype=dtype, device=device)
        self._sums = wp.zeros((channels * height, 4), dtype=wp.float64, device=device)
        self.adj_image = wp.zeros(shape, dtype=dtype, device=device)
        """Gradient of the last ``evaluate`` by its image, shape [channels, height, width]."""

    def _launch(self, kernel: wp.Kernel, inputs: list, outputs: list) -> None:
        rows = self.shape[0] * self.shape[1]
        wp.launch(kernel, rows, inputs, outputs, device=self.device, record_tape=False)

    def prepare(self, target: wp.array3d, moments: wp.array3d) -> None:
        """Write the windowed means of a picture and of its square, which do not change while it is fitted.

        Args:
            target: Picture, 0..1, shape [channels, height, width].
            moments: Output, shape [2 * channels, height, width].
        """
        check_array("target", target, self.dtype, self.shape)
        self._launch(self._kernels.blur_target, [target], [self._blurred])
        self._launch(self._kernels.target_moments, [self._blurred, target], [moments])

    def evaluate(
        self,
        image: wp.array3d,
        target: wp.array3d,
        moments: wp.array3d,
        weights: wp.array,
        log_gains: wp.array2d,
        offsets: wp.array2d,
        camera: int,
    ) -> None:
        """Compute the loss and its gradient, kept in ``adj_image``.

        Args:
            image: Rendered channels, shape [channels, height, width].
            target: Picture and mask, 0..1, the same shape.
            moments: Of the target, from ``prepare``.
            weights: Weight of each channel's mean loss, shape [channels].
            log_gains: Color correction of all cameras, shape [cameras, 3].
            offsets: The same.
            camera: Which camera took the picture.
        """
        check_array("image", image, self.dtype, self.shape)
        kernels, correction = self._kernels, [log_gains, offsets, camera]
        self._launch(kernels.blur_image, [image, target, *correction], [self._blurred])
        self._launch(kernels.ssim, [self._blurred, moments, image], [self._partials, self._sums])
        self._launch(kernels.blur_partials, [self._partials, image], [self._blurred])
        inputs = [self._blurred, image, target, weights, *correction]
        self._launch(kernels.gradient, inputs, [self.adj_image, self._sums])

    def correction_backward(self, camera: int, adj_log_gains: wp.array2d, adj_offsets: wp.array2d) -> None:
        """Add the gradient of the last ``evaluate`` by the camera's color correction."""
        inputs = [self._sums, self.shape[1], camera]
        outputs = [adj_log_gains, adj_offsets]
        kernel = self._kernels.correction_adjoint
        wp.launch(kernel, 3, inputs, outputs, device=self.device, record_tape=False)

    def value(self) -> float:
        """The loss of the last ``evaluate``; reads back from the device."""
        return float(self._sums.numpy()[:, 0].sum())

    def psnr(self) -> float:
        """PSNR [dB] of the color of the last ``evaluate`` after correction; reads back from the device."""
        _, height, width = self.shape
        mean_square = self._sums.numpy()[: 3 * height, 1].sum() / (3 * height * width)
        return float(-10.0 * np.log10(max(mean_square, 1e-12)))
