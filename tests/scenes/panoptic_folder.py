"""Writes a PanopticSports folder from a synthetic scene, and what it should read back as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from scenes import SyntheticOptions, SyntheticScene
from scenes.synthetic import tumble
from warpgs.types import Frame

MaskStorage = Literal["1 bit", "0/1", "0/255"]
Y_DOWN_FROM_Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""Written from the definition: z up becomes -y, y becomes z."""
TINY = SyntheticOptions(
    width=40,
    height=24,
    timesteps=2,
    train_cameras=3,
    test_cameras=1,
    samples=1,
    cloud_background=60,
    cloud_foreground=30,
)


def tiny_scene() -> SyntheticScene:
    return tumble(TINY)


def write_panoptic(
    root: Path, scene: SyntheticScene, *, masks: MaskStorage | None = "0/255", suffix: str = ".png", test: bool = True
) -> Path:
    """Write every timestep of ``scene``; PNG pictures keep their pixels."""
    for split in ("train", "test") if test else ("train",):
        frames = list(scene.frames(split))
        (root / f"{split}_meta.json").parent.mkdir(parents=True, exist_ok=True)
        (root / f"{split}_meta.json").write_text(json.dumps(meta(frames, suffix)))
        for frame in frames:
            for i, camera in enumerate(frame.cameras):
                image = root / "ims" / camera.name / f"{frame.timestep:06d}{suffix}"
                image.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(frame.images[i]).save(image, quality=95)
                if masks is not None and split == "train":
                    mask = root / "seg" / camera.name / f"{frame.timestep:06d}.png"
                    mask.parent.mkdir(parents=True, exist_ok=True)
                    stored_mask(frame.masks[i], masks).save(mask)
    write_cloud(root, cloud_rows(scene))
    return root


def meta(frames: list[Frame], suffix: str) -> dict:
    cameras = [frame.cameras for frame in frames]
    w2c = [[(c.camera_from_world @ np.linalg.inv(Y_DOWN_FROM_Z_UP)).tolist() for c in row] for row in cameras]
    return {
        "w": cameras[0][0].width,
        "h": cameras[0][0].height,
        "k": [[c.intrinsics.tolist() for c in row] for row in cameras],
        "w2c": w2c,
        "fn": [[f"{c.name}/{frame.timestep:06d}{suffix}" for c in frame.cameras] for frame in frames],
        "cam_id": [[int(c.name) for c in row] for row in cameras],
    }


def stored_mask(mask: np.ndarray, storage: MaskStorage) -> Image.Image:
    if storage == "1 bit":
        return Image.fromarray(mask > 0)
    return Image.fromarray((mask > 0).astype(np.uint8) * np.uint8(255 if storage == "0/255" else 1))


def cloud_rows(scene: SyntheticScene) -> np.ndarray:
    """The scene's cloud as the layout stores it: xyz (y down), rgb, foreground."""
    cloud = scene.point_cloud()
    points = cloud.points.astype(np.float64) @ Y_DOWN_FROM_Z_UP[:3, :3].T
    return np.concatenate([points, cloud.colors, cloud.foreground[:, None]], axis=1)


def write_cloud(root: Path, rows: np.ndarray) -> None:
    np.savez(root / "init_pt_cld.npz", data=rows)
