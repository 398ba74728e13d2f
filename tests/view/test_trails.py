"""Paths in pictures, and what hides them."""

from dataclasses import replace

import numpy as np
import pytest

from tests.tracks_by_hand import front_camera, make_tracks
from warpgs.render import Renderer
from warpgs.view import Trails, draw_trails, random_trails, render_views
from warpgs.view.trails import OLDEST, positions, slack

CAMERA = front_camera()
GRAY = np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8)
NOTHING = np.zeros((CAMERA.height, CAMERA.width))
RED = np.array([[250, 0, 0]], np.uint8)


def changed(picture: np.ndarray) -> np.ndarray:
    return (picture != 90).any(axis=2)


def line(start, end, depth=NOTHING, slack=0.0) -> np.ndarray:
    points = np.array([[start], [end]], float)
    return draw_trails(GRAY, depth, CAMERA, points, RED, np.array([slack]))


def test_path_covers_the_pixels_it_projects_to():
    # From 2 m away, 100 px of focal length: a metre is 50 px.
    drawn = changed(line([-1, 0, 0], [1, 0, 0]))
    assert drawn[50, 50:150].all() and not drawn[:47].any() and not drawn[54:].any()
    assert not drawn[:, :48].any() and not drawn[:, 154:].any()
    assert (GRAY == 90).all()


def test_path_is_drawn_exactly_where_it_is_nearer_than_the_picture():
    """A path that runs away from the camera through a wall: the crossing is where the formula puts it."""
    start, end = np.array([-1.0, -1.0, 0]), np.array([1.0, 1.0, 0])  # z from 1 to 3
    wall = np.full(NOTHING.shape, 2.2)
    drawn, free = changed(line(start, end, wall)), changed(line(start, end))
    share = (2.2 - 1.0) / 2.0
    crossing_px = 100.0 + 100.0 * (-1.0 + 2.0 * share) / 2.2
    columns = np.flatnonzero(drawn.any(axis=0))
    assert columns.max() == pytest.approx(crossing_px, abs=2.0)
    assert (drawn == (free & (np.arange(200) <= columns.max())))[:, : int(crossing_px) - 1].all()


def test_slack_lets_a_path_run_a_little_behind_its_own_surface():
    wall = np.full(NOTHING.shape, 1.95)
    assert not changed(line([-1, 0, 0], [1, 0, 0], wall)).any()
    assert not changed(line([-1, 0, 0], [1, 0, 0], wall, slack=0.04)).any()
    assert changed(line([-1, 0, 0], [1, 0, 0], wall, slack=0.06)).any()


def test_nearer_path_hides_the_farther_in_whatever_order():
    points = np.array([[[-1, 0.0, 0], [-1, 0.5, 0]], [[1, 0.0, 0], [1, 0.5, 0]]])
    for order in ([0, 1], [1, 0]):
        drawn = draw_trails(
            GRAY, NOTHING, CAMERA, points[:, order], np.array([[250, 0, 0], [0, 250, 0]])[order], np.zeros(2)
        )
        assert drawn[50, 100, 0] > drawn[50, 100, 1]


def test_older_ends_are_fainter():
    drawn = line([-1, 0, 0], [1, 0, 0]).astype(int)
    reds = drawn[50, 55:145, 0]
    assert (np.diff(reds) >= -1).all() and reds[-1] > reds[0] + 40
    assert reds[0] >= 90 + (250 - 90) * OLDEST


def test_gaps_and_points_behind_the_camera_and_far_away_draw_nothing():
    for start in ([np.nan, 0, 0], [0, -3, 0], [0, -2, 0], [1e15, 0, 0]):
        drawn = changed(line(start, [0, 0, 0]))
        assert 0 < drawn.sum() < 40  # the dot at the end alone
    assert not changed(line([0, 0, 0], [np.nan, 0, 0])).any()
    none = draw_trails(GRAY, NOTHING, CAMERA, np.zeros((2, 0, 3)), RED[:0], np.zeros(0))
    np.testing.assert_array_equal(none, GRAY)


def test_paths_reach_back_over_the_tail_to_the_time_between_instants():
    means = np.zeros((6, 2, 3))
    means[:, 0, 0] = np.arange(6)
    tracks = replace(make_tracks(means), birth=np.array([0, 4], np.int32))
    trails = Trails(np.array([0, 1]), np.zeros((2, 3), np.uint8), tail=2)
    assert positions(trails, tracks, 4.5)[:, 0, 0].tolist() == [3.0, 4.0, 4.5]
    assert np.isfinite(positions(trails, tracks, 4.5)[:, 1, 0]).tolist() == [False, True, True]
    assert positions(trails, tracks, 0.0).shape == (1, 2, 3)
    assert np.isnan(positions(trails, tracks, 3.5)[:, 1]).all()
    assert positions(replace(trails, tail=0), tracks, 3.0)[:, 0, 0].tolist() == [3.0]


def test_random_trails_are_of_the_foreground_and_differ_by_seed():
    tracks = make_tracks(np.random.default_rng(0).normal(size=(2, 100, 3)))
    tracks = replace(tracks, foreground=(np.arange(100) < 40).astype(np.float32))
    trails = random_trails(tracks, 10)
    assert len(set(trails.particles.tolist())) == 10 and (trails.particles < 40).all()
    np.testing.assert_array_equal(trails.particles, random_trails(tracks, 10).particles)
    assert set(trails.particles) != set(random_trails(tracks, 10, seed=1).particles)
    assert len(random_trails(tracks, 1000).particles) == 40
    nothing_moves = replace(tracks, foreground=np.zeros(100, np.float32))
    assert len(random_trails(nothing_moves, 1000).particles) == 100


def test_rendered_wall_hides_what_passes_behind_it():
    """An opaque wall covers the left half of the picture; a particle flies through the picture behind it."""
    x, z = (axis.ravel() for axis in np.meshgrid(np.arange(-2.0, 0.0, 0.04), np.arange(-1, 1, 0.04)))
    wall = np.stack([x, np.full(x.size, -0.5), z], axis=1)
    flight = np.stack([np.linspace(-0.9, 0.9, 7), np.full(7, 0.5), np.zeros(7)], axis=1)
    means = np.concatenate([np.broadcast_to(wall, (7, *wall.shape)), flight[:, None]], axis=1)
    count = means.shape[1]
    tracks = replace(make_tracks(means, sigma=0.03), opacity_logits=np.full(count, 5.0, np.float32))
    trails = Trails(np.array([count - 1]), np.array([[0, 255, 0]], np.uint8), tail=10)
    pictures = list(render_views(tracks, Renderer("cpu", 1), [(CAMERA,)] * 7, trails))
    plain = list(render_views(tracks, Renderer("cpu", 1), [(CAMERA,)] * 7))
    columns = np.flatnonzero((pictures[-1][0] != plain[-1][0]).any(axis=(0, 2)))
    edge = 100 + 100 * 0.0 / 1.5  # of the wall's last column
    assert edge - 2 <= columns.min() <= edge + 8 and columns.max() > 130
    assert slack(trails, tracks) == pytest.approx([0.06], rel=1e-5)
