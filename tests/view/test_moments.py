"""Times between instants."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from tests.tracks_by_hand import make_tracks, rigid_motion, wxyz
from warpgs.retime import slerp
from warpgs.view import moment, poses_at, slowed

INSTANTS = 4


@pytest.fixture
def tracks():
    """Three particles that turn and drift."""
    turns, shifts = rigid_motion(INSTANTS)
    rest = np.array([[0.3, 0, 0], [0, 0.2, 0.1], [0, 0, 0]])
    matrices = Rotation.from_quat(turns, scalar_first=True).as_matrix()
    return make_tracks(
        np.einsum("tij,nj->tni", matrices, rest) + shifts[:, None], np.repeat(turns[:, None], len(rest), axis=1)
    )


def test_instants_are_as_stored_bit_for_bit(tracks):
    for index in range(INSTANTS):
        there = moment(tracks, float(index))
        np.testing.assert_array_equal(there.means, tracks.means[index])
        np.testing.assert_array_equal(there.rotations_wxyz, tracks.rotations_wxyz[index])


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_between_instants_positions_are_straight_and_rotations_on_the_arc(tracks, share):
    there = moment(tracks, 1 + share)
    expected = (1 - share) * tracks.means[1].astype(float) + share * tracks.means[2]
    np.testing.assert_allclose(there.means, expected, atol=1e-6)
    ends = Rotation.from_quat(tracks.rotations_wxyz[1:3, 0], scalar_first=True)
    oracle = wxyz(Slerp([0, 1], ends)(share))
    dots = np.abs((there.rotations_wxyz * oracle).sum(axis=1))
    np.testing.assert_allclose(dots, 1.0, atol=1e-6)
    assert there.means.dtype == there.rotations_wxyz.dtype == np.float32


def test_slerp_takes_the_shorter_arc_whatever_the_signs():
    rng = np.random.default_rng(0)
    a, b = Rotation.random(50, rng), Rotation.random(50, rng)
    signs = rng.choice([-1.0, 1.0], (50, 1))
    for share in (0.0, 0.3, 1.0):
        middle = Rotation.from_quat(slerp(wxyz(a), signs * wxyz(b), share), scalar_first=True)
        expected = a * Rotation.from_rotvec(share * (a.inv() * b).as_rotvec())
        assert (middle.inv() * expected).magnitude().max() < 1e-6


def test_slerp_of_the_same_and_of_opposite_numbers_is_no_nan():
    q = np.array([[1.0, 0, 0, 0], [1.0, 0, 0, 0], [1.0, 0, 0, 0]], np.float32)
    other = np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0], [1.0, 1e-7, 0, 0]], np.float32)
    np.testing.assert_allclose(np.abs(slerp(q, other, np.float32(0.5))), q, atol=1e-6)


def test_births_wait_for_their_instant(tracks):
    born = replace(tracks, birth=np.array([0, 0, 2], np.int32))
    assert [len(moment(born, time)) for time in (0.0, 1.5, 2.0, 2.5)] == [2, 2, 3, 3]


@pytest.mark.parametrize("time", [-0.1, 3.01, float("nan")])
def test_times_outside_are_refused(tracks, time):
    with pytest.raises(ValueError, match="from 0 to 3"):
        moment(tracks, time)


def test_slowed_times_reach_from_the_first_to_the_last_instant():
    np.testing.assert_allclose(slowed(3, 2), [0, 0.5, 1, 1.5, 2])
    np.testing.assert_allclose(slowed(3, 1), [0, 1, 2])
    assert slowed(1, 5).tolist() == [0.0]
    with pytest.raises(ValueError, match="from 1 on"):
        slowed(3, 0)


def test_poses_move_as_particles_do():
    turns, shifts = rigid_motion(INSTANTS)
    poses = np.tile(np.eye(4), (INSTANTS, 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(turns, scalar_first=True).as_matrix()
    poses[:, :3, 3] = shifts
    times = np.array([0.0, 0.4, 2.0, 2.75])
    between = poses_at(poses, times)
    np.testing.assert_allclose(between[[0, 2]], poses[[0, 2]], atol=1e-12)
    np.testing.assert_allclose(between[3, :3, 3], 0.25 * shifts[2] + 0.75 * shifts[3], atol=1e-12)
    oracle = Slerp(range(INSTANTS), Rotation.from_matrix(poses[:, :3, :3]))(times)
    np.testing.assert_allclose(between[:, :3, :3], oracle.as_matrix(), atol=1e-12)
    np.testing.assert_array_equal(poses_at(poses[:1], np.zeros(3)), poses[[0, 0, 0]])
