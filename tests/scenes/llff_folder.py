"""Writes a folder with poses_bounds.npy from a synthetic scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from scenes.llff import FILE
from scenes.synthetic import SyntheticScene
from tests.scenes.colmap_folder import COLMAP_FROM_WORLD
from tests.scenes.transforms_folder import save
from tests.scenes.videos_folder import write_video
from warpgs.types import Camera

Storage = Literal["videos", "folders", "nested folders", "photos"]


def write_llff(root: Path, scene: SyntheticScene, storage: Storage, suffix: str = ".mp4") -> Path:
    """Write every timestep of ``scene``, test cameras first: the custom of the layout is to hold out camera 0."""
    frames = [(scene.frame(t, "test"), scene.frame(t)) for t in range(scene.timestep_count)]
    cameras = [*scene.cameras("test"), *scene.cameras("train")]
    for i in range(len(cameras)):
        pictures = [(*test.images, *train.images)[i] for test, train in frames]
        if storage == "videos":
            write_video(root / f"cam{i}{suffix}", pictures, scene.fps)
        elif storage == "photos":
            save(root / "images" / f"IMG_{i}.png", pictures[0])
        else:
            folder = root / f"cam{i}" / ("images" if storage == "nested folders" else ".")
            for timestep, picture in enumerate(pictures):
                save(folder / f"{timestep}.png", picture)
    np.save(root / FILE, rows(cameras))
    return root


def rows(cameras: Sequence[Camera]) -> np.ndarray:
    """Written from the definition: the axes down, right, back, the center, then height, width and focal length."""
    stored = []
    for camera in cameras:
        right, down, forward, center = (COLMAP_FROM_WORLD @ camera.world_from_camera)[:3].T
        side = np.array([camera.height, camera.width, camera.intrinsics[0, 0]])
        stored.append([*np.stack([down, right, -forward, center, side], axis=1).ravel(), 0.5, 9.0])
    return np.array(stored)
