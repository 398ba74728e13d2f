"""Writers: tracks to the files of other tools. The only importer of ``pxr``.

===========  ================================================================================================  ======
suffix       content                                                                                           frame
===========  ================================================================================================  ======
.usda .usdc  UsdVol.ParticleField3DGaussianSplat with time samples (``.usda`` is text: for reading, not size);  world
             with ``parts``, rigid bodies that hold particles; see UsdOptions
.usdz        the ``.usdc`` in a package                                                                        world
.npz         the arrays of Dynamic3DGaussians                                                                  source
.ply         ``box.ply`` becomes one 3D Gaussian splatting file per timestep, ``box_000000.ply`` ...           world
===========  ================================================================================================  ======
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from usd_export.dynamic3dgs import write_dynamic3dgs
from usd_export.form import Progress, Writer, check_tracks, silent
from usd_export.options import UsdOptions, points_layer
from usd_export.ply import write_ply
from usd_export.reading import READERS, read_tracks
from usd_export.request import check_options, settle
from usd_export.staging import publish, staged
from warpgs.bodies import Parts
from warpgs.checks import check_absent, check_suffix, refuse
from warpgs.devices import quiet_warp
from warpgs.types import Camera, Tracks

__all__ = ["READERS", "USD_SUFFIXES", "WRITERS", "UsdOptions", "check_options", "export", "export_usd", "read_tracks"]


def _write_usd(tracks: Tracks, path: Path, progress: Progress, **content: Any) -> list[Path]:
    from usd_export.usd import write_usd  # pxr takes half a second to load

    return write_usd(tracks, path, progress, **content)


USD_SUFFIXES = (".usda", ".usdc", ".usdz")

WRITERS: dict[str, Writer] = {
    ".usda": _write_usd,
    ".usdc": _write_usd,
    ".usdz": _write_usd,
    ".npz": write_dynamic3dgs,
    ".ply": write_ply,
}
"""How each suffix is written."""


def export(
    tracks: Tracks,
    path: str | Path,
    *,
    parts: Parts | None = None,
    cameras: Sequence[Sequence[Camera]] = (),
    options: UsdOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write tracks in the form that the suffix of ``path`` names; the table above lists them.

    The files appear under their own names only when all are complete; a killed export leaves none of them.

    Args:
        tracks: What to write.
        path: Where to; missing folders are made.
        parts: Rigid parts of the tracks: USD then holds bodies instead of particles that move. USD alone.
        cameras: Those of each timestep of the tracks, in one order. USD alone.
        options: What the USD holds, and how.
        overwrite: Replace what an earlier export left under the same name.
        progress: Called with (steps done, steps in all): timesteps, and before them rigid parts.

    Returns:
        The files, in the order of time. Those of the form ``dcc`` are two: ``box.usdc``, which shows Gaussians, and
        ``box_points.usda``, a small layer over it that shows points.

    Raises:
        FileExistsError: something is there already and ``overwrite`` is False.
        ValueError, TypeError: unknown suffix, or tracks that are not what types.py says; before anything is written.
        ImportError: an option needs a package that is not installed.
        OSError: no room on the disk, or no right to write.
    """
    path = Path(path)
    check_suffix(path, tuple(WRITERS))
    with quiet_warp():
        return _export(tracks, path, parts, cameras, options, overwrite, progress or silent)


def export_usd(
    tracks: Tracks,
    path: str | Path,
    *,
    parts: Parts | None = None,
    cameras: Sequence[Sequence[Camera]] = (),
    options: UsdOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """``export`` to ``.usda``, ``.usdc`` or ``.usdz``, and to nothing else.

    Returns:
        The file.

    Raises:
        As ``export`` does.
    """
    check_suffix(Path(path), USD_SUFFIXES)
    return export(tracks, path, parts=parts, cameras=cameras, options=options, overwrite=overwrite, progress=progress)[
        0
    ]


def _export(
    tracks: Tracks,
    path: Path,
    parts: Parts | None,
    cameras: Sequence[Sequence[Camera]],
    options: UsdOptions | None,
    overwrite: bool,
    progress: Progress,
) -> list[Path]:
    check_tracks(tracks)
    write = WRITERS[path.suffix.lower()]
    if path.suffix.lower() in USD_SUFFIXES:
        options = settle(tracks, parts, cameras, options or UsdOptions())
        write = partial(_write_usd, parts=parts, cameras=cameras, options=options)
    elif parts is not None or cameras or options is not None:
        refuse(path, "USD for parts, cameras and options of USD", path.suffix, "name a .usdc")
    existing = _existing(path, options)
    for file in existing:
        check_absent(file, overwrite)
        if file.is_dir():
            refuse(file, "a file", "a folder", "choose another name")
    with staged(path) as stage:
        files = write(tracks, stage, progress)
        return publish(files, path.parent, existing)


def _existing(path: Path, options: UsdOptions | None) -> list[Path]:
    """What an export to ``path`` would replace."""
    if path.suffix.lower() != ".ply":
        files = [path, points_layer(path)] if options is not None and options.form == "dcc" else [path]
        return [file for file in files if file.exists()]
    series = re.compile(re.escape(path.stem) + r"_\d{6,}" + re.escape(path.suffix))
    return sorted(file for file in path.parent.glob("*") if series.fullmatch(file.name))
