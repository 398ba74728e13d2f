"""The stage that holds everything: units, axes, time, and where it came from."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from pxr import Gf, Usd, UsdGeom, UsdPhysics

from usd_export.options import UsdOptions
from warpgs.types import Tracks

ROOT = "/World"
"""The default prim."""


def new_stage(path: Path, tracks: Tracks, options: UsdOptions) -> Usd.Stage:
    """A stage at ``path`` with its metadata and an empty default prim.

    World frame: z up, metres, kilograms. Time codes are the scene's timesteps, ``fps`` of them a second.
    ``customLayerData["warpgs"]`` holds the version, ``options.records``, ``source_from_world``, a matrix in USD's order
    (``source_from_world.Transform(point)`` gives the point in the source's own frame and unit), and, where the tracks
    know it, the ``tolerance`` [m] that ``primvars:warpgs:confidence`` is about.
    """
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(tracks.fps)
    stage.SetFramesPerSecond(tracks.fps)
    stage.SetStartTimeCode(tracks.timesteps[0] if options.start is None else options.start)
    stage.SetEndTimeCode(tracks.timesteps[-1])
    source_from_world = Gf.Matrix4d(tracks.source_from_world.T.tolist())  # USD multiplies row vectors
    record = {**options.records, "version": version("warpgs"), "source_from_world": source_from_world}
    if tracks.tolerance is not None:
        record["tolerance"] = tracks.tolerance
    stage.GetRootLayer().customLayerData = {"warpgs": record}
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, ROOT).GetPrim())
    return stage
