"""Several cameras in one call."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

import warp as wp

from warpgs.checks import check_array, refuse
from warpgs.particles import Particles
from warpgs.render.rasterizer import Rasterizer


class RasterizerBatch:
    """Draws particles as several cameras of one image size see them, at the same time on the CPU, with gradients.

    Results do not depend on ``executor``: views are differentiated down to their splats in any order, and added to the
    gradients of the particles one after the other.
    """

    def __init__(
        self, view_count: int, count: int, width: int, height: int, *, executor: Executor | None = None, **options
    ) -> None:
        """Allocate buffers.

        Args:
            view_count: Number of views that are drawn at a time.
            count: Number of particles that will be drawn.
            width: Image width [px].
            height: Image height [px].
            executor: On the CPU, runs the views.
            options: Of each Rasterizer: channels, features, antialiased, device, dtype, median_depth.
        """
        if view_count < 1:
            refuse("view_count", "at least 1", view_count)
        self.rasterizers = [Rasterizer(count, width, height, **options) for _ in range(view_count)]
        """One for each view, with what else can be asked about it."""
        first = self.rasterizers[0]
        self.device, self.dtype, self._executor = first.device, first.dtype, executor
        shape = (view_count, first.channel_count, height, width)
        self.image = wp.zeros(shape, dtype=first.dtype, device=first.device)
        """Planar channels of the last views, shape [views, channels, height, width]."""
        self.transmittance = wp.zeros((view_count, height, width), dtype=first.dtype, device=first.device)
        """Share of light that passes all particles, shape [views, height, width]."""
        self._index = wp.array([[i] for i in range(view_count)], dtype=wp.int32, device=first.device)
        for i, rasterizer in enumerate(self.rasterizers):
            rasterizer.image, rasterizer.transmittance = self.image[i], self.transmittance[i]
        self._loaded = {"render": False, "backward": False}

    def render(
        self,
        particles: Particles,
        views: wp.array,
        *,
        features: wp.array2d | None = None,
        background: wp.array | None = None,
    ) -> None:
        """Draw ``particles`` as seen by each of ``views``, from ``upload_views``; otherwise as Rasterizer.render."""
        if views.shape != (len(self.rasterizers),):
            refuse("views", f"{len(self.rasterizers)}, as allocated", list(views.shape), "make a batch of that many")

        def draw(i: int) -> None:
            index = self._index[i]
            self.rasterizers[i].render(particles, views, index, features=features, background=background)

        self._for_views("render", draw)

    def backward(
        self,
        particles: Particles,
        views: wp.array,
        adj_image: wp.array,
        gradients: Particles,
        *,
        adj_transmittance: wp.array3d | None = None,
        adj_features: wp.array2d | None = None,
        adj_views: wp.array2d | None = None,
    ) -> None:
        """Add the gradient of the last ``render`` to ``gradients``.

        Args:
            particles: As in ``render``.
            views: As in ``render``.
            adj_image: Gradient of the loss by ``image``, of its shape.
            gradients: Of the first len(gradients) particles; the others are constant.
            adj_transmittance: Gradient of the loss by ``transmittance``, of its shape.
            adj_features: As in Rasterizer.backward, the sum over all views.
            adj_views: As in Rasterizer.backward, shape [views, 6].
        """
        check_array("adj_image", adj_image, self.dtype, self.image.shape)
        if adj_transmittance is not None:
            check_array("adj_transmittance", adj_transmittance, self.dtype, self.transmittance.shape)

        def differentiate(i: int) -> None:
            adj = None if adj_transmittance is None else adj_transmittance[i]
            self.rasterizers[i].backward_to_splats(adj_image[i], len(gradients), adj_transmittance=adj)

        self._for_views("backward", differentiate)
        for i, rasterizer in enumerate(self.rasterizers):
            index = self._index[i]
            rasterizer.backward_to_particles(
                particles, views, index, gradients, adj_features=adj_features, adj_views=adj_views
            )

    def _for_views(self, what: str, job: Callable[[int], None]) -> None:
        every = range(len(self.rasterizers))
        if self._executor is None or not self._loaded[what]:
            # the first time loads kernels, which Warp must not do from two threads at once
            for i in every:
                job(i)
        else:
            for done in [self._executor.submit(job, i) for i in every]:
                done.result()
        self._loaded[what] = True
