"""Pictures of Gaussians, NumPy in and NumPy out: what evaluation and viewing use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from warpgs.devices import make_executor, pick_device
from warpgs.math.pinhole import upload_views
from warpgs.particles import Particles
from warpgs.render.channels import COLOR_MASK_DEPTH, NORMAL
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
    normals: np.ndarray | None = None
    """Alpha-weighted sum of the shortest axis of each particle, world frame, turned towards the camera, shape [height,
    width, 3]; None where not asked for."""
    median_depth: np.ndarray | None = None
    """z [m] of the particle at which half of the light is gone, 0 where it never is, shape [height, width]; None where
    not asked for."""


class Renderer:
    """Renders Gaussians on one device; keeps its buffers while the number of particles and the image size stay the
    same."""

    def __init__(self, device: str = "auto", threads: int = 0) -> None:
        """Choose a device ("auto", "cpu", "cuda:0") and the number of CPU threads (0: all cores)."""
        self._device = pick_device(device)
        self._executor = make_executor(self._device, threads)
        self._rasterizer: Rasterizer | None = None
        self._key: tuple = ()

    def view(
        self,
        gaussians: Gaussians,
        camera: Camera,
        *,
        near: float | None = None,
        normals: bool = False,
        median_depth: bool = False,
        antialiased: bool = False,
    ) -> Picture:
        """Render ``gaussians`` as ``camera`` sees them.

        Args:
            gaussians: The particles, world frame.
            camera: The view.
            near: Nearest depth that is drawn [m]; by default NEAR_SHARE of the distance to the median particle.
            normals: Draw normals too.
            median_depth: Find median depths too.
            antialiased: See Rasterizer.

        Raises:
            ValueError: A parameter that is not finite, by name and index.
        """
        if near is None:
            center = np.median(gaussians.means, axis=0) if len(gaussians) else np.zeros(3)
            near = NEAR_SHARE * float(np.linalg.norm(camera.center_world - center)) + 1e-6
        channels = (*COLOR_MASK_DEPTH, *NORMAL) if normals else COLOR_MASK_DEPTH
        options = {"channels": channels, "median_depth": median_depth, "antialiased": antialiased}
        rasterizer = self._rasterizer_for(len(gaussians), camera, options)
        particles = Particles.upload(gaussians, self._device)
        views, first = upload_views([camera], near, self._device), wp.zeros(1, dtype=wp.int32, device=self._device)
        rasterizer.render(particles, views, first)
        image = rasterizer.image.numpy()
        return Picture(
            color=np.ascontiguousarray(image[:3].transpose(1, 2, 0)),
            foreground=image[3].copy(),
            depth=image[4].copy(),
            alpha=1.0 - rasterizer.transmittance.numpy(),
            normals=np.ascontiguousarray(image[5:8].transpose(1, 2, 0)) if normals else None,
            median_depth=_median_depth(rasterizer) if median_depth else None,
        )

    def _rasterizer_for(self, count: int, camera: Camera, options: dict) -> Rasterizer:
        key = (count, camera.width, camera.height, *options.values())
        if self._rasterizer is None or self._key != key:
            options = {**options, "device": self._device, "executor": self._executor, "bands": BANDS}
            self._rasterizer, self._key = Rasterizer(count, camera.width, camera.height, **options), key
        return self._rasterizer


def _median_depth(rasterizer: Rasterizer) -> np.ndarray:
    depths = wp.empty((rasterizer.height, rasterizer.width), dtype=rasterizer.dtype, device=rasterizer.device)
    rasterizer.median_depths(depths)
    return depths.numpy()
