"""COLMAP: a sparse model and the pictures it was made from.

    sparse/0, sparse, colmap/sparse/0 or the folder itself     cameras, images and, optional, points3D, as .bin or .txt
    images/, or the folder itself                              the pictures, by the names the model has for them
    test.txt beside the model                                  names of held-out pictures, one a line; optional

Principal points count the center of the first pixel as 0.5, as ours. The axes and the unit of these worlds mean
nothing: ours is turned so that the mean upward axis of the cameras is z; its unit is the model's. points3D is the
starting cloud.

Names such as cam01/000012.png, 000012/cam01.png and cam01_000012.png are those of a video (see ``scenes.naming``);
timesteps with less than half of the cameras are left out, then the cameras that not all timesteps have. A model made
from one timestep is enough where cameras stand still: pictures beside those it knows, such as cam01/000013.png of every
camera, are further timesteps. Other pictures are photos of a still scene. How names were read is logged.

Held out: the cameras of the pictures in ``test.txt``; else, with at least 8 cameras, every 8th of them in the order of
their names, from the first. The lens models FOV and THIN_PRISM are not read.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from scenes.colmap_model import StoredCamera, StoredImage, has_model, stored_cameras, stored_images, stored_points
from scenes.fields import AGAIN, camera_name
from scenes.naming import find_instants, find_naming, plain
from scenes.pictures import PICTURE_SUFFIXES
from scenes.recording import Recording
from scenes.shots import Lenses, Shot, as_recorded, check_shot, natural, pinhole, read_images, split_shots
from scenes.undistort import Lens
from scenes.upright import world_from_source
from warpgs.checks import check_camera, check_point_cloud, check_timesteps, refuse, sentence
from warpgs.types import Camera, Frame, GroundTruth, PointCloud, Scene, Split

MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", ".")
FPS = 30.0
"""Models do not know it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ColmapScene(Scene):
    """COLMAP folder: sparse/0 with cameras, images, points3D (.bin or .txt) and images/; lens distortion is removed."""

    root: Path
    """The folder."""
    use_cloud: bool = True
    """False starts without the model's points."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    @staticmethod
    def recognizes(root: Path) -> bool:
        """True where ``root`` looks like this layout."""
        return any(has_model(root / folder) for folder in MODEL_FOLDERS)

    @property
    def name(self) -> str:
        return str(self.root)

    @property
    def layout(self) -> str:
        return "colmap"

    @property
    def fps(self) -> float:
        return FPS

    @property
    def timestep_count(self) -> int:
        return len(self._instants)

    @property
    def source_from_world(self) -> np.ndarray:
        return self._world_from_source.T  # a rotation

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        return tuple(shot.camera for shot in self._shots(split, timestep))

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        return Frame(
            timestep=timestep,
            time_s=timestep / FPS,
            cameras=self.cameras(split, timestep),
            images=read_images(self._shots(split, timestep)),
            masks=None,
        )

    def point_cloud(self) -> PointCloud | None:
        stored = stored_points(self._model) if self.use_cloud else None
        if stored is None:
            return None
        points, colors = stored
        cloud = PointCloud(
            # float64: models in geographic coordinates are far from their origin.
            points=points @ self._world_from_source[:3, :3].T,
            colors=(colors / 255.0).astype(np.float32),
            foreground=None,
        )
        check_point_cloud(self._model / "points3D", cloud)
        if cloud.colors.min() < 0.0 or cloud.colors.max() > 1.0:
            refuse(self._model / "points3D", "colors from 0 to 255", float(np.abs(colors).max()), AGAIN)
        return cloud

    def ground_truth(self) -> GroundTruth | None:
        return None

    def validate(self, timesteps: range) -> None:
        """Check calibration, cloud and every picture that ``timesteps`` will read.

        The pictures of the first timestep are decoded; of the others the size and the end marker are read.

        Raises:
            ValueError: a wrong value; FileNotFoundError: a missing picture; OSError: a truncated one.
        """
        check_timesteps(self.root, timesteps, self.timestep_count)
        self.point_cloud()
        for timestep in timesteps:
            for shot in self._instants[timestep]:
                check_shot(self._model, shot)
        for split in ("train", "test"):
            self.frame(timesteps[0], split)

    def _shots(self, split: Split, timestep: int) -> list[Shot]:
        check_timesteps(self.root, range(timestep, timestep + 1), self.timestep_count)
        return split_shots(self._instants[timestep], split)

    @cached_property
    def _model(self) -> Path:
        folder = next((folder for folder in MODEL_FOLDERS if has_model(self.root / folder)), None)
        if folder is None:
            rule = "cameras and images, .bin or .txt, in one of " + ", ".join(MODEL_FOLDERS)
            refuse(self.root, rule, "neither", "is the recording in another layout?")
        return self.root / folder

    @cached_property
    def _pictures(self) -> Path:
        return self.root / "images" if (self.root / "images").is_dir() else self.root

    @cached_property
    def _images(self) -> list[StoredImage]:
        images = stored_images(self._model)
        return sorted(images, key=lambda image: natural(image.name))

    @cached_property
    def _world_from_source(self) -> np.ndarray:
        return world_from_source(np.array([_pose(image) for image in self._images]))

    @cached_property
    def _instants(self) -> tuple[tuple[Shot, ...], ...]:
        """Per timestep, the shots in the order of the names of their cameras."""
        taken = self._taken()
        names = list(taken)
        naming = find_naming(names, np.array([t.camera.center_world for t in taken.values()]))
        if naming is not None:
            table: dict[str, dict[str, str]] = {}
            for name in names:
                camera, time = naming.read(name) or ("", "")
                table.setdefault(time, {})[camera] = name
            return self._arranged([table[time] for time in sorted(table, key=natural)], taken)
        if (found := find_instants(names, self._found())) is not None:
            naming, instants = found
            cameras = [(naming.read(name) or (plain(name), ""))[0] for name in names]
            still = {
                other: taken[name] for instant in instants.values() for name, other in zip(names, instant, strict=True)
            }
            return self._arranged([dict(zip(cameras, instant, strict=True)) for instant in instants.values()], still)
        common = len({Path(name).parent for name in names}) == 1
        photos = {plain(Path(name).name if common else name): name for name in names}
        if len(photos) < len(names):
            refuse(self._model, "pictures that differ in more than their suffix", "two alike", "rename one of them")
        return self._arranged([photos], taken)

    def _arranged(self, table: Sequence[dict[str, str]], taken: dict[str, _Taken]) -> tuple[tuple[Shot, ...], ...]:
        """Shots by timestep, from names of pictures by camera."""
        counts = Counter(camera for row in table for camera in row)
        rows = [row for row in table if 2 * len(row) >= len(counts)]
        cameras = [camera for camera in sorted(counts, key=natural) if all(camera in row for row in rows)]
        if not cameras or not rows:
            got = f"{len(counts)} cameras and {len(table)} timesteps without"
            refuse(self._model, "some camera with a pose at all timesteps", got, "register more pictures")
        _log.info("%s: read as %d cameras x %d timesteps", self.root, len(cameras), len(rows))
        if len(rows) < len(table) or len(cameras) < len(counts):
            left = f"{len(table) - len(rows)} timesteps and the cameras {sorted(counts.keys() - set(cameras))}"
            _log.warning("%s: left out, since the model lacks poses: %s", self.root, left)
        tests, lenses, recording = self._tests, Lenses(), Recording.of(self.root, cameras)
        held_out = {camera for row in rows for camera, name in row.items() if name in tests}
        return tuple(
            tuple(
                self._shot(row[camera], self._named(camera, row[camera], taken), recording, lenses, camera in held_out)
                for camera in cameras
            )
            for row in rows
        )

    def _shot(self, name: str, taken: _Taken, recording: Recording, lenses: Lenses, held_out: bool) -> Shot:
        what = f"{self._model}: {name}"
        seen = as_recorded(recording, taken.camera, self._pictures / name)
        undistortion = lenses.undistortion(what, seen, taken.lens)
        return Shot(self._pictures / name, None, pinhole(seen, undistortion), undistortion, held_out)

    def _named(self, camera: str, name: str, taken: dict[str, _Taken]) -> _Taken:
        what = f"{self._model}: {name}"
        return replace(taken[name], camera=replace(taken[name].camera, name=camera_name(what, camera)))

    def _taken(self) -> dict[str, _Taken]:
        """What the model says of each picture, by its name."""
        cameras, taken = stored_cameras(self._model), {}
        for image in self._images:
            what = f"{self._model}: {image.name}"
            stored = cameras.get(image.camera_id)
            if stored is None:
                refuse(what, "a camera that the model has", f"CAMERA_ID {image.camera_id}", AGAIN)
            intrinsics, lens = _calibration(what, stored)
            pose = self._world_from_source @ _pose(image)
            taken[image.name] = _Taken(Camera(image.name, stored.width, stored.height, intrinsics, pose), lens)
            check_camera(what, taken[image.name].camera)
        return taken

    def _found(self) -> list[str]:
        """Names of all pictures, in the order of the names."""
        paths = (
            p.relative_to(self._pictures) for p in self._pictures.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES
        )
        return sorted(map(Path.as_posix, paths))

    @cached_property
    def _tests(self) -> frozenset[str]:
        path = self._model / "test.txt"
        if not path.is_file():
            return frozenset()
        try:
            return frozenset(filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines())))
        except ValueError as error:
            raise ValueError(sentence(path, "UTF-8 text", error, AGAIN)) from error


@dataclass(frozen=True, eq=False)
class _Taken:
    """The camera of a picture as calibrated, and its lens."""

    camera: Camera
    lens: Lens


def _pose(image: StoredImage) -> np.ndarray:
    """Source from camera, shape [4, 4]."""
    w, x, y, z = image.rotation_wxyz
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix().T
    pose[:3, 3] = -pose[:3, :3] @ image.translation
    return pose


def _calibration(what: str, stored: StoredCamera) -> tuple[np.ndarray, Lens]:
    """Pinhole matrix behind the lens, and the lens."""
    has_one_focal = stored.model.startswith(("SIMPLE_", "RADIAL"))
    focal_x, focal_y, cx, cy, *k = (stored.parameters[:1] if has_one_focal else ()) + stored.parameters
    match stored.model:
        case "SIMPLE_PINHOLE" | "PINHOLE" | "SIMPLE_RADIAL" | "RADIAL" | "OPENCV":
            lens = Lens("brown", (*k, *(0.0,) * (4 - len(k))))
        case "FULL_OPENCV":
            lens = Lens("brown", tuple(k))
        case "SIMPLE_RADIAL_FISHEYE" | "RADIAL_FISHEYE" | "OPENCV_FISHEYE":
            lens = Lens("fisheye", (*k, *(0.0,) * (4 - len(k))))
        case _:
            remedy = "undistort the pictures with `colmap image_undistorter`"
            refuse(f"{what}: camera model", "a pinhole, radial, OpenCV or fisheye lens", stored.model, remedy)
    return np.array([[focal_x, 0.0, cx], [0.0, focal_y, cy], [0.0, 0.0, 1.0]]), lens
