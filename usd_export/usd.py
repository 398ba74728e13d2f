"""Tracks as USD, raw form: every particle's pose at every timestep, in particle fields."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from pxr import Sdf, Tf, Usd, UsdUtils, UsdVol

from usd_export.form import Progress
from usd_export.splats import define_splats, judge_splats, pose_splats, show_splats
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
    still, and its samples would be most of the file. ``primvars:ids`` says where in the tracks each particle was. One
    that is born later waits at the pose of its birth with opacity 0; only where there are such have opacities samples.
    ``primvars:warpgs:confidence`` and ``primvars:warpgs:visibility`` say how far what moves can be trusted, where the
    tracks know it.

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
    """Whether each particle is born late, or its pose ever differs, however little, from its first; shape [n], bool."""
    moving = np.arange(tracks.means.shape[1]) >= tracks.count_at(0)
    for means, rotations_wxyz in zip(tracks.means, tracks.rotations_wxyz, strict=True):
        moving |= (means != tracks.means[0]).any(axis=1) | (rotations_wxyz != tracks.rotations_wxyz[0]).any(axis=1)
    return moving


def _check_package_size(path: Path, tracks: Tracks, moving: np.ndarray) -> None:
    # bytes: a pose and, where there is one, a judgment per sample, all else once
    size = (28 + 8 * (tracks.confidence is not None)) * len(tracks) * int(moving.sum()) + 64 * len(moving)
    if size > PACKAGE_LIMIT:
        refuse(path, "at most 4 GiB in a .usdz", f"{size / 2**30:.1f} GiB", "write a .usdc, or fewer timesteps")


def _write_layer(tracks: Tracks, moving: np.ndarray, path: Path, progress: Progress) -> None:
    stage = new_stage(path, tracks)
    first = tracks.all_at(0)
    if not moving.all():
        ids = np.flatnonzero(~moving)
        define_splats(stage, f"{ROOT}/Static", first.select(ids), ids)
    if moving.any():
        ids = np.flatnonzero(moving)
        splats = define_splats(stage, f"{ROOT}/Moving", first.select(ids), ids)
        _show_births(splats, tracks, ids)
        _judge(splats, tracks, 0, ids, Usd.TimeCode.Default())
        for i, timestep in enumerate(tracks.timesteps):
            pose_splats(splats, tracks.all_at(i).select(ids), Usd.TimeCode(timestep))
            _judge(splats, tracks, i, ids, Usd.TimeCode(timestep))
            if (i + 1) % SAVE_EVERY == 0 and path.suffix.lower() == ".usdc":  # text is written anew at each save
                stage.Save()
            progress(i + 1, len(tracks))
    stage.Save()
    progress(len(tracks), len(tracks))


def _judge(
    splats: UsdVol.ParticleField3DGaussianSplat, tracks: Tracks, index: int, ids: np.ndarray, time: Usd.TimeCode
) -> None:
    """Author what the run says of these particles at an instant, if it says anything."""
    if tracks.confidence is not None and tracks.visibility is not None:
        judge_splats(splats, tracks.confidence[index, ids], tracks.visibility[index, ids], time)


def _show_births(splats: UsdVol.ParticleField3DGaussianSplat, tracks: Tracks, ids: np.ndarray) -> None:
    """Hide particles until their birth. Samples just before and at each birth, because USD interpolates in between."""
    counts = [tracks.count_at(i) for i in range(len(tracks))]
    if counts[0] == counts[-1]:
        return
    opacity_logits = tracks.opacity_logits[ids]
    show_splats(splats, opacity_logits, ids < counts[0], Usd.TimeCode.Default())
    for i, timestep in enumerate(tracks.timesteps):
        if i == 0 or counts[i - 1] < counts[i] or counts[i] < counts[min(i + 1, len(counts) - 1)]:
            show_splats(splats, opacity_logits, ids < counts[i], Usd.TimeCode(timestep))


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
