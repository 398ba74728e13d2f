"""The PanopticSports layout of Dynamic 3D Gaussians: calibration in JSON, folders of JPEGs and of masks per camera.

    train_meta.json      w, h and, per timestep t and camera c: k[t][c], w2c[t][c], fn[t][c], cam_id[t][c]
    test_meta.json       the same for held-out cameras; optional
    ims/<fn>             pictures
    seg/<fn>.png         masks, foreground = 1, stored as 0/1, 0/255 or 1 bit; optional, also for one of the splits only
    init_pt_cld.npz      data [n, 7] = xyz, rgb 0..1, foreground 0/1; optional

The layout's world is y down; ours is z up. The method's own rasterizer uses K with the center of the first pixel at
(0.5, 0.5): its projection matrix takes 2 cx / w and its viewport maps -1 to pixel -0.5, counting centers from 0. That
is our convention, so K is read unchanged.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from scenes.fields import camera_name, inside, read_object
from scenes.pictures import check_picture_file, decode_all, read_image, read_mask
from scenes.recording import Recording
from scenes.shots import as_recorded, natural
from warpgs.checks import check_camera, check_masks_not_empty, check_point_cloud, check_timesteps, refuse, sentence
from warpgs.files import read_npz
from warpgs.types import Camera, Frame, GroundTruth, PointCloud, Scene, Split

META_FILES: dict[Split, str] = {"train": "train_meta.json", "test": "test_meta.json"}
WORLD_FROM_SOURCE = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""Right-handed y down to right-handed z up: x stays, z becomes y, -y becomes z."""
FPS = 30.0
MOST_UNPACKED, SMALL_BYTES = 20, 2**20
"""A cloud that unpacks into more than so many times its file is not unpacked, unless it is small. Clouds of numbers
that mean something shrink to a third."""


