"""Writes videos, lossless, and calibrations in every format that is read, each from the definition of its format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from scenes.synthetic import SyntheticScene
from warpgs.types import Camera

Coefficients = Sequence[float]
Writer = Callable[[Path, Sequence[Camera], Coefficients], None]


CODECS = {
    True: ("libx264rgb", "rgb24", {"crf": "0", "preset": "ultrafast", "g": "4"}),
    False: ("libx264", "yuv420p", {"crf": "18", "g": "4"}),
}
"""Codec, pixels and options by whether nothing is lost; a phone's videos lose about as much as the other."""


def write_video(
    path: Path,
    pictures: Iterable[np.ndarray],
    fps: float,
    stamps: Sequence[int] | None = None,
    turned: int = 0,
    lossless: bool = True,
) -> None:
    """Encode RGB pictures, so that they come back as they were where ``lossless``.

    Args:
        stamps: When each frame was taken [ms]; evenly when None.
        turned: Degrees counterclockwise by which a player turns the pictures upright.
    """
    pictures = list(pictures)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        codec, pixels, options = CODECS[lossless]
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.pix_fmt, stream.options = pixels, options
        stream.height, stream.width = pictures[0].shape[:2]
        if turned:
            stream.set_display_rotation(turned)
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def all_cameras(scene: SyntheticScene) -> list[Camera]:
    """Training and held-out cameras, under names that videos have, too."""
    return [*scene.cameras("train"), *scene.cameras("test")]


def write_videos(root: Path, scene: SyntheticScene, suffix: str = ".mp4", lossless: bool = True) -> None:
    """cam<name>.mp4 of every camera of a scene."""
    frames = [(scene.frame(t), scene.frame(t, "test")) for t in range(scene.timestep_count)]
    for i, camera in enumerate(all_cameras(scene)):
        pictures = [(*train.images, *test.images)[i] for train, test in frames]
        write_video(root / f"cam{camera.name}{suffix}", pictures, scene.fps, lossless=lossless)


def opencv_intrinsics(camera: Camera) -> np.ndarray:
    """K with pixel centers counted from 0."""
    return camera.intrinsics - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]


def opencv_pose(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """R and t with x_camera = R x_world + t."""
    rotation = camera.world_from_camera[:3, :3].T
    return rotation, -rotation @ camera.world_from_camera[:3, 3]


def rotation_vector(camera: Camera) -> list[float]:
    return cv2.Rodrigues(opencv_pose(camera)[0])[0].ravel().tolist()


def _toml_table(head: str, first: str, camera: Camera, coefficients: Coefficients) -> str:
    rows = {
        "size": [float(camera.width), float(camera.height)],
        "matrix": opencv_intrinsics(camera).tolist(),
        "distortions": list(coefficients) or [0.0] * 5,
        "rotation": rotation_vector(camera),
        "translation": opencv_pose(camera)[1].tolist(),
    }
    return f"[{head}]\n{first}\n" + "".join(f"{key} = {value}\n" for key, value in rows.items())


def anipose(root: Path, cameras: Sequence[Camera], coefficients: Coefficients) -> None:
    tables = [
        _toml_table(f"cam_{i}", f'name = "cam{c.name}"', c, coefficients) + "fisheye = false\n"
        for i, c in enumerate(cameras)
    ]
    (root / "calibration.toml").write_text("\n".join([*tables, "[metadata]\nadjusted = false\nerror = 0.0\n"]))


def caliscope(root: Path, cameras: Sequence[Camera], coefficients: Coefficients) -> None:
    tables = [
        _toml_table(f"cameras.{c.name}", f"cam_id = {c.name}\nrotation_count = 0\nexposure = -4", c, coefficients)
        for c in cameras
    ]
    (root / "camera_array.toml").write_text("\n".join(tables))


def qualisys(root: Path, cameras: Sequence[Camera], coefficients: Coefficients) -> None:
    """The video is a part of the sensor that starts at column 8 and row 2; a marker camera stands before all."""
    k1, k2, p1, p2, k3 = (*coefficients, *[0.0] * 5)[:5]
    entries = []
    for camera in cameras:
        k, (rotation, _) = opencv_intrinsics(camera), opencv_pose(camera)
        # A camera of Qualisys looks along -z with y up.
        r = {f"r{i + 1}{j + 1}": s * rotation[i, j] for i, s in enumerate((1.0, -1.0, -1.0)) for j in range(3)}
        position = dict(zip("xyz", 1000.0 * camera.center_world, strict=True))
        intrinsic = {
            "focalLengthU": 64 * k[0, 0],
            "focalLengthV": 64 * k[1, 1],
            "centerPointU": 64 * (k[0, 2] + 8),
            "centerPointV": 64 * (k[1, 2] + 2),
            "skew": 0.0,
            "radialDistortion1": k1,
            "radialDistortion2": k2,
            "radialDistortion3": k3,
            "tangentalDistortion1": p1,
            "tangentalDistortion2": p2,
        }
        view = {"left": 8, "top": 2, "right": 8 + camera.width - 1, "bottom": 2 + camera.height - 1}
        tags = {"fov_video": view, "transform": position | r, "intrinsic": intrinsic}
        inner = "".join(
            f"<{tag} " + " ".join(f'{key}="{value!s}"' for key, value in values.items()) + "/>\n"
            for tag, values in tags.items()
        )
        entries.append(f'<camera serial="cam{camera.name}" model="Miqus Video" viewrotation="0">\n{inner}</camera>\n')
    marker = entries[0].replace('serial="cam', 'serial="marker')
    head = "<?xml version='1.0' encoding='ASCII'?>\n<calibration><cameras>\n"
    (root / "calibration").mkdir(exist_ok=True)
    (root / "calibration" / "Calib.qca.txt").write_text(head + marker + "".join(entries) + "</cameras></calibration>\n")


def _storage(path: Path) -> cv2.FileStorage:
    return cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)


