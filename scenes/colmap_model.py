"""Sparse models of COLMAP on disk: cameras, images and points3D, as .bin or as .txt.

Counts in binary files are compared with the size of the file before anything is allocated; what pictures observe and
the tracks of points are skipped.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NoReturn

import numpy as np

from scenes.fields import AGAIN, inside
from warpgs.checks import refuse, sentence

MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
    11: ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
}
"""Camera models and the number of their parameters, by COLMAP's own number."""
PARAMETER_COUNTS = dict(MODELS.values())
KINDS = (".bin", ".txt")
"""Suffixes, the preferred one first, as in COLMAP's own programs."""
LONGEST_NAME = 4096
SMALLEST_IMAGE, SMALLEST_POINT = 73, 51
"""Bytes of a picture without a name that observes nothing, and of a point without a track."""


@dataclass(frozen=True)
class StoredCamera:
    """Intrinsics as COLMAP stores them."""

    model: str
    width: int
    height: int
    parameters: tuple[float, ...]


@dataclass(frozen=True)
class StoredImage:
    """A registered picture."""

    name: str
    """Relative to the folder of the pictures."""
    camera_id: int
    rotation_wxyz: tuple[float, ...]
    """Camera from world."""
    translation: tuple[float, ...]
    """Camera from world."""


def has_model(folder: Path) -> bool:
    """True where a folder has cameras and images of one kind."""
    return any(all((folder / f"{part}{suffix}").is_file() for part in ("cameras", "images")) for suffix in KINDS)


def stored_cameras(folder: Path) -> dict[int, StoredCamera]:
    """Cameras by their ids."""
    path = _file(folder, "cameras")
    return dict(_each(path, _cameras_bin if path.suffix == ".bin" else _cameras_txt))


def stored_images(folder: Path) -> list[StoredImage]:
    """Registered pictures, in the order of the file."""
    path = _file(folder, "images")
    images = list(_each(path, _images_bin if path.suffix == ".bin" else _images_txt))
    if not images:
        refuse(path, "at least one registered picture", "none", "run COLMAP's mapper")
    if len({image.name for image in images}) < len(images):
        refuse(path, "a name of its own for each picture", "one that occurs twice", AGAIN)
    return images


