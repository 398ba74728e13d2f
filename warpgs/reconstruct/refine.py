"""Calibrations are off by fractions of a pixel: the cameras turn a little, each about its own center, while the first
timestep is fitted.

Shifts are left alone: a picture can hardly tell one from a turn. What all cameras could do together with the scene,
which would then stand elsewhere or turned, is taken out: pictures say little about it. A starting cloud tells it
(align.py), else the calibration defines it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from warpgs.math.pinhole import view_struct
from warpgs.optimize.adam import Adam
from warpgs.reconstruct.objective import Objective
from warpgs.types import Camera, Frame

View = view_struct(wp.float32)

FINAL_RATE = 0.05
"""The rate decays to this share."""


@wp.kernel(enable_backward=False)
def take_gradient_kernel(
    # outputs
    adj_poses: wp.array2d[wp.float64],  # consumed: set to zero
    adj_turns: wp.array[wp.vec3],
):
    c = wp.tid()
    adj_turns[c] = wp.vec3(float(adj_poses[c, 0]), float(adj_poses[c, 1]), float(adj_poses[c, 2]))
    for k in range(6):
        adj_poses[c, k] = wp.float64(0.0)


@wp.kernel(enable_backward=False)
def turn_kernel(
    # inputs
    given: wp.array[View],
    apart: wp.array2d[wp.mat33],
    turns: wp.array[wp.vec3],
    # outputs
    views: wp.array[View],
):
    """A camera turns by what is its own of ``turns``: p -> Exp(-turn) p."""
    c = wp.tid()
    turn = wp.vec3()
    for other in range(turns.shape[0]):
        turn += apart[c, other] * turns[other]
    view = given[c]
    angle = wp.length(turn)
    if angle > 0.0:
        back = wp.quat_to_matrix(wp.quat_from_axis_angle(turn / angle, -angle))
        view.rotation = back * given[c].rotation
        view.translation = back * given[c].translation
    views[c] = view


class CameraRefinement:
    """Turns all cameras of an objective, a step at a time. Launches only, always the same."""

    def __init__(self, objective: Objective, center: np.ndarray, rate: float, steps: int) -> None:
        """Start with the cameras as given.

        Args:
            objective: Its views are what is refined; it must want gradients of its poses.
            center: Of what is seen [m], shape [3].
            rate: Of Adam [rad per step].
            steps: How many until the rate has decayed.
        """
        self._objective = objective
        count, device = len(objective.cameras), objective.device
        self._apart = own_turns(objective.cameras, center)
        self._device_apart = wp.array(self._apart.astype(np.float32), dtype=wp.mat33, device=device)
        self._turns, self._adj_turns = (wp.zeros(count, dtype=wp.vec3, device=device) for _ in range(2))
        self._adam = Adam({"turns": self._turns}, {"turns": rate})
        self._adam.decay(steps, FINAL_RATE)
        self._given = wp.clone(objective.views)

    def step(self) -> None:
        """Go along the gradient of the poses, and take it back to zero."""
        objective, count = self._objective, len(self._given)
        options = {"device": objective.device, "record_tape": False}
        wp.launch(take_gradient_kernel, count, [], [objective.adj_poses, self._adj_turns], **options)
        self._adam.step({"turns": self._adj_turns})
        inputs = [self._given, self._device_apart, self._turns]
        wp.launch(turn_kernel, count, inputs, [objective.views], **options)

    def state(self) -> list[wp.array]:
        """What changes between steps."""
        return [self._turns, *self._adam.state(), self._objective.views]

    def turns(self) -> np.ndarray:
        """Rotation vector of each camera in its own frame [rad], shape [c, 3], float32; reads back."""
        return np.einsum("ijkl,jl->ik", self._apart, self._turns.numpy().astype(np.float64)).astype(np.float32)


def own_turns(cameras: Sequence[Camera], center: np.ndarray) -> np.ndarray:
    """Takes out of the turns of all cameras what a motion of the whole scene does to its pictures.

    A turn of the world by w turns a camera by R^T w; a shift by d moves what is seen at p, in the camera's frame, as a
    turn by p x R^T d / |p|^2 would.

    Args:
        cameras: c of them.
        center: Of what is seen [m], shape [3].

    Returns:
        The orthogonal projection as blocks, own = sum_j P[i, j] turn_j, shape [c, c, 3, 3], float64.
    """
    modes = []
    for camera in cameras:
        back = camera.camera_from_world[:3, :3]
        seen = back @ (center - camera.center_world)
        modes.append(np.hstack([back, np.cross(seen, back.T).T / (seen @ seen)]))
    basis, sizes, _ = np.linalg.svd(np.concatenate(modes), full_matrices=False)
    basis = basis[:, sizes > 1e-9 * sizes[0]]
    count = len(modes)
    projection = np.eye(3 * count) - basis @ basis.T
    return projection.reshape(count, 3, count, 3).transpose(0, 2, 1, 3)


def turned_cameras(frame: Frame, turns: np.ndarray | None) -> Frame:
    """The frame as cameras saw it that are turned about their centers by ``turns`` [rad], own frames, [c, 3]."""
    if turns is None:
        return frame
    cameras = tuple(camera.turned(turn) for camera, turn in zip(frame.cameras, turns, strict=True))
    return replace(frame, cameras=cameras)


def joined_turns(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """One turn for two of the same camera, of which ``then`` is in its own frame after ``first``; [rad], [c, 3]."""
    return (Rotation.from_rotvec(first) * Rotation.from_rotvec(then)).as_rotvec().astype(np.float32)
