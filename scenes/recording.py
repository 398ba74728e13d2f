"""What the files of a recording do not say: ``recording.toml`` beside them, whatever their layout.

    scale = 0.5             size of the pictures relative to those that were calibrated, of all cameras; or
    [scale]                 of some
    cam02 = 0.5
    crop_px = [4, 0]        columns and rows cut away on the left and at the top, before scaling, of all cameras; or
    [crop_px]               of some; what is cut away on the right and at the bottom follows from the size
    cam01 = [4, 0]
    [turn_deg]              a rotation vector in the camera's frame (x right, y down, z forward) by which a camera
    cam01 = [0.1, -0.9, 0]  was turned since it was calibrated; `warpgs inspect` estimates it from masks

Every line is optional. Videos take more lines, see ``scenes.videos``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scenes.calibration.toml import read_tables
from scenes.fields import number
from warpgs.checks import refuse
from warpgs.types import Camera

FILE = "recording.toml"
FIELDS = ("scale", "crop_px", "turn_deg")
"""What every layout takes."""
FOR_ALL = ("scale", "crop_px")
"""What may be said of all cameras at once."""


@dataclass(frozen=True)
class Recording:
    """The file, its names checked; without one nothing is said."""

    path: Path
    fields: dict[str, Any]
    cameras: tuple[str, ...]
    """Names of all cameras of the recording."""

    @staticmethod
    def of(root: Path, cameras: Sequence[str], more: Sequence[str] = ()) -> Recording:
        """``recording.toml`` in ``root``, which may have the fields ``more``, too."""
        path, known = root / FILE, (*FIELDS, *more)
        fields = read_tables(path) if path.exists() else {}
        unknown = sorted(fields.keys() - set(known))
        if unknown:
            refuse(path, "the fields " + ", ".join(known), ", ".join(unknown), "correct or remove it")
        return Recording(path, fields, tuple(cameras))

    def numbers(self, field: str, camera: str, count: int) -> tuple[float, ...] | None:
        """``count`` numbers that are given for a camera, None where none are."""
        what, given = f"{self.path}: {field}", self.fields.get(field, {})
        if field in FOR_ALL and not isinstance(given, dict):
            given = dict.fromkeys(self.cameras, given)
        if not isinstance(given, dict) or not given.keys() <= set(self.cameras):
            got = ", ".join(given) if isinstance(given, dict) else repr(given)
            refuse(what, "a table of cameras among " + ", ".join(self.cameras)[:400], got[:80], "correct the names")
        if camera not in given:
            return None
        stated: Any = given[camera]
        values = stated if isinstance(stated, list) else [stated]
        if len(values) != count:
            refuse(f"{what} of {camera}", f"{count} numbers", len(values))
        return tuple(number(f"{what} of {camera}", value) for value in values)

    def tells_size(self, camera: str) -> bool:
        """Whether pictures of a camera may have another size than its calibration says."""
        return any(
            field in self.fields and self.numbers(field, camera, n) for field, n in (("scale", 1), ("crop_px", 2))
        )

    def camera_of(self, calibrated: Camera, path: Path, size: tuple[int, int], *, checked: bool = True) -> Camera:
        """The camera of pictures as they are: cut, scaled and turned since it was calibrated.

        Args:
            calibrated: As the files say.
            path: Of a picture or a video, to name in refusals.
            size: Width and height of it [px].
            checked: False where the files do not say of which size pictures were calibrated.

        Raises:
            ValueError: another size than the calibration's, not or wrongly explained.
        """
        name, turn = calibrated.name, self.numbers("turn_deg", calibrated.name, 3)
        scale, crop = (self.numbers("scale", name, 1) or (1.0,))[0], self.numbers("crop_px", name, 2)
        if scale <= 0.0:
            refuse(f"{self.path}: scale of {name}", "a positive number", scale, "state picture / calibration")
        if checked:
            _check_size(calibrated, path, size, scale, crop)
        intrinsics = calibrated.intrinsics.copy()
        intrinsics[:2, 2] -= crop or (0.0, 0.0)
        intrinsics[:2] *= scale
        camera = replace(calibrated, width=size[0], height=size[1], intrinsics=intrinsics)
        return camera if turn is None else camera.turned(np.radians(turn))


def _check_size(
    calibrated: Camera, path: Path, size: tuple[int, int], scale: float, given: Sequence[float] | None
) -> None:
    """Refuse pictures of another size than their calibration, telling what could be the reason."""
    crop = given or (0.0, 0.0)
    room = [scale * (side - cut) for side, cut in zip((calibrated.width, calibrated.height), crop, strict=True)]
    # What is cut away on the right and at the bottom changes no calibration.
    slack = [r - s for s, r in zip(size, room, strict=True)]
    if min(crop) >= 0.0 and min(slack) >= -0.5 and (given is not None or max(slack) <= 0.5):
        return
    said = "" if scale == 1.0 and given is None else f" (with scale {scale:g} and crop_px {list(crop)} of {FILE})"
    refuse_size(path, calibrated, size, said)


def refuse_size(path: Path, calibrated: Camera, size: tuple[int, int], said: str = "") -> None:
    """Refuse a picture of another size than its calibration, with what may have happened to it and how to say so."""
    rule = f"{calibrated.width}x{calibrated.height} pixels, as camera {calibrated.name} was calibrated{said}"
    refuse(path, rule, "{}x{}".format(*size), _size_remedy(calibrated, size))


def _size_remedy(calibrated: Camera, size: tuple[int, int]) -> str:
    if size == (calibrated.height, calibrated.width):
        return "turn it as it was when it was calibrated"
    bare = re.fullmatch(r"[\w-]+", calibrated.name, re.ASCII)
    name, known = calibrated.name if bare else json.dumps(calibrated.name), (calibrated.width, calibrated.height)
    if size == known:
        return f"these pictures were neither resized nor cut: take {name} out of [scale] and [crop_px]"
    ratio = size[0] / known[0]
    if abs(ratio - size[1] / known[1]) * min(known) < 0.5:
        return (
            f"if it was resized, write into {FILE}: [scale] {name} = {ratio:.6g}, or scale = {ratio:.6g} if all were; "
            f"--image-scale comes after that"
        )
    wide, high = (c - g for c, g in zip(known, size, strict=True))
    if min(wide, high) < 0:
        return f"if it was padded, cut it with ffmpeg -vf crop={min(known[0], size[0])}:{min(known[1], size[1])}"
    return (
        f"if {wide} columns and {high} rows were cut away, write into {FILE} how many of them on the left and at the "
        f"top: [crop_px] {name} = [{wide // 2}, {high // 2}] for both sides alike, [0, 0] for "
        f"right and bottom; if it was squeezed, calibrate again"
    )
