"""A recording whose unit or upward axis its files do not tell, put into a world that the user describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from scenes.upright import UP
from warpgs.checks import refuse
from warpgs.similarity import Similarity
from warpgs.types import Camera, Frame, GroundTruth, PointCloud, Scene, Split


@dataclass(frozen=True, eq=False)
class PlacedScene(Scene):
    """A recording in another world: all but cameras and cloud stay as they are."""

    scene: Scene
    """The recording, one without ground truth."""
    source_from_placed: np.ndarray
    """Similarity from the new world to the frame and unit of the recording's files, shape [4, 4], float64."""

    @property
    def name(self) -> str:
        return self.scene.name

    @property
    def layout(self) -> str | None:
        return self.scene.layout

    @property
    def fps(self) -> float:
        return self.scene.fps

    @property
    def timestep_count(self) -> int:
        return self.scene.timestep_count

    @property
    def source_from_world(self) -> np.ndarray:
        return self.source_from_placed

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        return self._placed(self.scene.cameras(split, timestep))

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        frame = self.scene.frame(timestep, split)
        return replace(frame, cameras=self._placed(frame.cameras))

    def point_cloud(self) -> PointCloud | None:
        cloud = self.scene.point_cloud()
        if cloud is None:
            return None
        return replace(cloud, points=self._placed_from_world.points(cloud.points).astype(cloud.points.dtype))

    def ground_truth(self) -> GroundTruth | None:
        return None

    def validate(self, timesteps: range) -> None:
        self.scene.validate(timesteps)

    @cached_property
    def _placed_from_world(self) -> Similarity:
        matrix = np.linalg.inv(self.source_from_placed) @ self.scene.source_from_world
        return Similarity.of(matrix, f"{self.name}: world")

    def _placed(self, cameras: Sequence[Camera]) -> tuple[Camera, ...]:
        moved = self._placed_from_world.poses(np.stack([c.world_from_camera for c in cameras])) if cameras else ()
        return tuple(replace(c, world_from_camera=pose) for c, pose in zip(cameras, moved, strict=True))


def placed(scene: Scene, meters_per_unit: float | None, up: str | None) -> Scene:
    """A recording with a unit [m] or an upward axis of its files (x y z -x -y -z) in place of what its reader assumes.

    Raises:
        ValueError: a unit that is not positive, no such axis, or a scene that is generated.
    """
    if meters_per_unit is None and up is None:
        return scene
    if scene.ground_truth() is not None:
        refuse(scene.name, "a recording to be given a unit or an axis", "a built-in scene", "it is in metres, z up")
    known = Similarity.of(np.linalg.inv(scene.source_from_world), f"{scene.name}: world")
    if up is not None and up not in UP:
        refuse("--up", "one of " + " ".join(UP), up, "name the axis of the files that points up")
    scale = known.scale if meters_per_unit is None else meters_per_unit
    if not 0.0 < scale < np.inf:
        refuse("--meters-per-unit", "a positive number", scale)
    rotation = known.rotation if up is None else UP[up]
    return PlacedScene(scene, Similarity(scale, rotation).inverse().matrix)
