"""One video per camera and a calibration: what a rig of cameras leaves behind.

    *.mp4 .avi .mov ...         one video per camera, in the folder or in videos/
    <calibration>               in the folder or in calibration/; the formats are in ``scenes.calibration``
    recording.toml              what the files do not say; optional, and so is each of its lines:

        unit = "mm"             of the calibration; Qualisys has mm; else m, but mm where cameras would be > 100 m apart
        up = "y"                which of the calibration's axes points up: x y z -x -y -z; z where it is not given
        fps = 30.0              instants per second; where it is not given those of the slowest camera
        held_out = ["cam03"]    cameras to test with; every 8th of at least 8 where it is not given
        [offset_s]              when each video started [s]; 0 for those that are not named
        cam02 = 0.35

and scale, crop_px and turn_deg, as in any layout: see ``scenes.recording``.

A video belongs to the camera whose name it has or ends with, or else the camera with the same number (cam01.mp4 and
serial 1), if that is unambiguous for all. Instants tick evenly through the time that all cameras recorded; each camera
shows its nearest frame, and ``time_errors_s`` says how far away that was taken. Lens distortion is removed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scenes.calibration import Calibrated, Calibration, read_calibration
from scenes.fields import number
from scenes.pictures import DECODERS
from scenes.recording import FILE, Recording
from scenes.shots import HOLD_OUT, Lenses, natural, pinhole
from scenes.undistort import Undistortion
from scenes.upright import UP
from scenes.video_clock import Clock, common_clock
from scenes.video_file import VideoFile, video_paths
from warpgs.checks import check_camera, check_timesteps, refuse
from warpgs.types import Camera, Frame, GroundTruth, PointCloud, Scene, Split

logger = logging.getLogger(__name__)

FIELDS = ("unit", "up", "fps", "held_out", "offset_s")
"""What ``recording.toml`` may say beside what it may in every layout."""
FOLDERS = (".", "videos")
"""Where videos are looked for."""
METERS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
WIDEST_RIG_M = 100.0
"""Cameras farther apart than this are taken to be calibrated in millimetres, where nothing says so."""


@dataclass(frozen=True, eq=False)
class _View:
    """One video and the camera that took it."""

    video: VideoFile
    camera: Camera
    """The pinhole that remains when the distortion is removed."""
    undistortion: Undistortion | None
    """None where there is nothing to remove."""

    def picture(self, index: int) -> np.ndarray:
        """The ``index``-th frame of the video as a pinhole sees it, uint8, shape [height, width, 3]."""
        picture = self.video.picture_by(self.camera, index)
        return picture if self.undistortion is None else self.undistortion.resample(picture)


@dataclass(frozen=True)
class VideosScene(Scene):
    """One video per camera and a calibration: TOML of anipose, pose2sim or caliscope, Qualisys, EasyMocap or OpenCV."""

    root: Path
    """The folder."""
    use_cloud: bool = True
    """The layout has no cloud: no difference."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    @staticmethod
    def recognizes(root: Path) -> bool:
        """True where ``root`` looks like this layout."""
        return bool(_video_paths(root))

    @property
    def name(self) -> str:
        return str(self.root)

    @property
    def layout(self) -> str:
        return "videos"

    @property
    def fps(self) -> float:
        return self._clock.fps

    @property
    def timestep_count(self) -> int:
        return len(self._clock.indices)

    @property
    def time_errors_s(self) -> np.ndarray:
        """How long after each instant each camera's frame was taken [s], shape [t, c], cameras in the order of names,
        held out or not."""
        return self._clock.errors_s

    @property
    def source_from_world(self) -> np.ndarray:
        return np.linalg.inv(self._world_from_source)

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        check_timesteps(self.root, range(timestep, timestep + 1), self.timestep_count)
        return tuple(self._views[i].camera for i in self._split(split))

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        check_timesteps(self.root, range(timestep, timestep + 1), self.timestep_count)
        chosen, indices = self._split(split), self._clock.indices[timestep]
        with ThreadPoolExecutor(DECODERS) as pool:
            images = tuple(pool.map(lambda i: self._views[i].picture(int(indices[i])), chosen))
        return Frame(timestep, timestep / self.fps, self.cameras(split, timestep), images, masks=None)

    def point_cloud(self) -> PointCloud | None:
        return None

    def ground_truth(self) -> GroundTruth | None:
        return None

    def validate(self, timesteps: range) -> None:
        """Check calibration, names, sizes and time stamps; the first of ``timesteps`` is decoded.

        Raises:
            ValueError: a wrong value; FileNotFoundError, OSError: a missing or truncated file.
        """
        check_timesteps(self.root, timesteps, self.timestep_count)
        for view in self._views:
            check_camera(f"{self._calibration.path}: camera {view.camera.name}", view.camera)
        for split in ("train", "test"):
            self.frame(timesteps[0], split)

    @cached_property
    def _recording(self) -> Recording:
        return Recording.of(self.root, list(self._matched), FIELDS)

    @property
    def _fields(self) -> dict[str, Any]:
        return self._recording.fields

    @cached_property
    def _calibration(self) -> Calibration:
        return read_calibration(self.root)

    @cached_property
    def _matched(self) -> dict[str, tuple[VideoFile, Calibrated]]:
        """Videos and calibrated cameras by the names of these, in their order."""
        paths = _video_paths(self.root)
        cameras = {camera.name: camera for camera in self._calibration.cameras}
        names = match_names([path.stem for path in paths], list(cameras), self._calibration.path)
        unused = cameras.keys() - set(names)
        if unused:
            logger.warning("%s: no video of camera %s", self.root, ", ".join(sorted(unused, key=natural)))
        pairs = sorted(zip(names, paths, strict=True), key=lambda pair: natural(pair[0]))
        return {name: (VideoFile(path), cameras[name]) for name, path in pairs}

    @cached_property
    def _views(self) -> tuple[_View, ...]:
        lenses = Lenses()
        return tuple(self._view(video, camera, lenses) for video, camera in self._matched.values())

    def _view(self, video: VideoFile, calibrated: Calibrated, lenses: Lenses) -> _View:
        """A video with its camera, refused where its size is not the calibration's."""
        what, name = f"{self._calibration.path}: camera {calibrated.name}", calibrated.name
        pose = np.eye(4)
        rotation, translation = calibrated.camera_from_source[:, :3], calibrated.camera_from_source[:, 3]
        world_from_source = self._world_from_source
        # A rigid pose: the unit goes into the position alone.
        pose[:3, :3] = world_from_source[:3, :3] @ rotation.T / np.linalg.norm(world_from_source[:3, 0])
        pose[:3, 3] = world_from_source[:3, :3] @ (-rotation.T @ translation)
        camera = Camera(name, *(calibrated.size or video.size), calibrated.intrinsics, pose)
        taken = self._recording.camera_of(camera, video.path, video.size, checked=calibrated.size is not None)
        check_camera(what, taken)
        undistortion = lenses.undistortion(what, taken, calibrated.lens)
        return _View(video, pinhole(taken, undistortion), undistortion)

    @cached_property
    def _world_from_source(self) -> np.ndarray:
        """Turns the source's up to z and its unit to metres, shape [4, 4]."""
        up, unit = self._fields.get("up", "z"), self._fields.get("unit", self._calibration.unit)
        if not isinstance(up, str) or up not in UP:
            refuse(f"{self.root / FILE}: up", "one of " + " ".join(UP), repr(up)[:40], "state the axis")
        if unit is None:
            unit = self._guess_unit()
        if not isinstance(unit, str) or unit not in METERS:
            refuse(f"{self.root / FILE}: unit", "one of " + " ".join(METERS), repr(unit)[:40], "state the unit")
        similarity = np.eye(4)
        similarity[:3, :3] = METERS[unit] * UP[up]
        return similarity

    def _guess_unit(self) -> str:
        centers = np.array([-c[:, :3].T @ c[:, 3] for c in (m.camera_from_source for _, m in self._matched.values())])
        apart = float(np.ptp(centers, axis=0).max())
        if apart <= WIDEST_RIG_M:
            return "m"
        logger.warning("%s: no unit; cameras are %.0f apart, taken as mm (unit in %s)", self.root, apart, FILE)
        return "mm"

    @cached_property
    def _clock(self) -> Clock:
        videos = [video for video, _ in self._matched.values()]
        offsets_s = [(self._recording.numbers("offset_s", name, 1) or (0.0,))[0] for name in self._matched]
        fps = self._fields.get("fps")
        if fps is not None and number(f"{self.root / FILE}: fps", fps) <= 0.0:
            refuse(f"{self.root / FILE}: fps", "a positive number [1/s]", fps)
        return common_clock(self.root, videos, offsets_s, fps)

    def _split(self, split: Split) -> list[int]:
        """Indices of the training or of the held-out cameras."""
        names = list(self._matched)
        held_out = self._fields.get("held_out", names[::HOLD_OUT] if len(names) >= HOLD_OUT else [])
        if not isinstance(held_out, list) or any(name not in names for name in held_out):
            refuse(f"{self.root / FILE}: held_out", "a list of " + ", ".join(names), repr(held_out)[:80])
        if len(names) <= len(set(held_out)):
            refuse(f"{self.root / FILE}: held_out", "a camera left to train with", "none", "shorten the list")
        return [i for i, name in enumerate(names) if (name in held_out) == (split == "test")]


