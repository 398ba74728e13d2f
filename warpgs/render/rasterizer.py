"""The differentiable rasterizer of one view: project, bin, composite, and back. Owns every buffer it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import replace

import warp as wp

from warpgs.checks import check_array, refuse
from warpgs.particles import Particles
from warpgs.render import composite_cpu, composite_cuda
from warpgs.render.backdrop import Backdrop
from warpgs.render.background import background_adjoint
from warpgs.render.bins import Bins
from warpgs.render.channels import COLOR_MASK, check_channels
from warpgs.render.grid import tile_grid
from warpgs.render.memory import Memory, Share
from warpgs.render.outputs import output_kernels
from warpgs.render.project import project, project_adjoint
from warpgs.render.shade import GRADIENT, RECORD


class Rasterizer:
    """Draws particles into one image of planar channels, all in one pass, with gradients.

    Results do not depend on ``executor``: tiles are independent, and pair gradients are added in a fixed order.
    """

    def __init__(
        self,
        count: int,
        width: int,
        height: int,
        *,
        channels: tuple[str, ...] = COLOR_MASK,
        features: int = 0,
        antialiased: bool = False,
        device: wp.DeviceLike = "cpu",
        dtype: type = wp.float32,
        executor: Executor | None = None,
        bands: int = 1,
        portable: bool = False,
        median_depth: bool = False,
    ) -> None:
        """Allocate buffers.

        Args:
            count: Number of particles that will be drawn.
            width: Image width [px].
            height: Image height [px].
            channels: Which of CHANNELS to draw, in this order.
            features: How many numbers of the caller's own to draw behind them; 32 channels and features at most.
            antialiased: Take from the opacity what the low pass adds to the area, so that what is smaller than a pixel
                keeps its share of the light at any distance (Mip-Splatting, Yu et al. 2024).
            device: Where the particles live.
            dtype: wp.float32, or wp.float64 for gradient checks.
            executor: On the CPU, runs bands of tiles at the same time.
            bands: Into how many bands of equal work the tiles are cut.
            portable: Use the kernels of CUDA on the CPU too, to test them without a GPU.
            median_depth: Fill ``median_splats``, for ``median_depths``.
        """
        check_channels(channels, features)
        self.device = wp.get_device(device)
        self.dtype, self.count = dtype, count
        self.width, self.height = width, height
        self.channels, self.features, self.antialiased = tuple(channels), features, antialiased
        self.channel_count = channel_count = len(channels) + features
        self._strips = self.device.is_cpu and not portable
        self._projection = {"antialiased": antialiased, "portable": portable}
        if self.device.is_cpu and portable and not wp.config.enable_cpu_blocks:
            refuse("portable", "wp.config.enable_cpu_blocks", False, "set it: these kernels need blocks of threads")
        self._executor, self._bands = executor, bands
        composite = composite_cpu if self._strips else composite_cuda
        self._kernels = composite.composite_kernels(dtype, channel_count, median_depth)
        self._grid = tile_grid(width, height, composite.TILE_WIDTH, composite.TILE_HEIGHT)
        self._bins = Bins(count, self._grid, self.device, serial=self._strips)

        self.records = self._zeros((count, RECORD + channel_count))
        """Splats of the last view, see project.py."""
        self.adj_records = self._zeros((count, GRADIENT + channel_count))
        """Gradient of the last backward pass by ``records``; densification reads the screen-space part."""
        self.image = self._zeros((channel_count, height, width))
        """Planar channels of the last view; black where nothing is."""
        self.transmittance = self._zeros((height, width))
        """Share of light that passes all particles: 1 - alpha."""
        self.median_splats = wp.zeros((height, width) if median_depth else (0, 0), dtype=wp.int32, device=self.device)
        """Index of the splat at which the transmittance of a pixel first falls to 0.5 or less; -1 where it never does.
        """
        no_index = wp.zeros(0, dtype=wp.int32, device=self.device)
        no_image, self._no_plane = self._zeros((channel_count, 0, 0)), self._zeros((0, 0))
        self._black = self._background = self._no_depths = self._zeros((0,))
        self._nothing = Backdrop(self._zeros((0, RECORD + channel_count)), no_index, no_index, no_image, self._no_plane)
        self._no_features = self._zeros((0, features))
        self._outputs = output_kernels(dtype)
        self._adj_depths = self._zeros((count if median_depth else 0,))
        self._no_poses = wp.zeros((0, 6), dtype=wp.float64, device=self.device)
        self._backdrop = self._nothing
        self._wants_median = False
        self._adj_pairs = self._zeros((0, GRADIENT + channel_count))
        self._pair_sums = self._zeros((0, 2))
        # radix sort works in the second half of both
        self._depth_keys = wp.zeros(2 * count, dtype=wp.int32, device=self.device)
        self._order = wp.zeros(2 * count, dtype=wp.int32, device=self.device)

    def backdrop(self) -> Backdrop:
        """A copy of the last view to composite others into; keep what does not change and render only the rest.

        Raises:
            NotImplementedError: on CUDA, where all particles are composited every time.
        """
        if not self._strips:
            raise NotImplementedError("backdrop: only the CPU composites among kept splats; render all particles")
        return Backdrop(
            records=wp.clone(self.records),
            starts=wp.clone(self._bins.starts),
            pairs=wp.clone(self._bins.pairs[: int(self._bins.starts.numpy()[-1])]),
            image=wp.clone(self.image),
            transmittance=wp.clone(self.transmittance),
        )

    def _zeros(self, shape: tuple[int, ...]) -> wp.array:
        return wp.zeros(shape, dtype=self.dtype, device=self.device)

    def render(
        self,
        particles: Particles,
        views: wp.array,
        view_index: wp.array[wp.int32],
        *,
        features: wp.array2d | None = None,
        background: wp.array | None = None,
        backdrop: Backdrop | None = None,
        tape: wp.Tape | None = None,
        check: bool = True,
    ) -> None:
        """Draw ``particles`` as seen by ``views[view_index[0]]`` into ``image`` and ``transmittance``.

        Args:
            particles: ``count`` particles on this device.
            views: Cameras of this image size, from ``upload_views``.
            view_index: Which of them, shape [1]: on the device, so that a captured graph can change cameras.
            features: What the particles show beyond ``channels``, shape [count, features]; wanted where there are any.
            background: What shines through, one number per channel, shape [channels]; black without. On a tape it
                receives gradients if it wants them; without, see ``background_adjoint``.
            backdrop: Composite among these particles, which were seen from the same view (CPU only).
            tape: Records the backward pass when given: it reads and clears ``image.grad`` and, where there is one,
                ``transmittance.grad``, and adds to the ``grad`` of each particle array (all must have been made with
                ``requires_grad``) and to that of ``features``, if it has one.
            check: Look at once whether the lists of splats had room, and repeat with more: a wait on CUDA. Without, as
                in a captured iteration, a view that has none comes out black: ask ``overflowed`` afterwards, ``grow``
                and repeat what was lost.
        """
        if backdrop is not None and background is not None:
            refuse("background", "none among a backdrop", "one", "draw the backdrop with it: it shows that one's")
        if backdrop is not None and self.median_splats.size:
            raise NotImplementedError("backdrop: median depths need all particles; render without a backdrop")
        if len(particles) != self.count:
            refuse("particles", f"{self.count}, as allocated", len(particles), "make a Rasterizer of that count")
        features = self._checked_features("features", features)
        self._list_splats(particles, features, views, view_index)
        if check and self._bins.overflowed():
            self._bins.grow()
            self._bins.fill(self.records, self._order)
        self._backdrop = backdrop or self._nothing
        self._background = self._black if background is None else background
        self._composite()
        if tape is not None:
            gradients = replace(particles, **{name: array.grad for name, array in particles.named().items()})

            def backward() -> None:
                adj_transmittance = self.transmittance.grad
                inputs = [particles, views, view_index, self.image.grad, gradients]
                self.backward(*inputs, adj_transmittance=adj_transmittance, adj_features=features.grad)
                if background is not None and background.requires_grad:
                    background_adjoint(self.image.grad, self.transmittance, background.grad)
                self.image.grad.zero_()
                if adj_transmittance is not None:
                    adj_transmittance.zero_()

            wanted = [features] if features.requires_grad else []
            tape.record_func(backward, [*particles.named().values(), *wanted, self.image])

    def _list_splats(self, particles: Particles, features: wp.array2d, views: wp.array, view_index: wp.array) -> None:
        """Up to the lists of splats of each tile."""
        outputs = [self.records, self._depth_keys, self._order]
        project(particles, features, self.channels, views, view_index, *outputs, **self._projection)
        if self.count:
            wp.utils.radix_sort_pairs(self._depth_keys, self._order, self.count)
        self._bins.fill(self.records, self._order)

    def reserve(self, particles: Particles, views: wp.array, view_indices: Iterable[wp.array]) -> bool:
        """Make room for half over what the fullest of some views needs; whether there was not, so that graphs captured
        before are void. Waits for the device once. Of particles without features."""
        for view_index in view_indices:
            self._list_splats(particles, self._no_features, views, view_index)
        tight = self._bins.tight()
        if tight:
            self.grow()
        return tight

    def overflowed(self) -> bool:
        """Whether lists of splats had no room in any view since the last ``grow``; waits for the device."""
        return self._bins.overflowed()

    def grow(self) -> None:
        """Make room for half over what was needed so far. Graphs captured before are void."""
        self._bins.grow()
        if self._adj_pairs.size:
            self._size_pair_gradients()

    def backward(
        self,
        particles: Particles,
        views: wp.array,
        view_index: wp.array[wp.int32],
        adj_image: wp.array3d,
        gradients: Particles,
        *,
        adj_transmittance: wp.array2d | None = None,
        adj_median_depths: wp.array2d | None = None,
        adj_features: wp.array2d | None = None,
        adj_views: wp.array2d | None = None,
    ) -> None:
        """Add the gradient of the last ``render`` to ``gradients``.

        Args:
            particles: As in ``render``.
            views: As in ``render``.
            view_index: As in ``render``.
            adj_image: Gradient of the loss by ``image``, shape [channels, height, width].
            gradients: Of the first len(gradients) particles; the others are constant, which saves their share of the
                work.
            adj_transmittance: Gradient of the loss by ``transmittance``, shape [height, width].
            adj_median_depths: Gradient of the loss by what ``median_depths`` writes, shape [height, width].
            adj_features: Of the features, when wanted, shape [count, features].
            adj_views: Of the poses of all views, when wanted, shape [views, 6], float64: by a small motion of the
                camera in its own frame, world_from_camera @ exp(twist), rotation [1/rad] then translation [1/m]. Holds
                what the first len(gradients) particles have to say; accumulated, in a fixed order on the CPU.
        """
        self.backward_to_splats(
            adj_image, len(gradients), adj_transmittance=adj_transmittance, adj_median_depths=adj_median_depths
        )
        self.backward_to_particles(
            particles, views, view_index, gradients, adj_features=adj_features, adj_views=adj_views
        )

    def backward_to_splats(
        self,
        adj_image: wp.array3d,
        active_count: int,
        *,
        adj_transmittance: wp.array2d | None = None,
        adj_median_depths: wp.array2d | None = None,
    ) -> None:
        """The first half of ``backward``, nine tenths of the work: into ``adj_records`` of the first ``active_count``
        splats. Rasterizers do it at the same time; only the second half touches what they share."""
        self._composite_adjoint(adj_image, active_count, adj_transmittance)
        self._wants_median = adj_median_depths is not None
        if adj_median_depths is None:
            return
        if not self.median_splats.size:
            refuse("adj_median_depths", "a Rasterizer with median_depth=True", "one without")
        self._adj_depths.zero_()
        inputs = [self.median_splats, adj_median_depths, self._adj_depths]
        self._launch(self._outputs.median_adjoint, self.median_splats.shape, inputs)

    def backward_to_particles(
        self,
        particles: Particles,
        views: wp.array,
        view_index: wp.array[wp.int32],
        gradients: Particles,
        *,
        adj_features: wp.array2d | None = None,
        adj_views: wp.array2d | None = None,
    ) -> None:
        """The second half of ``backward``: from ``adj_records`` into the gradients of the particles."""
        if adj_features is None:
            adj_features = self._no_features
        else:
            self._checked_features("adj_features", adj_features)
        inputs = [views, view_index, self.records, self.adj_records]
        inputs += [self._adj_depths if self._wants_median else self._no_depths]
        outputs = [gradients, adj_features, self._no_poses if adj_views is None else adj_views]
        project_adjoint(particles, self.channels, *inputs, *outputs, **self._projection)

    def _checked_features(self, what: str, features: wp.array2d | None) -> wp.array2d:
        if not self.features and features is None:
            return self._no_features
        if features is None:
            refuse(what, f"an array of shape [{self.count}, {self.features}]", None)
        check_array(what, features, self.dtype, (self.count, self.features))
        return features

    def memory(self) -> Memory:
        """What is allocated by now; on the CPU the first backward pass adds a gradient for each pair."""
        of_splats, of_pairs, of_tiles = self._bins.arrays()
        splats = [self.records, self.adj_records, self._adj_depths, self._depth_keys, self._order]
        return Memory(
            gaussians=Share.of([*splats, *of_splats], self.count),
            pixels=Share.of([self.image, self.transmittance, self.median_splats], self.width * self.height),
            pairs=Share.of([self._adj_pairs, self._pair_sums, *of_pairs], self._bins.capacity),
            tiles=Share.of(of_tiles, self._bins.tile_count),
        )

    def visibility(self, sums: wp.array2d) -> None:
        """Write how much of each particle the last view holds: sums over the pixels of alpha and of its share of the
        picture, T alpha, shape [count, 2]. Their ratio says how much of it is seen.
        """
        bins = self._bins
        lists = [bins.starts, bins.pairs, self.records]
        if self._strips:
            if self._pair_sums.shape[0] < bins.capacity:
                self._pair_sums = self._zeros((bins.capacity, 2))
            b = self._backdrop
            fixed = [*lists, b.starts, b.pairs, b.records, self._grid.columns, self.width, self.height]
            self._for_bands(self._kernels.visibility, lambda first: [*fixed, first, self._pair_sums])
            inputs = [bins.starts, bins.tile_count, bins.pairs, self.count, self._pair_sums, sums]
            self._launch(self._kernels.reduce_visibility, 1, inputs)
        else:
            sums.zero_()
            self._launch_blocks(self._kernels.visibility, [*lists, self._grid, self.width, self.height, sums])

    def median_depths(self, depths: wp.array2d) -> None:
        """Write the depth [m] of the splat at which half of the light of each pixel of the last view is gone, 0 where
        it never is, shape [height, width]."""
        if not self.median_splats.size:
            refuse("median_depths", "a Rasterizer with median_depth=True", "one without")
        check_array("depths", depths, self.dtype, (self.height, self.width))
        self._launch(self._outputs.median, depths.shape, [self.median_splats, self.records, depths])

    def screen_gradient_norms(self, norms: wp.array, *, unit_px: tuple[float, float] = (1.0, 1.0)) -> None:
        """Write the norm of the gradient of the last ``backward`` by each splat's center, -1 where the view does not
        show it.

        Args:
            norms: Output [loss per unit], of as many particles as that backward pass had gradients for.
            unit_px: Unit of length along x and y [px].
        """
        inputs = [self.records, self.adj_records, *unit_px, norms]
        self._launch(self._outputs.screen, norms.size, inputs)

    def _composite(self) -> None:
        bins = self._bins
        lists = [bins.starts, bins.pairs, self.records]
        outputs = [self.image, self.transmittance, self.median_splats]
        if self._strips:
            b = self._backdrop
            fixed = [*lists, b.starts, b.pairs, b.records, self._grid.columns, self.width, self.height]
            fixed += [self._background, b.image, b.transmittance]
            self._for_bands(self._kernels.forward, lambda first: [*fixed, first, *outputs])
        else:
            self._launch_blocks(self._kernels.forward, [*lists, self._grid, self._background, *outputs])

    def _composite_adjoint(
        self, adj_image: wp.array3d, active_count: int, adj_transmittance: wp.array2d | None = None
    ) -> None:
        bins = self._bins
        lists = [bins.starts, bins.pairs, self.records, active_count]
        adj_transmittance = self._no_plane if adj_transmittance is None else adj_transmittance
        pixels = [self.image, self.transmittance, adj_image, adj_transmittance]
        if self._strips:
            self._size_pair_gradients()
            b = self._backdrop
            fixed = [*lists, b.starts, b.pairs, b.records, self._grid.columns, self.width, self.height]
            fixed += pixels
            self._for_bands(self._kernels.adjoint, lambda first: [*fixed, first, self._adj_pairs])
            inputs = [bins.starts, bins.tile_count, bins.pairs, active_count, self._adj_pairs, self.adj_records]
            self._launch(self._kernels.reduce, 1, inputs)
        else:
            self.adj_records.zero_()
            self._launch_blocks(self._kernels.adjoint, [*lists, self._grid, *pixels, self.adj_records])

    def _size_pair_gradients(self) -> None:
        if self._strips and self._adj_pairs.shape[0] < self._bins.capacity:
            self._adj_pairs = self._zeros((self._bins.capacity, GRADIENT + self.channel_count))

    def _launch(self, kernel: wp.Kernel, dim: int | tuple[int, ...], arguments: list) -> None:
        wp.launch(kernel, dim, arguments, device=self.device, record_tape=False)

    def _launch_blocks(self, kernel: wp.Kernel, arguments: list) -> None:
        """One block of threads per tile."""
        threads = composite_cuda.THREADS
        dim = (self._bins.tile_count, threads)
        wp.launch(kernel, dim, arguments, device=self.device, block_dim=threads, record_tape=False)

    def _for_bands(self, kernel: wp.Kernel, arguments: Callable[[int], list]) -> None:
        """Launch ``kernel`` over all tiles, in bands of about equal numbers of pairs."""
        if self._executor is None:
            self._launch(kernel, self._bins.tile_count, arguments(0))
            return
        kernel.module.load(self.device)  # not from two threads at once
        jobs = [
            self._executor.submit(self._launch, kernel, end - first, arguments(first))
            for first, end in self._bins.bands(self._bands)
        ]
        for job in jobs:
            job.result()
