"""What is out of sight goes on with the acceleration that it was last seen to have."""

import numpy as np
import warp as wp

from warpgs.particles import Particles
from warpgs.priors import MomentumPrior, Rest, State
from warpgs.track.evidence import Evidence
from warpgs.track.history import make_motion, remember
from warpgs.track.memory import IMPACT_RADII, LESSONS, OUT_OF_SIGHT, PLAIN, Memory
from warpgs.types import Gaussians

FALL = np.array([0.0, 0.0, -0.0041])
"""Gravity over a thirtieth of a second in scene radii of 2.7 m."""
SMALL = 0.2 * IMPACT_RADII * np.array([1.0, 0.0, 0.0])


def evidence(seen: float) -> Evidence:
    return Evidence(*np.full((6, 4), seen, np.float32))


SEEN, NEARLY, HIDDEN = (evidence(seen) for seen in (2.0 * PLAIN, 0.2 * PLAIN, 0.0))


def after(missed: list, seen: Evidence, start: Memory | None = None) -> Memory:
    memory = start or Memory.none(4)
    for each in missed:
        memory = memory.learnt(np.tile(each, (4, 1)), seen)
    return memory


def test_a_fall_is_learnt_at_once_and_kept_while_unseen():
    memory = after([FALL] * 3, SEEN)
    assert np.abs(memory.accelerations - FALL).max() < 0.05 * np.linalg.norm(FALL)
    np.testing.assert_array_equal(after([5 * FALL] * 9, HIDDEN, memory).accelerations, memory.accelerations)


def test_accelerations_are_means_over_time():
    np.testing.assert_allclose(after([SMALL, -SMALL, 3 * SMALL], SEEN).accelerations[0], SMALL, rtol=1e-5)
    settled = after([SMALL] * 20, SEEN)
    assert (settled.lessons == LESSONS).all()
    later = after([-SMALL], SEEN, settled).accelerations[0]
    np.testing.assert_allclose(later, (1.0 - 2.0 / LESSONS) * SMALL, rtol=1e-5)


def test_what_is_nearly_out_of_sight_teaches_little():
    settled = after([SMALL] * 20, SEEN)
    assert np.abs(after([-SMALL] * 3, NEARLY, settled).accelerations - SMALL).max() < 0.05 * SMALL[0]


def test_an_impact_changes_little():
    settled = after([SMALL] * 20, SEEN)
    hit = after([100 * FALL], SEEN, settled)
    moved = np.linalg.norm(hit.accelerations - settled.accelerations, axis=1)
    np.testing.assert_allclose(moved, IMPACT_RADII / LESSONS, rtol=1e-4)


def test_no_velocity_teaches_nothing():
    memory = after([FALL] * 3, SEEN)
    newborn = memory.learnt(np.full((4, 3), np.nan), SEEN)
    later = newborn.learnt(None, HIDDEN)
    for each in (newborn, later):
        np.testing.assert_array_equal(each.accelerations, memory.accelerations)
    assert (later.sight == 0.0).all() and (newborn.sight == 1.0).all()


def test_only_clusters_out_of_sight_are_accelerated():
    accelerations = np.arange(12, dtype=np.float32).reshape(4, 3)
    sight = np.array([0.0, 1.5 * OUT_OF_SIGHT, 0.0, 3.0 * OUT_OF_SIGHT], np.float32)
    unseen = Memory(accelerations, sight, sight, sight).unseen(np.array([2, 2, 0, 0]))  # and there is no 1
    np.testing.assert_allclose(unseen[:2], np.tile(accelerations[:2].mean(axis=0), (2, 1)))
    assert (unseen[2:] == 0.0).all()


def test_newcomers_have_none():
    grown = after([FALL] * 3, HIDDEN).grown(6)
    assert (grown.accelerations[4:] == 0.0).all() and (grown.sight == [0, 0, 0, 0, 1, 1]).all()
    read = Memory.read(grown.arrays())
    np.testing.assert_array_equal(read.accelerations, grown.accelerations)


def test_momentum_expects_the_acceleration():
    random = np.random.default_rng(0)
    before, last = (random.normal(size=(4, 3)).astype(np.float32) for _ in range(2))
    upright = np.tile(np.float32([1, 0, 0, 0]), (4, 1))
    accelerations = random.normal(size=(4, 3)) * 0.1
    motion = make_motion(4, 1.0, "cpu")
    remember(motion, (last, upright), (before, upright), np.ones(4, bool), accelerations)
    expected = (2.0 * last - before + accelerations).astype(np.float32)
    zeros = np.zeros((4, 3), np.float32)
    particles = Particles.upload(Gaussians(expected, upright, zeros, zeros, zeros[:, 0], zeros[:, 0]), "cpu")
    gradients, loss = particles.zeros_like(), wp.zeros(1, dtype=wp.float64, device="cpu")
    rest = Rest.build(particles.means, particles.rotations)
    MomentumPrior(1.0).accumulate(State.of(particles, gradients, motion), rest, loss)
    assert loss.numpy()[0] < 1e-10
