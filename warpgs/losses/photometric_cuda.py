"""L1 + D-SSIM for CUDA: one thread per pixel and channel, blurs along rows and along columns in turn.

Neighboring threads read neighboring pixels, so a window of eleven comes from the first-level cache. Sums are reduced
within a block before they meet in memory. Pure Warp, so it also runs on the CPU, where the tests compare it with the
oracle and with photometric_cpu.py.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.losses.window import L1_SHARE, RADIUS, correction_func, window

BLOCK = 256
"""Threads of a block, all of one channel."""


@cache
def photometric_kernels(dtype: type) -> SimpleNamespace:
    """The passes for numbers of ``dtype``; a launch has one thread per pixel of each channel."""
    real = dtype
    planes, stacks = wp.array3d(dtype=real), wp.array4d(dtype=real)
    vec3 = wp.types.vector(3, dtype)
    taps = wp.constant(wp.types.vector(2 * RADIUS + 1, dtype)(*window()))
    radius = wp.constant(RADIUS)
    correction = correction_func(dtype)

    @wp.func
    def blurred_column(maps: stacks, c: int, y: int, x: int):
        """Three maps of a channel, blurred along the column."""
        total = vec3()
        for k in range(wp.static(2 * RADIUS + 1)):
            from_y = y + k - radius
            if from_y >= 0 and from_y < maps.shape[2]:
                total += taps[k] * vec3(maps[0, c, from_y, x], maps[1, c, from_y, x], maps[2, c, from_y, x])
        return total

    @wp.kernel(module="unique", enable_backward=False)
    def rows_of_pictures_kernel(pictures: stacks, blurred: stacks):
        picture, c, y, x = wp.tid()
        mean = real(0.0)
        square = real(0.0)
        for k in range(wp.static(2 * RADIUS + 1)):
            from_x = x + k - radius
            if from_x >= 0 and from_x < pictures.shape[3]:
                b = pictures[picture, c, y, from_x]
                mean += taps[k] * b
                square += taps[k] * b * b
        blurred[picture, c, y, x] = mean
        blurred[picture, pictures.shape[1] + c, y, x] = square

    @wp.kernel(module="unique", enable_backward=False)
    def columns_of_pictures_kernel(blurred: stacks, moments: stacks):
        picture, c, y, x = wp.tid()
        total = real(0.0)
        for k in range(wp.static(2 * RADIUS + 1)):
            from_y = y + k - radius
            if from_y >= 0 and from_y < blurred.shape[2]:
                total += taps[k] * blurred[picture, c, from_y, x]
        moments[picture, c, y, x] = total

    @wp.kernel(module="unique", enable_backward=False)
    def rows_kernel(
        # inputs
        image: planes,
        pictures: stacks,
        picture_index: wp.array(dtype=wp.int32),
        log_gains: wp.array2d(dtype=real),
        offsets: wp.array2d(dtype=real),
        view_index: wp.array(dtype=wp.int32),
        # outputs
        blurred: stacks,
    ):
        c, y, x = wp.tid()
        gain, offset = correction(log_gains, offsets, view_index[0], c)
        picture = picture_index[0]
        total = vec3()
        for k in range(wp.static(2 * RADIUS + 1)):
            from_x = x + k - radius
            if from_x >= 0 and from_x < image.shape[2]:
                a = gain * image[c, y, from_x] + offset
                total += taps[k] * vec3(a, a * a, a * pictures[picture, c, y, from_x])
        for m in range(3):
            blurred[m, c, y, x] = total[m]

    @wp.kernel(module="unique", enable_backward=False)
    def ssim_kernel(
        # inputs
        blurred: stacks,
        moments: stacks,
        picture_index: wp.array(dtype=wp.int32),
        weights: wp.array(dtype=real),
        # outputs
        partials: stacks,  # derivatives of SSIM by the three blurred maps
        sums: wp.array(dtype=wp.float64),  # accumulated
    ):
        c, i = wp.tid()
        height, width = blurred.shape[2], blurred.shape[3]
        loss = wp.float64(0.0)
        if i < height * width:
            y = i // width
            x = i - y * width
            maps = blurred_column(blurred, c, y, x)
            ma, aa, ab = maps[0], maps[1], maps[2]
            mb = moments[picture_index[0], c, y, x]
            bb = moments[picture_index[0], blurred.shape[1] + c, y, x]
            luminance = real(2.0) * ma * mb + real(1e-4)
            contrast = real(2.0) * (ab - ma * mb) + real(9e-4)
            sum_means = ma * ma + mb * mb + real(1e-4)
            sum_variances = aa - ma * ma + bb - mb * mb + real(9e-4)
            inverse = real(1.0) / (sum_means * sum_variances)
            v = luminance * contrast * inverse
            partials[0, c, y, x] = real(2.0) * (
                mb * (contrast - luminance) * inverse + ma * (v / sum_variances - v / sum_means)
            )
            partials[1, c, y, x] = -v / sum_variances
            partials[2, c, y, x] = real(2.0) * luminance * inverse
            scale = wp.float64(wp.static(1.0 - L1_SHARE)) * wp.float64(weights[c]) / wp.float64(height * width)
            loss = scale * (wp.float64(1.0) - wp.float64(v))
        wp.tile_atomic_add(sums, wp.tile_sum(wp.tile(loss)), offset=4 * c)

    @wp.kernel(module="unique", enable_backward=False)
    def rows_of_partials_kernel(partials: stacks, blurred: stacks):
        c, y, x = wp.tid()
        total = vec3()
        for k in range(wp.static(2 * RADIUS + 1)):
            from_x = x + k - radius
            if from_x >= 0 and from_x < partials.shape[3]:
                total += taps[k] * vec3(partials[0, c, y, from_x], partials[1, c, y, from_x], partials[2, c, y, from_x])
        for m in range(3):
            blurred[m, c, y, x] = total[m]

    @wp.kernel(module="unique", enable_backward=False)
    def gradient_kernel(
        # inputs
        blurred: stacks,
        image: planes,
        pictures: stacks,
        picture_index: wp.array(dtype=wp.int32),
        weights: wp.array(dtype=real),
        log_gains: wp.array2d(dtype=real),
        offsets: wp.array2d(dtype=real),
        view_index: wp.array(dtype=wp.int32),
        # outputs
        gradient: planes,
        sums: wp.array(dtype=wp.float64),  # accumulated
    ):
        c, i = wp.tid()
        height, width = image.shape[1], image.shape[2]
        parts = wp.vec4d()
        if i < height * width:
            y = i // width
            x = i - y * width
            gain, offset = correction(log_gains, offsets, view_index[0], c)
            scale = weights[c] / real(height * width)
            l1_scale = real(wp.static(L1_SHARE)) * scale
            raw = image[c, y, x]
            a = gain * raw + offset
            b = pictures[picture_index[0], c, y, x]
            e = a - b
            slope = wp.where(e > real(0.0), l1_scale, wp.where(e < real(0.0), -l1_scale, real(0.0)))
            maps = blurred_column(blurred, c, y, x)
            g = slope - real(wp.static(1.0 - L1_SHARE)) * scale * (maps[0] + real(2.0) * a * maps[1] + b * maps[2])
            gradient[c, y, x] = gain * g
            parts = wp.vec4d(
                wp.float64(l1_scale * wp.abs(e)), wp.float64(e * e), wp.float64(g * gain * raw), wp.float64(g)
            )
        wp.tile_atomic_add(sums, wp.tile_sum(wp.tile(parts), axis=1), offset=4 * c)

    return SimpleNamespace(
        rows_of_pictures=rows_of_pictures_kernel,
        columns_of_pictures=columns_of_pictures_kernel,
        rows=rows_kernel,
        ssim=ssim_kernel,
        rows_of_partials=rows_of_partials_kernel,
        gradient=gradient_kernel,
    )


class Driver:
    """Launches the passes over one image size; owns their scratch."""

    def __init__(self, shape: tuple[int, int, int], device: wp.Device, dtype: type) -> None:
        channels, height, width = shape
        self._shape, self._device, self._kernels = shape, device, photometric_kernels(dtype)
        self._blurred = wp.zeros((3, *shape), dtype=dtype, device=device)
        self._partials = wp.zeros((3, *shape), dtype=dtype, device=device)
        # whole blocks per channel, so that none adds to the sums of two
        self._flat = (channels, -(-height * width // BLOCK) * BLOCK)

    def prepare(self, pictures: wp.array4d, moments: wp.array4d) -> None:
        """Launch the moments of all pictures. Allocates."""
        blurred = wp.zeros_like(moments)
        self._launch(self._kernels.rows_of_pictures, pictures.shape, [pictures], [blurred])
        self._launch(self._kernels.columns_of_pictures, moments.shape, [blurred], [moments])

    def evaluate(self, inputs: list, outputs: list) -> None:
        """Launch the loss; arguments as of photometric_cpu.Driver."""
        image, pictures, moments, picture_index, weights, *correction, _ = inputs  # everywhere costs little here
        gradient, sums = outputs[0], outputs[1].flatten()
        sums.zero_()
        seen = [image, pictures, picture_index, *correction]
        self._launch(self._kernels.rows, self._shape, seen, [self._blurred])
        compared = [self._blurred, moments, picture_index, weights]
        self._launch(self._kernels.ssim, self._flat, compared, [self._partials, sums])
        self._launch(self._kernels.rows_of_partials, self._shape, [self._partials], [self._blurred])
        inputs = [self._blurred, image, pictures, picture_index, weights, *correction]
        self._launch(self._kernels.gradient, self._flat, inputs, [gradient, sums])

    def _launch(self, kernel: wp.Kernel, dim: tuple[int, ...], inputs: list, outputs: list) -> None:
        wp.launch(kernel, dim, inputs, outputs, device=self._device, block_dim=BLOCK, record_tape=False)
