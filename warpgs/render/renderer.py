"""Pictures of Gaussians, NumPy in and NumPy out: what evaluation and viewing use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from warpgs.devices import make_executor, pick_device
from warpgs.math.pinhole import upload_views
from warpgs.particles import Particles
from warpgs.render.channels import COLOR_MASK_DEPTH
from warpgs.render.rasterizer import Rasterizer
from warpgs.types import Camera, Gaussians

NEAR_SHARE = 0.08
"""Default near plane, as a share of the distance to the median particle: skips what a lens would have in its face."""
BANDS = 8
"""Bands of tiles per picture: enough to keep the cores of a laptop busy."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One rendered view, float32."""

    color: np.ndarray
    """RGB over black, shape [height, width, 3]; not clamped."""
    foreground: np.ndarray
    """Share of each pixel covered by moving particles, 0..1, shape [height, width]."""
    depth: np.ndarray
    """Alpha-weighted sum of z [m], shape [height, width]; divide by ``alpha`` for the expected depth."""
    alpha: np.ndarray
    """Share of each pixel covered by particles, 0..1, shape [height, width]."""


class Renderer:
    """Renders Gaussians on one device; keeps its buffers while the number of particles and the image size stay the
    same."""

    def __init__(self, device: str = "auto", threads: int = 0) -> None:
        """Choose a device ("auto", "cpu", "cuda:0") and the number of CPU threads (0: all cores)."""
        self._device = pick_device(device)
        self._executor = make_executor(self._device, threads)
        self._rasterizer: Rasterizer | None = None

    def view(self, gaussians: Gaussians, camera: Camera, *, near: float | None = None) -> Picture:
        """Render ``gaussians`` as ``camera`` sees them.

        Args:
            gaussians: The particles, world frame.
            camera: The view.
            near: Nearest depth that is drawn [m]; by default NEAR_SHARE of the distance to the median particle.
        """
        if near is None:
            center = np.median(gaussians.means, axis=0) if len(gaussians) else np.zeros(3)
            near = NEAR_SHARE * float(np.linalg.norm(camera.center_world - center)) + 1e-6
        rasterizer = self._rasterizer_for(len(gaussians), camera)
        particles = Particles.upload(gaussians, self._device)
        views, first = upload_views([camera], near, self._device), wp.zeros(1, dtype=wp.int32, device=self._device)
        rasterizer.render(particles, views, first)
        image = rasterizer.image.numpy()
        return Picture(
            color=np.ascontiguousarray(image[:3].transpose(1, 2, 0)),
            foreground=image[3].copy(),
            depth=image[4].copy(),
            alpha=1.0 - rasterizer.transmittance.numpy(),
        )

    def _rasterizer_for(self, count: int, camera: Camera) -> Rasterizer:
        r = self._rasterizer
        if r is None or (r.count, r.width, r.height) != (count, camera.width, camera.height):
            self._rasterizer = r = Rasterizer(
                count,
                camera.width,
                camera.height,
                channels=COLOR_MASK_DEPTH,
                device=self._device,
                executor=self._executor,
                bands=BANDS,
            )
        return r
