"""Queries from CSV, and paths to CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from warpgs.checks import refuse
from warpgs.query.paths import Paths, PixelQuery, PointQuery, Query, Sights

PIXEL_COLUMNS = ("camera", "timestep", "x", "y")
POINT_COLUMNS = ("x", "y", "z")
PATH_COLUMNS = ("query", "timestep", "time_s", "x", "y", "z", "qw", "qx", "qy", "qz", "particle", "assigned")
JUDGED_COLUMNS = ("confidence", "visibility")
"""Where the run says how far it can be trusted."""
SIGHT_COLUMNS = ("camera", "x_px", "y_px", "depth", "visible")


def read_queries(path: Path) -> list[Query]:
    """Queries of a CSV file whose first line names its columns.

    A row with a ``camera`` is a pixel (camera, timestep, x, y); one without is a point (x, y, z, and timestep where it
    is not the first of the run).

    Raises:
        FileNotFoundError, ValueError: no file, missing columns, or a cell that is no number; names the line.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        columns = rows.fieldnames or []
        if not any(set(wanted) <= set(columns) for wanted in (PIXEL_COLUMNS, POINT_COLUMNS)):
            rule = f"columns {','.join(PIXEL_COLUMNS)} or {','.join(POINT_COLUMNS)} in the first line"
            refuse(path, rule, ",".join(columns) or "none")
        return [_parse(f"{path}, line {rows.line_num}", row) for row in rows]


def write_paths(file: TextIO, paths: Paths, sights: Mapping[str, Sights]) -> None:
    """One row for each query and instant, and for each camera where there are any.

    Args:
        file: Where to write.
        paths: What to write.
        sights: How each camera sees the paths, by its name.
    """
    judged = {name: getattr(paths, name) for name in JUDGED_COLUMNS if getattr(paths, name) is not None}
    head = [*PATH_COLUMNS, *judged, *(SIGHT_COLUMNS if sights else [])]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    for number in range(len(paths.particle)):
        for index in range(len(paths.timesteps)):
            row = _path_cells(paths, number, index)
            row += [f"{shares[index, number]:.4f}" for shares in judged.values()]
            writer.writerows([*row, *cells] for cells in _sight_cells(sights, number, index))


def write_tum(file: TextIO, paths: Paths, number: int) -> None:
    """The path of one query as tools for odometry read it: ``time_s x y z qx qy qz qw``, a line for each instant."""
    for time_s, position, (w, x, y, z) in zip(
        paths.time_s, paths.positions[:, number], paths.rotations_wxyz[:, number], strict=True
    ):
        file.write(" ".join([f"{time_s:.9g}", *(f"{value:.9f}" for value in (*position, x, y, z, w))]) + "\n")


def _path_cells(paths: Paths, number: int, index: int) -> list[Any]:
    pose = [*paths.positions[index, number], *paths.rotations_wxyz[index, number]]
    return [
        number,
        paths.timesteps[index],
        f"{paths.time_s[index]:.6g}",
        *(f"{value:.6f}" for value in pose),
        paths.particle[number],
        int(paths.assigned[number]),
    ]


def _sight_cells(sights: Mapping[str, Sights], number: int, index: int) -> Iterator[list[Any]]:
    """One list for each camera, a single empty one without cameras; no pixel behind the camera."""
    if not sights:
        yield []
    for name, sight in sights.items():
        depth = sight.depth[index, number]
        pixel = [f"{value:.3f}" for value in sight.points_px[index, number]] if depth > 0.0 else ["", ""]
        yield [name, *pixel, f"{depth:.6f}", int(sight.visible[index, number])]


def _parse(where: str, row: dict[str, str | None]) -> Query:
    if row.get("camera"):
        x, y = (_number(where, row, column) for column in ("x", "y"))
        return PixelQuery(str(row["camera"]), _integer(where, row, "timestep"), x, y)
    x, y, z = (_number(where, row, column) for column in POINT_COLUMNS)
    return PointQuery(x, y, z, _integer(where, row, "timestep") if row.get("timestep") else None)


def _number(where: str, row: dict[str, str | None], column: str) -> float:
    try:
        return float(row.get(column) or "")
    except ValueError:
        refuse(f"{where}: {column}", "a number", repr(row.get(column)))


def _integer(where: str, row: dict[str, str | None], column: str) -> int:
    try:
        return int(row.get(column) or "")
    except ValueError:
        refuse(f"{where}: {column}", "a whole number", repr(row.get(column)))