def stored_points(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Positions, shape [n, 3], float64, and colors 0..255, shape [n, 3]; None where the model has no points."""
    path = folder / f"points3D{_file(folder, 'cameras').suffix}"
    if not path.is_file():
        return None
    points = _each(path, _points_bin if path.suffix == ".bin" else _points_txt)
    rows = np.fromiter(chain.from_iterable(points), np.float64).reshape(-1, 6)
    return (rows[:, :3], rows[:, 3:]) if len(rows) else None


def _file(folder: Path, part: str) -> Path:
    suffix = next(suffix for suffix in KINDS if all((folder / f"{p}{suffix}").is_file() for p in ("cameras", "images")))
    return folder / f"{part}{suffix}"


def _each(path: Path, read: Callable[[Path], Iterator]) -> Iterator:
    """What ``read`` yields, its errors as sentences that name the file."""
    try:
        yield from read(path)
    except UnicodeDecodeError as error:
        raise ValueError(sentence(path, "UTF-8 text", error, AGAIN)) from error
    except _BrokenError as error:
        raise ValueError(sentence(path, *error.args, AGAIN)) from error


class _BrokenError(Exception):
    """A rule and what is there instead."""


def _broken(rule: str, got: object) -> NoReturn:
    raise _BrokenError(rule, str(got)[:60])


def _finite(what: str, values: tuple[float, ...]) -> tuple[float, ...]:
    if not all(map(math.isfinite, values)):
        _broken(f"finite numbers as {what}", values)
    return values


# Binary, little-endian


class _Bytes:
    """A file read from front to back, never beyond its end."""

    def __init__(self, content: mmap.mmap | bytes) -> None:
        self._content = content
        self._at = 0

    def take(self, form: str) -> tuple:
        """Numbers as ``struct`` names them, without padding."""
        try:
            values = struct.unpack_from("<" + form, self._content, self._at)
        except struct.error:
            _broken("a whole file", f"its end after {len(self._content)} bytes")
        self._at += struct.calcsize("<" + form)
        return values

    def skip(self, count: int, size: int) -> None:
        """``count`` records of ``size`` bytes."""
        if count * size > len(self._content) - self._at:
            _broken("a whole file", f"{count} records announced in {len(self._content) - self._at} bytes")
        self._at += count * size

    def name(self) -> str:
        """Text up to a zero byte."""
        end = self._content.find(b"\0", self._at, self._at + LONGEST_NAME)
        if end < 0:
            _broken(f"a name of less than {LONGEST_NAME} bytes", "no end of it")
        name = self._content[self._at : end].decode()
        self._at = end + 1
        return name

    def count(self, smallest: int) -> int:
        """How many records of at least ``smallest`` bytes follow."""
        (count,) = self.take("Q")
        if count * smallest > len(self._content) - self._at:
            _broken("a whole file", f"{count} records announced in {len(self._content) - self._at} bytes")
        return count


def _open(path: Path) -> _Bytes:
    with path.open("rb") as file:
        # An empty file cannot be mapped.
        return _Bytes(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b"")


def _cameras_bin(path: Path) -> Iterator[tuple[int, StoredCamera]]:
    content = _open(path)
    for _ in range(content.count(smallest=24)):
        camera_id, model, width, height = content.take("IiQQ")
        if model not in MODELS:
            _broken("a camera model of COLMAP", f"number {model}")
        name, count = MODELS[model]
        yield camera_id, StoredCamera(name, width, height, _finite("parameters", content.take(f"{count}d")))


def _images_bin(path: Path) -> Iterator[StoredImage]:
    content = _open(path)
    for _ in range(content.count(SMALLEST_IMAGE)):
        _, *pose, camera_id = content.take("I7dI")
        name = content.name()
        yield _image(name, camera_id, tuple(pose))
        (observed,) = content.take("Q")
        content.skip(observed, 24)


def _points_bin(path: Path) -> Iterator[tuple[float, ...]]:
    content = _open(path)
    for _ in range(content.count(SMALLEST_POINT)):
        _, *point, _, length = content.take("Q3d3BdQ")
        content.skip(length, 8)
        yield _finite("a point", tuple(point))


# Text


def _lines(path: Path) -> Iterator[list[str]]:
    """Fields of every line that is no comment; an empty line has none."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                yield line.split()


def _cameras_txt(path: Path) -> Iterator[tuple[int, StoredCamera]]:
    for fields in filter(None, _lines(path)):
        if len(fields) < 4 or PARAMETER_COUNTS.get(fields[1]) != len(fields) - 4:
            _broken("CAMERA_ID MODEL WIDTH HEIGHT and the parameters of that model", " ".join(fields[:20]))
        width, height = _whole(fields[2]), _whole(fields[3])
        yield _whole(fields[0]), StoredCamera(fields[1], width, height, _numbers("parameters", fields[4:]))


def _images_txt(path: Path) -> Iterator[StoredImage]:
    # Each picture has two lines, the second of which lists what it observes, perhaps nothing.
    lines = _lines(path)
    for fields in lines:
        if not fields:
            continue
        if len(fields) < 10:
            _broken("IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME", " ".join(fields))
        yield _image(" ".join(fields[9:]), _whole(fields[8]), _numbers("a pose", fields[1:8]))
        next(lines, None)


def _points_txt(path: Path) -> Iterator[tuple[float, ...]]:
    for fields in filter(None, _lines(path)):
        if len(fields) < 8:
            _broken("POINT3D_ID X Y Z R G B ERROR and a track", " ".join(fields))
        yield _numbers("a point", fields[1:7])


def _image(name: str, camera_id: int, pose: tuple[float, ...]) -> StoredImage:
    _finite("a pose", pose)
    if abs(math.hypot(*pose[:4]) - 1.0) > 1e-3:
        _broken("a unit quaternion QW QX QY QZ", pose[:4])
    return StoredImage(inside("NAME in images", name, "the pictures"), camera_id, pose[:4], pose[4:])


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        _broken("whole numbers as ids and sizes", repr(text[:40]))
    return int(text)


def _numbers(what: str, fields: list[str]) -> tuple[float, ...]:
    try:
        return _finite(what, tuple(map(float, fields)))
    except ValueError as error:
        raise _BrokenError(f"numbers as {what}", str(error)[:60]) from error
