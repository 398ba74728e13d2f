"""The raw form: every particle's pose at every timestep. The dcc form: the same, and as points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pxr import Usd, UsdGeom

from usd_export.fields import Field
from usd_export.options import UsdOptions
from usd_export.points import PointPrim
from usd_export.splats import SplatPrim
from usd_export.stage import ROOT
from warpgs.types import Tracks


def write_raw(stage: Usd.Stage, tracks: Tracks, moving: np.ndarray, options: UsdOptions) -> Field | None:
    """Particles whose pose never changes in a field without time samples, those that move in another.

    Most of a recording stands still, and its samples would be most of the file. ``primvars:ids`` says where in the
    tracks each particle was. One that is born later waits at the pose of its birth with opacity 0; only where there are
    such have opacities samples. ``primvars:warpgs:confidence`` and ``primvars:warpgs:visibility`` say how far what
    moves can be trusted, where the tracks know it.
    """
    return _write_fields(stage, tracks, moving, options, {ROOT: SplatPrim})


def write_dcc(stage: Usd.Stage, tracks: Tracks, moving: np.ndarray, options: UsdOptions) -> Field | None:
    """The raw form under ``Splats`` and the same as UsdGeom.Points under ``Points``; the variant set ``particles`` of
    the default prim says which of the two is there: ``splats`` (at first) or ``points``. Equal arrays are stored once.
    """
    kinds = {"splats": SplatPrim, "points": PointPrim}
    paths = {name: f"{ROOT}/{name.capitalize()}" for name in kinds}
    for path in paths.values():
        UsdGeom.Scope.Define(stage, path)
    variants = stage.GetDefaultPrim().GetVariantSets().AddVariantSet("particles")
    for name in kinds:
        variants.AddVariant(name)
        variants.SetVariantSelection(name)
        with variants.GetVariantEditContext():
            for other in kinds:
                if other != name:
                    stage.OverridePrim(paths[other]).SetActive(False)
    variants.SetVariantSelection("splats")
    with Usd.EditContext(stage, stage.GetSessionLayer()):  # which is not saved
        variants.BlockVariantSelection()  # both are there while they are written
    return _write_fields(stage, tracks, moving, options, {paths[name]: kind for name, kind in kinds.items()})


def write_points_layer(path: Path, layer: Path) -> None:
    """A small layer over ``layer``, in the same folder, that shows points."""
    lower = Usd.Stage.Open(str(layer), Usd.Stage.LoadNone)
    stage = Usd.Stage.CreateNew(str(path))
    root, source = stage.GetRootLayer(), lower.GetRootLayer()
    root.subLayerPaths.append(f"./{layer.name}")
    # A stage has the metadata of its root layer alone.
    for key in source.pseudoRoot.ListInfoKeys():
        if key != "subLayers":
            root.pseudoRoot.SetInfo(key, source.pseudoRoot.GetInfo(key))
    stage.OverridePrim(ROOT).GetVariantSets().GetVariantSet("particles").SetVariantSelection("points")
    stage.Save()


def _write_fields(
    stage: Usd.Stage,
    tracks: Tracks,
    moving: np.ndarray,
    options: UsdOptions,
    kinds: Mapping[str, type[SplatPrim] | type[PointPrim]],
) -> Field | None:
    """Write ``Static`` and ``Moving``, whichever has particles, below each path as its kind of prim; returns what is to
    be sampled, if anything."""
    sampled = None
    for name, ids in (("Static", np.flatnonzero(~moving)), ("Moving", np.flatnonzero(moving))):
        if len(ids):
            first = tracks.all_at(0).select(ids)
            prims = [kind(stage, f"{path}/{name}", first, ids, options.half) for path, kind in kinds.items()]
            field = Field(prims, tracks, ids)
            if name == "Static":
                field.still()
            else:
                sampled = field
    return sampled
