"""A scene changed in one respect: what comes with the pictures, how they were taken, or the frame of all numbers."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from scipy.spatial.transform import Rotation

from scenes.synthetic.options import SyntheticOptions
from scenes.synthetic.scene import SyntheticScene
from warpgs.similarity import Similarity
from warpgs.types import Camera, Frame, GroundTruth, PointCloud, Scene, Split

Value = TypeVar("Value")
Rng = np.random.Generator


def _same(value: Value, generator: Rng | None = None) -> Value:
    return value


@dataclass(frozen=True, eq=False)
class Variant:
    """One change; everything else stays. Random numbers depend on the camera's name, the timestep and the seed only."""

    summary: str
    """One line for people."""
    options: Callable[[SyntheticOptions], SyntheticOptions] = _same
    """Changes how the scene is made."""
    image: Callable[[np.ndarray, Rng], np.ndarray] = _same
    """Changes a training picture; the generator is the same at every timestep of a camera."""
    mask: Callable[[np.ndarray, Rng], np.ndarray] = _same
    """Changes a training mask; the generator is another one in every picture."""
    camera: Callable[[Camera, Rng], Camera] = _same
    """Changes the calibration that a training camera claims to have."""
    cloud: Callable[[PointCloud, Rng], PointCloud] = _same
    """Changes the starting cloud."""
    shuffles: bool = False
    """Whether the training cameras come in another order."""
    new_from_old: Similarity = field(default_factory=Similarity)
    """Moves and scales the whole scene."""


class VariedScene(Scene):
    """A scene under a variant. Held-out cameras and their pictures stay exact: they measure."""

    def __init__(self, base: SyntheticScene | VariedScene, variant: Variant, name: str, *, seed: int = 0) -> None:
        """Wrap ``base``, which must not change afterwards, and call it ``name``."""
        self._base, self._variant, self._name, self._seed = base, variant, name, seed
        train = base.cameras("train")
        order = np.random.default_rng([seed, 77]).permutation(len(train)) if variant.shuffles else range(len(train))
        self._order = [int(index) for index in order]

    @property
    def name(self) -> str:
        return self._name

    @property
    def fps(self) -> float:
        return self._base.fps

    @property
    def timestep_count(self) -> int:
        return self._base.timestep_count

    @property
    def source_from_world(self) -> np.ndarray:
        """Back into the frame and unit of the scene as it was made [m]."""
        return self._base.source_from_world @ self._variant.new_from_old.inverse().matrix

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        cameras = self._base.cameras(split, timestep)
        if split == "train":
            cameras = tuple(
                self._variant.camera(cameras[index], self._generator("camera", cameras[index].name))
                for index in self._order
            )
        poses = [self._variant.new_from_old.poses(camera.world_from_camera) for camera in cameras]
        return tuple(replace(camera, world_from_camera=pose) for camera, pose in zip(cameras, poses, strict=True))

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        frame, cameras = self._base.frame(timestep, split), self.cameras(split, timestep)
        if split == "test":
            return replace(frame, cameras=cameras)
        images, masks = [], []
        for index, camera in zip(self._order, cameras, strict=True):
            images.append(self._variant.image(frame.images[index], self._generator("image", camera.name)))
            if frame.masks is not None:
                generator = self._generator("mask", camera.name, timestep)
                masks.append(self._variant.mask(frame.masks[index], generator))
        return replace(frame, cameras=cameras, images=tuple(images), masks=tuple(masks) if masks else None)

    def point_cloud(self) -> PointCloud | None:
        cloud = self._base.point_cloud()
        if cloud is None:
            return None
        cloud = self._variant.cloud(cloud, self._generator("cloud", ""))
        return replace(cloud, points=self._variant.new_from_old.points(cloud.points))

    def ground_truth(self) -> GroundTruth:
        return self.truth_seen_at(0)

    def truth_seen_at(self, timestep: int) -> GroundTruth:
        """As of ``SyntheticScene``."""
        truth, new_from_old = self._base.truth_seen_at(timestep), self._variant.new_from_old
        xyzw = np.roll(truth.rotations_wxyz, -1, axis=-1).reshape(-1, 4)
        turn = Rotation.from_matrix(new_from_old.rotation)
        wxyz = np.roll((turn * Rotation.from_quat(xyzw) * turn.inv()).as_quat(canonical=True), 1, axis=-1)
        return replace(
            truth,
            points=new_from_old.points(truth.points).astype(np.float32),
            rotations_wxyz=wxyz.reshape(truth.rotations_wxyz.shape).astype(np.float32),
            world_from_body=new_from_old.poses(truth.world_from_body),
        )

    def validate(self, timesteps: range) -> None:
        self._base.validate(timesteps)

    def visible(self, timestep: int, camera: Camera) -> np.ndarray:
        """As of ``SyntheticScene``; a camera of this scene stands where it really is, not where it claims to be."""
        for split in ("train", "test"):
            for real in self._base.cameras(split, timestep):
                if real.name == camera.name:
                    return self._base.visible(timestep, real)
        pose = self._variant.new_from_old.inverse().poses(camera.world_from_camera)
        return self._base.visible(timestep, replace(camera, world_from_camera=pose))

    def _generator(self, purpose: str, camera: str, timestep: int = 0) -> Rng:
        return np.random.default_rng([self._seed, zlib.crc32(f"{purpose} {camera}".encode()), timestep])
