"""Writes a folder of pictures with transforms.json from a synthetic scene."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scenes import SyntheticScene
from scenes.transforms import FILE
from warpgs.types import Camera

Naming = Callable[[Camera, int], str]
FOLDER_PER_TIMESTEP: Naming = lambda camera, t: f"images/{t:06d}/cam{camera.name}.png"  # noqa: E731
FOLDER_PER_CAMERA: Naming = lambda camera, t: f"images/cam{camera.name}/{t:06d}.png"  # noqa: E731
CAMERA_IN_NAME: Naming = lambda camera, t: f"images/cam{camera.name}_{t:06d}.png"  # noqa: E731


def write_transforms(
    root: Path,
    scene: SyntheticScene,
    naming: Naming,
    *,
    timed: bool = True,
    shared: bool = False,
    masks: bool = True,
    depths: bool = False,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write every timestep of ``scene``, training and test cameras alike.

    Args:
        timed: Whether frames state their time.
        shared: Whether the intrinsics stand once for all frames.
        masks: Whether frames name a mask; only training cameras of the scene have them.
        depths: Whether frames name a depth image, of 16 bits in thousandths.
        extra: Fields added to the file.
    """
    entries, tests = [], []
    for timestep in range(scene.timestep_count):
        for split in ("train", "test"):
            frame = scene.frame(timestep, split)
            for i, camera in enumerate(frame.cameras):
                name = naming(camera, timestep)
                entry = {"file_path": f"./{name}", "transform_matrix": opengl_pose(camera).tolist()}
                save(root / name, frame.images[i])
                if masks:
                    entry["mask_path"] = name.replace("images/", "masks/")
                    save(root / entry["mask_path"], frame.masks[i])
                if depths:
                    entry["depth_file_path"] = name.replace("images/", "depths/")
                    save(root / entry["depth_file_path"], millimetres(scene.depth(timestep, camera)))
                if timed:
                    entry["time"] = timestep / scene.timestep_count
                if not shared:
                    entry |= intrinsics(camera)
                entries.append(entry)
                tests += [name] if split == "test" else []
    order = np.random.default_rng(0).permutation(len(entries))
    fields = {"frames": [entries[i] for i in order], "test_filenames": tests, "fps": scene.fps, **(extra or {})}
    fields |= intrinsics(scene.cameras("train")[0]) if shared else {}
    (root / FILE).write_text(json.dumps(fields))
    return root


def millimetres(depth: np.ndarray) -> np.ndarray:
    return (1000.0 * depth).round().astype(np.uint16)


def opengl_pose(camera: Camera) -> np.ndarray:
    """World from a camera that looks along -z with y up, written from the definition: x stays, y and z turn round."""
    right, down, forward, center = camera.world_from_camera[:3].T
    return np.vstack([np.stack([right, -down, -forward, center], axis=1), [0.0, 0.0, 0.0, 1.0]])


def intrinsics(camera: Camera) -> dict[str, float]:
    k = camera.intrinsics
    return {"fl_x": k[0, 0], "fl_y": k[1, 1], "cx": k[0, 2], "cy": k[1, 2], "w": camera.width, "h": camera.height}


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
