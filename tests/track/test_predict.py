"""Predicted poses against motions whose next pose is known."""

import numpy as np
import pytest
import warp as wp
from scipy.spatial.transform import Rotation

from warpgs.track.config import RigidConfig
from warpgs.track.predict import Poses, predict_linear, predict_rigid
from warpgs.track.rigid import Clusters

RNG = np.random.default_rng(3)
BLOBS = np.concatenate([RNG.normal(size=(30, 3)) * 0.1, RNG.normal(size=(20, 3)) * 0.1 + [3.0, 0.0, 1.0]])
"""Two bodies 3 m apart; one cluster each."""
TURNS = np.radians([[0.0, 0.0, 20.0], [15.0, -25.0, 5.0]])
"""Rotation vectors per timestep [rad]."""
SHIFTS = np.array([[0.16, 0.0, -0.02], [-0.1, 0.05, 0.0]])
"""Motion of their centers per timestep [m]."""
BODIES = [np.arange(30), np.arange(30, 50)]


def clusters_of(means: np.ndarray, count: int) -> Clusters:
    return Clusters([means], RigidConfig(clusters=count), device=wp.get_device("cpu"), seed=0)


def moved(poses: Poses, body: np.ndarray) -> Poses:
    """Each body one timestep later: x -> R (x - c) + c + t about its center, q -> R q, nearest sign."""
    centers = np.stack([poses[0][rows].mean(axis=0) for rows in BODIES])[body]
    turn = Rotation.from_rotvec(TURNS[body])
    rotations = (turn * Rotation.from_quat(poses[1], scalar_first=True)).as_quat(scalar_first=True)
    rotations *= np.where((rotations * poses[1]).sum(axis=1, keepdims=True) < 0.0, -1.0, 1.0)
    return turn.apply(poses[0] - centers) + centers + SHIFTS[body], rotations


def start() -> tuple[Poses, np.ndarray]:
    rotations = RNG.normal(size=(len(BLOBS), 4))
    body = np.repeat([0, 1], [30, 20])
    return (BLOBS, rotations / np.linalg.norm(rotations, axis=1, keepdims=True)), body


def test_predict_rigid_continues_a_constant_motion_exactly():
    before, body = start()
    last = moved(before, body)
    predicted = predict_rigid(before, last, clusters_of(BLOBS, 2), BODIES)
    for got, expected in zip(predicted, moved(last, body), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0.0, atol=1e-12)


