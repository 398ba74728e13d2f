"""Projection and rotations against formulas and SciPy."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.tracks_by_hand import IDENTITY, front_camera, wxyz
from warpgs.query.geometry import angles_deg, inside, matrices_from_wxyz, multiply, project


def test_project_is_the_pinhole_formula():
    pixels, in_front = project(np.array([[0.2, 0.0, 0.1], [0.0, -3.0, 0.0]]), front_camera())
    np.testing.assert_allclose(pixels[0], [110.0, 45.0], atol=1e-12)
    assert in_front.tolist() == [True, False]


def test_angles_are_exact_for_tiny_and_half_turns():
    tiny = wxyz(Rotation.from_rotvec([0.0, 0.0, 1e-9]))
    assert angles_deg(tiny, IDENTITY) == pytest.approx(np.degrees(1e-9), rel=1e-6)
    assert angles_deg(np.array([0.0, 1.0, 0.0, 0.0]), IDENTITY) == pytest.approx(180.0)


def test_matrices_from_wxyz_match_scipy():
    rotation = Rotation.random(10, random_state=9)
    np.testing.assert_allclose(matrices_from_wxyz(3.0 * wxyz(rotation)), rotation.as_matrix(), atol=1e-14)


def test_inside_is_half_open_and_refuses_nan():
    positions = np.array([[0, 0], [199.999, 99.999], [200, 50], [50, 100], [-1e-9, 5], [np.nan, 5]])
    assert inside(positions, front_camera()).tolist() == [True, True, False, False, False, False]


def test_multiply_applies_the_second_factor_first():
    a, b = Rotation.random(5, random_state=1), Rotation.random(5, random_state=2)
    np.testing.assert_allclose(matrices_from_wxyz(multiply(wxyz(a), wxyz(b))), (a * b).as_matrix(), atol=1e-14)
