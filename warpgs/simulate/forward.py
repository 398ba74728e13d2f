"""Tracks forward in time: instant by instant, at the rate of the tracks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from warpgs.bodies import Parts, find_parts
from warpgs.checks import refuse
from warpgs.devices import pick_device
from warpgs.priors import Prior, Rest
from warpgs.priors.fit import fit_local_rotations
from warpgs.simulate.failure import Shape, SimulationFailure, Watch
from warpgs.simulate.material import Material
from warpgs.simulate.setup import REST, Setup, set_up
from warpgs.simulate.state import State
from warpgs.simulate.step import Explicit, Solver
from warpgs.simulate.stride import Stride
from warpgs.simulate.world import World
from warpgs.types import Tracks

MOST_STEPS = 5000
"""Per instant; more is a mistake in the material."""
SPEEDING = 20.0
"""What exceeds this many times the speed that the start and the fall explain has exploded."""


@dataclass(frozen=True, eq=False)
class Instant:
    """All particles of the tracks at one instant of a simulation; those that it leaves alone stay where they were."""

    index: int
    """From 0, the start."""
    time_s: float
    """Since the start [s]."""
    means: np.ndarray
    """Centers [m], shape [n, 3], float32."""
    rotations_wxyz: np.ndarray
    """World from particle, shape [n, 4], float32."""


def simulate(
    tracks: Tracks,
    material: Material | None = None,
    *,
    parts: Parts | None = None,
    start: int = -1,
    instants: int = 30,
    hold: Collection[str] = (),
    priors: Sequence[Prior] = (),
    rest: int | None = None,
    solver: Solver | None = None,
    substeps: int | None = None,
    device: str = "cpu",
) -> Iterator[Instant]:
    """Let things go on from an instant of their tracks.

    Args:
        tracks: Where things were; their velocities are those of the last instants up to the start.
        material: What they are made of.
        parts: Their rigid parts; found when None.
        start: Index of the stored instant to start from.
        instants: How many to compute after it, at the rate of the tracks.
        hold: Names of parts that move as tracked, "deformable" for what is in none.
        priors: Energies of the poses of all particles, beside the springs of the material; see ``PriorEnergy``.
        rest: Index of the stored instant whose shape what bends returns to, as in ``set_up``.
        solver: Explicit() when None.
        substeps: Steps per instant; as many as contacts and springs need when None.
        device: Where it runs.

    Yields:
        The start, then each instant after it.

    Raises:
        SimulationFailure: numbers that are not finite, an explosion, a shape inside out. The instants before it have
            been yielded.
        ValueError: a start that is not stored, parts that are not there, nothing to simulate.
    """
    if not -len(tracks) <= start < len(tracks):
        refuse("start", f"an index of {len(tracks)} stored instants", start)
    if instants < 0:
        refuse("instants", "0 or more", instants)
    start = range(len(tracks))[start]
    parts = find_parts(tracks) if parts is None else parts
    setup = set_up(tracks, parts, start, material or Material(), hold, priors=priors, rest=rest)
    solver = solver or Explicit()
    steps = substeps if substeps is not None else solver.substeps(setup.model, 1.0 / tracks.fps)
    if not 1 <= steps <= MOST_STEPS:
        refuse("substeps", f"1 to {MOST_STEPS} per instant", steps, "soften the material, or take --solver implicit")
    yield from _advance(tracks, setup, start, instants, solver, steps, pick_device(device))


def _advance(
    tracks: Tracks, setup: Setup, start: int, instants: int, solver: Solver, steps: int, device: wp.Device
) -> Iterator[Instant]:
    world, dt = World(setup.model, device), 1.0 / (tracks.fps * steps)
    watch = Watch(setup.names, speed_limit(setup, instants / tracks.fps), device)
    stride, pose = Stride(world, solver, steps, dt, watch), _Poses(tracks, setup, start)
    stride.state.assign(world.start(setup.centers, None, setup.velocities, setup.spins))
    yield Instant(0, 0.0, *pose.at(stride.state))
    for index in range(1, instants + 1):
        stride.run(index - 1)
        watch.check(dt, (index - 1) * steps)
        means, rotations = pose.at(stride.state)
        inverted = pose.shape.inverted(means[setup.rows].astype(np.float64))
        if len(inverted):
            problem = f"{len(inverted)} particles inside out, particle {int(setup.rows[inverted[0]])} the first"
            name = setup.names[int(setup.model.bodies[inverted[0]])]
            raise SimulationFailure(index / tracks.fps, name, problem, "take more stiffness, or drop it from less high")
        yield Instant(index, index / tracks.fps, means, rotations)


def speed_limit(setup: Setup, seconds: float) -> float:
    """What no part of a sane simulation of this length exceeds [m/s]."""
    fastest = np.linalg.norm(setup.velocities, axis=1).max() + np.linalg.norm(setup.spins, axis=1).max()
    extent = float(np.linalg.norm(np.ptp(setup.centers, axis=0)))
    driven = 0.0
    if setup.model.path is not None and len(setup.model.path.centers) > 1:
        moved = np.linalg.norm(np.diff(setup.model.path.centers, axis=0), axis=2)
        driven = setup.model.path.rate * float(moved.max())
    return SPEEDING * (1.0 + fastest + driven + np.linalg.norm(setup.model.gravity) * seconds + extent)


class _Poses:
    """From states to particles of the tracks."""

    def __init__(self, tracks: Tracks, setup: Setup, start: int) -> None:
        self._setup = setup
        self._means = tracks.means[start].astype(np.float32).copy()
        self._rotations = tracks.rotations_wxyz[start].astype(np.float32).copy()
        first = self._means[setup.rows].astype(np.float64)
        loose = np.array(setup.names)[setup.model.bodies] == REST
        self._loose = np.flatnonzero(loose)
        self.shape = Shape(first, setup.rest, loose)
        self._rest = None
        if len(self._loose) and setup.rest.shape[1]:
            points = wp.array(first, dtype=wp.vec3, device="cpu")
            turns = wp.array(np.roll(setup.turns_wxyz, -1, axis=1), dtype=wp.quat, device="cpu")
            self._rest = Rest.build(points, turns, wp.array(setup.rest, dtype=wp.int32, device="cpu"))

    def at(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Means and rotations of all particles of the tracks."""
        model, rows = self._setup.model, self._setup.rows
        centers, xyzw = state.centers.numpy().astype(np.float64), state.rotations.numpy().astype(np.float64)
        body_turns = Rotation.from_quat(xyzw)[model.bodies] if np.isfinite(xyzw).all() else Rotation.identity(len(rows))
        means, rotations = self._means.copy(), self._rotations.copy()
        means[rows] = body_turns.apply(model.offsets) + centers[model.bodies]
        own = Rotation.from_quat(np.roll(self._setup.turns_wxyz, -1, axis=1))
        turned = (body_turns * own).as_quat()
        if self._rest is not None:
            fitted = wp.array(turned, dtype=wp.quat, device="cpu")
            fit_local_rotations(wp.array(means[rows], dtype=wp.vec3), fitted, self._rest, fitted, tracked_share=0.0)
            turned[self._loose] = fitted.numpy()[self._loose]
        rotations[rows] = np.roll(turned, 1, axis=1)
        self._rotations = _continuous(rotations, self._rotations)
        return means, self._rotations.copy()


def _continuous(rotations: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Of q and -q, the one nearer to the last."""
    flips = np.einsum("ni,ni->n", rotations, last) < 0.0
    return np.where(flips[:, None], -rotations, rotations)
