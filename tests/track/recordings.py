"""A tiny recording kept in memory, settings that track it in a moment, and what a run of it left on the disk."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from scenes.synthetic import SyntheticOptions, tumble
from warpgs.reconstruct.config import DensifyConfig, ReconstructConfig
from warpgs.run import Run
from warpgs.track import TimestepState, TrackConfig, track
from warpgs.track.config import BirthConfig, FollowConfig, FreeConfig, RigidConfig
from warpgs.types import Camera, Frame, GroundTruth, PointCloud, Scene, Split

QUICK = TrackConfig(
    threads=1,
    reconstruct=ReconstructConfig(
        steps=20,
        densify=DensifyConfig(grow="all", start=8, stop=16, every=8, gradient_threshold=2e-4, final_prune_opacity=0.06),
    ),
    follow=FollowConfig(
        rigid=RigidConfig(clusters=6, steps=12, first_steps=14),
        free=FreeConfig(steps=10),
    ),
)
"""Every stage of preset fast, in few steps; timesteps are long enough for one call of ``progress``."""

FIXED = replace(
    QUICK,
    reconstruct=replace(
        QUICK.reconstruct,
        rates=replace(QUICK.reconstruct.rates, foreground_logits=0.0),
        densify=replace(QUICK.reconstruct.densify, every=0),
    ),
    follow=replace(QUICK.follow, births=BirthConfig(enabled=False)),
)
"""No new particles, and none that changes sides."""


@dataclass(frozen=True, eq=False)
class Recording(Scene):
    """Frames in memory. Its ``validate`` lets everything pass: what is broken is left to ``track``."""

    shots: tuple[Frame, ...]
    cloud: PointCloud | None
    name: str = "recording"
    fps: float = 30.0

    @property
    def timestep_count(self) -> int:
        return len(self.shots)

    @property
    def source_from_world(self) -> np.ndarray:
        return np.eye(4)

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        return self.shots[timestep].cameras if split == "train" else ()

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        return self.shots[timestep]

    def point_cloud(self) -> PointCloud | None:
        return self.cloud

    def ground_truth(self) -> GroundTruth | None:
        return None

    def validate(self, timesteps: range) -> None:
        pass

    def with_masks(self, value: int | None) -> "Recording":
        """The same pictures under masks of one value, or without."""
        masks = None if value is None else tuple(np.full_like(mask, value) for mask in self.shots[0].masks)
        return replace(self, shots=tuple(replace(shot, masks=masks) for shot in self.shots))

    def with_points(self, count: int, foreground: int) -> "Recording":
        """The same pictures with ``count`` points of the cloud, ``foreground`` of them moving."""
        rows = np.concatenate(
            [np.flatnonzero(~self.cloud.foreground)[: count - foreground], np.flatnonzero(self.cloud.foreground)]
        )[:count]
        return replace(self, cloud=PointCloud(*(array[rows] for array in vars(self.cloud).values())))


@cache
def tiny_recording() -> Recording:
    """Three instants of the built-in scene tumble; the same pixels in every process."""
    options = SyntheticOptions(
        width=96, height=54, timesteps=3, train_cameras=6, test_cameras=0, cloud_background=1200, cloud_foreground=500
    )
    scene = tumble(options)
    return Recording(tuple(scene.frames()), scene.point_cloud())


def track_into(path: Path, scene: Scene, config: TrackConfig, *, stop: int | None = None, **options) -> list:
    """Track into a run directory, ending early after ``stop`` timesteps; returns the states."""
    states: list[TimestepState] = []
    with Run.create(path, scene, config, **options) as run:
        going = track(scene, config, run=run)
        for state in going:
            states.append(state)
            if len(states) == stop:
                going.close()
                break
    return states


def result_bytes(path: Path) -> dict[str, bytes]:
    """Every stored array file of a run, byte for byte."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*.npz"))}
