"""Tracks as USD, in one of three forms."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pxr import Sdf, Tf, UsdUtils

from usd_export.cameras import write_cameras
from usd_export.fields import stream
from usd_export.form import Progress
from usd_export.options import UsdOptions, points_layer
from usd_export.raw import write_dcc, write_points_layer, write_raw
from usd_export.rigid import sampled_particles, write_rigid
from usd_export.stage import new_stage
from usd_export.survey import moving_particles
from warpgs.bodies import Parts
from warpgs.checks import refuse
from warpgs.types import Camera, Tracks

PACKAGE_LIMIT = 4 * 2**30 - 2**26
"""Bytes of a layer that a .usdz can hold, less some slack."""


def write_usd(
    tracks: Tracks,
    path: Path,
    progress: Progress,
    *,
    parts: Parts | None = None,
    cameras: Sequence[Sequence[Camera]] = (),
    options: UsdOptions | None = None,
) -> list[Path]:
    """Write ``.usda``, ``.usdc`` or ``.usdz``; see ``write_rigid``, ``write_raw`` and ``write_dcc``.

    Raises:
        ValueError: too large for a package.
        OSError: no room on the disk.
    """
    options = options or UsdOptions()
    layer = path.with_suffix(".usdc") if path.suffix.lower() == ".usdz" else path
    sampled = moving_particles(tracks) if parts is None else sampled_particles(tracks, parts)
    if layer != path:
        _check_package_size(path, tracks, sampled)
    try:
        _write_layer(layer, tracks, sampled, parts, cameras, options, progress)
        if layer != path:
            _write_package(layer, path)
        if options.form == "dcc":
            write_points_layer(points_layer(path), path)
            return [path, points_layer(path)]
    except Tf.ErrorException as error:  # how pxr reports a full disk: once per piece it could not write
        raise OSError(error.args[0].commentary) from None
    return [path]


def _check_package_size(path: Path, tracks: Tracks, sampled: np.ndarray) -> None:
    # bytes: a pose and, where there is one, a judgment per sample, all else once
    size = (28 + 8 * (tracks.confidence is not None)) * len(tracks) * int(sampled.sum()) + 64 * len(sampled)
    if size > PACKAGE_LIMIT:
        refuse(path, "at most 4 GiB in a .usdz", f"{size / 2**30:.1f} GiB", "write a .usdc, or fewer timesteps")


def _write_layer(
    path: Path,
    tracks: Tracks,
    sampled: np.ndarray,
    parts: Parts | None,
    cameras: Sequence[Sequence[Camera]],
    options: UsdOptions,
    progress: Progress,
) -> None:
    stage = new_stage(path, tracks, options)
    write_cameras(stage, cameras, tracks.timesteps)
    part_count = 0 if parts is None else len(parts)
    steps = part_count + len(tracks)
    progress(0, steps)
    if parts is not None:
        field = write_rigid(stage, tracks, parts, options, lambda made: progress(made, steps))
    else:
        write = write_dcc if options.form == "dcc" else write_raw
        field = write(stage, tracks, sampled, options)
    stream(stage, field, len(tracks), lambda written, _: progress(part_count + written, steps))
    progress(steps, steps)


def _write_package(layer: Path, path: Path) -> None:
    """Only USD's own packager aligns what is inside; on a full disk it reports success, so what it wrote is read."""
    made = UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(path))
    try:
        with zipfile.ZipFile(path) as package:
            whole = made and package.namelist() == [layer.name] and package.testzip() is None
    except zipfile.BadZipFile:
        whole = False
    if not whole:
        raise OSError("a package that is not whole")
