"""Speed of simulation steps, and memory of gradients through time.

    python -m tests.benchmarks.simulate

Steps of free particles over a floor, held by springs, which threads share, or by priors; the implicit one also in units
of an iteration of tracking as many Gaussians. Compare one run only.
"""

import itertools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import tyro
import warp as wp

from tests.benchmarks.iteration import HEIGHT, WIDTH, Training
from tests.simulate.worlds import free_model, lattice, lattice_springs
from warpgs.bench.clouds import surfaces
from warpgs.math.order import morton_codes
from warpgs.neighbors import nearest_neighbors
from warpgs.priors import ElasticPrior, Prior, SpringPrior
from warpgs.simulate import BackInTime, Clock, Explicit, Implicit, Model, PriorEnergy, Solver, Springs, World, plane


@dataclass(frozen=True)
class Benchmark:
    """Time steps of the simulation on the CPU."""

    particles: int = 100_000
    """Free particles."""
    neighbors: int = 20
    """Of each."""
    steps: int = 20
    """The fastest counts."""
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


def held_by(prior: Prior, model: Model, points: np.ndarray, neighbors: int) -> Model:
    """The same particles, held by a prior in place of springs."""
    count = len(points)
    found = nearest_neighbors(wp.array(points, dtype=wp.vec3, device="cpu"), neighbors)[0].numpy()
    turns = np.tile([1.0, 0, 0, 0], (count, 1))
    energy = PriorEnergy(
        priors=(prior,), means=points, rotations_wxyz=turns, turns_wxyz=turns, scales=np.zeros((count, 3)),
        parts=np.zeros(count, int), neighbors=found, weights=np.ones(found.shape), volume=1.0,
    )  # fmt: skip
    return replace(model, springs=Springs.none(), energy=energy)


def copy_rate() -> float:
    """Bytes that this machine moves per second, read or written, copying 256 MB."""
    source, target = np.ones(1 << 25), np.zeros(1 << 25)
    return 2 * source.nbytes / shortest_s(lambda: np.copyto(target, source), 5)


def shortest_s(run: Callable[[], None], repeats: int) -> float:
    """The least time [s] that it takes."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def pair_bytes(world: World, neighbors: int) -> int:
    """What a step reads about pairs at least: indices and constants, once. Everything else is small beside it."""
    ends = 2 * world.spring_count * (4 + 4 + 4)  # index, length, area
    prior = world.model.energy.priors[0] if world.model.energy else None
    constants = {SpringPrior: 4 + 4 + 4, ElasticPrior: 4 + 12 + 16}.get(type(prior), 0)
    return ends + world.particle_count * neighbors * constants


def report(what: str, world: World, solver: Solver, points: np.ndarray, steps: int, least_s: float) -> float:
    """The shortest time of a step [s]; print it, and how many times the time it is that reading its pairs takes."""
    scratch, before, after = solver.scratch(world), world.start(points), world.empty_state()
    count = itertools.count()

    def step() -> None:
        nonlocal before, after
        solver.step(world, before, Clock(next(count), 1e-4), scratch, after)
        before, after = after, before

    seconds = shortest_s(step, steps)
    limit = f"{seconds / least_s:.1f} x the time to read its pairs"
    print(f"{what}: {1e3 * seconds:.1f} ms per step, {1.0 / seconds:.1f} steps/s, {limit}", flush=True)
    return seconds


def tracking_s(count: int) -> float:
    """The shortest time of an iteration of tracking on one thread [s]: one picture, losses, priors, Adam."""
    training = Training(surfaces(count))
    training.captured()  # compiled and recorded now, replayed from here on
    return shortest_s(training.captured, 20)


def main(benchmark: Benchmark) -> None:
    """Print a line for each measurement."""
    wp.config.log_level = wp.LOG_ERROR
    model, points = jelly(benchmark.particles, benchmark.neighbors)
    world = World(model, "cpu")
    print(f"{benchmark.particles} particles x {benchmark.neighbors} neighbors, {world.spring_count} springs")
    rate = copy_rate()
    print(f"memory: {rate / 1e9:.1f} GB/s of one core, copying")
    least_s = pair_bytes(world, benchmark.neighbors) / rate
    for threads in sorted({1, benchmark.threads}):
        with ThreadPoolExecutor(threads) as pool:
            solver = Explicit(executor=pool if threads > 1 else None)
            report(f"springs, explicit, {threads} thread(s)", world, solver, points, benchmark.steps, least_s)
    implicit_s = report("springs, implicit", world, Implicit(), points, 5, least_s)
    iteration_s = tracking_s(benchmark.particles)
    what = f"iteration of tracking as many Gaussians, one camera of {WIDTH}x{HEIGHT}"
    print(f"{what}: {1e3 * iteration_s:.1f} ms; an implicit step is worth {implicit_s / iteration_s:.1f}", flush=True)
    for prior in (SpringPrior(), ElasticPrior()):
        held = World(held_by(prior, model, points, benchmark.neighbors), "cpu")
        least_s = pair_bytes(held, benchmark.neighbors) / rate
        report(f"{type(prior).__name__}, explicit", held, Explicit(), points, 10, least_s)
    points = lattice((10, 10, 10), 0.05)
    world = World(free_model(points, 0.04, springs=lattice_springs(points, 0.05)), "cpu")
    for steps in (60, 600):
        print(f"gradient of 1000 particles through {steps} steps: {BackInTime(world, steps, 1e-3).bytes / 1e6:.1f} MB")


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
