"""Poses of whole bodies from their carried points."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.tracks_by_hand import make_truth, rigid_motion
from warpgs.evaluate.bodies import body_poses, fit_rotations
from warpgs.evaluate.trajectories import SpaceTracks


def moved(points: np.ndarray, t: int = 5) -> np.ndarray:
    turns, shifts = rigid_motion(t)
    return np.stack([Rotation.from_quat(np.roll(q, -1)).apply(points) + s for q, s in zip(turns, shifts, strict=True)])


def poses_of(truth: np.ndarray, carried: np.ndarray):
    t, m, _ = truth.shape
    space = SpaceTracks(truth, carried, np.zeros((t, m)), np.ones(m, bool), np.arange(m))
    return body_poses(space, make_truth(truth))["body"]


def test_fit_rotations_recover_rigid_motion():
    points = np.random.default_rng(0).normal(size=(10, 3))
    turns, _ = rigid_motion(5)
    expected = Rotation.from_quat(np.roll(turns, -1, axis=1)).as_matrix()
    np.testing.assert_allclose(fit_rotations(moved(points)), expected, atol=1e-12)
    flat = points * [1, 1, 0]
    np.testing.assert_allclose(fit_rotations(moved(flat)), expected, atol=1e-12)


def test_pose_error_is_the_angle_and_shift_of_the_whole_body():
    points = np.random.default_rng(1).normal(size=(20, 3))
    truth = moved(points)
    wrong = Rotation.from_rotvec(np.radians(4.0) * np.array([0.0, 0.6, 0.8]))
    center = truth.mean(axis=1, keepdims=True)
    carried = np.stack([wrong.apply(x) for x in truth - center]) + center + [0.03, 0.0, 0.04]
    carried[0] = truth[0]
    pose = poses_of(truth, carried)
    np.testing.assert_allclose(pose.rotation_deg, 4.0, atol=1e-6)
    np.testing.assert_allclose(pose.center_m, 0.05, atol=1e-12)
    assert pose.rotation_median_deg == pytest.approx(4.0)


def test_scatter_of_single_points_hardly_turns_the_body():
    rng = np.random.default_rng(2)
    truth = moved(rng.normal(size=(500, 3)))
    pose = poses_of(truth, np.concatenate([truth[:1], truth[1:] + rng.normal(0, 0.02, truth[1:].shape)]))
    assert max(pose.rotation_deg) < 0.2


@pytest.mark.parametrize("points", [np.zeros((1, 3)), np.zeros((4, 3)), np.outer([0, 1, 2], [1, 2, 3])], ids=str)
def test_bodies_without_extent_have_no_rotation(points, recwarn):
    truth = moved(points.astype(float))
    pose = poses_of(truth, truth)
    assert np.isnan(pose.rotation_deg).all() and np.allclose(pose.center_m, 0.0) and not recwarn.list


def test_single_instant_has_no_pose_errors():
    truth = moved(np.eye(3), t=1)
    pose = poses_of(truth, truth)
    assert pose.rotation_deg == () and np.isnan(pose.rotation_median_deg)
