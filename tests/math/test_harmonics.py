"""The basis for NumPy is the renderer's, and coefficients turn with the world."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.reference.rasterize import harmonics as reference_harmonics
from warpgs.math.harmonics import HARMONICS, harmonics_basis, turned_harmonics


def test_numpy_basis_is_that_of_the_renderer():
    directions = np.random.default_rng(2).normal(size=(100, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    np.testing.assert_allclose(harmonics_basis(directions), reference_harmonics(directions, 15), atol=1e-14)


def test_turning_there_and_back_changes_nothing():
    harmonics = np.random.default_rng(3).normal(size=(7, 15, 3)).astype(np.float32)
    turn = Rotation.random(random_state=4).as_matrix()
    np.testing.assert_allclose(turned_harmonics(turned_harmonics(harmonics, turn), turn.T), harmonics, atol=1e-6)
    assert turned_harmonics(harmonics, np.eye(3)) is harmonics


@pytest.mark.parametrize("count", HARMONICS[1:])
def test_radiance_turns_with_the_world(count):
    rng = np.random.default_rng(5)
    coefficients = rng.normal(size=(4, count, 3)).astype(np.float32)
    turn, directions = Rotation.random(random_state=6).as_matrix(), rng.normal(size=(30, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    before = np.einsum("dk,nkc->dnc", reference_harmonics(directions, count), coefficients)
    after = np.einsum(
        "dk,nkc->dnc", reference_harmonics(directions @ turn.T, count), turned_harmonics(coefficients, turn)
    )
    np.testing.assert_allclose(after, before, atol=2e-6)
