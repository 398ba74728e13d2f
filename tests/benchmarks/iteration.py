"""Time of a whole training iteration on one CPU core, against its compositing: color and mask of one camera, the three
neighbor priors, Adam on every parameter; captured and launch by launch.

    python -m tests.benchmarks.iteration [--scenes s20k.npz ...]

Compare numbers of one run only. "python" is what an iteration takes beyond the same kernels replayed back to back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
import warp as wp

from warpgs.bench.clouds import cameras, load, surfaces
from warpgs.bench.timing import thread_ms
from warpgs.math.order import morton_codes
from warpgs.neighbors import nearest_neighbors
from warpgs.optimize import Adam
from warpgs.particles import Particles
from warpgs.priors import IsometryPrior, Rest, RigidityPrior, RotationPrior, State, accumulate_priors
from warpgs.reconstruct.iteration import Iteration
from warpgs.reconstruct.objective import Objective
from warpgs.types import Frame, Gaussians

WIDTH, HEIGHT = 640, 360


@dataclass(frozen=True)
class Benchmark:
    """Time a training iteration on one CPU core."""

    scenes: tuple[Path, ...] = ()
    """Scenes to load; without any, one is made."""
    repeats: int = 15
    """Runs; the median counts."""


class Training:
    """What an iteration works on."""

    def __init__(self, gaussians: Gaussians) -> None:
        gaussians = gaussians.select(np.argsort(morton_codes(gaussians.means)))
        self.objective = Objective((1.0, 1.0), views_per_step=1, device=wp.get_device("cpu"), executor=None)
        self.objective.load(noise())
        self.particles = Particles.upload(gaussians, "cpu")
        self.gradients = self.particles.zeros_like()
        neighbors, distances = nearest_neighbors(self.particles.means, 20)
        sigma = float(np.median(distances.numpy()[:, -1]))
        self.rest = Rest.build(self.particles.means, self.particles.rotations, neighbors, weight_sigma=sigma)
        self.loss = wp.zeros(1, dtype=wp.float64, device="cpu")
        # rates too small to change the scene while it is timed
        self.adam = Adam(self.particles.named(), dict.fromkeys(self.particles.named(), 1e-9))
        self.iteration = Iteration(
            self.objective, self.particles, self.gradients, self.update, beside=self.priors
        )  # fmt: skip

    def priors(self) -> None:
        state = State.of(self.particles, self.gradients)
        accumulate_priors([RigidityPrior(), RotationPrior(), IsometryPrior()], state, self.rest, self.loss)

    def update(self) -> None:
        self.adam.step(self.gradients.named())

    def captured(self) -> None:
        self.iteration.begin([[0]])
        self.iteration.run()

    def as_written(self) -> None:
        for replay in self.replays():
            replay._launches()

    def replayed(self) -> None:
        for replay in self.replays():
            wp.capture_launch(replay._graph)

    def replays(self) -> list:
        [worker] = self.objective._last
        return [self.iteration._beside, worker.views[0], worker.total, self.iteration._update]


def noise() -> Frame:
    """Pictures and masks of two cameras, the first of which is used."""
    rng = np.random.default_rng(0)
    images = tuple(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(2))
    masks = tuple(rng.integers(0, 256, (HEIGHT, WIDTH), np.uint8) for _ in range(2))
    return Frame(0, 0.0, tuple(cameras(2, WIDTH, HEIGHT)), images, masks)


def main(benchmark: Benchmark) -> None:
    """Print a few lines per scene."""
    wp.config.log_level = wp.LOG_ERROR
    scenes = {path.stem: load(path) for path in benchmark.scenes} or {"n20000": surfaces(20_000)}
    for name, gaussians in scenes.items():
        print(f"{name}: {len(gaussians)} particles, {WIDTH}x{HEIGHT}, 4 channels, ms of thread CPU time")
        times = measure(Training(gaussians), benchmark.repeats)
        compositing = times["compositing"]
        for stage, ms in times.items():
            print(f"{stage:>24} {ms:7.2f}   {ms / compositing:5.2f} times compositing")
        for stage in ("iteration, captured", "iteration, as written"):
            print(f"{stage + ': python':>32} {100 * (times[stage] / times['kernels alone'] - 1):5.1f} %")


def measure(training: Training, repeats: int) -> dict[str, float]:
    """Median thread CPU time of each part [ms]; the stages take turns, so that all see the same machine."""
    for _ in range(3):
        training.captured()
    [worker] = training.objective._last
    rasterizer, loss = worker.rasterizer, worker.loss
    index, pictures = training.objective._view_indices[:1], next(iter(training.objective._pictures.values()))
    o = training.objective
    inputs = [pictures.channels, pictures.moments, index, o._device_weights, o.log_gains, o.offsets, index]
    stages: dict[str, Callable[[], None]] = {
        "compositing": lambda: (
            rasterizer._composite(),
            rasterizer._composite_adjoint(loss.adj_image, rasterizer.count),
        ),
        "L1 + D-SSIM": lambda: loss.evaluate(rasterizer.image, *inputs),
        "priors": training.priors,
        "Adam": training.update,
        "kernels alone": training.replayed,
        "iteration, captured": training.captured,
        "iteration, as written": training.as_written,
    }
    return thread_ms(stages, repeats)


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
