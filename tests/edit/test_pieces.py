"""Cut up and put together: nothing lost, nothing changed on the way."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.test_retime import assert_same
from tests.tracks_by_hand import front_camera
from tests.tracks_by_hand import make_tracks as make_simple
from tests.usd_export.sample import make_tracks, with_births, with_judgments
from warpgs.edit import insert, join, only, placing, recolor, remove, replace_background, take, transform
from warpgs.render import Renderer
from warpgs.retime import onto
from warpgs.similarity import Similarity

FULL = [
    make_tracks(),
    make_tracks(harmonics=15),
    with_births(make_tracks(harmonics=3)),
    with_judgments(make_tracks()),
]


def some(tracks, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).random(len(tracks.foreground)) < 0.4


@pytest.mark.parametrize("tracks", FULL)
def test_removed_and_inserted_back_is_the_original_bit_for_bit(tracks):
    chosen = some(tracks)
    assert_same(tracks, insert(remove(tracks, chosen), take(tracks, chosen), where=chosen))


def test_only_changes_what_is_chosen_in_place():
    tracks = with_births(make_tracks(harmonics=8))
    chosen = some(tracks)
    painted = only(tracks, chosen, lambda piece: recolor(piece, (1.0, 0.0, 0.5)))
    np.testing.assert_array_equal(painted.colors[chosen], np.tile(np.float32([1.0, 0.0, 0.5]), (chosen.sum(), 1)))
    assert not painted.harmonics[chosen].any()
    assert_same(take(tracks, ~chosen), take(painted, ~chosen))
    np.testing.assert_array_equal(painted.means, tracks.means)


def test_join_sorts_births_and_fills_harmonics():
    first, second = with_births(make_tracks(harmonics=3)), make_tracks(harmonics=8, count=30, static=3)
    joined = join([first, second])
    assert (np.diff(joined.birth) >= 0).all() and (joined.birth > 0).sum() == 3
    assert joined.harmonics.shape == (90, 8, 3) and not joined.harmonics[:57, 3:].any()
    np.testing.assert_array_equal(joined.harmonics[:57, :3], first.harmonics[:57])
    np.testing.assert_array_equal(joined.means[:, 57:87], second.means)
    np.testing.assert_array_equal(joined.means[:, 87:], first.means[:, 57:])


def test_what_stands_still_counts_as_certain_and_what_moves_unjudged_does_not():
    judged = with_judgments(make_tracks())
    still = onto(make_tracks(steps=1, count=10, static=2), judged)
    joined = join([judged, still])
    np.testing.assert_array_equal(joined.confidence[:, :60], judged.confidence)
    assert (joined.confidence[:, 60:] == 1.0).all() and (joined.visibility[:, 60:] == 1.0).all()
    assert joined.tolerance == 0.02
    unjudged = join([judged, make_tracks()])
    assert unjudged.confidence is None and unjudged.tolerance is None
    assert join([judged, replace(judged, tolerance=0.05)]).tolerance == 0.05


def test_two_frames_and_scales_in_one_picture_are_the_over_composite():
    """The part in front over the one behind, each rendered by itself."""
    rng, camera, renderer = np.random.default_rng(4), front_camera(), Renderer("cpu", 1)
    behind = make_simple(rng.uniform(-0.5, 0.5, (3, 60, 3)), sigma=0.04)
    spin = Rotation.random(random_state=5).as_matrix()
    own = Similarity(7.0, spin, np.array([3.0, -8.0, 2.0]))  # the other run's unit is 1/7 of ours, its frame its own
    in_front = make_simple(rng.uniform(-0.3, 0.3, (3, 80, 3)) + np.array([0.1, -1.0, 0.05]), sigma=0.02)
    in_front = replace(in_front, colors=rng.random((80, 3)).astype(np.float32))
    other = transform(in_front, own)
    both = insert(behind, transform(other, own.inverse()))
    for instant in range(3):
        together = renderer.view(both.at(instant), camera, near=0.01)
        front, back = (renderer.view(part.at(instant), camera, near=0.01) for part in (in_front, behind))
        passes = 1.0 - front.alpha
        assert (front.alpha * back.alpha > 0.1).any()  # one hides the other
        np.testing.assert_allclose(together.color, front.color + passes[..., None] * back.color, atol=1e-4)
        np.testing.assert_allclose(together.alpha, 1.0 - passes * (1.0 - back.alpha), atol=1e-4)
        np.testing.assert_allclose(together.depth, front.depth + passes * back.depth, atol=2e-4)


def test_duplicate_beside_itself():
    tracks = with_births(make_tracks(harmonics=3))
    chosen = tracks.birth > 0
    twice = insert(tracks, transform(take(tracks, chosen), placing(translate=(5.0, 0.0, 0.0))))
    assert len(twice.foreground) == 63
    np.testing.assert_array_equal(twice.birth[57:], [4, 4, 4, 4, 9, 9])
    np.testing.assert_allclose(twice.means[:, 59] - twice.means[:, 57], np.tile([5.0, 0, 0], (13, 1)), atol=1e-6)


def test_background_is_replaced_by_what_counts_as_background():
    tracks, scan = make_tracks(), make_tracks(steps=1, count=20, static=5, harmonics=3)
    new = replace_background(tracks, scan)
    kept = tracks.foreground >= 0.5
    np.testing.assert_array_equal(new.foreground, np.append(tracks.foreground[kept], np.zeros(20, np.float32)))
    np.testing.assert_array_equal(new.means[5, kept.sum() :], scan.means[0])


def test_unfit_masks_and_timelines_are_refused():
    tracks = with_births(make_tracks())
    with pytest.raises(TypeError, match="chosen: expected a mask of bool"):
        take(tracks, np.arange(3))
    with pytest.raises(ValueError, match=r"chosen: expected shape \[60\]"):
        remove(tracks, np.ones(59, bool))
    with pytest.raises(ValueError, match="at least one particle"):
        take(tracks, np.zeros(60, bool))
    with pytest.raises(ValueError, match="not all particles"):
        remove(tracks, np.ones(60, bool))
    with pytest.raises(ValueError, match="join: part 1: expected 13 timesteps, got 5"):
        join([tracks, make_tracks(steps=5)])
    with pytest.raises(ValueError, match="join: expected at least one part"):
        join([])
    with pytest.raises(ValueError, match="where: expected a mask of 60 among 120"):
        insert(tracks, tracks, where=np.ones(120, bool))
    with pytest.raises(ValueError, match="order of births"):
        insert(tracks, tracks, where=np.arange(120) >= 60)
