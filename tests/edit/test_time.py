"""Moved in time: every instant shows what it should."""

import numpy as np
import pytest

from tests.usd_export.sample import make_tracks, with_births
from warpgs.edit import freeze, hold, lengthen, loop, reverse, shift, stretch

TRACKS = make_tracks()


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda t: shift(t, 3), [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (lambda t: shift(t, -10), [10, 11, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12]),
        (lambda t: stretch(t, 0.5), [0, 2, 4, 6, 8, 10, 12, 12, 12, 12, 12, 12, 12]),
        (lambda t: stretch(t, 0.5, around=6), [0, 0, 0, 0, 2, 4, 6, 8, 10, 12, 12, 12, 12]),
        (lambda t: loop(t, 2, 5), [0, 1, 2, 3, 4, 2, 3, 4, 2, 3, 4, 2, 3]),
        (lambda t: loop(t, 2, 5, back=True), [0, 1, 2, 3, 4, 3, 2, 3, 4, 3, 2, 3, 4]),
        (lambda t: loop(t, 2, 3, back=True), [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]),
        (reverse, list(range(12, -1, -1))),
        (lambda t: freeze(t, 4), [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4]),
        (lambda t: hold(t, 4), [4] * 13),
        (lambda t: lengthen(t, 15), [*range(13), 12, 12]),
        (lambda t: lengthen(t, 2), [0, 1]),
    ],
)
def test_each_instant_shows_the_stored_one_that_it_should(change, shown):
    changed = change(TRACKS)
    np.testing.assert_array_equal(changed.means, TRACKS.means[shown])
    np.testing.assert_array_equal(changed.rotations_wxyz, TRACKS.rotations_wxyz[shown])
    assert len(changed.timesteps) == len(shown) and changed.timesteps[:2] == TRACKS.timesteps[:2]


def test_half_speed_is_between():
    slow = stretch(TRACKS, 2.0)
    np.testing.assert_array_equal(slow.means[::2], TRACKS.means[:7])
    np.testing.assert_allclose(slow.means[1], TRACKS.means[:2].mean(axis=0), atol=1e-6)


def test_twice_reversed_is_as_before():
    np.testing.assert_array_equal(reverse(reverse(TRACKS)).means, TRACKS.means)


def test_births_shift_along():
    tracks = with_births(TRACKS, births=(4, 9))
    np.testing.assert_array_equal(shift(tracks, 2).birth[-2:], [6, 11])
    np.testing.assert_array_equal(shift(tracks, -6).birth[-2:], [0, 3])
    assert len(shift(tracks, 5).foreground) == 59  # the last would be born after the end
    assert len(hold(tracks, 5).foreground) == 59


@pytest.mark.parametrize(
    "change",
    [
        lambda: stretch(TRACKS, 0.0),
        lambda: stretch(TRACKS, np.inf),
        lambda: loop(TRACKS, 5, 5),
        lambda: loop(TRACKS, 0, 14),
        lambda: freeze(TRACKS, 13),
        lambda: hold(TRACKS, -1),
        lambda: lengthen(TRACKS, 0),
        lambda: shift(TRACKS, np.nan),
    ],
)
def test_impossible_times_are_refused(change):
    with pytest.raises(ValueError, match="expected"):
        change()
