"""Tracks at other instants: stored ones bit for bit, others between, births where they belong."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from tests.usd_export.sample import make_tracks, with_births, with_judgments
from warpgs.retime import extended, onto, sampled, slerp
from warpgs.types import Tracks


def assert_same(a: Tracks, b: Tracks) -> None:
    """All arrays bit for bit, and all else."""
    for name, value in vars(a).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(b, name), value, strict=True, err_msg=name)
        else:
            assert getattr(b, name) == value, name


def test_sampled_at_the_stored_instants_changes_no_bit():
    tracks = with_judgments(with_births(make_tracks(harmonics=8)))
    tracks = replace(tracks, **{n: np.where(_waiting(tracks), 1, getattr(tracks, n)) for n in ("confidence",)})
    tracks = replace(tracks, visibility=np.where(_waiting(tracks), np.float32(1.0), tracks.visibility))
    assert_same(tracks, sampled(tracks, np.arange(13)))
    assert_same(tracks, sampled(tracks, np.arange(13) + np.tile([1e-8, -1e-8, 0.0], 5)[:13]))


def _waiting(tracks: Tracks) -> np.ndarray:
    return np.arange(len(tracks))[:, None] < tracks.birth


def test_sampled_between_instants_blends_and_slerps():
    tracks = with_judgments(make_tracks())
    between = sampled(tracks, np.array([2.0, 2.25, 7.5]))
    a, b = (tracks.means[i].astype(np.float64) for i in (2, 3))
    np.testing.assert_allclose(between.means[1], a + 0.25 * (b - a), atol=1e-6)
    np.testing.assert_allclose(between.confidence[2], tracks.confidence[7:9].mean(axis=0), atol=1e-6)
    for particle in range(10):
        ends = Rotation.from_quat(tracks.rotations_wxyz[7:9, particle], scalar_first=True)
        expected = Slerp([0, 1], ends)(0.5)
        got = Rotation.from_quat(between.rotations_wxyz[2, particle], scalar_first=True)
        assert (expected * got.inv()).magnitude() < 1e-5
    assert between.timesteps == tracks.timesteps[:3]


def test_slerp_of_nearly_equal_and_of_negated_rotations():
    a = Rotation.random(50, random_state=0)
    b = Rotation.from_rotvec(np.random.default_rng(1).normal(scale=1e-4, size=(50, 3))) * a
    qa, qb = a.as_quat(scalar_first=True), -b.as_quat(scalar_first=True)
    got = Rotation.from_quat(slerp(qa, qb, 0.3), scalar_first=True)
    expected = Rotation.from_rotvec(0.3 * (b * a.inv()).as_rotvec()) * a
    assert (expected * got.inv()).magnitude().max() < 1e-9
    np.testing.assert_array_equal(slerp(qa, qb, 1.0), qb)


def test_backward_what_entered_late_is_there_from_the_start_and_waits_at_its_birth():
    tracks = with_births(make_tracks(), births=(4, 9))
    backward = sampled(tracks, np.arange(13)[::-1])
    assert not backward.birth.any()
    np.testing.assert_array_equal(backward.means, tracks.means[::-1])
    np.testing.assert_array_equal(backward.means[9:, -2], np.tile(tracks.means[4, -2], (4, 1)))


def test_what_no_sampled_instant_shows_is_left_out_and_births_are_sorted():
    tracks = with_births(make_tracks(), births=(4, 9))
    early = sampled(tracks, np.array([0.0, 3.9, 2.0]))
    assert early.means.shape[1] == 58 and not early.birth.any()
    # births fall where a later one is sampled first: none here, but 9 comes with the first instant and 4 with it
    late = sampled(tracks, np.array([9.5, 10.5]))
    assert late.means.shape[1] == 60 and not late.birth.any()
    between = sampled(tracks, np.array([3.0, 4.5, 9.5]))
    np.testing.assert_array_equal(between.birth[-2:], [1, 2])
    np.testing.assert_array_equal(between.means[0, -2], between.means[1, -2])


def test_onto_a_faster_timeline_keeps_the_seconds():
    timeline = replace(make_tracks(steps=13), fps=60.0, timesteps=tuple(range(13)))
    slow = replace(make_tracks(steps=4, stride=1), fps=30.0, timesteps=(5, 6, 7, 8))
    moved = onto(slow, timeline)
    assert (moved.timesteps, moved.fps, moved.means.shape) == (timeline.timesteps, 60.0, (13, 60, 3))
    np.testing.assert_array_equal(moved.means[[0, 2, 4, 6]], slow.means)
    np.testing.assert_allclose(moved.means[1], 0.5 * (slow.means[0] + slow.means[1]), atol=1e-6)
    np.testing.assert_array_equal(moved.means[6:], np.tile(slow.means[-1], (7, 1, 1)))  # stays
    assert moved.birth is None


def test_onto_later_is_born_there():
    timeline, other = make_tracks(), with_births(make_tracks(steps=3), births=(1,))
    moved = onto(other, timeline, start=10.0)
    np.testing.assert_array_equal(np.unique(moved.birth), [10, 11])
    np.testing.assert_array_equal(moved.means[:11, :-1], np.tile(other.means[0, :-1], (11, 1, 1)))
    np.testing.assert_array_equal(moved.means[11:], other.means[1:])


def test_one_instant_stands_still_for_ever():
    still = onto(make_tracks(steps=1), make_tracks(stride=3))
    assert (still.means == still.means[:1]).all() and len(still) == 13


def test_extended_goes_on_as_it_ends():
    assert extended((3, 5, 9), 5) == (3, 5, 9, 13, 17)
    assert extended((3, 5, 9), 2) == (3, 5)
    assert extended((7,), 3) == (7, 8, 9)


@pytest.mark.parametrize("instants", [[], [-0.5], [12.5], [np.nan]])
def test_instants_beyond_are_refused(instants):
    with pytest.raises(ValueError, match="instants: expected"):
        sampled(make_tracks(), np.array(instants))


@pytest.mark.parametrize("start", [-1.0, 13.0, np.nan])
def test_a_start_beyond_the_timeline_is_refused(start):
    with pytest.raises(ValueError, match="start: expected"):
        onto(make_tracks(), make_tracks(), start)
