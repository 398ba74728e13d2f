"""``warpgs parts``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from warpgs.cli.shared import Flag, Verb

if TYPE_CHECKING:
    from warpgs.bodies import Parts
    from warpgs.types import Tracks


@dataclass(frozen=True)
class FindParts:
    """Find the rigid parts of a run - bodies, links - and the pose of each over time; what bends is left deformable.

    The file of parts is made to be edited: rename parts, move particles between them, merge by giving one name twice;
    --parts reads it back.

    Example: warpgs parts runs/tumble --output parts.json --trajectories paths
    """

    run: Positional[Path]
    """The run directory."""
    parts: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """Take the parts of this file instead of finding them."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """Write the parts, a .json."""
    trajectories: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Write the pose of each part over time as .csv and .tum, and summary.json."""
    plot: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """Draw the particles at the first and the last timestep, colored by part, a .png."""
    smooth: float = 0.0
    """Time constant over which poses are smoothed [timesteps]; blurs impacts."""
    overwrite: Flag = False
    """Replace existing files."""
    debug: Flag = False
    """Show where an error came from."""


def find_run_parts(arguments: FindParts) -> None:
    from warpgs.bodies import PartsConfig, find_parts, read_parts, write_parts, write_trajectories
    from warpgs.checks import check_absent, check_suffix
    from warpgs.run import Run
    from warpgs.view import plot_parts

    for path, suffix in ((arguments.output, ".json"), (arguments.plot, ".png")):
        if path is not None:
            check_suffix(path, (suffix,))
            check_absent(path, arguments.overwrite)
    if arguments.trajectories is not None:
        check_absent(arguments.trajectories, arguments.overwrite)
    config = PartsConfig(smooth=arguments.smooth)
    tracks = Run.open(arguments.run).tracks()
    if arguments.parts is None:
        parts = find_parts(tracks, config)
    else:
        parts = read_parts(arguments.parts, tracks, smooth=config.smooth)
    _print(tracks, parts)
    if arguments.output is not None:
        write_parts(arguments.output, parts, overwrite=arguments.overwrite)
        print(arguments.output)
    if arguments.trajectories is not None:
        write_trajectories(arguments.trajectories, tracks, parts, overwrite=arguments.overwrite)
        print(arguments.trajectories)
    if arguments.plot is not None:
        arguments.plot.parent.mkdir(parents=True, exist_ok=True)
        plot_parts(arguments.plot, tracks, parts, str(arguments.run))
        print(arguments.plot)


def _print(tracks: Tracks, parts: Parts) -> None:
    """A line for each part, and how much is none."""
    from warpgs.bodies import DEFORMABLE, summary

    width = max([len(name) for name in parts.names] + [len("deformable")])
    print(f"{'part':<{width}}  particles  size [m]            path [m]  residual [cm]: median  max    birth")
    for part in range(len(parts)):
        row = summary(tracks, parts, part)
        size = " x ".join(f"{length:.2f}" for length in row["size_m"])
        median, worst = 100.0 * row["residual_median_m"], 100.0 * row["residual_max_m"]
        print(
            f"{row['name']:<{width}}  {row['particles']:9d}  {size:<18}  {row['path_m']:8.2f}"
            f"  {median:21.2f}  {worst:5.2f}  {row['birth_timestep']:5d}"
        )
    print(f"{'deformable':<{width}}  {int((parts.part_index == DEFORMABLE).sum()):9d}")


PARTS = Verb(FindParts, find_run_parts)
