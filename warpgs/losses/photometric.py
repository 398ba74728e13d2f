"""0.8 L1 + 0.2 D-SSIM per channel, value and gradient (Luiten et al. 2024, section 3.3; SSIM: Wang et al. 2004, window
of 11 pixels, sigma 1.5, zero padding as in the 3DGS family).

Color and mask channels go through together, each with its own weight. The rendered color is first corrected per
camera, picture = exp(log_gain) * color + offset, and the correction receives its gradient here too.

The adjoint is written by hand: the gradient of SSIM is three more blurs of maps that the value has just computed, which
the tape cannot know.
"""

from functools import cache

import numpy as np
import warp as wp

from warpgs.checks import check_array
from warpgs.losses import photometric_cpu, photometric_cuda
from warpgs.losses.window import correction_func


@cache
def correction_adjoint_kernel(dtype: type) -> wp.Kernel:
    """The kernel that passes the gradient of a view on to the color correction, for numbers of ``dtype``."""
    real = dtype

    @wp.kernel(module="unique", enable_backward=False)
    def correction_adjoint_kernel(
        # inputs
        sums: wp.array2d(dtype=wp.float64),
        view_index: wp.array(dtype=wp.int32),
        # outputs, accumulated
        adj_log_gains: wp.array2d(dtype=real),
        adj_offsets: wp.array2d(dtype=real),
    ):
        channel = wp.tid()
        camera = view_index[0]
        adj_log_gains[camera, channel] += real(sums[channel, 2])
        adj_offsets[camera, channel] += real(sums[channel, 3])

    return correction_adjoint_kernel


@cache
def squares_kernel(dtype: type) -> wp.Kernel:
    """The kernel that adds up the squared error of one color channel in each thread, for numbers of ``dtype``."""
    real = dtype
    correction = correction_func(dtype)

    @wp.kernel(module="unique", enable_backward=False)
    def squares_kernel(
        # inputs
        image: wp.array3d(dtype=real),
        pictures: wp.array4d(dtype=real),
        picture_index: wp.array(dtype=wp.int32),
        log_gains: wp.array2d(dtype=real),
        offsets: wp.array2d(dtype=real),
        view_index: wp.array(dtype=wp.int32),
        # outputs
        sums: wp.array2d(dtype=wp.float64),
    ):
        c = wp.tid()
        gain, offset = correction(log_gains, offsets, view_index[0], c)
        total = wp.float64(0.0)
        for y in range(image.shape[1]):
            for x in range(image.shape[2]):
                e = gain * image[c, y, x] + offset - pictures[picture_index[0], c, y, x]
                total += wp.float64(e * e)
        sums[c, 1] = total

    return squares_kernel


class PhotometricLoss:
    """The loss of one rendered view against one of several pictures. Owns its buffers; one per worker thread."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        device: wp.DeviceLike,
        dtype: type = wp.float32,
        *,
        portable: bool = False,
    ) -> None:
        """Allocate.

        Args:
            shape: Of an image, [channels, height, width].
            device: Where the images are.
            dtype: wp.float32, or wp.float64 for gradient checks.
            portable: Use the one-thread-per-pixel kernels on the CPU too, to test them without a GPU.
        """
        self.device, self.dtype, self.shape = wp.get_device(device), dtype, shape
        streams = self.device.is_cpu and not portable
        driver = photometric_cpu.Driver if streams else photometric_cuda.Driver
        self._driver = driver(shape, self.device, dtype)
        self._sums = wp.zeros((shape[0], 4), dtype=wp.float64, device=device)
        """Of each channel: weighted loss, squared error, gradients by log gain and offset."""
        self._everywhere = wp.zeros(0, dtype=wp.int32, device=device)
        self.adj_image = wp.zeros(shape, dtype=dtype, device=device)
        """Gradient of the last ``evaluate`` by its image, shape [channels, height, width]."""

    def prepare(self, pictures: wp.array4d, moments: wp.array4d) -> None:
        """Write the windowed means of pictures and of their squares, which do not change while they are fitted.

        Args:
            pictures: Color and masks, 0..1, shape [n, channels, height, width].
            moments: Output, shape [n, 2 * channels, height, width].
        """
        channels, height, width = self.shape
        n = pictures.shape[0]
        check_array("pictures", pictures, self.dtype, (n, channels, height, width))
        check_array("moments", moments, self.dtype, (n, 2 * channels, height, width))
        self._driver.prepare(pictures, moments)

    def evaluate(
        self,
        image: wp.array3d,
        pictures: wp.array4d,
        moments: wp.array4d,
        picture_index: wp.array[wp.int32],
        weights: wp.array,
        log_gains: wp.array2d,
        offsets: wp.array2d,
        view_index: wp.array[wp.int32],
        *,
        area: wp.array[wp.int32] | None = None,
    ) -> None:
        """Compute the loss and its gradient, kept in ``adj_image``. Can be captured.

        Args:
            image: Rendered channels, shape [channels, height, width].
            pictures: As in ``prepare``.
            moments: From ``prepare``.
            picture_index: Which picture, shape [1].
            weights: Weight of each channel's mean loss, shape [channels].
            log_gains: Color correction of all cameras, shape [cameras, 3].
            offsets: The same.
            view_index: Which camera took the picture, shape [1].
            area: First and last column, first and last row of the pixels whose gradient is wanted, shape [4], inside
                the image; empty when the last is before the first. The gradient elsewhere is undefined then, and
                ``value``, ``psnr`` and ``correction_backward`` know only part of the picture. All of it by default.
        """
        check_array("image", image, self.dtype, self.shape)
        area = self._everywhere if area is None else area
        inputs = [image, pictures, moments, picture_index, weights, log_gains, offsets, view_index, area]
        self._driver.evaluate(inputs, [self.adj_image, self._sums])

    def correction_backward(
        self, view_index: wp.array[wp.int32], adj_log_gains: wp.array2d, adj_offsets: wp.array2d
    ) -> None:
        """Add the gradient of the last ``evaluate`` by the camera's color correction."""
        inputs, outputs = [self._sums, view_index], [adj_log_gains, adj_offsets]
        kernel = correction_adjoint_kernel(self.dtype)
        wp.launch(kernel, 3, inputs, outputs, device=self.device, record_tape=False)

    def complete_squares(
        self,
        image: wp.array3d,
        pictures: wp.array4d,
        picture_index: wp.array[wp.int32],
        log_gains: wp.array2d,
        offsets: wp.array2d,
        view_index: wp.array[wp.int32],
    ) -> None:
        """Let ``psnr`` know the whole picture after an ``evaluate`` of an area, with the same arguments."""
        inputs = [image, pictures, picture_index, log_gains, offsets, view_index]
        wp.launch(squares_kernel(self.dtype), 3, inputs, [self._sums], device=self.device, record_tape=False)

    def value(self) -> float:
        """The loss of the last ``evaluate``; reads back from the device."""
        return float(self._sums.numpy()[:, 0].sum())

    def psnr(self) -> float:
        """PSNR [dB] of the color of the last ``evaluate`` after correction; reads back from the device."""
        _, height, width = self.shape
        mean_square = self._sums.numpy()[:3, 1].sum() / (3 * height * width)
        return float(-10.0 * np.log10(max(mean_square, 1e-12)))
