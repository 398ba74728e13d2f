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
"""Motion of the origin per timestep [m]."""


def clusters_of(means: np.ndarray, count: int) -> Clusters:
    return Clusters([means], RigidConfig(clusters=count), device=wp.get_device("cpu"), seed=0)


def moved(poses: Poses, body: np.ndarray) -> Poses:
    """Each body one timestep later: x -> R x + t about the world's origin, q -> R q, nearest sign."""
    turn = Rotation.from_rotvec(TURNS[body])
    rotations = (turn * Rotation.from_quat(poses[1], scalar_first=True)).as_quat(scalar_first=True)
    rotations *= np.where((rotations * poses[1]).sum(axis=1, keepdims=True) < 0.0, -1.0, 1.0)
    return turn.apply(poses[0]) + SHIFTS[body], rotations


def start() -> tuple[Poses, np.ndarray]:
    rotations = RNG.normal(size=(len(BLOBS), 4))
    body = np.repeat([0, 1], [30, 20])
    return (BLOBS, rotations / np.linalg.norm(rotations, axis=1, keepdims=True)), body


def test_predict_rigid_continues_a_constant_motion_exactly():
    before, body = start()
    last = moved(before, body)
    predicted = predict_rigid(before, last, clusters_of(BLOBS, 2))
    for got, expected in zip(predicted, moved(last, body), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0.0, atol=1e-12)


def test_predict_rigid_keeps_the_sign_of_quaternions_over_whole_turns():
    before, body = start()
    clusters, last = clusters_of(BLOBS, 2), moved(before, body)
    exact = last
    for _ in range(40):  # 20 degrees each: more than two turns
        before, last, exact = last, predict_rigid(before, last, clusters), moved(exact, body)
        assert ((before[1] * last[1]).sum(axis=1) > 0.9).all()
    np.testing.assert_allclose(last[0], exact[0], rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(last[1], exact[1], rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("axis", [[-1.0, 0.0, 0.0], [0.0, -0.6, -0.8], [0.6, 0.0, -0.8]])
def test_predict_rigid_takes_the_nearer_sign_when_half_a_turn_is_near(axis):
    (means, rotations), _ = start()
    turn = Rotation.from_rotvec(np.radians(170.0) * np.array(axis))
    last = turn.apply(means), (turn * Rotation.from_quat(rotations, scalar_first=True)).as_quat(scalar_first=True)
    predicted = predict_rigid((means, rotations), last, clusters_of(BLOBS, 2))
    assert ((predicted[1] * last[1]).sum(axis=1) > 0.0).all()
    np.testing.assert_allclose(predicted[0], turn.apply(last[0]), rtol=0.0, atol=1e-12)


def test_predict_rigid_does_not_care_which_sign_was_stored_before():
    before, body = start()
    last = moved(before, body)
    clusters = clusters_of(BLOBS, 2)
    flipped = predict_rigid((before[0], -before[1]), last, clusters)
    for got, expected in zip(flipped, predict_rigid(before, last, clusters), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_predict_rigid_of_one_particle_continues_its_path():
    point, shift = np.array([[1.0, 2.0, 3.0]]), np.array([0.0, 0.1, 0.0])
    rotation = np.array([[0.5, 0.5, 0.5, 0.5]])
    clusters = clusters_of(point, 5)
    predicted = predict_rigid((point, rotation), (point + shift, rotation), clusters)
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
