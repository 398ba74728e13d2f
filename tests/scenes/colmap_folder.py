"""Writes a COLMAP folder from a synthetic scene."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from scenes.synthetic import SyntheticScene
from tests.scenes.transforms_folder import save
from warpgs.types import Camera

Naming = Callable[[Camera, int], str]
COLMAP_FROM_WORLD = np.eye(4)
COLMAP_FROM_WORLD[:3, :3] = Rotation.from_euler("xyz", [100.0, 20.0, -30.0], degrees=True).as_matrix()
COLMAP_FROM_WORLD[:3, 3] = 3.0, -2.0, 1.0
"""The written world is turned and moved at random, as structure from motion would."""
MODEL_IDS = {"SIMPLE_PINHOLE": 0, "PINHOLE": 1, "SIMPLE_RADIAL": 2, "RADIAL": 3, "OPENCV": 4, "OPENCV_FISHEYE": 5}
MODEL_IDS |= {"FULL_OPENCV": 6, "FOV": 7, "SIMPLE_RADIAL_FISHEYE": 8, "RADIAL_FISHEYE": 9}


def write_colmap(
    root: Path,
    scene: SyntheticScene,
    naming: Naming,
    *,
    kind: str = ".bin",
    model: str = "PINHOLE",
    distortion: Sequence[float] = (),
    registered: Callable[[Camera, int], bool] = lambda camera, timestep: True,
    folder: str = "sparse/0",
    pictures: str = "images",
) -> Path:
    """Write every picture of ``scene``, training and test cameras alike, and the model of those ``registered``."""
    cameras, images, tests = [], [], []
    for timestep in range(scene.timestep_count):
        for split in ("train", "test"):
            frame = scene.frame(timestep, split)
            for picture, camera in zip(frame.images, frame.cameras, strict=True):
                name = naming(camera, timestep)
                save(root / pictures / name, picture)
                if not registered(camera, timestep):
                    continue
                tests += [name] if split == "test" else []
                number = len(images) + 1
                cameras.append((number, model, camera.width, camera.height, parameters(model, camera, distortion)))
                images.append((number, *pose(camera), number, name))
    order = np.random.default_rng(0).permutation(len(images))
    write = write_binary if kind == ".bin" else write_text
    target = root / folder
    target.mkdir(parents=True, exist_ok=True)
    cloud = scene.point_cloud()
    points = cloud.points.astype(np.float64) @ COLMAP_FROM_WORLD[:3, :3].T + COLMAP_FROM_WORLD[:3, 3]
    write(target, cameras, [images[i] for i in order], points, np.rint(cloud.colors * 255).astype(int))
    (target / "test.txt").write_text("\n".join(tests))
    return root


def parameters(model: str, camera: Camera, distortion: Sequence[float]) -> list[float]:
    k = camera.intrinsics
    has_one_focal = model in ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
    return [*([k[0, 0]] if has_one_focal else [k[0, 0], k[1, 1]]), k[0, 2], k[1, 2], *distortion]


def pose(camera: Camera) -> tuple[float, ...]:
    """QW QX QY QZ TX TY TZ: camera from the written world."""
    camera_from_colmap = camera.camera_from_world @ np.linalg.inv(COLMAP_FROM_WORLD)
    x, y, z, w = Rotation.from_matrix(camera_from_colmap[:3, :3]).as_quat()
    return (w, x, y, z, *camera_from_colmap[:3, 3])


def write_text(target: Path, cameras: list, images: list, points: np.ndarray, colors: np.ndarray) -> None:
    lines = [f"{i} {model} {w} {h} " + " ".join(map(repr, map(float, values))) for i, model, w, h, values in cameras]
    (target / "cameras.txt").write_text("# Camera list\n" + "\n".join(lines) + "\n")
    observed = ("", "1.5 2.5 -1 3.5 4.5 7")  # the second line of a picture may be empty
    lines = [
        f"{i} " + " ".join(map(repr, map(float, pose))) + f" {camera} {name}\n{observed[i % 2]}"
        for i, *pose, camera, name in images
    ]
    (target / "images.txt").write_text("# Image list\n" + "\n".join(lines) + "\n")
    rows = zip(points.tolist(), colors.tolist(), strict=True)
    lines = [f"{i} {' '.join(map(repr, p))} {' '.join(map(str, c))} 0.5 1 2 3 4" for i, (p, c) in enumerate(rows)]
    (target / "points3D.txt").write_text("\n".join(lines) + "\n")


def write_binary(target: Path, cameras: list, images: list, points: np.ndarray, colors: np.ndarray) -> None:
    packed = [
        struct.pack(f"<IiQQ{len(values)}d", i, MODEL_IDS[model], w, h, *values) for i, model, w, h, values in cameras
    ]
    (target / "cameras.bin").write_bytes(struct.pack("<Q", len(cameras)) + b"".join(packed))
    packed = []
    for i, *pose, camera, name in images:
        observed = i % 3
        packed += [struct.pack("<I7dI", i, *pose, camera), name.encode() + b"\0", struct.pack("<Q", observed)]
        packed += [struct.pack("<ddq", 1.5, 2.5, -1)] * observed
    (target / "images.bin").write_bytes(struct.pack("<Q", len(images)) + b"".join(packed))
    packed = []
    for i, (point, color) in enumerate(zip(points, colors, strict=True)):
        packed.append(struct.pack("<Q3d3BdQ", i, *point, *color, 0.5, i % 3) + struct.pack("<II", 1, 2) * (i % 3))
    (target / "points3D.bin").write_bytes(struct.pack("<Q", len(points)) + b"".join(packed))