def test_predict_rigid_keeps_the_sign_of_quaternions_over_whole_turns():
    before, body = start()
    clusters, last = clusters_of(BLOBS, 2), moved(before, body)
    exact = last
    for _ in range(40):  # 20 degrees each: more than two turns
        before, last, exact = last, predict_rigid(before, last, clusters, BODIES), moved(exact, body)
        assert ((before[1] * last[1]).sum(axis=1) > 0.9).all()
    np.testing.assert_allclose(last[0], exact[0], rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(last[1], exact[1], rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("axis", [[-1.0, 0.0, 0.0], [0.0, -0.6, -0.8], [0.6, 0.0, -0.8]])
def test_predict_rigid_takes_the_nearer_sign_when_half_a_turn_is_near(axis):
    (means, rotations), _ = start()
    means = means - means.mean(axis=0)
    turn = Rotation.from_rotvec(np.radians(170.0) * np.array(axis))
    last = turn.apply(means), (turn * Rotation.from_quat(rotations, scalar_first=True)).as_quat(scalar_first=True)
    predicted = predict_rigid((means, rotations), last, clusters_of(BLOBS, 2), [np.arange(len(means))])
    assert ((predicted[1] * last[1]).sum(axis=1) > 0.0).all()
    np.testing.assert_allclose(predicted[0], turn.apply(last[0]), rtol=0.0, atol=1e-12)


def test_predict_rigid_does_not_care_which_sign_was_stored_before():
    before, body = start()
    last = moved(before, body)
    clusters = clusters_of(BLOBS, 2)
    flipped = predict_rigid((before[0], -before[1]), last, clusters, BODIES)
    for got, expected in zip(flipped, predict_rigid(before, last, clusters, BODIES), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_predict_rigid_of_one_particle_continues_its_path():
    point, shift = np.array([[1.0, 2.0, 3.0]]), np.array([0.0, 0.1, 0.0])
    rotation = np.array([[0.5, 0.5, 0.5, 0.5]])
    clusters = clusters_of(point, 5)
    predicted = predict_rigid((point, rotation), (point + shift, rotation), clusters, [np.arange(1)])
    np.testing.assert_allclose(predicted[0], point + 2.0 * shift, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(predicted[1], rotation, rtol=0.0, atol=1e-12)


def test_predict_linear_repeats_each_particles_own_step():
    before, last = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), np.array([[0.1, 0.0, -0.2], [1.0, 3.0, 1.0]])
    identity = np.tile([1.0, 0.0, 0.0, 0.0], (2, 1))
    means, rotations = predict_linear((before, identity), (last, identity))
    np.testing.assert_allclose(means, [[0.2, 0.0, -0.4], [1.0, 5.0, 1.0]], rtol=0.0, atol=1e-12)
    np.testing.assert_array_equal(rotations, identity)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_predict_linear_extrapolates_the_quaternion_and_renormalizes(sign):
    before = np.array([[1.0, 0.0, 0.0, 0.0]])
    last = np.array([[np.cos(0.1), 0.0, 0.0, np.sin(0.1)]])
    _, rotations = predict_linear((np.zeros((1, 3)), sign * before), (np.zeros((1, 3)), last))
    step = 2.0 * last - before  # by hand, whatever sign the pose before was stored with
    np.testing.assert_allclose(rotations, step / np.linalg.norm(step), rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(rotations, axis=1), 1.0, rtol=0.0, atol=1e-12)


def test_particles_that_stay_behind_do_not_slow_their_cluster():
    """A tenth of each body stays where it was, as what is taken for foreground on the floor does."""
    before, body = start()
    last = moved(before, body)
    stuck = np.arange(len(BLOBS)) % 10 == 0
    means = np.where(stuck[:, None], before[0], last[0])
    expected = moved(last, body)[0]
    predicted, _ = predict_rigid(before, (means, last[1]), clusters_of(BLOBS, 2), BODIES)
    assert np.abs(predicted - expected)[~stuck].max() < 2e-3


def test_a_body_goes_on_straight_whose_clusters_turn():
    """Six clusters of one body: each has a velocity of its own, which turns, and that of the body, which does not."""
    before, _ = start()
    rows = np.arange(30)
    before = before[0][rows], before[1][rows]
    turn, center = Rotation.from_rotvec(TURNS[0]), before[0].mean(axis=0)
    places = [turn.apply(before[0] - center) + center + SHIFTS[0]]
    places.append(turn.apply(places[0] - center - SHIFTS[0]) + center + 2.0 * SHIFTS[0])
    predicted, _ = predict_rigid(before, (places[0], before[1]), clusters_of(BLOBS[rows], 6), [rows])
    np.testing.assert_allclose(predicted, places[1], rtol=0.0, atol=1e-9)


def test_what_is_hinged_turns_about_its_hinge():
    """One half of a body stays, the other turns about a place beside it."""
    means = np.random.default_rng(4).uniform(size=(60, 3)) * [0.2, 0.2, 0.2]
    means[30:] += [1.0, 0.0, 0.0]
    turn = Rotation.from_rotvec([0.0, 0.0, 0.3])
    places = [np.concatenate([means[:30], (turn**power).apply(means[30:])]) for power in range(3)]
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (60, 1))
    predicted, _ = predict_rigid((places[0], upright), (places[1], upright), clusters_of(means, 2), [np.arange(60)])
    np.testing.assert_allclose(predicted, places[2], rtol=0.0, atol=1e-9)
