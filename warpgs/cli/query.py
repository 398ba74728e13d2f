"""``warpgs query``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional, UseAppendAction

from warpgs.cli.shared import Flag, UsageError, Verb, open_tracks, open_tracks_and_scene

if TYPE_CHECKING:
    from warpgs.query import Paths, Query

Pixels = UseAppendAction[tuple[tuple[str, int, float, float], ...]]
Points = UseAppendAction[tuple[tuple[float, float, float], ...]]


@dataclass(frozen=True)
class AskPaths:
    """Ask where points go: the 6-DOF path of a pixel or of a position through all timesteps, as CSV or TUM.

    A pixel is lifted to the surface that shows there; the center of the first pixel of a picture is 0.5 0.5. Rotations
    (w, x, y, z) are since the instant of the query. With --cameras each row also says where a camera sees the point and
    whether something stands in front. A point that belongs to no particle is marked (assigned 0) and carried all the
    same.

    Example: warpgs query runs/tumble --pixel 20 0 160 90 --cameras 20 21 --output path.csv
    """

    run: Positional[Path]
    """The run directory, or a file of Gaussians as render takes it; pixels then need --scene."""
    pixel: Annotated[Pixels, tyro.conf.arg(metavar="CAMERA TIMESTEP X Y")] = ()
    """What shows at a pixel; may be repeated."""
    point: Annotated[Points, tyro.conf.arg(metavar="X Y Z")] = ()
    """What is at a position in the world frame [m]; may be repeated."""
    timestep: int | None = None
    """The instant of every --point; the run's first when not given."""
    file: Annotated[Path | None, tyro.conf.arg(metavar="CSV")] = None
    """More queries: rows of camera,timestep,x,y or of x,y,z[,timestep], named in the first line."""
    cameras: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CAMERA ...")] = ()
    """Project the paths into these cameras; into those of the pixels when not given."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="CSV|TUM")] = None
    """Where to write; the standard output when not given. A .tum holds lines of time_s x y z qx qy qz qw; of several
    queries, path.tum becomes path_0.tum, path_1.tum ..."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="SCENE")] = None
    """Where the scene is now, if it moved since it was tracked; the scene of a file."""
    overwrite: Flag = False
    """Replace an existing output."""
    debug: Flag = False
    """Show where an error came from."""


def query_run(arguments: AskPaths) -> None:
    from warpgs.checks import check_absent
    from warpgs.files import whole_file
    from warpgs.query import PixelQuery, look, query, write_paths, write_tum

    queries = _queries(arguments)
    files = _files(arguments.output, len(queries))
    for file in files:
        check_absent(file, arguments.overwrite)
    is_tum = bool(files) and files[0].suffix == ".tum"
    if is_tum and arguments.cameras:
        raise UsageError("--cameras: expected an --output that has columns for them, .csv, got .tum")
    names = arguments.cameras or tuple(dict.fromkeys(q.camera for q in queries if isinstance(q, PixelQuery)))
    # Positions in space need no scene.
    tracks, scene = (
        open_tracks_and_scene(arguments.run, arguments.scene) if names else (open_tracks(arguments.run), None)
    )
    paths = query(tracks, queries, scene)
    sights = {name: look(paths, tracks, scene, name) for name in names} if scene is not None else {}
    _warn(paths)
    if not files:
        write_paths(sys.stdout, paths, sights)
    for number, path in enumerate(files):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            if is_tum:
                write_tum(file, paths, number)
            else:
                write_paths(file, paths, sights)
        print(path)


def _files(output: Path | None, count: int) -> list[Path]:
    """Where paths are written: a table of all, or a trajectory of each."""
    if output is None:
        return []
    if output.suffix != ".tum" or count == 1:
        return [output]
    return [output.with_name(f"{output.stem}_{number}.tum") for number in range(count)]


def _queries(arguments: AskPaths) -> list[Query]:
    """All queries, in the order pixels, points, file."""
    from warpgs.query import PixelQuery, PointQuery, read_queries

    queries: list[Query] = [PixelQuery(*pixel) for pixel in arguments.pixel]
    queries += [PointQuery(*point, arguments.timestep) for point in arguments.point]
    queries += read_queries(arguments.file) if arguments.file is not None else []
    if not queries:
        raise UsageError("expected at least one --pixel, --point or a --file with queries, got none")
    return queries


def _warn(paths: Paths) -> None:
    """Say on stderr which points are in no particle; their paths are guesses."""
    for number in (~paths.assigned).nonzero()[0]:
        x, y, z = paths.positions[paths.origin[number], number]
        print(
            f"query {number}: unassigned, ({x:.3f}, {y:.3f}, {z:.3f}) is beyond 3 sigma of every particle; "
            f"carried by the most influential one, {paths.particle[number]}",
            file=sys.stderr,
        )


QUERY = Verb(AskPaths, query_run)
