"""The frame that the engine works in: whatever the unit, the origin and the axes of the world are, the same recording
gives the same numbers there, and float32 has its digits where the scene is.

Origin: mean of the cameras of the first timestep. Unit: the scene radius. Up: the mean of what the cameras hold to be
up, whatever the world's z axis says. Cameras: in the order of their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from warpgs.reconstruct.objective import scene_radius
from warpgs.track.config import FollowConfig
from warpgs.track.predict import Poses
from warpgs.types import Camera, Frame, Gaussians, PointCloud

LEAST_COMMON_UP = 0.3
"""Cameras whose directions up cancel to a shorter mean look down or are held at random: then the world's z is up."""


@dataclass(frozen=True, eq=False)
class WorkingFrame:
    """A similarity, x_world = unit_m * axes @ x_work + origin, and what it does to all that goes in and comes out."""

    axes: np.ndarray
    """Axes of the working frame as columns, world frame, shape [3, 3], float64."""
    origin: np.ndarray
    """Its origin [m], world frame, shape [3], float64."""
    unit_m: float
    """Its unit of length [m]."""

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
        return WorkingFrame(axes, origin, scene_radius(cameras))

    def frame_in(self, frame: Frame) -> Frame:
        """A frame of the scene as the engine sees it."""
        order = sorted(range(len(frame.cameras)), key=lambda i: frame.cameras[i].name)
        return replace(
            frame,
            cameras=tuple(self._camera_in(frame.cameras[i]) for i in order),
            images=tuple(frame.images[i] for i in order),
            masks=None if frame.masks is None else tuple(frame.masks[i] for i in order),
        )

    def cloud_in(self, cloud: PointCloud) -> PointCloud:
        """A cloud of the scene as the engine sees it."""
        return replace(cloud, points=self._points_in(cloud.points))

    def gaussians_in(self, gaussians: Gaussians) -> Gaussians:
        """Stored Gaussians as the engine sees them."""
        means, rotations = self.poses_in((gaussians.means, gaussians.rotations_wxyz))
        log_scales = gaussians.log_scales - np.float32(np.log(self.unit_m))
        return replace(gaussians, means=means, rotations_wxyz=rotations, log_scales=log_scales)

    def gaussians_out(self, gaussians: Gaussians) -> Gaussians:
        """Gaussians of the engine as they are stored."""
        means, rotations = self.poses_out((gaussians.means, gaussians.rotations_wxyz))
        log_scales = gaussians.log_scales + np.float32(np.log(self.unit_m))
        return replace(gaussians, means=means, rotations_wxyz=rotations, log_scales=log_scales)

    def poses_in(self, poses: Poses) -> Poses:
        """Stored poses as the engine sees them."""
        return self._points_in(poses[0]), _turned(self.axes.T, poses[1])

    def poses_out(self, poses: Poses) -> Poses:
        """Poses of the engine as they are stored."""
        means = self.unit_m * (poses[0].astype(np.float64) @ self.axes.T) + self.origin
        return means.astype(np.float32), _turned(self.axes, poses[1])

    def settings_in(self, config: FollowConfig) -> FollowConfig:
        """Settings with their lengths and places in the working frame."""
        priors = config.priors
        floor = priors.floor
        if floor is not None:
            normal = np.array(floor[:3])
            floor = (*(normal @ self.axes).tolist(), (float(normal @ self.origin) + floor[3]) / self.unit_m)
        lengths = {name: getattr(priors, name) for name in ("sigma_m", "length_unit_m")}
        scaled = {name: None if length is None else length / self.unit_m for name, length in lengths.items()}
        return replace(config, priors=replace(priors, floor=floor, **scaled))

    def _points_in(self, points: np.ndarray) -> np.ndarray:
        return ((points.astype(np.float64) - self.origin) @ self.axes / self.unit_m).astype(np.float32)

    def _camera_in(self, camera: Camera) -> Camera:
        pose = np.eye(4)
        pose[:3, :3] = self.axes.T @ camera.world_from_camera[:3, :3]
        pose[:3, 3] = (camera.center_world - self.origin) @ self.axes / self.unit_m
        return replace(camera, world_from_camera=pose)


def _axes(cameras: Sequence[Camera], centers: np.ndarray) -> np.ndarray:
    """z is up, x points to the first camera that does not stand above the origin."""
    up = -np.mean([camera.world_from_camera[:3, 1] for camera in cameras], axis=0)
    z = up / np.linalg.norm(up) if np.linalg.norm(up) > LEAST_COMMON_UP else np.array([0.0, 0.0, 1.0])
    across = centers - np.outer(centers @ z, z)
    distances = np.linalg.norm(across, axis=1)
    first = int(np.argmax(distances > 0.5 * distances.max()))
    x = across[first] / distances[first] if distances[first] > 0.0 else np.linalg.svd(z[None])[2][1]
    return np.stack([x, np.cross(z, x), z], axis=1)


def _turned(rotation: np.ndarray, rotations_wxyz: np.ndarray) -> np.ndarray:
    """``rotation`` after each of the quaternions, which keep their signs towards each other."""
    w, x, y, z = Rotation.from_matrix(rotation).as_quat(canonical=True, scalar_first=True)
    left = np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
    turned = rotations_wxyz.astype(np.float64) @ left.T
    return (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)
