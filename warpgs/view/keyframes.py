"""A camera path by hand: a JSON file of poses at some timesteps, and a smooth way through them.

    {"format": "warpgs keyframes 1",
     "keyframes": [{"timestep": 0, "position": [2, -1, 1], "look_at": [0, 0, 0.3]},
                   {"timestep": 11, "position": [0, -2, 1], "rotation_wxyz": [0.5, -0.5, 0.5, -0.5], "fov_deg": 40}]}

Positions are in metres in the world's frame, rotations world from camera (OpenCV), fields of view from top to bottom.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from warpgs.checks import check_absent, refuse
from warpgs.files import whole_file
from warpgs.types import Camera
from warpgs.view.paths import centered, look_at

FORMAT = "warpgs keyframes 1"
REQUIRED, POSES = {"timestep", "position"}, {"look_at", "rotation_wxyz"}
REMEDY = "mend the file"


@dataclass(frozen=True, eq=False)
class Keyframe:
    """Where the camera is at one time."""

    timestep: float
    """The scene's index of the instant, fractional between two."""
    world_from_camera: np.ndarray
    """Rigid transform, shape [4, 4], float64."""
    fov_deg: float | None = None
    """Field of view from top to bottom; that of the camera that the path starts from when None."""


def camera_through(keyframes: Sequence[Keyframe], camera: Camera, timesteps: np.ndarray) -> tuple[Camera, ...]:
    """Cameras on a smooth way through keyframes: cubic in position and rotation; before the first and after the last it
    stands.

    Args:
        keyframes: At least one, in rising order of time.
        camera: Gives the picture's size, and the field of view where keyframes do not.
        timesteps: When, the scene's indices, fractional between two, shape [k].

    Returns:
        One per time.
    """
    when = np.array([key.timestep for key in keyframes], np.float64)
    poses = np.stack([key.world_from_camera for key in keyframes])
    times = np.clip(timesteps, when[0], when[-1])
    own_fov = np.degrees(2.0 * np.arctan(0.5 * camera.height / centered(camera)[1, 1]))
    fov = np.interp(times, when, [own_fov if key.fov_deg is None else key.fov_deg for key in keyframes])
    way = poses[np.zeros(len(times), int)]
    if len(keyframes) > 1:
        way[:, :3, :3] = RotationSpline(when, Rotation.from_matrix(poses[:, :3, :3]))(times).as_matrix()
        way[:, :3, 3] = CubicSpline(when, poses[:, :3, 3], bc_type="natural")(times)
    cameras = []
    for pose, angle in zip(way, fov, strict=True):
        focal = 0.5 * camera.height / np.tan(np.radians(0.5 * angle))
        intrinsics = np.array([[focal, 0.0, camera.width / 2], [0.0, focal, camera.height / 2], [0.0, 0.0, 1.0]])
        cameras.append(replace(camera, name="keyframes", intrinsics=intrinsics, world_from_camera=pose))
    return tuple(cameras)


def read_keyframes(path: Path) -> tuple[Keyframe, ...]:
    """Read a path of ``write_keyframes``, or one written by hand.

    Raises:
        FileNotFoundError, ValueError: no such file, or one that is malformed; names the entry.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        refuse(path, "JSON", error, REMEDY)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        refuse(path, f'an object of "format": "{FORMAT}"', "something else", REMEDY)
    entries = content.get("keyframes")
    if not isinstance(entries, list) or not entries:
        refuse(f"{path}: keyframes", "a list of at least one", repr(entries)[:80], REMEDY)
    keyframes = tuple(_keyframe(f"{path}: keyframes[{number}]", entry) for number, entry in enumerate(entries))
    for number in range(1, len(keyframes)):
        if keyframes[number].timestep <= keyframes[number - 1].timestep:
            refuse(f"{path}: keyframes[{number}]: timestep", "rising ones", keyframes[number].timestep, REMEDY)
    return keyframes


def write_keyframes(path: Path, keyframes: Sequence[Keyframe], *, overwrite: bool = False) -> None:
    """Write a camera path.

    Raises:
        FileExistsError: the file exists and ``overwrite`` is False.
    """
    check_absent(path, overwrite)
    with whole_file(path) as temporary:
        temporary.write_text(as_json(keyframes), encoding="utf-8")


def as_json(keyframes: Sequence[Keyframe]) -> str:
    """What ``write_keyframes`` writes."""
    entries = []
    for key in keyframes:
        rotation = Rotation.from_matrix(key.world_from_camera[:3, :3]).as_quat(canonical=True, scalar_first=True)
        entry = {"timestep": key.timestep, "position": key.world_from_camera[:3, 3].tolist()}
        entry |= {"rotation_wxyz": rotation.tolist()} | ({} if key.fov_deg is None else {"fov_deg": key.fov_deg})
        entries.append(entry)
    return json.dumps({"format": FORMAT, "keyframes": entries}, indent=2) + "\n"


def _keyframe(what: str, entry: Any) -> Keyframe:
    if not isinstance(entry, dict) or not set(entry) >= REQUIRED or not set(entry) <= REQUIRED | POSES | {"fov_deg"}:
        refuse(what, "timestep, position, look_at or rotation_wxyz, perhaps fov_deg", repr(entry)[:80], REMEDY)
    if len(set(entry) & POSES) != 1:
        refuse(what, "either look_at or rotation_wxyz", repr(sorted(entry)), REMEDY)
    timestep = _numbers(f"{what}: timestep", [entry["timestep"]], 1)[0]
    position = _numbers(f"{what}: position", entry["position"], 3)
    if "look_at" in entry:
        target = _numbers(f"{what}: look_at", entry["look_at"], 3)
        if np.array_equal(target, position):
            refuse(f"{what}: look_at", "a point other than the position", target.tolist(), REMEDY)
        pose = look_at(position, target)
    else:
        rotation = _numbers(f"{what}: rotation_wxyz", entry["rotation_wxyz"], 4)
        if not np.linalg.norm(rotation) > 1e-6:
            refuse(f"{what}: rotation_wxyz", "a quaternion other than zero", rotation.tolist(), REMEDY)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = Rotation.from_quat(rotation, scalar_first=True).as_matrix(), position
    fov = None
    if "fov_deg" in entry:
        fov = float(_numbers(f"{what}: fov_deg", [entry["fov_deg"]], 1)[0])
        if not 0.0 < fov < 180.0:
            refuse(f"{what}: fov_deg", "between 0 and 180", fov, REMEDY)
    return Keyframe(float(timestep), pose, fov)


def _numbers(what: str, values: Any, count: int) -> np.ndarray:
    """``count`` finite numbers, float64."""
    numbers = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    if not numbers or len(values) != count or not all(abs(value) < 1e12 for value in values):
        refuse(what, f"{count} finite numbers" if count > 1 else "a finite number", repr(values)[:80], REMEDY)
    return np.array(values, np.float64)
