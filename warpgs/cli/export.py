"""``warpgs export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from warpgs.cli.shared import Flag, Verb, progress_bar


@dataclass(frozen=True)
class Export:
    """Write a run for other programs, by suffix: .usda .usdc .usdz (OpenUSD), .npz (Dynamic3DGaussians), .ply (3DGS).

    The .npz is in the source's own frame and units; .ply writes one file per timestep.

    Example: warpgs export runs/tumble tumble.usdc
    """

    run: Positional[Path]
    """The run directory."""
    out: Positional[Path]
    """The file to write."""
    overwrite: Flag = False
    """Replace existing files."""
    debug: Flag = False
    """Show where an error came from."""


def export_run(arguments: Export) -> None:
    from usd_export import WRITERS, export
    from warpgs.checks import check_suffix
    from warpgs.run import Run

    check_suffix(arguments.out, tuple(WRITERS))  # before the run is read
    tracks = Run.open(arguments.run).tracks()
    with progress_bar("export", len(tracks)) as bar:
        paths = export(
            tracks, arguments.out, overwrite=arguments.overwrite, progress=lambda done, _: bar.update(done - bar.n)
        )
    for path in paths:
        print(path)


EXPORT = Verb(Export, export_run)
