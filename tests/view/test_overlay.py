"""Paths drawn over pictures."""

import numpy as np

from warpgs.view import distinct_colors, draw_paths
from warpgs.view.overlay import HIDDEN_SHADE

GRAY = np.full((40, 60, 3), 90, np.uint8)
RED = np.array([[200, 0, 0]], np.uint8)


def line(visible: bool, *, x=(5.0, 30.0)) -> np.ndarray:
    points = np.array([[[x[0], 10.0]], [[x[1], 10.0]]])
    return draw_paths(GRAY, points, np.full((2, 1), visible), RED)


def test_path_is_drawn_in_its_color_and_darker_where_hidden():
    assert line(True)[10, 15].tolist() == [200, 0, 0]
    assert line(False)[10, 15].tolist() == [int(200 * HIDDEN_SHADE), 0, 0]
    assert (line(True)[20:] == 90).all() and (GRAY == 90).all()


def test_path_has_a_gap_where_it_is_unknown():
    points = np.array([[[5.0, 10.0]], [[np.nan, 10.0]], [[30.0, 10.0]]])
    drawn = draw_paths(GRAY, points, np.ones((3, 1), bool), RED)
    assert drawn[10, 15].tolist() == [90, 90, 90] and drawn[10, 30].tolist() == [200, 0, 0]
    assert (draw_paths(GRAY, np.full((3, 1, 2), np.nan), np.ones((3, 1), bool), RED) == 90).all()


def test_far_points_do_not_overflow():
    assert (line(True, x=(1e12, -1e12)) == 90).all()


def test_scale_repeats_pixels_and_moves_paths_along():
    points = np.array([[[5.0, 10.0]], [[30.0, 10.0]]])
    drawn = draw_paths(GRAY, points, np.ones((2, 1), bool), RED, scale=3)
    assert drawn.shape == (120, 180, 3) and drawn[30, 45].tolist() == [200, 0, 0]
    assert (draw_paths(GRAY, points[:, :0], np.ones((2, 0), bool), RED[:0], scale=3) == 90).all()


def test_distinct_colors_differ():
    colors = distinct_colors(12).astype(int)
    gaps = np.abs(colors[:, None] - colors[None]).sum(axis=2)
    assert gaps[~np.eye(12, dtype=bool)].min() > 40 and distinct_colors(0).size == 0