@dataclass(frozen=True)
class PanopticScene(Scene):
    """PanopticSports folder: train_meta.json, ims/ and, where present, test_meta.json, seg/, init_pt_cld.npz."""

    root: Path
    """The folder."""
    use_cloud: bool = True
    """False starts without init_pt_cld.npz even where the folder has one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        test, count = self._meta("test"), self.timestep_count
        if test is not None and test.timestep_count != count:
            rule = f"as many timesteps as {META_FILES['train']} ({count})"
            refuse(test.path, rule, test.timestep_count, "rewrite it or remove it")

    @staticmethod
    def recognizes(root: Path) -> bool:
        """True where ``root`` looks like this layout."""
        return (root / META_FILES["train"]).is_file()

    @property
    def name(self) -> str:
        return str(self.root)

    @property
    def layout(self) -> str:
        return "panoptic"

    @property
    def fps(self) -> float:
        return FPS

    @property
    def timestep_count(self) -> int:
        return self._train.timestep_count

    @property
    def source_from_world(self) -> np.ndarray:
        return np.linalg.inv(WORLD_FROM_SOURCE)

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        check_timesteps(self.root, range(timestep, timestep + 1), self.timestep_count)
        meta = self._meta(split)
        return self._as_recorded(meta, split, timestep) if meta is not None else ()

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        cameras = self.cameras(split, timestep)
        images = decode_all(read_image, self._image_paths(split, timestep), cameras)
        masks = self._mask_paths(split, timestep)
        return Frame(
            timestep=timestep,
            time_s=timestep / FPS,
            cameras=cameras,
            images=images,
            masks=None if masks is None else decode_all(read_mask, masks, cameras),
        )

    def point_cloud(self) -> PointCloud | None:
        path = self.root / "init_pt_cld.npz"
        return _read_cloud(path) if self.use_cloud and path.exists() else None

    def ground_truth(self) -> GroundTruth | None:
        return None

    def validate(self, timesteps: range) -> None:
        """Check calibration, cloud and every picture and mask that ``timesteps`` will read.

        The pictures of the first timestep are decoded; of the others the size and the end marker are read.

        Raises:
            ValueError: a wrong value; FileNotFoundError: a missing picture or mask; OSError: a truncated one.
        """
        check_timesteps(self.root, timesteps, self.timestep_count)
        self.point_cloud()
        for split in META_FILES:
            meta = self._meta(split)
            for timestep in timesteps if meta is not None else ():
                for camera in self._as_recorded(meta, split, timestep):
                    check_camera(f"{meta.path}: timestep {timestep}, camera {camera.name}", camera)
                for is_mask, paths in enumerate(
                    (self._image_paths(split, timestep), self._mask_paths(split, timestep))
                ):
                    for path, camera in zip(paths or (), self.cameras(split, timestep), strict=False):
                        check_picture_file(path, camera, is_mask=bool(is_mask))
            if meta is not None and len(timesteps):
                check_masks_not_empty(self.root / "seg", self.frame(timesteps[0], split))

    @cached_property
    def _train(self) -> _Meta:
        return _read_meta(self.root / META_FILES["train"])

    @cached_property
    def _test(self) -> _Meta | None:
        path = self.root / META_FILES["test"]
        return _read_meta(path) if path.exists() else None

    def _meta(self, split: Split) -> _Meta | None:
        return self._train if split == "train" else self._test

    @cached_property
    def _recording(self) -> Recording:
        metas = filter(None, (self._train, self._test))
        names = {name for meta in metas for row in meta.camera_names for name in row}
        return Recording.of(self.root, sorted(names, key=natural))

    def _as_recorded(self, meta: _Meta, split: Split, timestep: int) -> tuple[Camera, ...]:
        paths = self._image_paths(split, timestep)
        cameras = zip(meta.cameras(timestep), paths, strict=True)
        return tuple(as_recorded(self._recording, camera, path) for camera, path in cameras)

    def _image_paths(self, split: Split, timestep: int) -> list[Path]:
        meta = self._meta(split)
        return [] if meta is None else [self.root / "ims" / name for name in meta.file_names[timestep]]

    def _mask_paths(self, split: Split, timestep: int) -> list[Path] | None:
        """Where the masks are, None where the split has none: not one camera with a folder of masks."""
        meta = self._meta(split)
        if meta is None:
            return None
        paths = [(self.root / "seg" / name).with_suffix(".png") for name in meta.file_names[timestep]]
        return paths if any(path.parent.is_dir() for path in paths) else None


@dataclass(frozen=True, eq=False)
class _Meta:
    """One parsed calibration file: shapes are checked, values are not."""

    path: Path
    width: int
    height: int
    intrinsics: tuple[np.ndarray, ...]
    """Per timestep, shape [c, 3, 3]."""
    camera_from_source: tuple[np.ndarray, ...]
    """Per timestep, shape [c, 4, 4]."""
    file_names: tuple[tuple[str, ...], ...]
    camera_names: tuple[tuple[str, ...], ...]

    @property
    def timestep_count(self) -> int:
        return len(self.file_names)

    def cameras(self, timestep: int) -> tuple[Camera, ...]:
        calibrated = zip(
            self.camera_names[timestep], self.intrinsics[timestep], self.camera_from_source[timestep], strict=True
        )
        cameras = []
        for name, intrinsics, camera_from_source in calibrated:
            what = f"{self.path}: timestep {timestep}, camera {name}"
            _check_matrices(what, intrinsics, camera_from_source)
            world_from_camera = WORLD_FROM_SOURCE @ np.linalg.inv(camera_from_source)
            cameras.append(Camera(name, self.width, self.height, intrinsics, world_from_camera))
        return tuple(cameras)


def _check_matrices(what: str, intrinsics: np.ndarray, camera_from_source: np.ndarray) -> None:
    """Refuse what cannot be inverted or is no pinhole; ``check_camera`` judges the rest."""
    if not (np.isfinite(intrinsics).all() and np.isfinite(camera_from_source).all()):
        refuse(f"{what}: k and w2c", "finite numbers", "NaN or infinity", "re-run the calibration")
    shape = intrinsics * [[0, 1, 0], [1, 0, 0], [1, 1, 1]]
    if np.abs(shape - np.diag([0.0, 0.0, 1.0])).max() > 1e-6:
        got = intrinsics.tolist()
        refuse(f"{what}: k", "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]", got, "undistort to a pinhole without skew")
    rotation = camera_from_source[:3, :3]
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if error > 1e-3 or np.linalg.det(rotation) < 0.0 or not np.array_equal(camera_from_source[3], [0, 0, 0, 1]):
        last = camera_from_source[3].tolist()
        got = f"|R R^T - I| = {error:.3g}, det R = {np.linalg.det(rotation):.3g}, last row {last}"
        refuse(
            f"{what}: w2c", "a rigid transform with an orthonormal rotation", got, "store OpenCV world-to-camera poses"
        )


def _read_meta(path: Path) -> _Meta:
    """Parse a calibration file and check its fields and counts."""
    fields = read_object(path)
    missing = [key for key in ("w", "h", "k", "w2c", "fn", "cam_id") if key not in fields]
    if missing:
        refuse(path, "the fields w, h, k, w2c, fn, cam_id", "none named " + ", ".join(missing), "export the file again")
    for key in ("w", "h"):
        if not isinstance(fields[key], int) or fields[key] < 1:
            refuse(f"{path}: {key}", "a positive whole number [px]", repr(fields[key]))
    _check_counts(path, fields)
    return _Meta(
        path=path,
        width=fields["w"],
        height=fields["h"],
        intrinsics=_matrices(path, "k", fields["k"], (3, 3)),
        camera_from_source=_matrices(path, "w2c", fields["w2c"], (4, 4)),
        file_names=tuple(tuple(inside(f"{path}: fn", name, "ims/") for name in row) for row in fields["fn"]),
        camera_names=tuple(tuple(camera_name(f"{path}: cam_id", name) for name in row) for row in fields["cam_id"]),
    )


def _check_counts(path: Path, fields: dict) -> None:
    """Refuse fields that disagree on the number of timesteps or of cameras."""
    remedy = "export the file again with one entry per picture"
    for key in ("fn", "k", "w2c", "cam_id"):
        if not isinstance(fields[key], list) or not all(isinstance(row, list) for row in fields[key]):
            refuse(f"{path}: {key}", "a list per timestep", type(fields[key]).__name__, remedy)
        if len(fields[key]) != len(fields["fn"]):
            refuse(f"{path}: {key}", f"as many timesteps as fn ({len(fields['fn'])})", len(fields[key]), remedy)
        for t, (row, names) in enumerate(zip(fields[key], fields["fn"], strict=True)):
            if len(row) != len(names):
                rule = f"as many cameras as pictures in fn ({len(names)})"
                refuse(f"{path}: {key}, timestep {t}", rule, len(row), remedy)
    if not fields["fn"] or not all(fields["fn"]):
        refuse(f"{path}: fn", "at least one timestep, each with at least one picture", "none", remedy)
    for t, row in enumerate(fields["cam_id"]):
        if len(set(map(str, row))) != len(row):
            refuse(f"{path}: cam_id, timestep {t}", "a different id for each camera", row, "rename the cameras")


def _matrices(path: Path, key: str, rows: list, shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
    stacks = []
    for t, row in enumerate(rows):
        try:
            stack = np.array(row, dtype=np.float64)
        except (ValueError, TypeError, OverflowError) as error:
            rule = f"{shape[0]}x{shape[1]} matrices of numbers"
            raise ValueError(sentence(f"{path}: {key}, timestep {t}", rule, error, "export the file again")) from error
        if stack.shape != (len(row), *shape):
            rule = f"one {shape[0]}x{shape[1]} matrix per camera"
            refuse(f"{path}: {key}, timestep {t}", rule, f"shape {list(stack.shape)}", "export the file again")
        stacks.append(stack)
    return tuple(stacks)


def _read_arrays(path: Path, remedy: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz that does not unpack into more than a cloud can be."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(sentence(path, "an .npz file of plain arrays", str(error).rstrip("."), remedy)) from error
    most = max(SMALL_BYTES, MOST_UNPACKED * path.stat().st_size)
    if unpacked > most:
        refuse(path, f"a cloud of at most {most} bytes", f"{unpacked} once unpacked", remedy)
    return read_npz(path, remedy)


def _read_cloud(path: Path) -> PointCloud:
    """Read and check the starting cloud, turned into the z-up world."""
    remedy = "export the cloud again or remove the file to start without one"
    arrays = _read_arrays(path, remedy)
    if "data" not in arrays:
        raise ValueError(sentence(path, "an array named data", "none", remedy))
    data = arrays["data"]
    if data.ndim != 2 or data.shape[1] not in (6, 7) or data.dtype.kind not in "fiu":
        got = f"{data.dtype} of shape {list(data.shape)}"
        refuse(f"{path}: data", "numbers of shape [n, 7] (xyz, rgb, foreground) or [n, 6]", got, remedy)
    cloud = PointCloud(
        points=(data[:, :3] @ WORLD_FROM_SOURCE[:3, :3].T).astype(np.float32),
        colors=data[:, 3:6].astype(np.float32),
        foreground=data[:, 6] > 0.5 if data.shape[1] == 7 else None,
    )
    check_point_cloud(path, cloud)
    low, high = float(cloud.colors.min()), float(cloud.colors.max())
    if low < -1e-3 or high > 1.0 + 1e-3:
        refuse(f"{path}: colors", "numbers from 0 to 1", f"{low:.4g} to {high:.4g}", "divide 8-bit colors by 255")
    return cloud
