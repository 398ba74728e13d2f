"""Particles as UsdGeom.Points, for programs that drop Gaussians: Blender, Houdini, Maya."""

from __future__ import annotations

from typing import final

import numpy as np
from pxr import Sdf, Usd, UsdGeom, Vt

from usd_export.form import opacities, scales
from usd_export.poses import Pose
from usd_export.prims import ParticlePrim, set_primvar
from warpgs.types import Gaussians


@final
class PointPrim(ParticlePrim):
    """Points with ids, velocities [m/s], widths of 2 sigma [m], display colors, and what makes them Gaussians as
    primvars ``orient`` and ``scale`` (one sigma [m])."""

    wants_velocities = True

    def __init__(self, stage: Usd.Stage, path: str, gaussians: Gaussians, ids: np.ndarray, half: bool) -> None:
        """Everything but poses, which ``pose`` gives; arguments as in SplatPrim; always in single precision."""
        self.schema = UsdGeom.Points.Define(stage, path)
        sigma = scales(gaussians.log_scales)
        self.schema.CreateIdsAttr(Vt.Int64Array.FromNumpy(ids.astype(np.int64)))
        # The sphere of the ellipsoid's volume.
        widths = 2.0 * np.exp(gaussians.log_scales.astype(np.float64).mean(axis=1))
        self.schema.CreateWidthsAttr(Vt.FloatArray.FromNumpy(widths.astype(np.float32)))
        self.schema.SetWidthsInterpolation(UsdGeom.Tokens.vertex)
        colors = np.clip(gaussians.colors, 0.0, 1.0)
        set_primvar(self.schema, "displayColor", Sdf.ValueTypeNames.Color3fArray, Vt.Vec3fArray.FromNumpy(colors))
        set_primvar(self.schema, "scale", Sdf.ValueTypeNames.Float3Array, Vt.Vec3fArray.FromNumpy(sigma))
        self.show(opacities(gaussians.opacity_logits), Usd.TimeCode.Default())

    def pose(self, pose: Pose, velocities: np.ndarray | None, time: Usd.TimeCode) -> None:
        self.schema.CreatePointsAttr().Set(Vt.Vec3fArray.FromNumpy(pose.positions), time)
        orientations = Vt.QuatfArray.FromNumpy(pose.orientations_xyzw)
        set_primvar(self.schema, "orient", Sdf.ValueTypeNames.QuatfArray, orientations, time)
        if velocities is not None:
            self.schema.CreateVelocitiesAttr().Set(Vt.Vec3fArray.FromNumpy(velocities), time)
        self.schema.CreateExtentAttr().Set(Vt.Vec3fArray.FromNumpy(pose.extent), time)

    def show(self, opacities: np.ndarray, time: Usd.TimeCode) -> None:
        values = Vt.FloatArray.FromNumpy(opacities)
        set_primvar(self.schema, "displayOpacity", Sdf.ValueTypeNames.FloatArray, values, time)
