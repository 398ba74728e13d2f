"""The scene of a simulated run: that of the recording, which may end before the simulation does, or none."""

from __future__ import annotations

import numpy as np

from warpgs.types import Camera, Frame, GroundTruth, PointCloud, Scene, Split


class Forecast(Scene):
    """Instants of a recording and any number after it. Only where it is a run's record does it read pictures."""

    def __init__(
        self, recording: Scene | None, name: str, fps: float, source_from_world: np.ndarray, count: int
    ) -> None:
        """
        Args:
            recording: Where the tracks came from; None for files of Gaussians.
            name: As the user named it.
            fps: Instants per second.
            source_from_world: As in Tracks.
            count: Instants, from the first of the recording on.
        """
        self._recording, self._name, self._fps = recording, name, fps
        self._source_from_world, self._count = source_from_world, count

    @property
    def name(self) -> str:
        return self._name

    @property
    def layout(self) -> str | None:
        return None if self._recording is None else self._recording.layout

    @property
    def fps(self) -> float:
        return self._fps

    @property
    def timestep_count(self) -> int:
        return self._count

    @property
    def source_from_world(self) -> np.ndarray:
        return self._source_from_world

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        """Those of the recording; after its end, its last."""
        if self._recording is None:
            return ()
        return self._recording.cameras(split, min(timestep, self._recording.timestep_count - 1))

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        if self._recording is None or timestep >= self._recording.timestep_count:
            raise ValueError(f"{self._name}: expected a recorded timestep, got {timestep}, which is simulated")
        return self._recording.frame(timestep, split)

    def visible(self, timestep: int, camera: Camera) -> np.ndarray | None:
        if self._recording is None or timestep >= self._recording.timestep_count:
            return None
        return self._recording.visible(timestep, camera)

    def point_cloud(self) -> PointCloud | None:
        return None if self._recording is None else self._recording.point_cloud()

    def ground_truth(self) -> GroundTruth | None:
        return None if self._recording is None else self._recording.ground_truth()

    def validate(self, timesteps: range) -> None:
        """Nothing to check: no picture is read."""
