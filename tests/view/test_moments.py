"""Times between instants."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from tests.tracks_by_hand import make_tracks, rigid_motion, wxyz
from warpgs.bodies import DEFORMABLE, fit_parts
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


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_rigid_parts_stay_rigid_between_instants(share):
    """A box that turns by 40 degrees per step beside a particle of no part, and one that is born with the part."""
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (40, 3))
    turns = Rotation.from_rotvec(np.arange(3)[:, None] * np.radians(40.0) * np.array([0.6, 0.0, 0.8]))
    shifts = np.arange(3)[:, None] * np.array([0.2, -0.1, 0.05])
    means = np.stack([turn.apply(points) + shift for turn, shift in zip(turns, shifts, strict=True)])
    tracks = make_tracks(means)
    index = np.where(np.arange(40) < 39, 0, DEFORMABLE).astype(np.int32)
    parts = fit_parts(tracks, index, ["box"])
    there = moment(tracks, 1 + share, parts).means
    center = points[:39].mean(axis=0)  # where the part's frame stands, which goes straight
    middles = [turns[i].apply(center) + shifts[i] for i in (1, 2)]
    turn = Rotation.from_rotvec((1 + share) * np.radians(40.0) * np.array([0.6, 0.0, 0.8]))
    expected = turn.apply(points - center) + (1 - share) * middles[0] + share * middles[1]
    np.testing.assert_allclose(there[:39], expected[:39], atol=1e-5)
    straight = moment(tracks, 1 + share)
    np.testing.assert_array_equal(there[39], straight.means[39])
    assert np.abs(straight.means[:39] - expected[:39]).max() > 0.005
    np.testing.assert_array_equal(moment(tracks, 1.0, parts).means, tracks.means[1])


def test_parts_that_are_not_born_yet_do_not_disturb():
    tracks = replace(make_tracks(np.zeros((3, 4, 3))), birth=np.array([0, 0, 2, 2], np.int32))
    parts = fit_parts(tracks, np.array([0, 0, 1, 1], np.int32), ["early", "late"])
    assert len(moment(tracks, 0.5, parts)) == 2 and len(moment(tracks, 2.0, parts)) == 4


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