def _video_paths(root: Path) -> list[Path]:
    """Videos in the first of ``FOLDERS`` that has some."""
    return next(filter(None, (video_paths(root / name) for name in FOLDERS)), [])


def match_names(stems: Sequence[str], names: Sequence[str], path: Path) -> list[str]:
    """The calibrated camera of each video: the first rule that gives every video one of its own."""
    rules = (
        lambda stem, name: stem.casefold() == name.casefold(),
        lambda stem, name: re.search(rf"(?<![^\W_]){re.escape(name)}$", stem, re.IGNORECASE),
        lambda stem, name: stem.casefold().endswith(name.casefold()),
        lambda stem, name: _last_number(stem) == _last_number(name) is not None,
    )
    for rule in rules:
        found = [[name for name in names if rule(stem, name)] for stem in stems]
        if all(len(matches) == 1 for matches in found) and len({matches[0] for matches in found}) == len(stems):
            return [matches[0] for matches in found]
    rule = f"videos named after the cameras of {path.name} ({', '.join(names)})"
    refuse(path.parent, rule, ", ".join(stems), f"rename each video, such as {names[0]}.mp4")


def _last_number(name: str) -> str | None:
    """Digits without leading zeros: Python refuses to read numbers of thousands of digits."""
    found = re.findall(r"[0-9]+", name)
    return found[-1].lstrip("0") if found else None
