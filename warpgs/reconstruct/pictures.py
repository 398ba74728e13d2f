"""Training pictures of one size on the device, all in one array, so that captured steps pick theirs by an index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import warp as wp

from warpgs.losses import PhotometricLoss
from warpgs.reconstruct.views import resample
from warpgs.types import Camera, Frame


class Pictures:
    """What rendered images are compared with. A new timestep takes the place of the last, at the same addresses."""

    def __init__(self, count: int, shape: tuple[int, int, int], device: wp.Device) -> None:
        """Allocate for ``count`` pictures of ``shape`` [channels, height, width]."""
        channels, height, width = shape
        self.channels = wp.zeros((count, *shape), dtype=float, device=device)
        """Color 0..1, then foreground and background shares, planar, shape [count, channels, height, width]."""
        self.moments = wp.zeros((count, 2 * channels, height, width), dtype=float, device=device)
        """Windowed moments of ``channels``, see PhotometricLoss.prepare."""
        self._loss = PhotometricLoss(shape, device)

    def load(self, planes: Sequence[np.ndarray]) -> None:
        """Upload pictures, float32, shape [channels, height, width] each."""
        self.channels.assign(np.stack(planes))
        self._loss.prepare(self.channels, self.moments)


def planes_of(frame: Frame, i: int, camera: Camera, channels: int) -> np.ndarray:
    """Picture and mask ``i`` of a frame at the size of ``camera``, 0..1, shape [channels, height, width]."""
    planes = np.zeros((channels, camera.height, camera.width), np.float32)
    planes[:3] = resample(frame.images[i], camera.width, camera.height).transpose(2, 0, 1)
    if frame.masks is not None:
        planes[3] = resample(frame.masks[i], camera.width, camera.height)
        planes[4:] = 1.0 - planes[3]
    return planes
