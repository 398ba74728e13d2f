"""Pictures on disk with the cameras that took them: what lies between a calibration file and a frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scenes.pictures import check_picture_file, decode_all, picture_size, read_image, read_mask
from scenes.recording import Recording
from scenes.undistort import Lens, Undistortion
from warpgs.checks import check_camera
from warpgs.types import Camera, Split

HOLD_OUT = 8
"""One of this many cameras is held out."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture and the camera that took it."""

    picture: Path
    mask: Path | None
    camera: Camera
    """The pinhole that remains when the distortion is removed."""
    undistortion: Undistortion | None
    """None where there is nothing to remove."""
    held_out: bool
    """Whether the recording itself names the picture as one of its test."""
    depth: Path | None = None
    """A depth image that lies on the picture, where there is one."""

    @property
    def taken(self) -> Camera:
        """The camera of the file on disk."""
        return self.camera if self.undistortion is None else self.undistortion.taken


class Lenses:
    """Makes pinholes of cameras behind a lens; equal calibrations share one, since finding it takes a while."""

    def __init__(self) -> None:
        self._known: dict[tuple, Undistortion] = {}

    def undistortion(self, what: str, taken: Camera, lens: Lens) -> Undistortion | None:
        """What removes the distortion, None where the lens has none; ``what`` names the calibration in errors."""
        if lens.is_pinhole:
            return None
        key = (taken.width, taken.height, taken.intrinsics.tobytes(), lens)
        if key not in self._known:
            self._known[key] = Undistortion(replace(taken, name=what), lens)
        return self._known[key]


def pinhole(taken: Camera, undistortion: Undistortion | None) -> Camera:
    """The camera of the pictures once they are undistorted, with the name and the pose of the one that took them."""
    return taken if undistortion is None else replace(taken, intrinsics=undistortion.camera.intrinsics)


def as_recorded(recording: Recording, calibrated: Camera, picture: Path, *, checked: bool = True) -> Camera:
    """The camera of a picture as it is; its header is read only where its size may be another than calibrated."""
    size = picture_size(picture) if recording.tells_size(calibrated.name) else (calibrated.width, calibrated.height)
    return recording.camera_of(calibrated, picture, size, checked=checked)


def split_shots(shots: Sequence[Shot], split: Split) -> list[Shot]:
    """Those of one split: what the recording names as its test; else, of at least 8 cameras, every 8th from the
    first."""
    held_out = [shot.held_out for shot in shots]
    if not any(held_out) and len(shots) >= HOLD_OUT:
        held_out = [index % HOLD_OUT == 0 for index in range(len(shots))]
    return [shot for shot, is_test in zip(shots, held_out, strict=True) if is_test == (split == "test")]


def read_images(shots: Sequence[Shot]) -> tuple[np.ndarray, ...]:
    """Undistorted pictures, RGB, uint8, shape [height, width, 3] each."""
    return decode_all(_image, [shot.picture for shot in shots], shots)


def read_masks(shots: Sequence[Shot]) -> tuple[np.ndarray, ...]:
    """Undistorted masks of shots that all have one, uint8, shape [height, width] each."""
    return decode_all(_mask, [shot.mask for shot in shots if shot.mask is not None], shots)


def check_shot(what: object, shot: Shot) -> None:
    """Refuse a camera that cannot be right, and pictures that are missing, of another size or truncated."""
    check_camera(f"{what}: {shot.picture.name}", shot.camera)
    check_picture_file(shot.picture, shot.taken)
    if shot.mask is not None:
        check_picture_file(shot.mask, shot.taken, is_mask=True)


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sorts cam10 after cam9."""
    parts = re.split(r"(\d+)", name)
    # Digits compare by length, then one by one: Python refuses to read numbers of thousands of digits.
    digits = [part.lstrip("0") if part.isdecimal() else None for part in parts]
    return tuple((-1, part) if d is None else (len(d), d) for part, d in zip(parts, digits, strict=True))


def paths_by_name(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files of a folder with one of the suffixes, in the natural order of their names; none where there is no such
    folder."""
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted((p for p in files if p.suffix.lower() in suffixes and p.is_file()), key=lambda p: natural(p.stem))


def _image(path: Path, shot: Shot) -> np.ndarray:
    image = read_image(path, shot.taken)
    return image if shot.undistortion is None else shot.undistortion.resample(image)


def _mask(path: Path, shot: Shot) -> np.ndarray:
    mask = read_mask(path, shot.taken)
    return mask if shot.undistortion is None else shot.undistortion.resample(mask)
