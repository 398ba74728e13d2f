"""Cameras that turn a little while the first timestep is fitted, on pictures that Gaussians can match exactly."""

from dataclasses import replace

import numpy as np
import pytest
import warp as wp
from scipy.spatial.transform import Rotation

from tests.reconstruct.room import BALL_CENTER, ring_of_cameras
from tests.reconstruct.splats import FIXED_NUMBER, STILL
from warpgs.particles import Particles
from warpgs.reconstruct.config import Rates, ReconstructConfig
from warpgs.reconstruct.fit import reconstruct
from warpgs.reconstruct.objective import Objective
from warpgs.reconstruct.refine import joined_turns, own_turns, turned_cameras

PIXEL = 1.0 / (0.8 * 64)
"""Of the pictures of these cameras [rad]."""


def refined(gaussians, frame, rates, *, wanted=True, device="cpu", steps=240):
    """The turns found, shape [c, 3]."""
    objective = Objective(
        (3.0, 1.0), views_per_step=2, device=wp.get_device(device), executor=None, refines_poses=wanted
    )
    objective.load(frame)
    config = ReconstructConfig(steps=steps, rates=rates, densify=FIXED_NUMBER)
    return reconstruct(gaussians, objective, config, seed=0)[1]


def flat(projection: np.ndarray) -> np.ndarray:
    count = len(projection)
    return projection.transpose(0, 2, 1, 3).reshape(3 * count, 3 * count)


def test_own_turns_are_an_orthogonal_projection():
    projection = flat(own_turns(ring_of_cameras(7, 64, 36), BALL_CENTER))
    np.testing.assert_allclose(projection @ projection, projection, atol=1e-12)
    np.testing.assert_allclose(projection, projection.T, atol=1e-12)
    assert round(np.trace(projection)) == 3 * 7 - 6


@pytest.mark.parametrize("axis", range(3))
def test_what_a_motion_of_the_scene_does_is_no_cameras_own_turn(axis):
    cameras = ring_of_cameras(7, 64, 36)
    projection = flat(own_turns(cameras, BALL_CENTER))
    step = 1e-6 * np.eye(3)[axis]
    turned, shifted = [], []
    for camera in cameras:
        back = camera.camera_from_world[:3, :3]
        turned.append(back @ step)
        before, after = back @ (BALL_CENTER - camera.center_world), back @ (BALL_CENTER + step - camera.center_world)
        shifted.append(Rotation.align_vectors(after[None], before[None])[0].as_rotvec())
    for turns in (turned, shifted):
        assert np.abs(projection @ np.concatenate(turns)).max() < 1e-6 * np.abs(turns).max()


def test_one_camera_that_turns_keeps_most_of_it():
    projection = own_turns(ring_of_cameras(12, 64, 36), BALL_CENTER)
    assert (np.linalg.eigvalsh(projection[3, 3]) > 0.6).all()


def test_two_cameras_leave_the_frame_open_and_stay(truth, frame):
    pair = replace(frame, cameras=frame.cameras[:2], images=frame.images[:2], masks=frame.masks[:2])
    turns = refined(truth, pair, replace(STILL, turns=1e-3), steps=20)
    assert np.abs(turns).max() < 0.5 * PIXEL


@pytest.mark.parametrize("moves", [False, True])
def test_turns_of_cameras_are_found(moves, truth, frame):
    """With particles that stay where they are, and that may follow."""
    errors = np.random.default_rng(3).normal(0.0, 0.5 * PIXEL, 18)
    errors = flat(own_turns(frame.cameras, BALL_CENTER)) @ errors
    rates = replace(Rates() if moves else STILL, turns=1.5e-3)
    left = refined(truth, turned_cameras(frame, errors.reshape(6, 3)), rates).ravel() + errors
    assert np.linalg.norm(left) < 0.15 * np.linalg.norm(errors)


def test_exact_cameras_stay(truth, frame):
    turns = refined(truth, frame, replace(Rates(), turns=5e-4))
    assert np.sqrt((turns**2).mean()) < 0.05 * PIXEL


def test_cameras_that_may_not_turn_are_not_told_of(truth, frame):
    assert refined(truth, frame, STILL, wanted=False, steps=2) is None


def test_gradient_by_a_turn_matches_finite_differences(truth, frame):
    """Of the whole image loss of one view; roughly, for L1 has kinks (the rasterizer has an exact test)."""
    view, step = 2, 1e-3
    turns = np.random.default_rng(0).normal(0.0, 0.01, (6, 3))
    particles = Particles.upload(truth, wp.get_device("cpu"))

    def objective_at(extra: np.ndarray) -> Objective:
        objective = Objective(
            (3.0, 1.0), views_per_step=1, device=wp.get_device("cpu"), executor=None, refines_poses=True
        )
        moved = turned_cameras(frame, turns)
        cameras = [camera.turned(extra if i == view else np.zeros(3)) for i, camera in enumerate(moved.cameras)]
        objective.load(replace(moved, cameras=tuple(cameras)))
        objective.accumulate(particles, [view], particles.zeros_like())
        return objective

    gradient = objective_at(np.zeros(3)).adj_poses.numpy()
    assert not gradient[np.arange(6) != view].any()
    for axis in range(3):
        ahead, behind = (objective_at(sign * step * np.eye(3)[axis]).value() for sign in (1.0, -1.0))
        assert gradient[view, axis] == pytest.approx((ahead - behind) / (2.0 * step), rel=0.1, abs=0.02)


def test_joined_turns_are_one_after_the_other(frame):
    first, then = np.random.default_rng(0).normal(0.0, 0.5, (2, 6, 3))
    one = turned_cameras(frame, joined_turns(first, then))
    both = turned_cameras(turned_cameras(frame, first), then)
    for camera, expected in zip(one.cameras, both.cameras, strict=True):
        np.testing.assert_allclose(camera.world_from_camera, expected.world_from_camera, atol=1e-6)
