"""The frame that the engine works in: whatever the unit, the origin and the axes of the world are, the same recording
gives the same numbers there, and float32 has its digits where the scene is.

Origin: mean of the cameras of the first timestep. Unit: the scene radius. Up: the mean of what the cameras hold to be
up, whatever the world's z axis says. Cameras: in the order of their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from warpgs.reconstruct.objective import scene_radius
from warpgs.similarity import Similarity
from warpgs.track.config import FollowConfig
from warpgs.types import Camera, Frame, PointCloud

CLOUD_STEP = 2.0**-20
"""Points of a cloud are rounded to multiples of this, so that rounding in the world's own frame leaves no trace."""
LEAST_COMMON_UP = 0.3
"""Cameras whose directions up cancel to a shorter mean look down or are held at random: then the world's z is up."""


@dataclass(frozen=True, eq=False)
class WorkingFrame:
    """Where the engine works, and what goes in there."""

    world_from_work: Similarity
    """Back into the world; its scale is the unit of the working frame [m]."""

    @property
    def unit_m(self) -> float:
        """Its unit of length [m]."""
        return self.world_from_work.scale

    @staticmethod
    def of(cameras: Sequence[Camera], *, keep_axes: bool = False) -> WorkingFrame:
        """The working frame of a recording.

        Args:
            cameras: Training cameras of the first timestep, at two places or more.
            keep_axes: Leave the axes parallel to the world's.

        Raises:
            ValueError: fewer than two places.
        """
        ordered = sorted(cameras, key=lambda camera: camera.name)
        centers = np.stack([camera.center_world for camera in ordered])
        origin = centers.mean(axis=0)
        axes = np.eye(3) if keep_axes else _axes(ordered, centers - origin)
        return WorkingFrame(Similarity(scene_radius(cameras), axes, origin))

    def frame_in(self, frame: Frame) -> Frame:
        """A frame of the scene as the engine sees it."""
        order = sorted(range(len(frame.cameras)), key=lambda i: frame.cameras[i].name)
        poses = self.world_from_work.inverse().poses(np.stack([camera.world_from_camera for camera in frame.cameras]))
        return replace(
            frame,
            cameras=tuple(replace(frame.cameras[i], world_from_camera=poses[i]) for i in order),
            images=tuple(frame.images[i] for i in order),
            masks=None if frame.masks is None else tuple(frame.masks[i] for i in order),
        )

    def cloud_in(self, cloud: PointCloud) -> PointCloud:
        """A cloud of the scene as the engine sees it."""
        points = self.world_from_work.inverse().points(cloud.points)
        return replace(cloud, points=(np.rint(points / CLOUD_STEP) * CLOUD_STEP).astype(np.float32))

    def settings_in(self, config: FollowConfig) -> FollowConfig:
        """Settings with their lengths and places in the working frame."""
        priors, world = config.priors, self.world_from_work
        floor = priors.floor
        if floor is not None:
            normal = np.array(floor[:3])
            height = float(normal @ world.translation) + floor[3]
            floor = (*(normal @ world.rotation).tolist(), height / world.scale)
        lengths = {name: getattr(priors, name) for name in ("sigma_m", "length_unit_m")}
        scaled = {name: None if length is None else length / self.unit_m for name, length in lengths.items()}
        return replace(config, priors=replace(priors, floor=floor, **scaled))


def _axes(cameras: Sequence[Camera], centers: np.ndarray) -> np.ndarray:
    """z is up, x points to the first camera that does not stand above the origin."""
    up = -np.mean([camera.world_from_camera[:3, 1] for camera in cameras], axis=0)
    z = up / np.linalg.norm(up) if np.linalg.norm(up) > LEAST_COMMON_UP else np.array([0.0, 0.0, 1.0])
    across = centers - np.outer(centers @ z, z)
    distances = np.linalg.norm(across, axis=1)
    first = int(np.argmax(distances > 0.5 * distances.max()))
    x = across[first] / distances[first] if distances[first] > 0.0 else np.linalg.svd(z[None])[2][1]
    return np.stack([x, np.cross(z, x), z], axis=1)
