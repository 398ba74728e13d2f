"""TOML of aniposelib, which pose2sim and caliscope write, too; and caliscope's own camera_array.toml.

    [cam_0] name, size, matrix, distortions, rotation, translation, fisheye      anipose, pose2sim, caliscope's export
    [cameras.1] cam_id, size, matrix, ..., ignore                                caliscope

The rotation is a vector (older caliscope: a matrix); the pose is OpenCV's, camera from world. anipose's unit is that of
its board, pose2sim and caliscope write metres: no file says so. ``[metadata] unit`` is read where there is one.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from scenes.calibration.calibrated import Calibration, camera_from_fields, make_calibration, read_text
from scenes.fields import AGAIN
from warpgs.checks import refuse


def read_toml(paths: tuple[Path, ...]) -> Calibration:
    """A TOML file of calibrated cameras."""
    (path,) = paths
    tables = read_tables(path)
    own = tables.get("cameras")
    if isinstance(own, dict):
        entries = {f"cam_{key}": table for key, table in own.items() if isinstance(table, dict)}
        entries = {key: table for key, table in entries.items() if table.get("ignore") is not True}
    else:
        entries = {k: table for k, table in tables.items() if isinstance(table, dict) and k != "metadata"}
    cameras = [camera_from_fields(path, table.get("name", key), table) for key, table in entries.items()]
    metadata = tables.get("metadata")
    unit = metadata.get("unit") if isinstance(metadata, dict) else None
    return make_calibration(path, cameras, unit)


def read_tables(path: Path) -> dict[str, Any]:
    """A TOML file."""
    try:
        return tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        refuse(path, "valid TOML", error, AGAIN)
