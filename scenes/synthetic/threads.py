"""A small simulation of sheets and ropes: particles on threads that resist stretch and bending. Float64 NumPy.

Extended position-based dynamics (Macklin, Mueller, Chentanez 2016) with one sweep per short step (Macklin and others
2019). The constraints of a group share no particle, so a group is solved at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scenes.synthetic.rigid import GRAVITY

RATE = 600
"""Steps per second [1/s]."""
DRAG = 0.4
"""Share of the speed that air takes per second [1/s]."""

WEAVE = (
    ((0, 1), 0.0, 0.0),
    ((1, 0), 0.0, 0.0),
    ((1, 1), 2e-5, 0.0),
    ((1, -1), 2e-5, 0.0),
    ((0, 2), 2e-5, 20.0),
    ((2, 0), 2e-5, 20.0),
    ((0, 4), 2e-5, 20.0),
    ((4, 0), 2e-5, 20.0),
)
"""Threads of a sheet: from each particle to the one so many rows and columns on; their compliance and friction."""


@dataclass(frozen=True, eq=False)
class Threads:
    """Pairs of particles that keep their distance."""

    pairs: np.ndarray
    """Particles that are held together, shape [m, 2]; no particle twice."""
    lengths: np.ndarray
    """Rest distances [m], shape [m]."""
    compliance: float
    """Inverse stiffness for particles of unit mass [m/N]; 0 does not stretch."""
    friction: float
    """Share of the difference of two partners' velocities that is lost [1/s]: small folds die away."""


def simulate(
    start: np.ndarray,
    groups: tuple[Threads, ...],
    held: np.ndarray,
    hold: Callable[[float], np.ndarray],
    timesteps: int,
    fps: float,
) -> np.ndarray:
    """Positions of particles that fall, some of them led by hand.

    Args:
        start: Positions at the start, at rest [m], shape [n, 3].
        groups: What holds them together; solved in this order.
        held: Particles that are led, shape [h].
        hold: Time [s] to their positions [m], shape [h, 3]; at time 0 those of ``start``.
        timesteps: Number of instants, the first at the start.
        fps: Instants per second [1/s].

    Returns:
        Positions [m], shape [timesteps, n, 3].
    """
    steps = max(1, round(RATE / fps))
    dt = 1.0 / (fps * steps)
    lightness = np.ones(len(start))
    lightness[held] = 0.0
    position, velocity = start.copy(), np.zeros_like(start)
    frames = [start.copy()]
    for step in range(1, steps * (timesteps - 1) + 1):
        velocity[:, 2] -= dt * GRAVITY
        velocity *= 1.0 - DRAG * dt
        moved = position + dt * velocity
        moved[held] = hold(step * dt)
        for group in groups:
            _pull(moved, lightness, group, dt)
        velocity, position = (moved - position) / dt, moved
        for group in groups:
            _rub(velocity, group, dt)
        if step % steps == 0:
            frames.append(position.copy())
    return np.stack(frames)


def sheet_threads(rows: int, columns: int, start: np.ndarray) -> tuple[Threads, ...]:
    """Threads of a sheet of ``rows`` x ``columns`` particles, row by row: along, across, oblique, and against bending.

    A rope is a sheet of one row.
    """
    index = np.arange(rows * columns).reshape(rows, columns)
    groups = []
    for (down, right), compliance, friction in WEAVE:
        first = index[: rows - down, max(0, -right) : columns - max(0, right)]
        second = index[down:, max(0, right) : columns + min(0, right)]
        # partners stand ``period`` rows or columns apart: every other such block starts pairs, the rest end them
        period, axis = (down, 0) if down else (right, 1)
        blocks = np.broadcast_to((np.indices(first.shape)[axis] // period) % 2, first.shape)
        for block in (0, 1):
            pairs = np.stack([first[blocks == block], second[blocks == block]], axis=1)
            if len(pairs):
                lengths = np.linalg.norm(start[pairs[:, 0]] - start[pairs[:, 1]], axis=1)
                groups.append(Threads(pairs, lengths, compliance, friction))
    return tuple(groups)


def _pull(position: np.ndarray, lightness: np.ndarray, threads: Threads, dt: float) -> None:
    """Move the ends of threads toward their rest distance."""
    first, second = threads.pairs.T
    apart = position[second] - position[first]
    distance = np.maximum(np.linalg.norm(apart, axis=1), 1e-12)
    give = lightness[first] + lightness[second] + threads.compliance / dt**2
    pull = ((distance - threads.lengths) / np.maximum(give, 1e-12) / distance)[:, None] * apart
    position[first] += lightness[first, None] * pull
    position[second] -= lightness[second, None] * pull


def _rub(velocity: np.ndarray, threads: Threads, dt: float) -> None:
    """Bring the velocities of partners nearer to each other."""
    if threads.friction:
        first, second = threads.pairs.T
        change = 0.5 * dt * threads.friction * (velocity[second] - velocity[first])
        velocity[first] += change
        velocity[second] -= change
