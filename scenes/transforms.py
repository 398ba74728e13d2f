"""The ``transforms.json`` of nerfstudio and instant-ngp: photos of a still scene, or the pictures of a video.

    fl_x fl_y cx cy w h     intrinsics [px], for all pictures or in each frame; or camera_angle_x, camera_angle_y [rad]
    k1 k2 k3 k4 p1 p2       distortion; with camera_model OPENCV_FISHEYE or is_fisheye, k1..k4 of a fisheye lens
    fps                     instants per second; 30 where it is not given
    frames[]                file_path, transform_matrix (4x4, world from camera) and, optional, time, mask_path,
                            depth_file_path
    depth_unit_scale_factor of stored depths; 0.001 where it is not given, as nerfstudio takes it

Cameras in these files look along -z with y up (OpenGL); ours along z with y down. Principal points count the center of
the first pixel as 0.5, as ours. The world is taken to be z up, as both programs write it, and its unit is the file's:
structure from motion knows no scale. Depth images of the first timestep are the starting cloud, see ``scenes.depth``.
What instant-ngp's aabb_scale, scale and offset say of its box is not needed; nerfstudio's ply_file_path is not read.

A video has a ``time`` per frame, or a numbered folder per timestep with the same picture names in each. Only the order
of times counts. Cameras are told apart by their folder, or by the name of the picture without its last number.

Held out: the pictures of ``test_filenames`` (or ``val_filenames``) where the file names some; else, with at least 8
cameras, every 8th of them in the order of their names, from the first. A nerfstudio mask is 0 where a picture is not
trained on: here that is what does not move.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from scenes.depth import DepthShot, cloud_of_depths
from scenes.fields import AGAIN, camera_name, inside, number, read_object
from scenes.pictures import picture_size
from scenes.recording import Recording
from scenes.shots import Lenses, Shot, as_recorded, check_shot, natural, pinhole, read_images, read_masks, split_shots
from scenes.undistort import Lens, LensModel, check_lens
from warpgs.checks import check_camera, check_masks_not_empty, check_timesteps, refuse
from warpgs.types import Camera, Frame, GroundTruth, PointCloud, Scene, Split

FILE = "transforms.json"
DEPTH_UNIT = "depth_unit_scale_factor"
OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
FPS = 30.0
LENS_MODELS: dict[str, LensModel] = {
    **dict.fromkeys(("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"), "brown"),
    **dict.fromkeys(("SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "OPENCV_FISHEYE"), "fisheye"),
}
"""What ``camera_model`` may say, in COLMAP's names."""


@dataclass(frozen=True)
class TransformsScene(Scene):
    """nerfstudio or instant-ngp folder: transforms.json and the pictures it names; lens distortion is removed."""

    root: Path
    """The folder."""
    use_cloud: bool = True
    """False starts without depth images even where frames name some."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    @staticmethod
    def recognizes(root: Path) -> bool:
        """True where ``root`` looks like this layout."""
        return (root / FILE).is_file()

    @property
    def name(self) -> str:
        return str(self.root)

    @property
    def layout(self) -> str:
        return "transforms"

    @property
    def fps(self) -> float:
        fps = number(f"{self._path}: fps", self._fields.get("fps", FPS))
        if fps <= 0.0:
            refuse(f"{self._path}: fps", "a positive number [1/s]", fps, "state the frame rate of the video")
        return fps

    @property
    def timestep_count(self) -> int:
        return len(self._instants)

    @property
    def source_from_world(self) -> np.ndarray:
        return np.eye(4)

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        return tuple(shot.camera for shot in self._shots(split, timestep))

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        shots = self._shots(split, timestep)
        masks = [shot.mask for shot in shots if shot.mask is not None]
        if masks and len(masks) < len(shots):
            rule = f"a mask_path for all {len(shots)} pictures of timestep {timestep} or for none"
            refuse(self._path, rule, len(masks), "add the missing masks")
        return Frame(
            timestep=timestep,
            time_s=timestep / self.fps,
            cameras=self.cameras(split, timestep),
            images=read_images(shots),
            masks=read_masks(shots) if masks else None,
        )

    def point_cloud(self) -> PointCloud | None:
        return self._cloud if self.use_cloud else None

    def ground_truth(self) -> GroundTruth | None:
        return None

    def validate(self, timesteps: range) -> None:
        """Check calibration and every picture and mask that ``timesteps`` will read.

        The pictures of the first timestep are decoded; of the others the size and the end marker are read.

        Raises:
            ValueError: a wrong value; FileNotFoundError: a missing picture or mask; OSError: a truncated one.
        """
        check_timesteps(self.root, timesteps, self.timestep_count)
        for timestep in timesteps:
            for shot in self._instants[timestep].values():
                check_shot(self._path, shot)
        self.point_cloud()
        for split in ("train", "test"):
            check_masks_not_empty(f"{self._path}: mask_path", self.frame(timesteps[0], split))

    @property
    def _path(self) -> Path:
        return self.root / FILE

    @cached_property
    def _fields(self) -> dict[str, Any]:
        return read_object(self._path)

    @cached_property
    def _instants(self) -> tuple[dict[str, Shot], ...]:
        """Per timestep, the shots by the names of their cameras, in the order of these names."""
        frames = _read_frames(self._path, self._fields)
        listed = self._fields.get("test_filenames") or self._fields.get("val_filenames") or []
        if not isinstance(listed, list):
            refuse(f"{self._path}: test_filenames", "a list of file paths", type(listed).__name__, AGAIN)
        held_out = {inside(f"{self._path}: test_filenames", name, "the scene") for name in listed}
        lenses, arranged, instants = Lenses(), _arrange(self._path, frames), []
        recording = Recording.of(self.root, sorted({name for instant in arranged for name in instant}, key=natural))
        for instant in arranged:
            names = sorted(instant, key=natural)
            shots = (
                _shot(self._path, name, self._fields | instant[name], recording, lenses, held_out) for name in names
            )
            instants.append(dict(zip(names, shots, strict=True)))
        return tuple(instants)

    @cached_property
    def _cloud(self) -> PointCloud | None:
        unit = number(f"{self._path}: {DEPTH_UNIT}", self._fields.get(DEPTH_UNIT, 0.001))
        if unit <= 0.0:
            refuse(f"{self._path}: {DEPTH_UNIT}", "a positive number", unit, "state the unit of the depth images")
        shots = [shot for shot in self._shots("train", 0) if shot.depth is not None]
        return cloud_of_depths(self._path, [DepthShot(shot, shot.depth, unit) for shot in shots if shot.depth])

    def _shots(self, split: Split, timestep: int) -> list[Shot]:
        check_timesteps(self.root, range(timestep, timestep + 1), self.timestep_count)
        return split_shots(list(self._instants[timestep].values()), split)


# From the file to shots


def _read_frames(path: Path, fields: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of ``frames``, their paths made plain."""
    frames = fields.get("frames")
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        got = "none" if not frames else type(frames).__name__
        refuse(f"{path}: frames", "a list with an object per picture", got, AGAIN)
    plain = [
        frame | {"file_path": inside(f"{path}: file_path", frame.get("file_path"), "the scene")} for frame in frames
    ]
    if len({frame["file_path"] for frame in plain}) < len(plain):
        refuse(f"{path}: file_path", "a picture of its own for each frame", "one that occurs twice", AGAIN)
    return plain


