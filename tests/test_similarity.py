"""A change of frame and unit does the same to points, quaternions, sizes and poses."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.tracks_by_hand import make_gaussians
from warpgs.math.harmonics import turned_harmonics
from warpgs.similarity import Similarity

SIMILARITY = Similarity(0.3, Rotation.from_rotvec([0.9, -0.4, 2.7]).as_matrix(), np.array([5.0, -2.0, 1.0]))


def test_matrix_and_back():
    again = Similarity.of(SIMILARITY.matrix, "matrix")
    assert again.scale == pytest.approx(0.3, rel=1e-14)
    np.testing.assert_allclose(again.rotation, SIMILARITY.rotation, atol=1e-14)
    np.testing.assert_array_equal(again.translation, SIMILARITY.translation)


def test_inverse_is_the_inverse_matrix():
    np.testing.assert_allclose(SIMILARITY.inverse().matrix, np.linalg.inv(SIMILARITY.matrix), atol=1e-13)


def test_nothing_changes_a_bit_by_default():
    points = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    rotations = Rotation.random(7, random_state=1).as_quat(scalar_first=True).astype(np.float32)
    np.testing.assert_array_equal(Similarity().points(points), points)
    np.testing.assert_array_equal(Similarity().rotations_wxyz(rotations), rotations)
    np.testing.assert_array_equal(Similarity().log_scales(points), points)


def test_gaussians_move_as_their_covariances_do():
    rng = np.random.default_rng(2)
    rotations = Rotation.random(20, random_state=3).as_quat(scalar_first=True)
    gaussians = make_gaussians(rng.normal(size=(20, 3)), rng.uniform(0.05, 0.3, (20, 3)), rotations)
    moved = SIMILARITY.gaussians(gaussians)
    linear = SIMILARITY.matrix[:3, :3]
    np.testing.assert_allclose(moved.means, gaussians.means @ linear.T + SIMILARITY.translation, atol=1e-6)
    expected = linear @ covariances(gaussians) @ linear.T
    np.testing.assert_allclose(covariances(moved), expected, atol=1e-6 * np.abs(expected).max())
    assert moved.means.dtype == moved.rotations_wxyz.dtype == moved.log_scales.dtype == np.float32


def test_poses_carry_the_points_of_their_bodies():
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.from_rotvec([0.1, 0.7, -0.3]).as_matrix(), [1.0, 2.0, 3.0]
    local = np.array([0.4, -0.2, 0.9])
    moved = SIMILARITY.poses(pose[None])[0]
    world = pose[:3, :3] @ local + pose[:3, 3]
    # a pose stays rigid: lengths of the body are measured in the new unit
    np.testing.assert_allclose(moved[:3, :3] @ (0.3 * local) + moved[:3, 3], SIMILARITY.points(world), atol=1e-14)


@pytest.mark.parametrize(
    "matrix",
    [np.diag([1.0, 1.0, -1.0, 1.0]), np.diag([1.0, 2.0, 1.0, 1.0]), np.zeros((4, 4)), np.full((4, 4), np.nan)],
    ids=["mirrors", "stretches", "nothing", "not a number"],
)
def test_of_refuses_what_is_no_similarity(matrix):
    with pytest.raises(ValueError, match="matrix: expected"):
        Similarity.of(matrix, "matrix")


def covariances(gaussians) -> np.ndarray:
    axes = Rotation.from_quat(gaussians.rotations_wxyz, scalar_first=True).as_matrix()
    return np.einsum("nij,nj,nkj->nik", axes, np.exp(2.0 * gaussians.log_scales.astype(np.float64)), axes)


def test_harmonics_of_gaussians_turn():
    gaussians = make_gaussians(np.zeros((5, 3)))
    gaussians = replace(gaussians, harmonics=np.random.default_rng(1).normal(size=(5, 8, 3)).astype(np.float32))
    moved = SIMILARITY.gaussians(gaussians)
    np.testing.assert_array_equal(moved.harmonics, turned_harmonics(gaussians.harmonics, SIMILARITY.rotation))
    assert np.abs(moved.harmonics - gaussians.harmonics).max() > 0.1
