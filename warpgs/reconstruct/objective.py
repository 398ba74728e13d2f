"""The image terms of one timestep: several views are rendered, compared and differentiated at a time, one per worker.

Workers have buffers of their own and their gradients are added in a fixed order, so that results do not depend on the
number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor

import numpy as np
import warp as wp

from warpgs.checks import refuse
from warpgs.devices import Replay
from warpgs.losses import PhotometricLoss
from warpgs.math.pinhole import upload_views
from warpgs.particles import Particles, add_particles
from warpgs.reconstruct.pictures import Pictures, planes_of
from warpgs.reconstruct.worker import Worker, drawn_area_kernel
from warpgs.render import Backdrop, Rasterizer
from warpgs.render.channels import COLOR_MASK, COLOR_SHARES
from warpgs.types import Camera, Frame

NEAR_RADII = 0.08
"""Near plane in scene radii. The cameras of a dome sit in its wall: Gaussians of the wall a hand's breadth before a
lens would blank its picture (basketball, held-out cameras: 17.5 dB at 0.01, 27.9 dB from 0.06 to 0.1)."""


def scene_radius(cameras: Sequence[Camera]) -> float:
    """1.1 times the largest distance of a camera center from their mean [m], as in the 3DGS family.

    Raises:
        ValueError: fewer than two places, which leave the scene without a unit of length.
    """
    centers = np.array([camera.center_world for camera in cameras]).reshape(-1, 3)
    if (centers == centers[:1]).all():
        refuse("training cameras", "at least two, at different places", len(centers), "add views of the scene")
    return 1.1 * float(np.linalg.norm(centers - centers.mean(axis=0), axis=1).max())


class Objective:
    """Image loss of particles against the training pictures of one timestep."""

    def __init__(
        self,
        weights: Sequence[float],
        *,
        views_per_step: int,
        device: wp.Device,
        executor: Executor | None,
        image_scale: float = 1.0,
        with_background: bool = False,
        corrections: tuple[np.ndarray, np.ndarray] | None = None,
        refines_poses: bool = False,
    ) -> None:
        """Prepare for pictures.

        Args:
            weights: Of the color and of the mask loss, each the mean over its channels.
            views_per_step: How many views every ``accumulate`` takes; all of them where a frame has fewer.
            device: Where the particles live.
            executor: Runs the views of a step at the same time on the CPU.
            image_scale: Pictures are resampled by this factor before they are fitted.
            with_background: Compare the background share too, as the published protocol does (its mask picture is
                foreground, nothing, background); otherwise the foreground share alone.
            corrections: Log gains and offsets of all cameras, shape [cameras, 3] each; neutral when None.
            refines_poses: Whether ``adj_poses`` receives gradients.
        """
        self.device = device
        self.channels = COLOR_SHARES if with_background else COLOR_MASK
        image_weight, mask_weight = weights
        # the protocol's mask picture has three channels, one of which is always right
        mask_weights = [mask_weight / 3.0] * 2 if with_background else [mask_weight]
        self._weights = np.array([image_weight / 3.0] * 3 + mask_weights)
        self._views_per_step = views_per_step
        self._executor = executor
        self._image_scale = image_scale
        self._workers: dict[tuple[int, int, int], Worker] = {}
        self._held: Particles | None = None
        self._backdrops: dict[int, Backdrop] = {}
        self._last: list[Worker] = []
        self._last_views: list[int] = []
        self._particles = self._gradients = Particles.zeros(0, device)  # of the last step: captured launches use them
        self._corrections = corrections
        self._refines_poses = refines_poses
        self.adj_poses = wp.zeros((0, 6), dtype=wp.float64, device=device)
        """Gradient by the poses of all cameras where wanted, shape [cameras, 6]; see ``Rasterizer.backward``."""
        self._device_weights = wp.array(self._weights, dtype=float, device=device)
        self._corrected = False
        self.cameras: tuple[Camera, ...] = ()
        self.generation = 0
        """Counts moves of buffers: what others captured of ``launch`` before is void."""
        self._pictures: dict[tuple[int, int], Pictures] = {}

    def load(self, frame: Frame) -> None:
        """Put the pictures of ``frame`` in place of the last ones."""
        cameras = tuple(self._fitted(camera) for camera in frame.cameras)
        if not same_views(cameras, self.cameras):
            self._drop_backdrops()
        self.near = NEAR_RADII * scene_radius(frame.cameras)
        views = upload_views(cameras, self.near, self.device)
        if [_size(camera) for camera in cameras] == [_size(camera) for camera in self.cameras]:
            wp.copy(self.views, views)  # captured steps read them there
            self.cameras = cameras
        else:
            self.views = views
            self._allocate(cameras)
        weights = self._weights / self.views_per_step
        weights[3:] *= frame.masks is not None
        self._device_weights.assign(weights)
        planes = self.map(lambda i: planes_of(frame, i, cameras[i], len(self.channels)), range(len(cameras)))
        for size, pictures in self._pictures.items():
            pictures.load([plane for plane in planes if plane.shape[1:] == size])

    def _allocate(self, cameras: tuple[Camera, ...]) -> None:
        """Make room for the pictures of these cameras, and for their color corrections at the first frame."""
        first = not self.cameras
        self.generation += 1
        self.cameras = cameras
        if first:
            neutral = np.zeros((len(cameras), 3), np.float32)
            log_gains, offsets = self._corrections or (neutral, neutral)
            self.log_gains = wp.array(log_gains, dtype=float, device=self.device)
            self.offsets = wp.array(offsets, dtype=float, device=self.device)
            if self._refines_poses:
                self.adj_poses = wp.zeros((len(cameras), 6), dtype=wp.float64, device=self.device)
        sizes = [_size(camera) for camera in cameras]
        self._pictures = {
            size: Pictures(sizes.count(size), (len(self.channels), *size), self.device) for size in dict.fromkeys(sizes)
        }
        rows = [sizes[:view].count(size) for view, size in enumerate(sizes)]
        self._view_indices = wp.array(np.arange(len(cameras)), dtype=wp.int32, device=self.device)
        self._picture_indices = wp.array(rows, dtype=wp.int32, device=self.device)
        self._workers.clear()

    def picture(self, view: int) -> np.ndarray:
        """What a view is compared with, 0..1, shape [channels, height, width]; reads back from the device."""
        row = int(self._picture_indices.numpy()[view])
        return self._pictures[_size(self.cameras[view])].channels.numpy()[row]

    @property
    def views_per_step(self) -> int:
        """Views of every step: as many as asked for, or all cameras where there are fewer."""
        return min(self._views_per_step, len(self.cameras))

    def hold(self, particles: Particles) -> None:
        """Let these particles stay as they are and be seen behind and between those of ``accumulate``.

        They are composited once per camera rather than at every step, while cameras stand still. CPU only.
        """
        self._held = particles
        self._drop_backdrops()

    def accumulate(
        self,
        particles: Particles,
        view_indices: Sequence[int],
        gradients: Particles,
        adj_log_gains: wp.array | None = None,
        adj_offsets: wp.array | None = None,
        *,
        beside: Callable[[], None] = lambda: None,
    ) -> None:
        """Add the gradient of the image loss of some views. What repeats is captured and replayed.

        Args:
            particles: All particles but those held.
            view_indices: ``views_per_step`` different training cameras.
            gradients: Of the first len(gradients) particles; the others are constant.
            adj_log_gains: Receives the gradient of the color correction when given, shape [cameras, 3].
            adj_offsets: The same.
            beside: More work for this step, done by the calling thread while the others render. It may add to
                ``gradients``: what the views have to add comes after it.
        """
        self._bind(particles, gradients, corrected=adj_log_gains is not None)
        workers = [
            self._worker(slot, self.cameras[view], particles, len(gradients)) for slot, view in enumerate(view_indices)
        ]
        for worker, view in zip(workers, view_indices, strict=True):
            self._replay(worker, view).record()
            worker.total.record()

        def run(slot: int) -> None:
            worker, replay = workers[slot], workers[slot].views[view_indices[slot]]
            replay.run()
            if worker.rasterizer.overflowed():  # its picture is black, and no particle has a gradient
                worker.rasterizer.grow()
                worker.forget()
                replay.run()

        if self._executor is not None and self._last:
            rendering = [self._executor.submit(run, slot) for slot in range(len(workers))]
            beside()
            for job in rendering:
                job.result()
        else:  # the first step loads kernels, which Warp must not do from two threads at once
            beside()
            for slot in range(len(workers)):
                run(slot)
        self._last, self._last_views = workers, list(view_indices)
        for worker, view in zip(workers, view_indices, strict=True):
            worker.total.run()
            if adj_log_gains is not None and adj_offsets is not None:
                index = self._view_indices[view : view + 1]
                worker.loss.correction_backward(index, adj_log_gains, adj_offsets)

    def launch(
        self,
        particles: Particles,
        view_indices: wp.array[wp.int32],
        picture_indices: wp.array[wp.int32],
        gradients: Particles,
        adj_log_gains: wp.array | None = None,
        adj_offsets: wp.array | None = None,
        *,
        beside: Callable[[], None] = lambda: None,
    ) -> None:
        """Launch what ``accumulate`` does, for views that are picked on the device. Can be captured.

        Only where ``one_graph``, or in its place where all pictures have one size and nothing is held. A view whose
        lists of splats have no room is left black: see ``overflowed``.

        Args:
            particles: As in ``accumulate``.
            view_indices: The views, all different, int32, shape [views_per_step].
            picture_indices: The same, among pictures of one size: equal to ``view_indices``.
            gradients: As in ``accumulate``.
            adj_log_gains: As in ``accumulate``.
            adj_offsets: As in ``accumulate``.
            beside: As in ``accumulate``.
        """
        [pictures] = self._pictures.values()
        self._bind(particles, gradients, corrected=adj_log_gains is not None)
        workers = [self._worker(slot, self.cameras[0], particles, len(gradients)) for slot in range(view_indices.size)]
        for slot, worker in enumerate(workers):
            view, picture = (indices[slot : slot + 1] for indices in (view_indices, picture_indices))
            self._launch_view(worker, view, pictures, picture, None)
        beside()
        for slot, worker in enumerate(workers):
            add_particles(worker.gradients, gradients)
            if adj_log_gains is not None and adj_offsets is not None:
                worker.loss.correction_backward(view_indices[slot : slot + 1], adj_log_gains, adj_offsets)
        self._last = workers

    def reserve(self, particles: Particles, active_count: int) -> None:
        """Make room for the lists of splats of every view of ``launch``, with gradients of ``active_count`` particles,
        and half more. Lists grow as particles do: ``overflowed`` must still be asked now and then."""
        views = [self._view_indices[view : view + 1] for view in range(len(self.cameras))]
        for slot in range(self.views_per_step):
            worker = self._worker(slot, self.cameras[0], particles, active_count)
            if worker.rasterizer.reserve(particles, self.views, views):
                worker.forget()
                self.generation += 1

    def overflowed(self) -> bool:
        """Whether lists of splats had no room since they last grew: views were left black. Waits for the device."""
        return any(worker.rasterizer.overflowed() for worker in self._workers.values())

    def grow(self) -> None:
        """Make room for the lists of splats that had none. Captured launches are void."""
        for worker in self._workers.values():
            if worker.rasterizer.overflowed():
                worker.rasterizer.grow()
                worker.forget()
        self.generation += 1

    @property
    def one_graph(self) -> bool:
        """Whether ``launch`` is the way to iterate: on CUDA, where pictures are of one size."""
        return self.device.is_cuda and len(self._pictures) == 1

    def _bind(self, particles: Particles, gradients: Particles, *, corrected: bool) -> None:
        """Take note of what is launched with, and forget captured launches if it is something else than last time."""
        same = self._particles is particles and self._gradients is gradients and self._corrected == corrected
        if not same:
            self._particles, self._gradients, self._corrected = particles, gradients, corrected
            for worker in self._workers.values():
                worker.forget()

    def _replay(self, worker: Worker, view: int) -> Replay:
        """What is launched for a view."""

        def launches() -> None:
            index, picture = (i[view : view + 1] for i in (self._view_indices, self._picture_indices))
            pictures = self._pictures[_size(self.cameras[view])]
            self._launch_view(worker, index, pictures, picture, self._backdrop(view))

        if view not in worker.views:
            worker.views[view] = Replay(self.device, launches)
        return worker.views[view]

    def _launch_view(
        self, worker: Worker, view: wp.array, pictures: Pictures, picture: wp.array, backdrop: Backdrop | None
    ) -> None:
        """Render, compare, differentiate."""
        rasterizer = worker.rasterizer
        rasterizer.render(self._particles, self.views, view, backdrop=backdrop, check=False)
        moving_only = backdrop is not None and not self._corrected
        if moving_only:
            inputs = [rasterizer.records, rasterizer.width, rasterizer.height]
            wp.launch(drawn_area_kernel, 1, inputs, [worker.area], device=self.device, record_tape=False)
        self._compare(worker, view, pictures, picture, worker.area if moving_only else None)
        inputs = [self._particles, self.views, view, worker.loss.adj_image, worker.gradients]
        rasterizer.backward(*inputs, adj_views=self.adj_poses)

    def _compare(
        self, worker: Worker, view: wp.array, pictures: Pictures, picture: wp.array, area: wp.array | None
    ) -> None:
        worker.loss.evaluate(
            worker.rasterizer.image, pictures.channels, pictures.moments, picture, self._device_weights,
            self.log_gains, self.offsets, view, area=area,
        )  # fmt: skip

    def draw(self, rasterizer: Rasterizer, particles: Particles, view: int) -> None:
        """Render ``particles`` among those held, as a view sees them, with buffers of the caller's own."""
        rasterizer.render(particles, self.views, self.view_index(view), backdrop=self._backdrop(view))

    def view_index(self, view: int) -> wp.array:
        """The number of a view on the device, shape [1]."""
        return self._view_indices[view : view + 1]

    def comparison(self, view: int) -> list[wp.array]:
        """What a rendered view is compared with, on the device: pictures of its size, its row among them, log gains and
        offsets, its row among those."""
        pictures, picture = self._pictures[_size(self.cameras[view])], self._picture_indices[view : view + 1]
        return [pictures.channels, picture, self.log_gains, self.offsets, self.view_index(view)]

    def psnr(self) -> float:
        """Mean PSNR [dB] of the views of the last step; reads back from the device."""
        if self._held is not None:  # the step saw only the surroundings of what moves
            for worker, view in zip(self._last, self._last_views, strict=True):
                index, picture = (i[view : view + 1] for i in (self._view_indices, self._picture_indices))
                pictures = self._pictures[_size(self.cameras[view])].channels
                inputs = [worker.rasterizer.image, pictures, picture, self.log_gains, self.offsets, index]
                worker.loss.complete_squares(*inputs)
        return float(np.mean([worker.loss.psnr() for worker in self._last]))

    def value(self) -> float:
        """Image loss of the last step; reads back from the device."""
        if self._held is not None:
            for worker, view in zip(self._last, self._last_views, strict=True):
                index, picture = (i[view : view + 1] for i in (self._view_indices, self._picture_indices))
                self._compare(worker, index, self._pictures[_size(self.cameras[view])], picture, None)
        return float(sum(worker.loss.value() for worker in self._last))

    def rasterizers(self) -> list[Rasterizer]:
        """Of the views of the last step, in order."""
        return [worker.rasterizer for worker in self._last]

    def _backdrop(self, view: int) -> Backdrop | None:
        """What the held particles look like from a view; made when it is first needed. Views of one step differ."""
        if self._held is None or not len(self._held):
            return None
        if view not in self._backdrops:
            camera = self.cameras[view]
            rasterizer = Rasterizer(
                len(self._held), camera.width, camera.height, channels=self.channels, device=self.device
            )
            rasterizer.render(self._held, self.views, self._view_indices[view : view + 1])
            self._backdrops[view] = rasterizer.backdrop()
        return self._backdrops[view]

    def _fitted(self, camera: Camera) -> Camera:
        width, height = (max(1, round(size * self._image_scale)) for size in (camera.width, camera.height))
        return camera.resized(width, height)

    def _worker(self, slot: int, camera: Camera, particles: Particles, active_count: int) -> Worker:
        count = len(particles)
        key = (slot, camera.width, camera.height)
        worker = self._workers.get(key)
        if worker is None or worker.rasterizer.count != count or len(worker.gradients) != active_count:
            shape = (len(self.channels), camera.height, camera.width)
            mine = particles.zeros_like(active_count)
            self._workers[key] = worker = Worker(
                Rasterizer(count, camera.width, camera.height, channels=self.channels, device=self.device),
                PhotometricLoss(shape, self.device) if worker is None else worker.loss,
                mine,
                wp.zeros(4, dtype=int, device=self.device),
                {},
                Replay(self.device, lambda: add_particles(mine, self._gradients)),
            )
        return worker

    def _drop_backdrops(self) -> None:
        self._backdrops.clear()
        for worker in self._workers.values():
            worker.forget()

    def map(self, function: Callable, items: Iterable) -> list:
        """Call ``function`` for each item, on the threads of the CPU."""
        if self._executor is None:
            return [function(item) for item in items]
        return list(self._executor.map(function, items))


def _size(camera: Camera) -> tuple[int, int]:
    return camera.height, camera.width


def same_views(cameras: Sequence[Camera], others: Sequence[Camera]) -> bool:
    """Whether cameras see the same from the same places."""
    return len(cameras) == len(others) and all(
        (a.width, a.height) == (b.width, b.height)
        and np.array_equal(a.intrinsics, b.intrinsics)
        and np.array_equal(a.world_from_camera, b.world_from_camera)
        for a, b in zip(cameras, others, strict=True)
    )
