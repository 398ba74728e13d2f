"""What one look at all poses says, against NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pxr import Vt

from tests.usd_export.sample import make_tracks, with_births
from usd_export.arrays import usd_array
from usd_export.survey import moving_particles, unsoundness


def test_moving_particles_are_those_whose_pose_ever_differs():
    tracks = make_tracks(stride=2)
    means, rotations_wxyz = (
        np.repeat(tracks.means[:1], len(tracks), 0),
        np.repeat(tracks.rotations_wxyz[:1], len(tracks), 0),
    )
    means[-1, 3, 2] = np.nextafter(means[-1, 3, 2], np.float32(9.0))
    rotations_wxyz[1, 5] = -rotations_wxyz[1, 5]
    still = replace(tracks, means=means, rotations_wxyz=rotations_wxyz)
    np.testing.assert_array_equal(np.flatnonzero(moving_particles(still)), [3, 5])


def test_moving_particles_hold_all_that_are_born_late():
    tracks = with_births(make_tracks())
    assert moving_particles(tracks)[tracks.count_at(0) :].all()


def test_unsoundness_is_the_error_of_the_longest_or_shortest_quaternion():
    tracks = make_tracks()
    tracks.rotations_wxyz[2, 7] *= np.float32(0.5)
    expected = np.abs(np.linalg.norm(tracks.rotations_wxyz.astype(np.float64), axis=2) - 1.0).max(axis=1)
    np.testing.assert_allclose(unsoundness(tracks), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["means", "rotations_wxyz"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_unsoundness_is_nan_where_a_number_is_not_finite(name: str, value: float):
    tracks = make_tracks()
    getattr(tracks, name)[1, -1, -1] = value
    np.testing.assert_array_equal(np.isnan(unsoundness(tracks)), np.arange(len(tracks)) == 1)


def test_unsoundness_of_arrays_that_are_not_in_order():
    tracks = make_tracks()
    strided = replace(tracks, means=np.asfortranarray(tracks.means), rotations_wxyz=tracks.rotations_wxyz[:, ::-1])
    np.testing.assert_array_equal(unsoundness(strided), unsoundness(tracks))


@pytest.mark.parametrize("kind", [Vt.Vec3fArray, Vt.QuatfArray, Vt.Vec3hArray, Vt.QuathArray])
def test_usd_array_holds_what_usd_itself_would(kind: type):
    values = np.random.default_rng(0).normal(size=(50, 4 if "Quat" in kind.__name__ else 3))
    exact = values.astype(np.float16 if "h" in kind.__name__[-6:] else np.float32)
    array = usd_array(kind, values[::2])
    assert array == kind.FromNumpy(np.ascontiguousarray(exact[::2])) and usd_array(kind, array) is array
    values[:] = 0.0
    assert np.array(array).any()  # a copy


def test_usd_array_of_nothing_is_empty():
    assert len(usd_array(Vt.Vec3fArray, np.zeros((0, 3)))) == 0


def test_usd_array_refuses_another_shape():
    with pytest.raises(ValueError, match=r"Vec3fArray: expected values of shape \(5, 3\), got \(5, 4\)"):
        usd_array(Vt.Vec3fArray, np.zeros((5, 4)))
