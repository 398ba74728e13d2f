"""One training step, put together from the same parts as a tracking step, so that each can be timed alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import warp as wp

from warpgs.bench.clouds import cameras
from warpgs.losses import PhotometricLoss
from warpgs.math.pinhole import upload_views
from warpgs.neighbors import nearest_neighbors
from warpgs.optimize.adam import Adam
from warpgs.particles import Particles
from warpgs.priors import IsometryPrior, Rest, RigidityPrior, RotationPrior, State, accumulate_priors
from warpgs.render import Rasterizer
from warpgs.render.project import project
from warpgs.types import Gaussians

NEIGHBORS = 20
"""Of each particle, as many as the published protocol has."""
RATES = {"means": 1e-5, "rotations": 1e-5}
"""So small that the cloud stays what it is."""
PRIORS = (RigidityPrior(4.0), RotationPrior(4.0), IsometryPrior(2.0))
NEAR_M = 0.01


class View:
    """Particles, cameras and pictures, rendered, compared and differentiated one camera at a time."""

    def __init__(
        self, gaussians: Gaussians, width: int, height: int, channels: tuple[str, ...], *,
        camera_count: int = 1, device: wp.DeviceLike = "cpu",
    ) -> None:  # fmt: skip
        """Allocate, and load every kernel by one pass.

        Args:
            gaussians: From ``clouds``.
            width: Of a picture [px].
            height: The same.
            channels: What is drawn.
            camera_count: Cameras side by side; ``index`` says which is drawn.
            device: Where it runs.
        """
        self.device = wp.get_device(device)
        self.views = upload_views(cameras(camera_count, width, height), NEAR_M, self.device)
        self.index = wp.zeros(1, dtype=wp.int32, device=self.device)
        self.particles = Particles.upload(gaussians, self.device)
        self.gradients = self.particles.zeros_like()
        self.rasterizer = Rasterizer(len(gaussians), width, height, channels=channels, device=self.device)
        shape = (len(channels), height, width)
        self.loss = PhotometricLoss(shape, self.device)
        self._pictures = wp.array(np.random.default_rng(1).random((1, *shape)), dtype=float, device=self.device)
        self._moments = wp.zeros((1, 2 * shape[0], height, width), dtype=float, device=self.device)
        self.loss.prepare(self._pictures, self._moments)
        self._weights = wp.ones(shape[0], dtype=float, device=self.device)
        self._neutral = wp.zeros((camera_count, 3), dtype=float, device=self.device)
        self._first = wp.zeros(1, dtype=wp.int32, device=self.device)
        self.render(check=True)
        self.compare()
        self.differentiate()

    def render(self, check: bool = False) -> None:
        """Forward: project, sort, bin, composite."""
        self.rasterizer.render(self.particles, self.views, self.index, check=check)

    def compare(self) -> None:
        """L1 + D-SSIM and its gradient."""
        neutral = [self._neutral, self._neutral]
        pictures = [self._pictures, self._moments, self._first]
        self.loss.evaluate(self.rasterizer.image, *pictures, self._weights, *neutral, self.index)

    def differentiate(self) -> None:
        """Backward, of the last render."""
        self.rasterizer.backward(self.particles, self.views, self.index, self.loss.adj_image, self.gradients)

    def raster(self) -> None:
        """Forward and backward."""
        self.render()
        self.differentiate()

    def stages(self) -> dict[str, Callable[[], None]]:
        """The parts of ``raster`` and the loss, in their order."""
        r = self.rasterizer
        splats = [r.records, r._depth_keys, r._order]
        view = [self.views, self.index]

        def sort_and_bin() -> None:
            wp.utils.radix_sort_pairs(r._depth_keys, r._order, r.count)
            r._bins.fill(r.records, r._order)

        return {
            "project": lambda: project(self.particles, r._no_features, r.channels, *view, *splats),
            "sort and bin": sort_and_bin,
            "forward": r._composite,
            "loss": self.compare,
            "backward": lambda: r.backward_to_splats(self.loss.adj_image, r.count),
            "projection adjoint": lambda: r.backward_to_particles(self.particles, *view, self.gradients),
        }

    def block_count(self) -> int:
        """Blocks of eight pixels, on a grid, that the boxes of all splats of the last render touch."""
        records = self.rasterizer.records.numpy().astype(np.float64)
        centers, halves = records[:, :2], records[:, 6:8]
        drawn = (halves >= 0.0).all(axis=1)
        size = [self.rasterizer.width, self.rasterizer.height]
        first = np.maximum(np.ceil(centers - halves - 0.5), 0.0)
        last = np.minimum(np.floor(centers + halves - 0.5), np.array(size) - 1.0)
        drawn &= (last >= first).all(axis=1)
        columns = last[:, 0] // 8 - first[:, 0] // 8 + 1.0
        return int(((last[:, 1] - first[:, 1] + 1.0) * columns)[drawn].sum())


class Step:
    """A view, the three neighbor priors and Adam: what a tracking step does for one camera."""

    def __init__(self, view: View) -> None:
        """Build the priors' rest shape from the particles of ``view``."""
        self.view = view
        particles = view.particles
        neighbors, distances = nearest_neighbors(particles.means, min(NEIGHBORS, len(particles) - 1))
        sigma = float(np.median(distances.numpy()[:, -1]))
        self._rest = Rest.build(particles.means, particles.rotations, neighbors, weight_sigma=sigma)
        self._value = wp.zeros(1, dtype=wp.float64, device=view.device)
        self._state = State.of(particles, view.gradients)
        self._adam = Adam({name: getattr(particles, name) for name in RATES}, RATES)

    def hold(self) -> None:
        """The priors with their gradients."""
        accumulate_priors(PRIORS, self._state, self._rest, self._value)

    def run(self) -> None:
        """The whole step."""
        self.view.render()
        self.view.compare()
        self.view.differentiate()
        self.hold()
        self._adam.step(self.view.gradients.named())
