"""Time of the CPU rasterizer and of the image loss, stage by stage: thread CPU time, medians. Printed, never asserted.

python -m tests.benchmarks.rasterizer                          # 20,000 and 100,000 particles on a plane and spheres
python -m tests.benchmarks.rasterizer --scenes FOLDER/s20k.npz # a fixed scene: means, quats, scales, colors, opac
python -m tests.benchmarks.rasterizer --peer "./reference s20k 20000"   # a peer, run in between, prints its own
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
import warp as wp

from warpgs.losses import PhotometricLoss
from warpgs.math.pinhole import upload_views
from warpgs.particles import Particles, logit
from warpgs.render import Rasterizer
from warpgs.render.channels import CHANNELS
from warpgs.render.project import project, project_adjoint
from warpgs.types import Camera, Gaussians

WIDTH, HEIGHT, FOCAL_PX = 640, 360, 520.0


@dataclass(frozen=True)
class Benchmark:
    """Time the rasterizer on one CPU core."""

    scenes: tuple[Path, ...] = ()
    """Scenes to load; without any, two are made."""
    channels: tuple[int, ...] = (3, 4, 6)
    """Numbers of channels drawn in one pass."""
    repeats: int = 15
    """Runs of each stage; the median counts."""
    peer: str = ""
    """Command to run after each scene."""


def main(benchmark: Benchmark) -> None:
    """Print one line per scene and number of channels."""
    wp.config.log_level = wp.LOG_ERROR
    scenes = {path.stem: load(path) for path in benchmark.scenes} or {f"n{n}": make(n) for n in (20_000, 100_000)}
    for name, gaussians in scenes.items():
        for channels in benchmark.channels:
            stages = measure(gaussians, channels, benchmark.repeats)
            print(f"{name:>8} {channels} channels  " + "  ".join(f"{k} {v:.2f}" for k, v in stages.items()) + "  ms")
        if benchmark.peer:
            subprocess.run(shlex.split(benchmark.peer), check=True)


def measure(gaussians: Gaussians, channels: int, repeats: int) -> dict[str, float]:
    """Median thread CPU time of each stage [ms]."""
    intrinsics = np.array([[FOCAL_PX, 0, WIDTH / 2], [0, FOCAL_PX, HEIGHT / 2], [0, 0, 1]])
    views = upload_views([Camera("bench", WIDTH, HEIGHT, intrinsics, np.eye(4))], 0.01, "cpu")
    first = wp.zeros(1, dtype=wp.int32, device="cpu")
    particles = Particles.upload(gaussians, "cpu")
    gradients = Particles.zeros(len(particles), "cpu")
    rasterizer = Rasterizer(len(particles), WIDTH, HEIGHT, channels=CHANNELS[:channels])
    shape = (channels, HEIGHT, WIDTH)
    target = wp.array(np.random.default_rng(0).random((1, *shape)), dtype=float)
    moments = wp.zeros((1, 2 * channels, HEIGHT, WIDTH), dtype=float)
    loss, weights = PhotometricLoss(shape, "cpu"), wp.ones(channels, dtype=float)
    neutral = wp.zeros((1, 3), dtype=float)
    loss.prepare(target, moments)
    r = rasterizer

    def compare() -> None:
        loss.evaluate(r.image, target, moments, first, weights, neutral, neutral, first)

    def iteration() -> None:
        r.render(particles, views, first)
        compare()
        r.backward(particles, views, first, loss.adj_image, gradients)

    stages: dict[str, Callable[[], None]] = {
        "all": iteration,
        "project": lambda: project(
            particles, r._no_features, r.channels, views, first, r.records, r._depth_keys, r._order
        ),
        "forward": r._composite,
        "loss": compare,
        "backward": lambda: r._composite_adjoint(loss.adj_image, len(particles)),
        "project adjoint": lambda: project_adjoint(
            particles, r.channels, views, first, r.records, r.adj_records, gradients, r._no_features, r._no_poses
        ),
    }
    iteration()
    return {name: median_ms(stage, repeats) for name, stage in stages.items()}


def median_ms(stage: Callable[[], None], repeats: int) -> float:
    """Median thread CPU time of ``stage`` [ms], after one run that is not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.thread_time()
        stage()
        times.append(time.thread_time() - start)
    return 1e3 * float(np.median(times[1:]))


def load(path: Path) -> Gaussians:
    """A scene of arrays means, quats (w, x, y, z), scales, colors and opac."""
    with np.load(path, allow_pickle=False) as data:
        return gaussians_of(data["means"], data["quats"], data["scales"], data["colors"], data["opac"].ravel())


def make(count: int) -> Gaussians:
    """Particles on a wall and on six spheres before it, a few pixels large, flattened along the line of sight."""
    rng = np.random.default_rng(0)
    wall, ball = count // 2, count - count // 2
    direction = rng.normal(size=(ball, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    centers = np.stack([np.linspace(-2.2, 2.2, 6), rng.uniform(-0.6, 0.7, 6), rng.uniform(3.0, 5.5, 6)], axis=1)
    means = np.concatenate([
        np.stack([rng.uniform(-4.6, 4.6, wall), rng.uniform(-2.7, 2.7, wall), np.full(wall, 7.0)], axis=1),
        centers[rng.integers(0, 6, ball)] + 0.7 * direction,
    ])  # fmt: skip
    size = (0.025 if count < 50_000 else 0.015) * np.exp(rng.normal(0.0, 0.5, (count, 3))) * [1.0, 1.0, 0.25]
    quaternions = rng.normal(size=(count, 4))
    return gaussians_of(means, quaternions, size, rng.random((count, 3)), rng.uniform(0.1, 0.95, count))


def gaussians_of(means, quaternions, scales, colors, opacities) -> Gaussians:
    """Float32 Gaussians, half of them foreground."""
    quaternions = quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)
    arrays = means, quaternions, np.log(scales), colors, logit(opacities), np.arange(len(means)) % 2
    return Gaussians(*(np.asarray(array, np.float32) for array in arrays))


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
