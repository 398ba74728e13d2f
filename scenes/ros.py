"""Robots: what a ROS bag holds, as one folder per camera.

    <camera>/<time>.png             raw pictures, named by their time stamps: 1403636579.763556000 [s], with a point, or
                                    1403636579763556000 [ns], without; words may stand before them (left_1403.5.png)
    <camera>/camera_info.yaml       as camera_calibration writes it (image_width, camera_matrix: data ...) or as a
                                    message prints (width, K or k, D or d); plumb_bob, rational_polynomial, equidistant
    <camera>/trajectory.txt         poses in the world of the camera's optical frame, as TUM lines: time [s] tx ty tz
                                    [m] qx qy qz qw; of a camera that stands still one line, its time does not matter
    <camera>/depth/<time>.png       optional depth images on the pictures: 16 bits in mm, or floats in m as .tif or .npy
                                    (REP 118); those of the first instant are the starting cloud, see ``scenes.depth``
    trajectory.txt                  instead: poses of the robot, for all cameras that have a
    <camera>/mount.txt              pose of the optical frame on the robot, one TUM line

World (REP 103) and optical frames are ours: z up, x right, y down, z forward. Principal points count the center of the
first pixel as 0, as OpenCV calibrates; ours as 0.5. Lens distortion is removed: pictures that are rectified already
want camera_info with their own K and D = 0.

The slowest camera gives the instants; every other one shows its picture nearest in time, at most half an instant away.
Instants without one are left out. ``time_errors_s`` says how far apart pictures are; poses are interpolated to the time
of each, never beyond the ends of a trajectory. Held out: with at least 8 cameras, every 8th in the order of names.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.spatial.transform import Rotation, Slerp

from scenes.depth import DEPTH_SUFFIXES, DepthShot, cloud_of_depths
from scenes.fields import AGAIN, number
from scenes.pictures import PICTURE_SUFFIXES
from scenes.recording import Recording
from scenes.shots import Lenses, Shot, as_recorded, check_shot, natural, pinhole, read_images, split_shots
from scenes.undistort import Lens, check_lens
from warpgs.checks import check_camera, check_timesteps, refuse, sentence
from warpgs.types import Camera, Frame, GroundTruth, PointCloud, Scene, Split

INFO, TRAJECTORY, MOUNT = "camera_info.yaml", "trajectory.txt", "mount.txt"
DEPTHS = "depth"
"""The folder of a camera's depth images."""
FPS = 30.0
"""Of recordings of one instant."""
LARGEST_INFO = 1_000_000
"""Bytes that no camera_info.yaml needs."""
PIXEL_CENTER = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
STAMP = re.compile(r"(?:.*[^\d.])?(?:(\d{1,10}\.\d{1,9})\d*|(\d{1,19}))", re.ASCII)
"""The end of a picture's name: seconds or nanoseconds."""
LENSES = {"plumb_bob": "brown", "rational_polynomial": "brown", "equidistant": "fisheye"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Trajectory:
    """Poses over time, or one that does not change."""

    path: Path
    times_ns: np.ndarray
    """Rising, shape [n], int64."""
    rotations: Rotation
    positions: np.ndarray
    """Shape [n, 3] [m]."""

    def poses(self, times_ns: np.ndarray) -> np.ndarray:
        """Rigid transforms at some times, shape [t, 4, 4]: linear and spherical in between."""
        poses = np.tile(np.eye(4), (len(times_ns), 1, 1))
        if len(self.times_ns) == 1:
            poses[:, :3, :3], poses[:, :3, 3] = self.rotations.as_matrix(), self.positions
            return poses
        first, last = int(self.times_ns[0]), int(self.times_ns[-1])
        outside = times_ns[(times_ns < first) | (times_ns > last)]
        if len(outside):
            rule = f"pictures from {first / 1e9:.6f} to {last / 1e9:.6f} s"
            remedy = "remove the pictures that were taken before the first pose or after the last"
            refuse(self.path, rule, f"{len(outside)} at other times such as {outside[0] / 1e9:.6f} s", remedy)
        # Relative to the first, float64 holds nanoseconds.
        known, wanted = (self.times_ns - first) / 1e9, (times_ns - first) / 1e9
        poses[:, :3, :3] = Slerp(known, self.rotations)(wanted).as_matrix()
        poses[:, :3, 3] = np.stack([np.interp(wanted, known, axis) for axis in self.positions.T], axis=1)
        return poses


@dataclass(frozen=True, eq=False)
class _Pictures:
    """One camera's folder: pictures in time order."""

    folder: Path
    paths: tuple[Path, ...]
    times_ns: np.ndarray
    """Shape [n], int64."""

    @property
    def period_ns(self) -> float:
        """Median time between pictures."""
        return float(np.median(np.diff(self.times_ns))) if len(self.paths) > 1 else 1e9 / FPS


@dataclass(frozen=True)
class RosScene(Scene):
    """ROS folders: per camera camera_info.yaml, pictures named by time stamps and poses as a TUM trajectory.txt."""

    root: Path
    """The folder."""
    use_cloud: bool = True
    """False starts without depth images even where there are some."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    @staticmethod
    def recognizes(root: Path) -> bool:
        """True where ``root`` looks like this layout."""
        return bool(_camera_folders(root))

    @property
    def name(self) -> str:
        return str(self.root)

    @property
    def layout(self) -> str:
        return "ros"

    @property
    def fps(self) -> float:
        times_ns = self._times_ns[:, 0]
        return 1e9 / float(np.median(np.diff(times_ns))) if len(times_ns) > 1 else FPS

    @property
    def timestep_count(self) -> int:
        return len(self._times_ns)

    @property
    def source_from_world(self) -> np.ndarray:
        return np.eye(4)

    @property
    def time_errors_s(self) -> np.ndarray:
        """How long after the slowest camera's picture each camera's was taken [s], shape [t, c], cameras in the order
        of their names, held out or not."""
        return (self._times_ns[:, 1:] - self._times_ns[:, :1]) / 1e9

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        return tuple(shot.camera for shot in self._shots(split, timestep))

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        images = read_images(self._shots(split, timestep))
        time_s = float(self._times_ns[timestep, 0] - self._times_ns[0, 0]) / 1e9
        return Frame(timestep, time_s, self.cameras(split, timestep), images, masks=None)

    def point_cloud(self) -> PointCloud | None:
        return self._cloud if self.use_cloud else None

    def ground_truth(self) -> GroundTruth | None:
        return None

    def validate(self, timesteps: range) -> None:
        """Check calibration, poses and every picture that ``timesteps`` will read; the first of them is decoded.

        Raises:
            ValueError: a wrong value; FileNotFoundError, OSError: a missing or truncated file.
        """
        check_timesteps(self.root, timesteps, self.timestep_count)
        for timestep in timesteps:
            for shot in self._instants[timestep]:
                check_shot(shot.picture.parent, shot)
        self.point_cloud()
        for split in ("train", "test"):
            self.frame(timesteps[0], split)

    @cached_property
    def _cloud(self) -> PointCloud | None:
        half, depths = 0.5 * max(pictures.period_ns for pictures in self._pictures), []
        time_ns = {p.folder.name: p.times_ns[rows[0]] for p, rows in zip(self._pictures, self._chosen.T, strict=True)}
        for shot in self._shots("train", 0):
            folder, here = shot.picture.parent / DEPTHS, time_ns[shot.camera.name]
            images = _read_pictures(folder, DEPTH_SUFFIXES) if folder.is_dir() else None
            nearest = 0 if images is None else int(_nearest(images.times_ns, np.array([here]))[0])
            if images is not None and abs(images.times_ns[nearest] - here) <= half:
                depths.append(DepthShot(shot, images.paths[nearest], unit=None))
        return cloud_of_depths(self.root, depths)

    def _shots(self, split: Split, timestep: int) -> list[Shot]:
        check_timesteps(self.root, range(timestep, timestep + 1), self.timestep_count)
        return split_shots(self._instants[timestep], split)

    @cached_property
    def _pictures(self) -> tuple[_Pictures, ...]:
        folders = _camera_folders(self.root)
        if not folders:
            refuse(self.root, f"a folder with {INFO} per camera", "none", "is the recording in another layout?")
        return tuple(map(_read_pictures, folders))

    @cached_property
    def _chosen(self) -> np.ndarray:
        """Index of the picture of each camera at each instant, shape [t, c]."""
        slowest = max(self._pictures, key=lambda pictures: pictures.period_ns)
        ticks, half = slowest.times_ns, 0.5 * slowest.period_ns
        nearest = np.stack([_nearest(pictures.times_ns, ticks) for pictures in self._pictures], axis=1)
        apart = [np.abs(p.times_ns[rows] - ticks) for p, rows in zip(self._pictures, nearest.T, strict=True)]
        together = (np.stack(apart, axis=1) <= half).all(axis=1)
        if not together.any():
            got = f"none within {half / 1e6:.3g} ms"
            refuse(self.root, "pictures that all cameras took at the same time", got, "set the clocks of the cameras")
        _log.info("%s: pictures up to %.3f ms apart", self.root, np.stack(apart, axis=1)[together].max() / 1e6)
        if not together.all():
            _log.warning("%s: left out %d instants that some camera lacks", self.root, int((~together).sum()))
        return nearest[together]

    @cached_property
    def _times_ns(self) -> np.ndarray:
        """Of each instant the time of the slowest camera, then of every camera's picture, shape [t, 1 + c], int64."""
        slowest = max(range(len(self._pictures)), key=lambda i: self._pictures[i].period_ns)
        taken = [p.times_ns[rows] for p, rows in zip(self._pictures, self._chosen.T, strict=True)]
        return np.stack([taken[slowest], *taken], axis=1)

    @cached_property
    def _instants(self) -> tuple[tuple[Shot, ...], ...]:
        """Per timestep, the shots in the order of the names of their cameras."""
        robot = _read_trajectory(self.root / TRAJECTORY) if (self.root / TRAJECTORY).is_file() else None
        lenses, recording = Lenses(), Recording.of(self.root, [pictures.folder.name for pictures in self._pictures])
        columns = [
            self._camera_shots(pictures, self._chosen[:, i], robot, recording, lenses)
            for i, pictures in enumerate(self._pictures)
        ]
        return tuple(zip(*columns, strict=True))

    def _camera_shots(
        self, pictures: _Pictures, rows: np.ndarray, robot: _Trajectory | None, recording: Recording, lenses: Lenses
    ) -> list[Shot]:
        """One camera's shots, by timestep."""
        what = pictures.folder / INFO
        width, height, intrinsics, lens = _read_info(what)
        poses = _camera_poses(pictures.folder, pictures.times_ns[rows], robot)
        shots = []
        for row, pose in zip(rows, poses, strict=True):
            calibrated = Camera(pictures.folder.name, width, height, intrinsics, pose)
            check_camera(what, calibrated)
            taken = as_recorded(recording, calibrated, pictures.paths[row])
            undistortion = lenses.undistortion(str(what), taken, lens)
            shots.append(Shot(pictures.paths[row], None, pinhole(taken, undistortion), undistortion, held_out=False))
        return shots


def _camera_folders(root: Path) -> list[Path]:
    folders = (path for path in root.iterdir() if (path / INFO).is_file())
    return sorted(folders, key=lambda path: natural(path.name))


def _read_pictures(folder: Path, suffixes: Sequence[str] = PICTURE_SUFFIXES) -> _Pictures:
    stamped = {}
    for path in folder.iterdir():
        if path.suffix.lower() in suffixes:
            match = STAMP.fullmatch(path.stem)
            if match is None:
                refuse(path, "a name such as 1403636579.763556.png [s] or 1403636579763556000.png [ns]", path.name)
            time_ns = _nanoseconds(path, match[1]) if match[1] else int(match[2])
            if time_ns in stamped or time_ns >= 2**63:
                refuse(path, "a time of its own for each picture", path.name, "remove one of the two")
            stamped[time_ns] = path
    if not stamped:
        refuse(folder, "pictures named by their time stamps", "none", "extract them from the bag")
    times_ns = sorted(stamped)
    return _Pictures(folder, tuple(stamped[time] for time in times_ns), np.array(times_ns, np.int64))


def _nanoseconds(what: object, text: str) -> int:
    """Seconds as text, without the rounding of float64, which ends at 0.2 us for dates of today."""
    match = re.fullmatch(r"(\d{1,10})(?:\.(\d*))?", text, re.ASCII)
    if match is None:
        refuse(what, "a time stamp such as 1403636579.763556 [s]", repr(text)[:40], AGAIN)
    return int(match[1]) * 10**9 + int((match[2] or "")[:9].ljust(9, "0"))


def _nearest(taken: np.ndarray, ticks: np.ndarray) -> np.ndarray:
    """Index of the nearest of the rising times ``taken``, the earlier of two as near; shape of ``ticks``."""
    after = np.searchsorted(taken, ticks).clip(max=len(taken) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(np.abs(ticks - taken[before]) <= np.abs(taken[after] - ticks), before, after)


def _camera_poses(folder: Path, times_ns: np.ndarray, robot: _Trajectory | None) -> np.ndarray:
    """World from camera at some times, shape [t, 4, 4]."""
    if (folder / TRAJECTORY).is_file():
        return _read_trajectory(folder / TRAJECTORY).poses(times_ns)
    if robot is None or not (folder / MOUNT).is_file():
        rule = f"{TRAJECTORY} of the camera, or {MOUNT} beside the pictures and {TRAJECTORY} of the robot"
        refuse(folder, rule, "neither", "export the poses as TUM lines")
    mount = _read_trajectory(folder / MOUNT)
    if len(mount.times_ns) > 1:
        refuse(mount.path, "one pose", len(mount.times_ns), f"a camera that moves has its own {TRAJECTORY}")
    return robot.poses(times_ns) @ mount.poses(times_ns[:1])


def _read_trajectory(path: Path) -> _Trajectory:
    """TUM lines: time tx ty tz qx qy qz qw; lines that start with # say nothing."""
    times_ns, rows = [], []
    try:
        with path.open(encoding="utf-8") as file:
            for count, line in enumerate(file, 1):
                fields = line.split()
                if not fields or fields[0].startswith("#"):
                    continue
                what = f"{path}: line {count}"
                if len(fields) != 8:
                    refuse(what, "8 numbers: time tx ty tz qx qy qz qw", f"{len(fields)} fields", AGAIN)
                times_ns.append(_nanoseconds(what, fields[0]))
                rows.append([number(what, float(field)) for field in fields[1:]])
    except UnicodeDecodeError as error:
        raise ValueError(sentence(path, "UTF-8 text", error, AGAIN)) from error
    except ValueError as error:
        if ": expected " in str(error):
            raise
        raise ValueError(sentence(path, "numbers", error, AGAIN)) from error
    if not rows:
        refuse(path, "at least one pose", "none", AGAIN)
    values = np.array(rows)
    lengths = np.linalg.norm(values[:, 3:], axis=1)
    if np.abs(lengths - 1.0).max() > 1e-3:
        refuse(path, "unit quaternions qx qy qz qw", f"one of length {lengths[np.abs(lengths - 1.0).argmax()]:.4g}")
    if len(rows) > 1 and np.diff(times_ns).min() <= 0:
        refuse(path, "times that rise", "one that is not after the one before", "sort the lines by time")
    return _Trajectory(path, np.array(times_ns, np.int64), Rotation.from_quat(values[:, 3:]), values[:, :3])


def _read_info(path: Path) -> tuple[int, int, np.ndarray, Lens]:
    """Width, height, pinhole matrix and lens of camera_info.yaml."""
    if path.stat().st_size > LARGEST_INFO:
        refuse(path, f"a file of at most {LARGEST_INFO} bytes", path.stat().st_size, AGAIN)
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(sentence(path, "valid YAML", str(error)[:200], AGAIN)) from error
    if not isinstance(fields, dict):
        refuse(path, "fields of a CameraInfo", type(fields).__name__, AGAIN)
    width, height = (_side(path, fields, name) for name in ("width", "height"))
    matrix = _numbers(path, fields, ("camera_matrix", "K", "k"))
    if len(matrix) != 9 or matrix[6:] != (0.0, 0.0, 1.0):
        refuse(f"{path}: K", "9 numbers that end in 0 0 1", list(matrix), AGAIN)
    for binning in ("binning_x", "binning_y"):
        if fields.get(binning, 0) not in (0, 1):
            refuse(f"{path}: {binning}", "0 or 1", repr(fields[binning])[:40], "calibrate the pictures as they are")
    model = fields.get("distortion_model") or "plumb_bob"
    coefficients = _numbers(path, fields, ("distortion_coefficients", "D", "d"))
    if not isinstance(model, str) or model not in LENSES:
        refuse(
            f"{path}: distortion_model", "one of " + ", ".join(LENSES), repr(model)[:40], "calibrate with one of these"
        )
    lens = Lens(LENSES[model], coefficients or (0.0,) * 4)
    check_lens(path, lens)
    return width, height, np.array(matrix).reshape(3, 3) + PIXEL_CENTER, lens


def _side(path: Path, fields: dict[str, Any], name: str) -> int:
    side = number(f"{path}: {name}", fields.get(f"image_{name}", fields.get(name)))
    if side < 1.0 or side != int(side):
        refuse(f"{path}: {name}", "a positive whole number [px]", side, AGAIN)
    return int(side)


def _numbers(path: Path, fields: dict[str, Any], names: tuple[str, ...]) -> tuple[float, ...]:
    """A list, by any of its names, perhaps in the ``data`` of a matrix."""
    name = next((name for name in names if name in fields), names[0])
    values = fields.get(name)
    values = values.get("data") if isinstance(values, dict) else values
    if not isinstance(values, list):
        refuse(f"{path}: {name}", "a list of numbers", repr(values)[:40], AGAIN)
    return tuple(number(f"{path}: {name}", value) for value in values)
