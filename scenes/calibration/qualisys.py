"""Qualisys Track Manager's ``.qca.txt``: XML, millimetres, z up as the operator set it.

Focal lengths and centers are in 1/64 pixel of the sensor, counted from the center of its first pixel; the video is the
part of the sensor in ``fov_video``. Distortion coefficients are numbers, not in 1/64, and OpenCV's: k1 k2 p1 p2 k3. The
matrix r11..r33 is camera from world of a camera with y up that looks along -z; x, y, z is where the camera stands.
Marker cameras are in the same file: those without a video are left out by the reader.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from scenes.calibration.calibrated import (
    CENTER_OF_FIRST_PIXEL,
    Calibrated,
    Calibration,
    make_calibration,
    make_lens,
    read_text,
    side,
)
from scenes.fields import AGAIN, camera_name, number
from warpgs.checks import refuse

SUBPIXELS = 64.0
OPENCV_FROM_QUALISYS = np.diag([1.0, -1.0, -1.0])
COEFFICIENTS = (
    *("radialDistortion1", "radialDistortion2", "tangentalDistortion1", "tangentalDistortion2", "radialDistortion3"),
)
"""In OpenCV's order; Qualisys writes tangental."""


def read_qualisys(paths: tuple[Path, ...]) -> Calibration:
    """A .qca.txt file."""
    (path,) = paths
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        refuse(path, "plain XML", "entity definitions", AGAIN)
    try:
        root = ElementTree.fromstring(text.encode().replace(b"encoding='ASCII'", b"").replace(b'encoding="ASCII"', b""))
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        refuse(path, "XML", error, AGAIN)
    cameras = [_camera(path, camera) for camera in root.iterfind("cameras/camera")]
    return make_calibration(path, cameras, unit="mm")


def _camera(path: Path, camera: ElementTree.Element) -> Calibrated:
    name = camera_name(f"{path}: serial of a camera", camera.get("serial"))
    what = f"{path}: camera {name}"
    left, top, right, bottom = (_number(what, camera, "fov_video", key) for key in ("left", "top", "right", "bottom"))
    fu, fv, cu, cv = (
        _number(what, camera, "intrinsic", key) / SUBPIXELS
        for key in ("focalLengthU", "focalLengthV", "centerPointU", "centerPointV")
    )
    skew = _number(what, camera, "intrinsic", "skew", 0.0) / SUBPIXELS
    coefficients = [_number(what, camera, "intrinsic", key, 0.0) for key in COEFFICIENTS]
    rows = [[_number(what, camera, "transform", f"r{i}{j}") for j in (1, 2, 3)] for i in (1, 2, 3)]
    center = np.array([_number(what, camera, "transform", key) for key in "xyz"])
    rotation = OPENCV_FROM_QUALISYS @ np.array(rows)
    shift = CENTER_OF_FIRST_PIXEL
    return Calibrated(
        name=name,
        size=(side(f"{what}: fov_video", right - left + 1.0), side(f"{what}: fov_video", bottom - top + 1.0)),
        intrinsics=np.array([[fu, skew, cu - left + shift], [0.0, fv, cv - top + shift], [0.0, 0.0, 1.0]]),
        lens=make_lens(what, "brown", np.array(coefficients)),
        camera_from_source=np.column_stack([rotation, -rotation @ center]),
    )


def _number(what: str, camera: ElementTree.Element, tag: str, key: str, otherwise: float | None = None) -> float:
    """An attribute of an element below a camera."""
    element = camera.find(tag)
    text = None if element is None else element.get(key)
    if text is None and otherwise is not None:
        return otherwise
    try:
        return number(f"{what}: {tag} {key}", float(text or ""))
    except ValueError:
        refuse(f"{what}: {tag} {key}", "a finite number", repr(text)[:40], AGAIN)
