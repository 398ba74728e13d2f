"""Moved in space: pictures taken by a camera that moves along stay as they are."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.tracks_by_hand import front_camera
from tests.tracks_by_hand import make_tracks as make_simple
from tests.usd_export.sample import make_tracks, with_births, with_judgments
from warpgs.edit import along, attach, carry, center, placing, transform
from warpgs.render import Renderer
from warpgs.similarity import Similarity

MOVE = Similarity(2.5, Rotation.from_rotvec([0.9, -0.4, 2.1]).as_matrix(), np.array([5.0, -2.0, 1.0]))


def poses(count: int, seed: int = 0) -> np.ndarray:
    """Rigid transforms, shape [t, 4, 4]."""
    motions = np.tile(np.eye(4), (count, 1, 1))
    motions[:, :3, :3] = Rotation.random(count, random_state=seed).as_matrix()
    motions[:, :3, 3] = np.random.default_rng(seed).normal(size=(count, 3))
    return motions


def test_a_camera_that_moves_along_sees_the_same():
    rng, camera, renderer = np.random.default_rng(0), front_camera(), Renderer("cpu", 1)
    tracks = make_simple(
        rng.uniform(-0.4, 0.4, (2, 40, 3)), rotations=_quaternions(rng, (2, 40)), sigma=(0.1, 0.05, 0.02)
    )
    tracks = replace(tracks, harmonics=(0.3 * rng.normal(size=(40, 15, 3))).astype(np.float32))
    moved = transform(tracks, MOVE)
    along_with_it = replace(camera, world_from_camera=MOVE.poses(camera.world_from_camera))
    for instant in range(2):
        before = renderer.view(tracks.at(instant), camera, near=0.01)
        after = renderer.view(moved.at(instant), along_with_it, near=0.025)
        np.testing.assert_allclose(after.color, before.color, atol=2e-4)
        np.testing.assert_allclose(after.depth, 2.5 * before.depth, atol=5e-4)


def _quaternions(rng, shape) -> np.ndarray:
    q = rng.normal(size=(*shape, 4))
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def test_there_and_back_and_the_tolerance():
    tracks = with_judgments(make_tracks(harmonics=8))
    moved = transform(tracks, MOVE)
    assert moved.tolerance == pytest.approx(0.05)
    back = transform(moved, MOVE.inverse())
    np.testing.assert_allclose(back.means, tracks.means, atol=5e-6)
    np.testing.assert_allclose(back.harmonics, tracks.harmonics, atol=5e-6)
    np.testing.assert_allclose(back.log_scales, tracks.log_scales, atol=1e-6)


def test_placing_leaves_its_pivot():
    place = placing(rotate_deg=(10, 20, 30), scale=3.0, about=(1.0, 2.0, 3.0))
    np.testing.assert_allclose(place.points(np.array([1.0, 2.0, 3.0])), [1, 2, 3], atol=1e-12)
    turn = placing(rotate_deg=(90, 0, 90)).rotation  # x first: y to z, then z stays
    np.testing.assert_allclose(turn @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(turn @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    with pytest.raises(ValueError, match="scale: expected a number above 0"):
        placing(scale=0.0)


def test_carry_moves_means_and_rotations_and_what_waits_waits_where_it_appears():
    tracks, motions = with_births(make_tracks()), poses(13)
    moved = carry(tracks, motions)
    t, n = 7, 20
    np.testing.assert_allclose(
        moved.means[t, n], motions[t, :3, :3] @ tracks.means[t, n] + motions[t, :3, 3], atol=1e-5
    )
    turned = Rotation.from_matrix(motions[t, :3, :3]) * Rotation.from_quat(
        tracks.rotations_wxyz[t, n], scalar_first=True
    )
    got = Rotation.from_quat(moved.rotations_wxyz[t, n], scalar_first=True)
    assert (turned * got.inv()).magnitude() < 1e-5
    np.testing.assert_array_equal(moved.means[:4, -2], np.tile(moved.means[4, -2], (4, 1)))


def test_an_attached_hat_keeps_its_place_on_the_head():
    head = poses(13, seed=2)
    hat = attach(with_judgments(make_tracks()), head, at=5)
    on_head = np.linalg.inv(head)
    local = np.einsum("tij,tnj->tni", on_head[:, :3, :3], hat.means) + on_head[:, None, :3, 3]
    np.testing.assert_allclose(local, np.tile(local[5], (13, 1, 1)), atol=2e-6)
    np.testing.assert_allclose(hat.means[5], make_tracks().means[5], atol=1e-6)
    assert (hat.confidence == 1.0).all()


def test_keyframes_are_met_and_between_them_the_way_is_straight():
    tracks = make_tracks()
    places, turns = (
        np.array([[0.0, 0, 0], [6.0, 0, 0], [6.0, 3, 0]]),
        Rotation.from_rotvec([[0, 0, 0], [0, 0, 1.2], [0, 0, 1.2]]),
    )
    moved = along(tracks, (2, 8, 11), places, turns)
    middle = center(tracks, 0)
    shape = tracks.means[0] - middle
    for instant, place, angle in (
        (0, [0, 0, 0], 0),
        (2, [0, 0, 0], 0),
        (5, [3, 0, 0], 0.6),
        (8, [6, 0, 0], 1.2),
        (12, [6, 3, 0], 1.2),
    ):
        expected = Rotation.from_rotvec([0, 0, angle]).apply(shape) + place
        np.testing.assert_allclose(moved.means[instant], expected, atol=1e-5)
    smooth = along(tracks, (2, 8, 11), places, turns, smooth=True)
    np.testing.assert_allclose(smooth.means[[2, 8, 11]], moved.means[[2, 8, 11]], atol=1e-5)
    one = along(tracks, (0,), places[1:2])
    np.testing.assert_allclose(one.means[7], shape + np.array([6, 0, 0]), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: carry(make_tracks(), poses(3)), r"motions: expected shape \[13, 4, 4\]"),
        (lambda: carry(make_tracks(), poses(13) * np.nan), "motions: expected finite"),
        (lambda: attach(make_tracks(), poses(3)), "world_from_part: expected shape"),
        (lambda: along(make_tracks(), (3, 1), np.zeros((2, 3))), "at least one, rising"),
        (lambda: along(make_tracks(), (), np.zeros((0, 3))), "at least one, rising"),
        (lambda: along(make_tracks(), (1, 2), np.zeros((3, 3))), "positions: expected shape"),
        (lambda: along(make_tracks(), (1, 2), np.zeros((2, 3)), Rotation.identity(3)), "one per keyframe"),
    ],
)
def test_motions_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        change()
