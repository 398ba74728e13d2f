"""Writes folders of stamped pictures, camera_info and TUM trajectories from a synthetic scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from scenes.synthetic import SyntheticScene
from tests.scenes.transforms_folder import save
from warpgs.types import Camera

START_NS = 1_403_636_579_763_555_584
PERIOD_NS = 33_333_333


def write_ros(
    root: Path,
    scene: SyntheticScene,
    *,
    message: bool = False,
    model: str = "plumb_bob",
    d: Sequence[float] = (),
    depths: bool = False,
) -> Path:
    """Every camera stands still. Times are in seconds in one half of the cameras, in nanoseconds in the other. Depth
    images, if asked for, are in metres and a millisecond late."""
    for timestep in range(scene.timestep_count):
        for split in ("train", "test"):
            frame = scene.frame(timestep, split)
            for camera, picture in zip(frame.cameras, frame.images, strict=True):
                time_ns = START_NS + timestep * PERIOD_NS
                name = seconds(time_ns) if int(camera.name) % 2 else str(time_ns)
                save(root / f"cam{camera.name}" / f"{name}.png", picture)
                if depths:
                    path = root / f"cam{camera.name}" / "depth" / f"{seconds(time_ns + 10**6)}.npy"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    np.save(path, scene.depth(timestep, camera))
                write_info(root / f"cam{camera.name}" / "camera_info.yaml", camera, message, model, d)
                write_tum(root / f"cam{camera.name}" / "trajectory.txt", [0], [camera.world_from_camera])
    return root


def seconds(time_ns: int) -> str:
    return f"{time_ns // 10**9}.{time_ns % 10**9:09d}"


def write_info(path: Path, camera: Camera, message: bool, model: str, d: Sequence[float]) -> None:
    k = (camera.intrinsics - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]).ravel().tolist()
    if message:
        lines = [f"height: {camera.height}", f"width: {camera.width}", f"distortion_model: {model}", f"d: {list(d)}"]
        lines += ["k:", *(f"- {value!r}" for value in k), "binning_x: 0"]
    else:
        lines = [f"image_width: {camera.width}", f"image_height: {camera.height}", "camera_name: narrow"]
        lines += ["camera_matrix:", "  rows: 3", "  cols: 3", f"  data: {k}", f"distortion_model: {model}"]
        lines += ["distortion_coefficients:", "  rows: 1", f"  cols: {len(d)}", f"  data: {list(d)}"]
    path.write_text("\n".join(lines) + "\n")


def write_tum(path: Path, times_ns: Sequence[int], poses: Sequence[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for time_ns, pose in zip(times_ns, poses, strict=True):
        values = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
        lines.append(" ".join([seconds(time_ns), *(repr(float(value)) for value in values)]))
    path.write_text("\n".join(lines) + "\n")
