"""The ``poses_bounds.npy`` of LLFF: photos of a still scene, or one video per camera, as Neural 3D Video has them.

    poses_bounds.npy                     per camera 17 numbers: a matrix of 3 x 5, row by row, and the nearest and the
                                         farthest depth, which are not needed
    cam00.mp4, cam01.mp4 ...             one video per camera; or a folder of pictures per camera, cam00/0000.png ...
                                         or cam00/images/0000.png ...; or one photo per camera in images/

Rows belong to the cameras in the order of their names. The matrix has the axes down, right and back of the camera, its
center, and height, width and focal length [px]; the principal point is the middle of the picture. The unit of the world
and its axes mean nothing: ours is turned so that the mean upward axis of the cameras is z. Lens distortion is not
stored: where pictures have some, a COLMAP model knows it.

Videos are shown by one clock, through the time that all have; folders of pictures as long as the shortest. Held out:
the first camera of several, as is the custom with these videos; of photos, if at least 8, every 8th from the first.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from scenes.colmap import ColmapScene
from scenes.fields import AGAIN, camera_name, read_npy
from scenes.pictures import DECODERS, PICTURE_SUFFIXES, check_picture_file, read_image
from scenes.recording import Recording
from scenes.shots import HOLD_OUT, as_recorded, natural, paths_by_name
from scenes.upright import world_from_source
from scenes.video_clock import Clock, common_clock
from scenes.video_file import VideoFile, video_paths
from warpgs.checks import check_camera, check_finite, check_timesteps, refuse
from warpgs.types import Camera, Frame, GroundTruth, PointCloud, Scene, Split

FILE = "poses_bounds.npy"
FPS = 30.0
"""Of folders of pictures, which do not say."""
LARGEST_SIDE = 1e6
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LlffScene(Scene):
    """LLFF or Neural 3D Video folder: poses_bounds.npy and a video, a folder of pictures or a photo per camera."""

    root: Path
    """The folder."""
    use_cloud: bool = True
    """The layout has no cloud: no difference."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    @staticmethod
    def recognizes(root: Path) -> bool:
        """True where ``root`` looks like this layout. A COLMAP model of photos knows more: lenses and points."""
        return (root / FILE).is_file() and (bool(video_paths(root)) or not ColmapScene.recognizes(root))

    @property
    def name(self) -> str:
        return str(self.root)

    @property
    def layout(self) -> str:
        return "llff"

    @property
    def fps(self) -> float:
        return self._clock.fps if self._clock is not None else FPS

    @property
    def timestep_count(self) -> int:
        return len(self._clock.indices) if self._clock is not None else min(map(len, self._pictures.values()))

    @property
    def source_from_world(self) -> np.ndarray:
        return self._world_from_source.T  # a rotation

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        check_timesteps(self.root, range(timestep, timestep + 1), self.timestep_count)
        return tuple(self._cameras[i] for i in self._split(split))

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        check_timesteps(self.root, range(timestep, timestep + 1), self.timestep_count)
        with ThreadPoolExecutor(DECODERS) as pool:
            images = tuple(pool.map(lambda i: self._image(i, timestep), self._split(split)))
        return Frame(timestep, timestep / self.fps, self.cameras(split, timestep), images, masks=None)

    def point_cloud(self) -> PointCloud | None:
        return None

    def ground_truth(self) -> GroundTruth | None:
        return None

    def validate(self, timesteps: range) -> None:
        """Check calibration, every picture file and the time stamps of videos; the first of ``timesteps`` is decoded.

        Raises:
            ValueError: a wrong value; FileNotFoundError, OSError: a missing or truncated file.
        """
        check_timesteps(self.root, timesteps, self.timestep_count)
        for camera in self._cameras:
            for timestep in timesteps if self._clock is None else ():
                check_picture_file(self._pictures[camera.name][timestep], camera)
        for split in ("train", "test"):
            self.frame(timesteps[0], split)

    def _image(self, index: int, timestep: int) -> np.ndarray:
        camera = self._cameras[index]
        if self._clock is None:
            return read_image(self._pictures[camera.name][timestep], camera)
        video, frame = self._videos[index], int(self._clock.indices[timestep, index])
        return video.picture_by(camera, frame)

    def _split(self, split: Split) -> list[int]:
        """Indices of the training or of the held-out cameras."""
        count, is_photos = len(self._cameras), not self._videos and self.timestep_count == 1
        if is_photos:
            held_out = range(0, count, HOLD_OUT) if count >= HOLD_OUT else range(0)
        else:
            held_out = range(1 if count > 1 else 0)
        return [i for i in range(count) if (i in held_out) == (split == "test")]

    @cached_property
    def _videos(self) -> tuple[VideoFile, ...]:
        return tuple(VideoFile(path) for path in video_paths(self.root))

    @cached_property
    def _clock(self) -> Clock | None:
        return common_clock(self.root, self._videos, [0.0] * len(self._videos), None) if self._videos else None

    @cached_property
    def _pictures(self) -> dict[str, list[Path]]:
        """Pictures on disk by camera; none where there are videos."""
        if self._videos:
            return {}
        folders = [path for path in sorted(self.root.iterdir()) if path.is_dir() and not path.name.startswith("images")]
        found = {path.name: _picture_paths(path) or _picture_paths(path / "images") for path in folders}
        found = {name: found[name] for name in sorted(found, key=natural) if found[name]}
        if not found:
            photos = _picture_paths(self.root / "images")
            if len({path.stem for path in photos}) < len(photos):
                refuse(
                    self.root / "images", "pictures that differ in more than their suffix", "two alike", "rename one"
                )
            found = {path.stem: [path] for path in photos}
        if not found:
            rule = "one video per camera, or folders of pictures such as cam00/ or images/"
            refuse(self.root, rule, "neither", "copy the pictures beside " + FILE)
        lengths = sorted({len(paths) for paths in found.values()})
        if len(lengths) > 1:
            _log.warning("%s: cameras have %d to %d pictures; the shortest counts", self.root, lengths[0], lengths[-1])
        return found

    @cached_property
    def _rows(self) -> np.ndarray:
        """The file, shape [n, 17], float64, one row per camera."""
        path = self.root / FILE
        stored = read_npy(path)
        shape = getattr(stored, "shape", ())
        if len(shape) != 2 or shape[1] != 17 or stored.dtype.kind not in "fiu":
            got = f"{getattr(stored, 'dtype', type(stored).__name__)} of shape {list(shape)}"
            refuse(path, "numbers of shape [n, 17]", got, AGAIN)
        names = [video.path.stem for video in self._videos] or list(self._pictures)
        if len(names) != len(stored):
            remedy = "remove what has no pose, or make the poses again"
            refuse(path, f"a row for each of the {len(names)} cameras {names[0]} ...", len(stored), remedy)
        rows = np.array(stored, np.float64)
        check_finite(path, rows[:, :15], AGAIN)
        return rows

    @cached_property
    def _world_from_source(self) -> np.ndarray:
        return world_from_source(_poses(self._rows))

    @cached_property
    def _cameras(self) -> tuple[Camera, ...]:
        names, cameras = [video.path.stem for video in self._videos] or list(self._pictures), []
        recording = Recording.of(self.root, names)
        for i, (name, row, pose) in enumerate(zip(names, self._rows, _poses(self._rows), strict=True)):
            what = f"{self.root / FILE}: camera {name}"
            height, width, focal = row[:15].reshape(3, 5)[:, 4]
            if not all(1.0 <= side <= LARGEST_SIDE and side == int(side) for side in (width, height)):
                refuse(f"{what}: height and width", "whole numbers [px]", (float(height), float(width)), AGAIN)
            intrinsics = np.array([[focal, 0.0, 0.5 * width], [0.0, focal, 0.5 * height], [0.0, 0.0, 1.0]])
            camera = Camera(
                camera_name(what, name), int(width), int(height), intrinsics, self._world_from_source @ pose
            )
            check_camera(what, camera)
            if self._videos:
                cameras.append(recording.camera_of(camera, self._videos[i].path, self._videos[i].size))
            else:
                cameras.append(as_recorded(recording, camera, self._pictures[name][0]))
        return tuple(cameras)


def _poses(rows: np.ndarray) -> np.ndarray:
    """Source from camera, OpenCV axes, shape [n, 4, 4]."""
    matrices = rows[:, :15].reshape(-1, 3, 5)
    down, right, back, center = (matrices[:, :, i] for i in range(4))
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3] = np.stack([right, down, -back, center], axis=2)
    return poses


def _picture_paths(folder: Path) -> list[Path]:
    return paths_by_name(folder, PICTURE_SUFFIXES)
