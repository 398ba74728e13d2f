"""Speed of simulation steps, and memory of gradients through time.

    python -m tests.benchmarks.simulate

An explicit step of free particles on springs, over a floor: threads share the springs. Compare numbers of one run only.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tyro
import warp as wp

from tests.simulate.worlds import free_model, lattice, lattice_springs
from warpgs.math.order import morton_codes
from warpgs.neighbors import nearest_neighbors
from warpgs.simulate import BackInTime, Clock, Explicit, Model, Springs, World, plane


@dataclass(frozen=True)
class Benchmark:
    """Time steps of the simulation on the CPU."""

    particles: int = 100_000
    """Free particles."""
    neighbors: int = 20
    """Of each."""
    steps: int = 20
    """The median counts."""
    threads: int = len(os.sched_getaffinity(0))
    """That share the springs."""


def jelly(count: int, neighbors: int) -> tuple[Model, np.ndarray]:
    """Particles of even density in a cube, tied to their neighbors."""
    points = np.random.default_rng(0).uniform(size=(count, 3))
    points = points[np.argsort(morton_codes(points))]
    found, lengths = nearest_neighbors(wp.array(points, dtype=wp.vec3, device="cpu"), neighbors)
    pairs = np.stack([np.repeat(np.arange(count), neighbors), found.numpy().ravel()], axis=1)
    springs = Springs.of(pairs, lengths.numpy().ravel(), np.full(count, 1.0 / count))
    feelers = {
        "feeler_bodies": np.arange(count),
        "feeler_offsets": np.zeros((count, 3)),
        "feeler_radii": np.zeros(count),
    }
    return free_model(points, 300.0 / count, springs=springs, colliders=(plane(),), **feelers), points


def main(benchmark: Benchmark) -> None:
    """Print a line for each measurement."""
    model, points = jelly(benchmark.particles, benchmark.neighbors)
    world = World(model, "cpu")
    for threads in sorted({1, benchmark.threads}):
        with ThreadPoolExecutor(threads) as pool:
            solver = Explicit(executor=pool if threads > 1 else None)
            scratch, before, after = solver.scratch(world), world.start(points), world.empty_state()
            times = []
            for step in range(benchmark.steps):
                start = time.perf_counter()
                solver.step(world, before, Clock(step, 1e-4), scratch, after)
                times.append(time.perf_counter() - start)
                before, after = after, before
        seconds = float(np.median(times))
        print(
            f"{benchmark.particles} particles x {benchmark.neighbors} neighbors, {world.spring_count} springs, "
            f"{threads} thread(s): {1e3 * seconds:.1f} ms per step, {1.0 / seconds:.1f} steps/s"
        )
    points = lattice((10, 10, 10), 0.05)
    world = World(free_model(points, 0.04, springs=lattice_springs(points, 0.05)), "cpu")
    for steps in (60, 600):
        print(f"gradient of 1000 particles through {steps} steps: {BackInTime(world, steps, 1e-3).bytes / 1e6:.1f} MB")


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
