"""What every calibration is turned into, and the fields that OpenCV's users write, by whichever names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from scenes.fields import AGAIN, camera_name, number
from scenes.undistort import COEFFICIENT_COUNTS, Lens, LensModel, check_lens
from warpgs.checks import refuse

LARGEST_FILE = 4 << 20
"""Calibrations are small: a larger file [bytes] is something else."""
CENTER_OF_FIRST_PIXEL = 0.5
"""OpenCV, and what is built on it, counts pixel centers from 0; here they are at 0.5."""
NAMES: dict[str, tuple[str, ...]] = {
    "matrix": ("matrix", "camera_matrix", "cameraMatrix", "K", "mtx"),
    "distortions": ("distortions", "distortion_coefficients", "distCoeffs", "dist", "D"),
    "size": ("size", "image_size", "img_size"),
    "rotation": ("rotation", "Rot", "R", "rvec"),
    "translation": ("translation", "T", "tvec", "t"),
}
"""What a field may be called."""


@dataclass(frozen=True, eq=False)
class Calibrated:
    """One camera as calibrated, in the frame and unit of its file."""

    name: str
    """The file's."""
    size: tuple[int, int] | None
    """Width and height [px] of the pictures that it was calibrated with; None where the file does not say."""
    intrinsics: np.ndarray
    """Behind the lens [px], shape [3, 3], float64; the center of the first pixel is (0.5, 0.5)."""
    lens: Lens
    """What is to be removed."""
    camera_from_source: np.ndarray
    """Rotation and translation [the file's unit], shape [3, 4], float64."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Cameras of one calibration."""

    path: Path
    """The file, to name it in refusals."""
    cameras: tuple[Calibrated, ...]
    """In the order of the file."""
    unit: str | None
    """m, mm, ...; None where the format does not say."""


def make_calibration(path: Path, cameras: Sequence[Calibrated], unit: str | None = None) -> Calibration:
    """A calibration, its names checked."""
    names = [camera.name for camera in cameras]
    if not names:
        refuse(path, "at least one camera with a matrix", "none", AGAIN)
    if len(set(names)) < len(names):
        refuse(f"{path}: name", "a different one for each camera", ", ".join(names)[:200], "rename the cameras")
    return Calibration(path, tuple(cameras), unit)


def camera_from_fields(path: Path, name: object, fields: dict[str, Any]) -> Calibrated:
    """A camera from a map with the fields of ``NAMES``; the pose is OpenCV's: x_camera = R x_world + t."""
    name = camera_name(f"{path}: name of a camera", name)
    what = f"{path}: camera {name}"
    intrinsics = numbers(what, fields, "matrix", (9,)).reshape(3, 3)
    if not np.array_equal(intrinsics[[1, 2, 2, 2], [0, 0, 1, 2]], [0, 0, 0, 1]):
        refuse(f"{what}: matrix", "[[fx, s, cx], [0, fy, cy], [0, 0, 1]]", intrinsics.tolist(), AGAIN)
    intrinsics[:2, 2] += CENTER_OF_FIRST_PIXEL
    rotation = numbers(what, fields, "rotation", (3, 9))
    rotation = cv2.Rodrigues(rotation)[0] if len(rotation) == 3 else rotation.reshape(3, 3)
    translation = numbers(what, fields, "translation", (3,))
    model = "fisheye" if fields.get("fisheye") in (True, 1) or fields.get("model") == "fisheye" else "brown"
    return Calibrated(
        name=name,
        size=_size(what, fields),
        intrinsics=intrinsics,
        lens=make_lens(what, model, numbers(what, fields, "distortions", range(15))),
        camera_from_source=np.column_stack([rotation, translation]),
    )


def numbers(what: str, fields: dict[str, Any], field: str, counts: Sequence[int]) -> np.ndarray:
    """A field as a flat array of ``counts`` finite numbers, whatever its nesting."""
    key = next((name for name in NAMES[field] if name in fields), None)
    if key is None and 0 in counts:
        return np.zeros(0)
    if key is None:
        refuse(what, "a field " + " or ".join(NAMES[field]), "none of them", "calibrate and export it again")
    flat = [number(f"{what}: {key}", value) for value in _leaves(fields[key])]
    if len(flat) not in counts:
        rule = " or ".join(map(str, counts)) if len(counts) < 4 else f"at most {max(counts)}"
        refuse(f"{what}: {key}", f"{rule} numbers", len(flat), AGAIN)
    return np.array(flat, np.float64)


def make_lens(what: str, model: LensModel, coefficients: np.ndarray) -> Lens:
    """A lens with as many coefficients as its model has; what the file leaves out is 0, zeros at its end may go."""
    significant = np.trim_zeros(coefficients, "b")
    count = next((count for count in COEFFICIENT_COUNTS[model] if count >= len(significant)), len(significant))
    lens = Lens(model, tuple(np.pad(significant, (0, count - len(significant))).tolist()))
    check_lens(what, lens)
    return lens


def side(what: str, value: object) -> int:
    """A picture's width or height [px]; anipose writes whole numbers as floats."""
    length = number(what, value)
    if length < 1.0 or length != int(length) or length > 1e5:
        refuse(what, "a positive whole number [px]", length, AGAIN)
    return int(length)


def _size(what: str, fields: dict[str, Any]) -> tuple[int, int] | None:
    if "image_width" in fields:
        return side(f"{what}: image_width", fields["image_width"]), side(
            f"{what}: image_height", fields.get("image_height")
        )
    if not any(name in fields for name in NAMES["size"]):
        return None
    width, height = numbers(what, fields, "size", (2,))
    return side(f"{what}: size", float(width)), side(f"{what}: size", float(height))


def _leaves(value: object) -> list[object]:
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, list) else [value]


def read_text(path: Path) -> str:
    """A calibration file as text.

    Raises:
        ValueError: too large, or no text.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE:
        refuse(path, f"a calibration of at most {LARGEST_FILE} bytes", size, "copy the right file")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        refuse(path, "text in UTF-8", error, AGAIN)
