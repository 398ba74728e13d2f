"""``warpgs export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from warpgs.cli.shared import Flag, Verb, open_tracks, progress_bar


@dataclass(frozen=True)
class Export:
    """Write a run for other programs, by suffix: .usda .usdc .usdz (OpenUSD), .npz (Dynamic3DGaussians), .ply (3DGS).

    Converts files of these kinds too.

    The .npz is in the source's own frame and units; .ply writes one file per timestep.

    Example: warpgs export runs/tumble tumble.usdc
    """

    run: Positional[Path]
    """The run directory, or a file: .usd .usda .usdc .usdz, .npz (Dynamic3DGaussians), .ply (3DGS)."""
    out: Positional[Path]
    """The file to write."""
    overwrite: Flag = False
    """Replace existing files."""
    debug: Flag = False
    """Show where an error came from."""


def export_run(arguments: Export) -> None:
    from usd_export import WRITERS, export
    from warpgs.checks import check_suffix

    check_suffix(arguments.out, tuple(WRITERS))  # before the run is read
    tracks = open_tracks(arguments.run)
    with progress_bar("export", len(tracks)) as bar:
        paths = export(
            tracks, arguments.out, overwrite=arguments.overwrite, progress=lambda done, _: bar.update(done - bar.n)
        )
    for path in paths:
        print(path)


EXPORT = Verb(Export, export_run)
