"""A scene, settings, particles and runs of a few numbers, and what a run left on the disk."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from warpgs.run import Run
from warpgs.types import Camera, Frame, Gaussians, GroundTruth, PointCloud, Scene, Split

COUNT = 40
BIRTHS = {2: 3, 4: 5}
"""How many particles are born at which timestep in ``write_with_births``."""
SOURCE_FROM_WORLD = ((2.0, 0, 0, 1), (0, 0, -2, 2), (0, 2, 0, 3), (0, 0, 0, 1))


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    rates: tuple[float, ...] = (1.0, 2.0)


@dataclass(frozen=True)
class Config:
    preset: str = "fast"
    inner: Inner = field(default_factory=Inner)
    cache: Path | None = None


@dataclass(frozen=True)
class FakeScene(Scene):
    """Eight timesteps of nothing; ``broken`` makes it fail its validation."""

    broken: bool = False
    name: str = "nothing"
    fps: float = 30.0
    timestep_count: int = 8
    source_from_world: Sequence[Sequence[float]] = SOURCE_FROM_WORLD

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        return ()

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        return Frame(timestep, timestep / self.fps, (), (), None)

    def point_cloud(self) -> PointCloud | None:
        return None

    def ground_truth(self) -> GroundTruth | None:
        return None

    def validate(self, timesteps: range) -> None:
        if self.broken:
            raise ValueError("cam_03.png: broken")


def make_gaussians(count: int = COUNT) -> Gaussians:
    rng = np.random.default_rng(1)
    rotations = rng.normal(size=(count, 4))
    return Gaussians(
        means=rng.normal(size=(count, 3)).astype(np.float32),
        rotations_wxyz=(rotations / np.linalg.norm(rotations, axis=1, keepdims=True)).astype(np.float32),
        log_scales=rng.normal(size=(count, 3)).astype(np.float32),
        colors=rng.uniform(size=(count, 3)).astype(np.float32),
        opacity_logits=rng.normal(size=count).astype(np.float32),
        foreground=rng.uniform(size=count).astype(np.float32),
    )


def make_pose(timestep: int, count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(100 + timestep)
    rotations = rng.normal(size=(count, 4))
    rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
    return rng.normal(size=(count, 3)).astype(np.float32), rotations.astype(np.float32)


def write_constant(run: Run) -> None:
    rng = np.random.default_rng(2)
    gains, offsets = rng.normal(size=(2, 2, 3)).astype(np.float32)
    run.write_gaussians(make_gaussians(), camera_names=("7", "é"), camera_log_gains=gains, camera_offsets=offsets)


def write_poses(run: Run, stop: int | None = None) -> None:
    """What a tracker does: go on after the last whole timestep, from the state stored with it."""
    if not run.completed:
        write_constant(run)
    for timestep in run.timesteps[len(run.completed) : stop]:
        done = run.completed
        state = run.read_pose(done[-1]).extra["momentum"] + 1.0 if done else np.zeros((3, 2))
        metrics = {"psnr": 20.0 + timestep, "seconds": float(os.getpid())}
        run.write_pose(timestep, *make_pose(timestep), metrics=metrics, extra={"momentum": state})


def write_with_births(run: Run, stop: int | None = None) -> None:
    """Poses of a run in which 3 particles enter at timestep 2 and 5 more at timestep 4."""
    if not run.completed:
        write_constant(run)
    for timestep in run.timesteps[len(run.completed) : stop]:
        if timestep in BIRTHS:
            run.write_births(timestep, make_gaussians(BIRTHS[timestep]))
        count = COUNT + sum(born for birth, born in BIRTHS.items() if birth <= timestep)
        run.write_pose(timestep, *make_pose(timestep, count), metrics={})


def make_run(path: Path, stop: int | None = None, **options: object) -> None:
    with Run.create(path, FakeScene(), Config(), **options) as run:
        write_poses(run, stop)


def file_bytes(path: Path, pattern: str = "**/*") -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.glob(pattern) if file.is_file()}


def in_subprocess(code: str, *arguments: object) -> subprocess.Popen[str]:
    script = "import os, signal, sys\nfrom tests.run.makers import *\n" + textwrap.dedent(code)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)


def with_nan(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[5, 1] = np.nan
    return array
