"""What the viewer draws, without a page."""

from dataclasses import replace

import numpy as np
import pytest

from tests.tracks_by_hand import front_camera, make_tracks
from warpgs.bodies import BACKGROUND, DEFORMABLE, Parts
from warpgs.query.geometry import project
from warpgs.render import Renderer
from warpgs.view.pictures import DepthRange, to_pixels

pytest.importorskip("viser")
from warpgs.view.web.draw import NOTHING_M, SHOWS, Wish, available, camera_of, draw, part_palette, particles
from warpgs.view.web.nodes import segments

CAMERA = front_camera()


@pytest.fixture(scope="module")
def renderer():
    return Renderer("cpu", 1)


@pytest.fixture
def tracks():
    """Two particles of one part, one that bends, one of the background, one that is born later."""
    means = np.zeros((2, 5, 3))
    means[:, :, 0] = [-0.8, -0.4, 0.0, 0.4, 0.8]
    means[1, :3, 2] = 0.3
    still = make_tracks(means, sigma=0.08)
    return replace(
        still,
        opacity_logits=np.full(5, 6.0, np.float32),
        colors=np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1]], np.float32),
        foreground=np.array([1, 1, 1, 0, 1], np.float32),
        birth=np.array([0, 0, 0, 0, 1], np.int32),
        confidence=np.linspace(0, 1, 10, dtype=np.float32).reshape(2, 5),
    )


PARTS = Parts(
    np.array([0, 0, DEFORMABLE, BACKGROUND, DEFORMABLE], np.int32),
    ("box",),
    np.tile(np.eye(4), (2, 1, 1, 1)),
    np.zeros((2, 1)),
    np.zeros(1, np.int32),
)


def test_colors_are_those_of_the_renderer(tracks, renderer):
    pixels, depth = draw(particles(tracks, None, Wish(1)), Wish(1), CAMERA, renderer)
    np.testing.assert_array_equal(pixels, to_pixels(renderer.view(tracks.at(1), CAMERA), "color", DepthRange(0, 1)))
    assert depth is None


def test_only_what_exists_and_what_is_asked_for_is_drawn(tracks):
    assert [len(particles(tracks, None, Wish(index))) for index in (0, 1)] == [4, 5]
    front = particles(tracks, None, Wish(1, foreground_only=True))
    np.testing.assert_array_equal(front.means[:, 0], np.float32([-0.8, -0.4, 0.0, 0.8]))


def test_parts_have_colors_of_their_own_and_the_background_is_dark(tracks):
    colors = particles(tracks, PARTS, Wish(1, "parts")).colors
    np.testing.assert_allclose(colors[:2], np.repeat(part_palette(PARTS), 2, axis=0), atol=1e-6)
    np.testing.assert_allclose(colors[[2, 4]], 0.7)
    np.testing.assert_allclose(colors[3], [0.25, 0.25, 0])
    np.testing.assert_allclose(particles(tracks, None, Wish(0, "parts")).colors[:3], 0.7)


def test_confidence_runs_from_red_to_green_and_is_offered_only_where_it_is_known(tracks):
    colors = particles(tracks, None, Wish(0, "confidence")).colors
    assert colors[0, 0] > colors[0, 1] and particles(tracks, None, Wish(1, "confidence")).colors[4, 1] > 0.3
    assert available(tracks) == tuple(show for show in SHOWS if show != "visibility")
    assert "confidence" not in available(replace(tracks, confidence=None))


@pytest.mark.parametrize("show", SHOWS)
def test_everything_can_be_shown_even_of_nothing(tracks, renderer, show):
    wish = Wish(0, show, foreground_only=True)
    for drawn in (tracks, replace(tracks, foreground=np.zeros(5, np.float32))):
        pixels, _ = draw(particles(drawn, PARTS, wish), wish, CAMERA, renderer)
        assert pixels.shape == (100, 200, 3) and pixels.dtype == np.uint8
        assert pixels.any() == (drawn is tracks)


def test_nothing_is_far_away(tracks, renderer):
    pixels, depth = draw(tracks.at(0).select(slice(0)), Wish(0), CAMERA, renderer, with_depth=True)
    assert (depth == NOTHING_M).all() and (pixels == 0).all()


def test_depth_is_that_of_surfaces_and_far_where_nothing_is(tracks, renderer):
    wish = Wish(0)
    _, depth = draw(particles(tracks, None, wish), wish, CAMERA, renderer, with_depth=True)
    assert depth[50, 100] == pytest.approx(2.0, abs=1e-3) and depth[5, 5] == NOTHING_M


def test_browser_and_rasterizer_look_from_the_same_place():
    fov = 2 * np.arctan(0.5)
    camera = camera_of((0.7071068, -0.7071068, 0, 0), (0, -2, 0), fov, 2.0, 100)
    np.testing.assert_allclose(camera.world_from_camera, CAMERA.world_from_camera, atol=1e-6)
    np.testing.assert_allclose(camera.intrinsics, CAMERA.intrinsics)
    corner = np.array([[2.0, 0.0, 1.0]])  # 45 degrees to the right, half a picture up
    np.testing.assert_allclose(project(corner, camera)[0], [[200, 0]], atol=1e-4)


def test_segments_join_neighbors_and_leave_gaps():
    points = np.arange(18.0).reshape(3, 2, 3)
    points[0, 1] = np.nan
    ends, colors = segments(points, np.array([[100, 0, 0], [0, 200, 0]], np.uint8))
    assert ends.tolist() == [[points[0, 0].tolist(), points[1, 0].tolist()]] + [
        [points[1, i].tolist(), points[2, i].tolist()] for i in (0, 1)
    ]
    assert colors[-1, 1].tolist() == [0, 200, 0] and colors[0, 0, 0] < colors[1, 1, 0] == 100
    none, _ = segments(points[:1], np.zeros((2, 3), np.uint8))
    assert none.shape == (0, 2, 3)
