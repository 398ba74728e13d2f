"""The path of each part for other programs: CSV, TUM, and a summary."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from warpgs.bodies.parts import Parts
from warpgs.checks import check_absent
from warpgs.files import whole_file
from warpgs.types import Tracks

COLUMNS = ("time_s", "timestep", "x", "y", "z", "qw", "qx", "qy", "qz", "residual_m")


def write_trajectories(folder: Path, tracks: Tracks, parts: Parts, *, overwrite: bool = False) -> list[Path]:
    """Write world_from_part of each part since its birth as NAME.csv and NAME.tum, and ``summary.json``.

    A line of a .tum file is ``time_s x y z qx qy qz qw``, as tools for odometry read it.

    Raises:
        FileExistsError: a file exists and ``overwrite`` is False.
    """
    files = [folder / f"{name}{suffix}" for name in parts.names for suffix in (".csv", ".tum")]
    files.append(folder / "summary.json")
    for file in files:
        check_absent(file, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    for part, name in enumerate(parts.names):
        _write_part(folder / name, tracks, parts, part)
    with whole_file(files[-1]) as temporary:
        content = {"fps": tracks.fps, "parts": [summary(tracks, parts, part) for part in range(len(parts))]}
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return files


def summary(tracks: Tracks, parts: Parts, part: int) -> dict[str, Any]:
    """What there is to say about a part in numbers; lengths in metres."""
    first, members = int(parts.birth[part]), parts.members(part)
    positions = parts.world_from_part[first:, part, :3, 3]
    residual = parts.residual[first:, part]
    return {
        "name": parts.names[part],
        "particles": len(members),
        "birth_timestep": tracks.timesteps[first],
        "size_m": np.ptp(tracks.means[first, members].astype(np.float64), axis=0).tolist(),
        "path_m": float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum()),
        "residual_median_m": float(np.median(residual)),
        "residual_max_m": float(residual.max()),
    }


def _write_part(stem: Path, tracks: Tracks, parts: Parts, part: int) -> None:
    first = int(parts.birth[part])
    poses, residual = parts.world_from_part[first:, part], parts.residual[first:, part]
    timesteps = tracks.timesteps[first:]
    quaternions = Rotation.from_matrix(poses[:, :3, :3]).as_quat(canonical=True, scalar_first=True)
    rows = []
    for timestep, pose, q, miss in zip(timesteps, poses, quaternions, residual, strict=True):
        rows.append([f"{timestep / tracks.fps:.9g}", timestep, *(f"{v:.9f}" for v in (*pose[:3, 3], *q, miss))])
    with whole_file(stem.with_suffix(".csv")) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS, *rows])
    lines = [" ".join([row[0], *row[2:5], *row[6:9], row[5]]) + "\n" for row in rows]
    with whole_file(stem.with_suffix(".tum")) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
