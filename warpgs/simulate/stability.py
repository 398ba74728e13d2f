"""How short steps must be for what oscillates fastest."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import warp as wp

from warpgs.simulate.forces import ParticleScratch, find_forces
from warpgs.simulate.model import Model
from warpgs.simulate.springs import Springs
from warpgs.simulate.world import World

STEP_S = 1.0 / 480.0
"""Longest step [s]: contacts within a millimetre at 1 m/s."""
STABLE = 0.5
"""Share of the longest stable step of springs and priors that is taken."""
ITERATIONS = 20
"""Of the search for the fastest oscillation; what it lacks to the last percent lies within STABLE."""


def stable_substeps(model: Model, seconds: float) -> int:
    """Explicit steps within ``seconds`` that contacts, springs and priors need."""
    fastest = math.sqrt(model.stiffness * (_spring_rate(model) + (model.energy.rate if model.energy else 0.0)))
    # A damper that halves the step where it is as strong as the spring at the fastest oscillation
    damped = 1.0 + model.damping_s * fastest
    longest = min(STEP_S, STABLE * 2.0 / max(fastest * damped, 1e-12))
    return whole_substeps(seconds, longest)


def whole_substeps(seconds: float, longest_s: float) -> int:
    """Steps within ``seconds`` that are no longer than ``longest_s``."""
    return max(1, math.ceil(seconds / longest_s - 1e-9))


def _spring_rate(model: Model) -> float:
    """Bound of the square of any oscillation of free particles on springs [1/s^2], per pascal: Gershgorin's, twice the
    stiffness around a particle over its mass."""
    rates = np.zeros(len(model.bodies))
    np.add.at(rates, model.springs.pairs.ravel(), np.repeat(model.springs.areas / model.springs.lengths, 2))
    free = ~np.asarray(model.offsets).any(axis=1)
    return 2.0 * float(np.max(np.where(free, rates / model.masses[model.bodies], 0.0), initial=0.0))


def fastest_rate(model: Model, centers: np.ndarray) -> float:
    """Square of the fastest oscillation under the priors alone [1/s^2], per pascal: the largest eigenvalue of inverse
    mass times stiffness, by power iteration on differences of forces.

    Args:
        model: With an energy.
        centers: Where bodies are [m], shape [m, 3].
    """
    assert model.energy is not None
    world = World(replace(model, springs=Springs.none(), colliders=(), stiffness=1.0), "cpu")
    scratch, (forces, torques) = ParticleScratch(world), (wp.zeros(len(centers), dtype=wp.vec3) for _ in range(2))
    nudge = 1e-2 * model.spacing

    def pulled(along: np.ndarray) -> np.ndarray:
        turns = np.concatenate([np.ones((len(along), 1)), 0.5 * along[:, 3:]], axis=1)
        state = world.start(centers + along[:, :3], turns)
        find_forces(world, state, state, 1.0, scratch, forces, torques)
        return np.concatenate([forces.numpy(), torques.numpy()], axis=1).astype(np.float64)

    along, rate = np.random.default_rng(0).normal(size=(len(centers), 6)), 0.0
    light, easy = world.inverse_masses.numpy(), world.inverse_inertias.numpy()
    for _ in range(ITERATIONS):
        along *= nudge / max(np.abs(along).max(), 1e-300)
        change = pulled(-along) - pulled(along)
        answer = np.concatenate([light[:, None] * change[:, :3], np.einsum("mij,mj->mi", easy, change[:, 3:])], axis=1)
        rate = 0.5 * float(np.linalg.norm(answer) / np.linalg.norm(along))
        along = answer
    return rate