def _shot(
    path: Path, name: str, fields: dict[str, Any], recording: Recording, lenses: Lenses, held_out: set[str]
) -> Shot:
    """One frame with the intrinsics that hold for it."""
    file_path, what = fields["file_path"], f"{path}: {fields['file_path']}"
    picture = path.parent / file_path
    if not picture.suffix:  # as instant-ngp reads the synthetic scenes of NeRF
        picture = picture.with_suffix(".png")
    mask, depth = fields.get("mask_path"), fields.get("depth_file_path")
    width, height = (_side(what, fields, key) for key in ("w", "h")) if "w" in fields else picture_size(picture)
    calibrated = Camera(name, width, height, _intrinsics(what, fields, width, height), _pose(what, fields))
    check_camera(what, calibrated)
    taken = as_recorded(recording, calibrated, picture, checked="w" in fields)
    undistortion = lenses.undistortion(what, taken, _lens(what, fields))
    return Shot(
        picture=picture,
        mask=None if mask is None else path.parent / inside(f"{path}: mask_path", mask, "the scene"),
        camera=pinhole(taken, undistortion),
        undistortion=undistortion,
        held_out=file_path in held_out,
        depth=None if depth is None else path.parent / inside(f"{path}: depth_file_path", depth, "the scene"),
    )


def _side(what: str, fields: dict[str, Any], key: str) -> int:
    side = number(f"{what}: {key}", fields.get(key))
    if side < 1.0 or side != int(side):
        refuse(f"{what}: {key}", "a positive whole number [px]", side, AGAIN)
    return int(side)


def _intrinsics(what: str, fields: dict[str, Any], width: int, height: int) -> np.ndarray:
    """The pinhole matrix behind the lens, from focal lengths or from fields of view."""
    focal_px = []
    for axis, side in (("x", width), ("y", height)):
        if f"fl_{axis}" in fields:
            focal_px.append(number(f"{what}: fl_{axis}", fields[f"fl_{axis}"]))
        elif f"camera_angle_{axis}" in fields:
            angle = number(f"{what}: camera_angle_{axis}", fields[f"camera_angle_{axis}"])
            if not 0.0 < angle < np.pi:
                refuse(f"{what}: camera_angle_{axis}", "an angle between 0 and pi [rad]", angle, AGAIN)
            focal_px.append(0.5 * side / np.tan(0.5 * angle))
        elif axis == "y":
            focal_px.append(focal_px[0])
        else:
            refuse(what, "fl_x or camera_angle_x", "neither", "add the focal length")
    cx, cy = (number(f"{what}: {k}", fields.get(k, 0.5 * side)) for k, side in (("cx", width), ("cy", height)))
    return np.array([[focal_px[0], 0.0, cx], [0.0, focal_px[1], cy], [0.0, 0.0, 1.0]])


