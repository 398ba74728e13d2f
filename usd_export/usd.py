"""Tracks as USD, raw form: every particle's pose at every timestep, in particle fields."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from pxr import Sdf, Tf, Usd, UsdUtils

from usd_export.form import Progress
from usd_export.splats import define_splats, pose_splats
from usd_export.stage import ROOT, new_stage
from warpgs.checks import refuse
from warpgs.types import Tracks

SAVE_EVERY = 10
"""Timesteps between two saves of a binary layer: bounds the memory to these (164 instead of 592 MB for 100k x 150)."""

PACKAGE_LIMIT = 4 * 2**30 - 2**26
"""Bytes of a layer that a .usdz can hold, less some slack."""


def write_usd(tracks: Tracks, path: Path, progress: Progress) -> list[Path]:
    """Write ``.usda``, ``.usdc`` or ``.usdz``.

    Particles whose pose never changes go to a second particle field without time samples: most of a recording stands
    still, and its samples would be most of the file. ``primvars:ids`` says where in the tracks each particle was.

    Raises:
        ValueError: too large for a package.
        OSError: no room on the disk.
    """
    layer = path.with_suffix(".usdc") if path.suffix.lower() == ".usdz" else path
    moving = moving_particles(tracks)
    if layer != path:
        _check_package_size(path, tracks, moving)
    try:
        _write_layer(tracks, moving, layer, progress)
        if layer != path:
            _write_package(layer, path)
    except Tf.ErrorException as error:  # how pxr reports a full disk: once per piece it could not write
        raise OSError(error.args[0].commentary) from None
    return [path]


def moving_particles(tracks: Tracks) -> np.ndarray:
    """Whether the pose of each particle ever differs, however little, from its first; shape [n], bool."""
    moving = np.zeros(tracks.means.shape[1], bool)
    for means, rotations_wxyz in zip(tracks.means, tracks.rotations_wxyz, strict=True):
        moving |= (means != tracks.means[0]).any(axis=1) | (rotations_wxyz != tracks.rotations_wxyz[0]).any(axis=1)
    return moving


def _check_package_size(path: Path, tracks: Tracks, moving: np.ndarray) -> None:
    size = 28 * len(tracks) * int(moving.sum()) + 64 * len(moving)  # bytes: a pose per sample, all else once
    if size > PACKAGE_LIMIT:
        refuse(path, "at most 4 GiB in a .usdz", f"{size / 2**30:.1f} GiB", "write a .usdc, or fewer timesteps")


def _write_layer(tracks: Tracks, moving: np.ndarray, path: Path, progress: Progress) -> None:
    stage = new_stage(path, tracks)
    first = tracks.at(0)
    if not moving.all():
        ids = np.flatnonzero(~moving)
        define_splats(stage, f"{ROOT}/Static", first.select(ids), ids)
    if moving.any():
        ids = np.flatnonzero(moving)
        splats = define_splats(stage, f"{ROOT}/Moving", first.select(ids), ids)
        for i, timestep in enumerate(tracks.timesteps):
            pose_splats(splats, tracks.at(i).select(ids), Usd.TimeCode(timestep))
            if (i + 1) % SAVE_EVERY == 0 and path.suffix.lower() == ".usdc":  # text is written anew at each save
                stage.Save()
            progress(i + 1, len(tracks))
    stage.Save()
    progress(len(tracks), len(tracks))


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
