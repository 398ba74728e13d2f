"""Calibrations of several cameras in one file or folder, as other programs write them.

    TOML                anipose, pose2sim, caliscope (aniposelib's form, or its own with [cameras.1])
    .qca.txt            Qualisys Track Manager
    intri.yml extri.yml EasyMocap
    YAML, JSON          OpenCV's FileStorage: a map per camera in one file, or one file per camera

A new one is a file beside this and a line in ``FORMATS``. All but Qualisys state no unit, and none states which way is
up: that is the reader's matter.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scenes.calibration.calibrated import Calibrated, Calibration
from scenes.calibration.opencv import read_easymocap, read_opencv
from scenes.calibration.qualisys import read_qualisys
from scenes.calibration.toml import read_toml
from warpgs.checks import refuse

__all__ = ["FOLDERS", "FORMATS", "Calibrated", "Calibration", "read_calibration"]

FOLDERS = (".", "calibration")
"""Where calibrations are looked for, below the recording."""
MATRIX_WORDS = ("matrix", "Matrix", '"K"', "K:", "mtx")
"""One of these is in every calibration in OpenCV's form."""
Read = Callable[[tuple[Path, ...]], Calibration]
FORMATS: dict[str, tuple[Callable[[Path], bool], Read, bool]] = {
    "Qualisys": (lambda path: path.name.lower().endswith(".qca.txt"), read_qualisys, True),
    "EasyMocap": (lambda path: path.name in ("intri.yml", "extri.yml"), read_easymocap, False),
    "TOML": (lambda path: path.suffix == ".toml" and _says(path, "matrix"), read_toml, True),
    "OpenCV": (
        lambda path: path.suffix in (".yml", ".yaml", ".json") and _says(path, *MATRIX_WORDS),
        read_opencv,
        False,
    ),
}
"""By name: which files belong to one, unless a line above claims them; how they are read; whether a file is a whole
calibration."""


def read_calibration(root: Path) -> Calibration:
    """The one calibration in ``root`` or its folder ``calibration``.

    Raises:
        ValueError: none, several, or a broken one.
    """
    found: list[tuple[Read, tuple[Path, ...]]] = []
    for folder in (root / name for name in FOLDERS):
        files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
        for belongs, read, is_whole in FORMATS.values():
            group = tuple(path for path in files if belongs(path))
            files = [path for path in files if path not in group]
            found += [(read, (path,)) for path in group] if is_whole else [(read, group)] if group else []
    if len(found) != 1:
        rule = f"one calibration beside the videos or in {root / 'calibration'} ({', '.join(FORMATS)})"
        got = " and ".join(str(paths[0].relative_to(root)) for _, paths in found) or "none"
        refuse(root, rule, got, "remove all but one" if found else "copy the calibration there")
    read, paths = found[0]
    return read(paths)


def _says(path: Path, *words: str) -> bool:
    """Whether a file has one of the words that tell a calibration from settings."""
    with path.open("rb") as file:
        text = file.read(65536)
    return any(word.encode() in text for word in words)