def _write_camera(storage: cv2.FileStorage, camera: Camera, coefficients: Coefficients) -> None:
    storage.write("image_width", camera.width)
    storage.write("image_height", camera.height)
    storage.write("camera_matrix", opencv_intrinsics(camera))
    storage.write("distortion_coefficients", np.array([list(coefficients) or [0.0] * 5]))
    storage.write("R", opencv_pose(camera)[0])
    storage.write("T", opencv_pose(camera)[1].reshape(3, 1))


def opencv_yaml(root: Path, cameras: Sequence[Camera], coefficients: Coefficients) -> None:
    storage = _storage(root / "rig.yml")
    for camera in cameras:
        storage.startWriteStruct(f"cam{camera.name}", cv2.FileNode_MAP)
        _write_camera(storage, camera, coefficients)
        storage.endWriteStruct()
    storage.release()


def opencv_json_per_camera(root: Path, cameras: Sequence[Camera], coefficients: Coefficients) -> None:
    (root / "calibration").mkdir(exist_ok=True)
    for camera in cameras:
        storage = _storage(root / "calibration" / f"cam{camera.name}.json")
        _write_camera(storage, camera, coefficients)
        storage.release()


def plain_json(root: Path, cameras: Sequence[Camera], coefficients: Coefficients) -> None:
    entries = [
        {
            "name": f"cam{c.name}",
            "K": opencv_intrinsics(c).tolist(),
            "dist": list(coefficients),
            "rvec": rotation_vector(c),
            "tvec": opencv_pose(c)[1].tolist(),
        }
        for c in cameras
    ]
    (root / "cameras.json").write_text(json.dumps({"cameras": entries}))


def easymocap(root: Path, cameras: Sequence[Camera], coefficients: Coefficients) -> None:
    intri, extri = _storage(root / "intri.yml"), _storage(root / "extri.yml")
    for storage in (intri, extri):
        storage.startWriteStruct("names", cv2.FileNode_SEQ)
        for camera in cameras:
            storage.write("", f"cam{camera.name}")
        storage.endWriteStruct()
    for camera in cameras:
        name, (rotation, translation) = f"cam{camera.name}", opencv_pose(camera)
        intri.write(f"K_{name}", opencv_intrinsics(camera))
        intri.write(f"dist_{name}", np.array([list(coefficients) or [0.0] * 5]))
        intri.write(f"H_{name}", camera.height)
        intri.write(f"W_{name}", camera.width)
        extri.write(f"R_{name}", np.array(rotation_vector(camera)).reshape(3, 1))
        extri.write(f"Rot_{name}", rotation)
        extri.write(f"T_{name}", translation.reshape(3, 1))
    intri.release()
    extri.release()


WRITERS: dict[str, tuple[Writer, str]] = {
    "anipose": (anipose, "calibration.toml"),
    "caliscope": (caliscope, "camera_array.toml"),
    "qualisys": (qualisys, "calibration/Calib.qca.txt"),
    "opencv yaml": (opencv_yaml, "rig.yml"),
    "opencv json per camera": (opencv_json_per_camera, "calibration/cam1.json"),
    "json": (plain_json, "cameras.json"),
    "easymocap": (easymocap, "intri.yml"),
}
"""By name: what writes a calibration of cameras named cam<name>, and one of its files."""