def _lens(what: str, fields: dict[str, Any]) -> Lens:
    """The lens, with the coefficients that its model has."""
    name = fields.get("camera_model", "OPENCV_FISHEYE" if fields.get("is_fisheye") is True else "OPENCV")
    if not isinstance(name, str) or name not in LENS_MODELS:
        refuse(
            f"{what}: camera_model", "one of " + ", ".join(LENS_MODELS), repr(name)[:40], "undistort the pictures first"
        )
    k1, k2, k3, k4, k5, k6, p1, p2 = (
        number(f"{what}: {key}", fields.get(key, 0.0)) for key in ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
    )
    if LENS_MODELS[name] == "fisheye":
        lens = Lens("fisheye", (k1, k2, k3, k4))
    elif name == "FULL_OPENCV":
        lens = Lens("brown", (k1, k2, p1, p2, k3, k4, k5, k6))
    else:
        if k4 != 0.0:  # nerfstudio means r^8 by it, OpenCV a denominator
            refuse(f"{what}: k4", f"0 for camera_model {name}", k4, "calibrate with k1, k2, k3, p1 and p2")
        lens = Lens("brown", (k1, k2, p1, p2, k3))
    check_lens(what, lens)
    return lens


def _pose(what: str, fields: dict[str, Any]) -> np.ndarray:
    """World from camera, OpenCV axes."""
    rows = fields.get("transform_matrix")
    if (
        not isinstance(rows, list)
        or len(rows) not in (3, 4)
        or not all(isinstance(r, list) and len(r) == 4 for r in rows)
    ):
        refuse(f"{what}: transform_matrix", "4 rows of 4 numbers", repr(rows)[:40], AGAIN)
    pose = np.array([[number(f"{what}: transform_matrix", value) for value in row] for row in rows[:3]])
    last = rows[3] if len(rows) == 4 else [0, 0, 0, 1]
    if last != [0, 0, 0, 1]:
        refuse(f"{what}: transform_matrix", "0 0 0 1 in its last row", repr(last)[:40], AGAIN)
    return np.concatenate([pose, [[0.0, 0.0, 0.0, 1.0]]]) @ OPENGL_FROM_OPENCV


# From a list of pictures to instants and cameras


def _arrange(path: Path, frames: list[dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """Frames by the names of their cameras, per instant in time order."""
    paths = [PurePosixPath(frame["file_path"]) for frame in frames]
    if any("time" in frame for frame in frames):
        times = [number(f"{path}: {frame['file_path']}: time", frame.get("time")) for frame in frames]
        names = _names_in_video(path, paths, times)
    elif _has_folder_per_timestep(paths):
        times, names = [natural(p.parent.name) for p in paths], [p.stem for p in paths]
        _check_cameras_differ(path, paths, frames)
    else:
        times, one_folder = [0] * len(paths), len({p.parent for p in paths}) == 1
        names = [p.stem if one_folder else "_".join(p.with_suffix("").parts) for p in paths]
    instants: dict[Any, dict[str, dict[str, Any]]] = {time: {} for time in sorted(set(times))}
    for time, name, frame in zip(times, names, frames, strict=True):
        if camera_name(f"{path}: file_path", name) in instants[time]:
            refuse(f"{path}: file_path", "a camera's name once per timestep", f"{name} twice", "rename the pictures")
        instants[time][name] = frame
    return list(instants.values())


def _names_in_video(path: Path, paths: Sequence[PurePosixPath], times: Sequence[float]) -> list[str]:
    """What names the camera of each picture: alike for no two pictures of an instant."""
    for names in (
        [p.parent.name or "camera" for p in paths],
        [re.sub(r"[\W_]*\d+$", "", p.stem) or "camera" for p in paths],
        [p.stem for p in paths],
    ):
        if len(set(zip(times, names, strict=True))) == len(paths):
            return names
    remedy = "put the pictures of each camera into a folder of its own"
    refuse(f"{path}: file_path", "names that tell cameras apart", f"{paths[0]} and others of the same time", remedy)


def _has_folder_per_timestep(paths: Sequence[PurePosixPath]) -> bool:
    """Whether numbered folders hold the same picture names each."""
    folders: dict[PurePosixPath, set[str]] = {}
    for p in paths:
        folders.setdefault(p.parent, set()).add(p.stem)
    first, *others = folders.values()
    return bool(others) and all(first == stems for stems in others) and all(re.search(r"\d$", f.name) for f in folders)


def _check_cameras_differ(path: Path, paths: Sequence[PurePosixPath], frames: list[dict[str, Any]]) -> None:
    """Refuse folders of one pose each: they are cameras, not timesteps."""
    poses: dict[str, list[np.ndarray]] = {}
    for p, frame in zip(paths, frames, strict=True):
        poses.setdefault(p.parent.name, []).append(_pose(f"{path}: {p}", frame))
    if all(len(stack) > 1 and np.ptp(stack, axis=0).max() < 1e-9 for stack in poses.values()):
        rule = f"pictures from different cameras in the folder of a timestep ({paths[0].parent.name})"
        refuse(f"{path}: frames", rule, "the same pose in all of them", "give each frame its time")
