"""Foreground of the masks that no particle covers."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
import warp as wp
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from warpgs.math.pinhole import upload_views
from warpgs.particles import Particles
from warpgs.reconstruct.objective import NEAR_RADII, scene_radius
from warpgs.reconstruct.views import fitted_size, resample
from warpgs.render.batch import RasterizerBatch
from warpgs.types import Frame

PIXELS = 320
"""Pictures are compared at this many pixels along the longer side at most: enough for the shape of a body."""


class Unexplained:
    """Finds unexplained pixels; keeps its buffers while sizes stay the same."""

    def __init__(self, device: wp.Device, executor: Executor | None) -> None:
        self._device, self._executor = device, executor
        self._batch: RasterizerBatch | None = None
        self._key: tuple[int, ...] = ()

    def find(self, foreground: Particles, frame: Frame, rim: float) -> tuple[np.ndarray, np.ndarray]:
        """Where masks say foreground and particles cover less than half.

        Args:
            foreground: All particles that move, in the frame of the cameras.
            frame: Pictures with masks.
            rim: Half of the width below which a part does not count, share of the picture's longer side.

        Returns:
            The masks, 0..1, at the size of the comparison, float32; and what is unexplained, bool; both of shape
            [c, height, width].
        """
        width, height = fitted_size(frame, PIXELS)
        masks = np.stack([resample(mask, width, height) for mask in frame.masks or ()])
        uncovered = self._coverage(foreground, frame, width, height) < 0.5
        reach = 2 * max(1, round(rim * max(width, height))) + 1
        return masks, opened((masks >= 0.5) & uncovered, reach)

    def _coverage(self, foreground: Particles, frame: Frame, width: int, height: int) -> np.ndarray:
        """Share of each pixel that moving particles cover, were nothing else there, shape [c, height, width]."""
        if not len(foreground):
            return np.zeros((len(frame.cameras), height, width))
        key = len(frame.cameras), len(foreground), width, height
        if self._batch is None or self._key != key:
            self._batch, self._key = RasterizerBatch(*key, device=self._device, executor=self._executor), key
        cameras = [camera.resized(width, height) for camera in frame.cameras]
        near = NEAR_RADII * scene_radius(frame.cameras)
        self._batch.render(foreground, upload_views(cameras, near, self._device))
        return 1.0 - self._batch.transmittance.numpy()


def opened(masks: np.ndarray, size: int) -> np.ndarray:
    """What of each mask squares of ``size`` pixels fit into, shape [c, height, width], bool; nothing is outside."""
    result = masks.astype(np.uint8)
    for extreme in (minimum_filter1d, maximum_filter1d):
        for axis in (1, 2):
            result = extreme(result, size, axis=axis, mode="constant", cval=0)
    return result.astype(bool)
