"""A synthetic recording: bodies with known motion, ray-cast from a dome of cameras, with exact ground truth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from scenes.synthetic import raycast
from scenes.synthetic.bodies import Body, room
from scenes.synthetic.dome import dome
from scenes.synthetic.options import SyntheticOptions
from scenes.synthetic.truth import carry, sample_surface
from warpgs.checks import check_camera, check_finite, check_shape, check_timesteps, refuse
from warpgs.types import Camera, Frame, GroundTruth, PointCloud, Scene, Split

LEAST_VIEWS = 2
"""Training cameras that must see a surface point before it enters the cloud or the ground truth."""


class SyntheticScene(Scene):
    """Textured bodies that move through a textured room; nothing is stored, every picture is cast when asked for.

    The same options give the same pixels, however many threads cast them. The world frame is the source's frame.
    """

    def __init__(
        self,
        name: str,
        bodies: Sequence[Body],
        world_from_body: np.ndarray,
        options: SyntheticOptions,
        *,
        background: Sequence[Body] | None = None,
        threads: int | None = None,
    ) -> None:
        """Build a scene.

        Args:
            name: How the user named it.
            bodies: What moves: the foreground.
            world_from_body: Rigid pose of every body at every timestep, shape [t, b, 4, 4].
            options: Cameras, pictures, cloud.
            background: What never moves, in the world frame; a round room where None. It must surround the cameras.
            threads: Cameras cast at once; one per core, at most 8, where None.

        Raises:
            ValueError: poses that are not rigid, or whose shape fits neither bodies nor timesteps.
        """
        world_from_body = np.asarray(world_from_body, np.float64)
        _check_poses(name, world_from_body, len(bodies), options.timesteps)
        for body in bodies:
            _check_deformation(f"{name}: {body.name}: deformed", body, options.timesteps)
        self._name, self._options = name, options
        self._bodies, self._background = tuple(bodies), tuple(background) if background is not None else room()
        self._world_from_body = world_from_body
        self._train, self._test = dome(options)
        self._threads = threads or min(8, os.cpu_count() or 1)
        # Warp compiles in the main thread: worker threads only launch.
        wp.load_module(module=raycast, device=raycast.DEVICE)
        self._body_group = raycast.upload(self._bodies, world_from_body)
        identity = np.broadcast_to(np.eye(4), (1, len(self._background), 4, 4))
        self._background_group = raycast.upload(self._background, identity)
        self._backdrops: dict[str, raycast.Backdrop] = {}
        self._truths: dict[int, GroundTruth] = {}

    @property
    def name(self) -> str:
        return self._name

    @property
    def fps(self) -> float:
        return self._options.fps

    @property
    def timestep_count(self) -> int:
        return self._options.timesteps

    @property
    def source_from_world(self) -> np.ndarray:
        return np.eye(4)

    @property
    def bodies(self) -> tuple[Body, ...]:
        """What moves, in the order of ``GroundTruth.world_from_body``."""
        return self._bodies

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        check_timesteps(self._name, range(timestep, timestep + 1), self.timestep_count)
        return self._train if split == "train" else self._test

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        cameras = self.cameras(split, timestep)
        with ThreadPoolExecutor(self._threads) as pool:
            pictures = list(pool.map(lambda camera: self._cast(camera, timestep), cameras))
        return Frame(
            timestep=timestep,
            time_s=timestep / self.fps,
            cameras=cameras,
            images=tuple(image for image, _ in pictures),
            masks=tuple(mask for _, mask in pictures) if self._options.has_masks else None,
        )

    def depth(self, timestep: int, camera: Camera) -> np.ndarray:
        """Exact depth along the optical axis at each pixel's center [m], shape [height, width], float32."""
        check_timesteps(self._name, range(timestep, timestep + 1), self.timestep_count)
        return raycast.cast_depth(camera, self._background_group, self._body_group, timestep)

    def visible(self, timestep: int, camera: Camera) -> np.ndarray:
        """True for each ground-truth point that lies in the camera's picture with nothing in front; shape [n], bool."""
        check_timesteps(self._name, range(timestep, timestep + 1), self.timestep_count)
        return self._see(timestep, camera, self.ground_truth().points[timestep])

    def point_cloud(self) -> PointCloud | None:
        """Noisy samples of the surfaces that the training cameras see at timestep 0; None without ``has_cloud``."""
        options = self._options
        if not options.has_cloud:
            return None
        generator = np.random.default_rng([options.seed, 1])
        background = self._sample_cloud(
            self._background, np.broadcast_to(np.eye(4), (len(self._background), 4, 4)), self._background_group,
            options.cloud_background, generator,
        )  # fmt: skip
        foreground = self._sample_cloud(
            self._bodies, self._world_from_body[0], self._body_group, options.cloud_foreground, generator
        )
        points = np.concatenate([background[0], foreground[0]])
        noise = generator.normal(0.0, options.cloud_noise_m, points.shape) if options.cloud_noise_m > 0.0 else 0.0
        return PointCloud(
            points=(points + noise).astype(np.float32),
            colors=np.concatenate([background[1], foreground[1]]),
            foreground=np.arange(len(points)) >= len(background[0]),
        )

    def ground_truth(self) -> GroundTruth:
        """Tracks of the points that enough training cameras see at timestep 0."""
        return self.truth_seen_at(0)

    def truth_seen_at(self, timestep: int) -> GroundTruth:
        """Tracks, through all timesteps, of points that enough training cameras see at ``timestep``.

        Bodies that enter later have points here and none in ``ground_truth``.
        """
        check_timesteps(self._name, range(timestep, timestep + 1), self.timestep_count)
        if timestep not in self._truths:
            self._truths[timestep] = self._sample_truth(timestep)
        return self._truths[timestep]

    def validate(self, timesteps: range) -> None:
        check_timesteps(self._name, timesteps, self.timestep_count)
        for camera in (*self._train, *self._test):
            check_camera(f"{self._name}: camera {camera.name}", camera)

    def _cast(self, camera: Camera, timestep: int) -> tuple[np.ndarray, np.ndarray]:
        backdrop = self._backdrops.get(camera.name)
        if backdrop is None:
            backdrop = raycast.cast_background(camera, self._background_group, self._body_group, self._options.samples)
            self._backdrops[camera.name] = backdrop
        return raycast.cast_frame(camera, self._body_group, backdrop, timestep, self._options.shadows)

    def _see(self, timestep: int, camera: Camera, points: np.ndarray) -> np.ndarray:
        return raycast.see_points(camera, self._background_group, self._body_group, timestep, points)

    def _seen_enough(self, points: np.ndarray, timestep: int = 0) -> np.ndarray:
        """True where enough training cameras see a point [m], shape [n], bool."""
        least = min(LEAST_VIEWS, len(self._train))
        return np.sum([self._see(timestep, camera, points) for camera in self._train], axis=0) >= least

    def _sample_cloud(
        self,
        parts: Sequence[Body],
        world_from_part: np.ndarray,
        group: raycast.PartGroup,
        count: int,
        generator: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """At most ``count`` visible surface points [m] and their colors, evenly over the area of all parts."""
        # Half of the surface may be out of sight: sample three times as much as is wanted.
        areas = np.array([part.mesh.area for part in parts])
        counts = np.ceil(3.0 * count * areas / areas.sum()).astype(int)
        points, faces = [], []
        for part, pose, part_count in zip(parts, world_from_part, counts, strict=True):
            local, face = sample_surface(part.mesh, part_count, generator)
            points.append(local @ pose[:3, :3].T + pose[:3, 3])
            faces.append(face)
        all_points, all_faces = np.concatenate(points), np.concatenate(faces)
        owners = np.repeat(np.arange(len(parts)), counts)
        seen = np.flatnonzero(self._seen_enough(all_points))
        chosen = np.sort(generator.permutation(seen)[:count])
        colors = raycast.color_points(
            group, self._body_group, self._options.shadows, all_points[chosen], owners[chosen], all_faces[chosen]
        )
        return all_points[chosen], colors

    def _sample_truth(self, timestep: int) -> GroundTruth:
        """Points of each body that enough training cameras see at ``timestep``, carried by the body's motion."""
        options, poses = self._options, self._world_from_body
        generator = np.random.default_rng([options.seed, 2])
        points, rotations, owners = [], [], []
        for b, body in enumerate(self._bodies):
            rest, faces = sample_surface(body.mesh, 4 * options.truth_points, generator)
            local, turned = carry(body, rest, faces, self.timestep_count)
            turns, shifts = poses[:, b, None, :3, :3], poses[:, b, None, :3, 3]
            world = np.einsum("tnij,tnj->tni", np.broadcast_to(turns, turned.shape), local) + shifts
            rows = np.flatnonzero(self._seen_enough(world[timestep], timestep))[: options.truth_points]
            points.append(world[:, rows])
            since_start = turns @ turned[:, rows] @ np.swapaxes(turns[:1], -1, -2)
            xyzw = Rotation.from_matrix(since_start.reshape(-1, 3, 3)).as_quat(canonical=True)
            rotations.append(np.roll(xyzw, 1, axis=1).reshape(self.timestep_count, len(rows), 4))
            owners.append(np.full(len(rows), b, np.int32))
        return GroundTruth(
            points=np.concatenate(points, axis=1).astype(np.float32),
            rotations_wxyz=np.concatenate(rotations, axis=1).astype(np.float32),
            body_index=np.concatenate(owners),
            body_names=tuple(body.name for body in self._bodies),
            world_from_body=poses,
        )


def _check_poses(name: str, world_from_body: np.ndarray, body_count: int, timesteps: int) -> None:
    what = f"{name}: world_from_body"
    check_shape(what, world_from_body, (timesteps, body_count, 4, 4))
    check_finite(what, world_from_body)
    rotations = world_from_body[..., :3, :3]
    error = float(np.abs(rotations @ np.swapaxes(rotations, -1, -2) - np.eye(3)).max(initial=0.0))
    if error > 1e-6 or (np.linalg.det(rotations) < 0.0).any():
        refuse(what, "rigid transforms", f"|R R^T - I| = {error:.3g}", "bake a body's scale into its mesh")


def _check_deformation(what: str, body: Body, timesteps: int) -> None:
    if body.deformed is None:
        return
    check_shape(what, body.deformed, (timesteps, *body.mesh.vertices.shape))
    check_finite(what, body.deformed)
    error = float(np.abs(body.deformed[0] - body.mesh.vertices).max())
    if error > 1e-6:
        refuse(what, "the mesh's vertices at timestep 0", f"{error:.3g} m away", "build the mesh with process=False")
