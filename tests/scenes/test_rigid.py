import numpy as np
import pytest

from scenes.synthetic.builtin_tumble import BALLS, BOXES, FENCE, throw
from scenes.synthetic.rigid import GRAVITY, RESTITUTION, Motion, Shape, energy, find_contacts, simulate, step

DT = 1.0 / 480.0
BOX = Shape(np.array([0.2, 0.1, 0.05]), 0.0)
BALL = Shape(np.zeros(3), 0.1)


def still(*positions: list[float]) -> Motion:
    count = len(positions)
    return Motion(np.array(positions), np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 3)), np.zeros((count, 3)))


def moment(shape: Shape, motion: Motion) -> np.ndarray:
    return motion.rotation[0] @ (shape.inertia * (motion.rotation[0].T @ motion.spin[0]))


def test_free_flight_follows_the_parabola_and_keeps_angular_momentum():
    motion = still([0.1, -0.2, 5.0])
    motion.velocity[0] = 0.3, 0.1, 2.0
    motion.spin[0] = 1.0, 6.0, -2.0
    start, kinetic = moment(BOX, motion), energy((BOX,), motion)
    for _ in range(240):
        step((BOX,), motion, DT, fence=10.0)
    np.testing.assert_allclose(motion.position[0], [0.25, -0.15, 6.0 - GRAVITY / 8.0], rtol=0, atol=1e-4)
    # Energy is held, so the axis may slip by what the integrator would have gained: a thousandth.
    np.testing.assert_allclose(moment(BOX, motion), start, rtol=0, atol=2e-3 * np.linalg.norm(start))
    assert energy((BOX,), motion) == pytest.approx(kinetic, rel=2e-4)
    np.testing.assert_allclose(motion.rotation[0] @ motion.rotation[0].T, np.eye(3), atol=1e-12)


def test_head_on_balls_part_with_the_restitution_and_keep_momentum():
    motion = still([-0.11, 0.0, 9.0], [0.11, 0.0, 9.0])
    motion.velocity[0, 0], motion.velocity[1, 0] = 2.0, -1.0
    for _ in range(10):
        step((BALL, BALL), motion, DT, fence=10.0)
    half = 1.5 * RESTITUTION
    np.testing.assert_allclose(motion.velocity[:, 0], [0.5 - half, 0.5 + half], rtol=0, atol=1e-9)


def test_dropped_ball_bounces_to_the_square_of_the_restitution():
    motion = still([0.0, 0.0, 0.6])
    top = 0.0
    landed = False
    for _ in range(400):
        step((BALL,), motion, DT, fence=10.0)
        landed = landed or motion.velocity[0, 2] > 0.0
        top = max(top, motion.position[0, 2] - 0.1 if landed else 0.0)
    assert top == pytest.approx(0.5 * RESTITUTION**2, rel=0.05)


def test_box_comes_to_rest_on_its_face():
    motion = still([0.0, 0.0, 0.06])
    for _ in range(480):
        step((BOX,), motion, DT, fence=10.0)
    assert np.abs(motion.velocity).max() < 0.03 and np.abs(motion.spin).max() < 0.2
    assert motion.position[0, 2] == pytest.approx(0.05, abs=1e-3)
    assert abs(motion.rotation[0, 2, 2]) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_tumbling_bodies_lose_energy_and_stay_apart_and_inside(seed):
    boxes = [Shape(0.5 * np.array(extents), 0.0) for extents in BOXES.values()]
    shapes = (*boxes, *(Shape(np.zeros(3), radius) for radius in BALLS.values()))
    motion = throw(len(shapes), np.random.default_rng([seed, 0]))
    before, start = energy(shapes, motion), energy(shapes, motion)
    deepest = 0.0
    for _ in range(320):
        step(shapes, motion, DT, FENCE)
        now = energy(shapes, motion)
        assert now <= before + 1e-9 * start
        before = now
        deepest = max(deepest, find_contacts(shapes, motion, FENCE).depth.max(initial=0.0))
    assert before < 0.8 * start, "impacts cost energy"
    assert 0.0 < deepest < 0.012, "a centimetre: one step of the fastest body"
    assert np.linalg.norm(motion.position[:, :2], axis=1).max() < FENCE and motion.position[:, 2].min() > 0.07


def test_simulate_starts_at_the_start_and_leaves_it_unchanged():
    start = still([0.0, 0.0, 1.0])
    poses = simulate((BOX,), start, timesteps=3, fps=30.0, fence=2.0)
    np.testing.assert_array_equal(poses[0, 0, :3, 3], [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(start.position, [[0.0, 0.0, 1.0]])
    np.testing.assert_allclose(poses[:, 0, 2, 3], 1.0 - 0.5 * GRAVITY * (np.arange(3) / 30.0) ** 2, atol=1e-9)
