"""Small worlds whose motion can be worked out by hand, and how to let them go."""

import itertools

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from warpgs.simulate import Clock, Explicit, Model, Solid, Springs, State, World

DT = 1.0 / 480.0


def ball_points(radius: float, count: int = 400) -> np.ndarray:
    """Points evenly around a sphere (Fibonacci)."""
    heights = 1.0 - (2.0 * np.arange(count) + 1.0) / count
    angles = np.pi * (1.0 + 5.0**0.5) * np.arange(count)
    across = np.sqrt(1.0 - heights**2)
    return radius * np.stack([across * np.cos(angles), across * np.sin(angles), heights], axis=1)


def box_points(extents: tuple[float, float, float], spacing: float = 0.03) -> np.ndarray:
    """Points on the surface of a box around the origin."""
    half = 0.5 * np.array(extents)
    axes = [np.linspace(-h, h, max(2, round(2.0 * h / spacing) + 1)) for h in half]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return grid[(np.abs(np.abs(grid) - half) < 1e-9).any(axis=1)]


def solid_model(solids: list[Solid], **others) -> Model:
    """Rigid bodies whose particles are their feelers."""
    owners = np.concatenate([np.full(len(solid.feelers), i) for i, solid in enumerate(solids)])
    offsets = np.concatenate([solid.feelers - solid.center for solid in solids])
    return Model(
        masses=np.array([solid.mass for solid in solids]),
        inertias=np.array([solid.inertia for solid in solids]),
        bodies=owners,
        offsets=offsets,
        feeler_bodies=owners,
        feeler_offsets=offsets,
        feeler_radii=np.array([solids[i].radius for i in owners]),
        **others,
    )


def free_model(points: np.ndarray, mass: float, **others) -> Model:
    """A body of its own for each point."""
    count = len(points)
    return Model(
        masses=np.full(count, mass),
        inertias=np.zeros((count, 3, 3)),
        bodies=np.arange(count),
        offsets=np.zeros((count, 3)),
        **others,
    )


def lattice(counts: tuple[int, int, int], spacing: float) -> np.ndarray:
    """A grid of points."""
    return spacing * np.array(list(itertools.product(*map(range, counts))), float)


def lattice_springs(points: np.ndarray, spacing: float) -> Springs:
    """Between all points within a cell and a half, diagonals included."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    pairs = np.argwhere(np.triu(distance < 1.8 * spacing, 1))
    return Springs.of(pairs, distance[pairs[:, 0], pairs[:, 1]], np.full(len(points), spacing**3))


def let_go(
    world: World, state: State, seconds: float, dt: float = DT, *, every: int = 1, solver=None
) -> dict[str, np.ndarray]:
    """The state after every ``every`` steps, the first included: name to array of shape [t, m, ...], float64."""
    solver = solver or Explicit()
    scratch, other = solver.scratch(world), world.empty_state()
    kept = [state.kept()]
    for step in range(round(seconds / dt)):
        solver.step(world, state, Clock(step, dt), scratch, other)
        state, other = other, state
        if (step + 1) % every == 0:
            kept.append(state.kept())
    return {name: np.array([at[name] for at in kept], np.float64) for name in kept[0]}


def energies(model: Model, states: dict[str, np.ndarray]) -> np.ndarray:
    """Kinetic energy and that of height of all bodies at each instant [J]; not that of springs."""
    total = np.zeros(len(states["centers"]))
    for body, mass in enumerate(model.masses):
        if np.isfinite(mass):
            total += 0.5 * mass * (states["velocities"][:, body] ** 2).sum(axis=1)
            total -= mass * states["centers"][:, body] @ np.array(model.gravity)
        if model.inertias[body].any():
            turns = Rotation.from_quat(states["rotations"][:, body]).as_matrix()
            inverse = np.einsum("tij,jk,tlk->til", turns, np.linalg.inv(model.inertias[body]), turns)
            momentum = states["momenta"][:, body]
            total += 0.5 * np.einsum("ti,tij,tj->t", momentum, inverse, momentum)
            if model.levers is not None:
                total -= (turns @ model.levers[body]) @ np.array(model.gravity)
    return total


def make(model: Model, device: str = "cpu", dtype: type = wp.float32) -> World:
    return World(model, device, dtype)
