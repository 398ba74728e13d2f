"""Particles as UsdGeom.Points, for programs that drop Gaussians: Blender, Houdini, Maya."""

from __future__ import annotations

from typing import final

import numpy as np
from pxr import Sdf, Usd, UsdGeom, Vt

from usd_export.arrays import usd_array
from usd_export.bulk import Put, put_plainly
from usd_export.form import opacities, scales
from usd_export.poses import Pose
from usd_export.prims import ParticlePrim, primvar, set_primvar
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
        self.schema.CreateIdsAttr(usd_array(Vt.Int64Array, ids))
        # The sphere of the ellipsoid's volume.
        widths = 2.0 * np.exp(gaussians.log_scales.astype(np.float64).mean(axis=1))
        self._widths = usd_array(Vt.FloatArray, widths)
        self.schema.CreateWidthsAttr(self._widths)
        self.schema.SetWidthsInterpolation(UsdGeom.Tokens.vertex)
        colors = np.clip(gaussians.colors, 0.0, 1.0)
        set_primvar(self.schema, "displayColor", Sdf.ValueTypeNames.Color3fArray, usd_array(Vt.Vec3fArray, colors))
        set_primvar(self.schema, "scale", Sdf.ValueTypeNames.Float3Array, usd_array(Vt.Vec3fArray, sigma))
        self.show(opacities(gaussians.opacity_logits), Usd.TimeCode.Default())

    def pose(self, pose: Pose, velocities: np.ndarray | None, time: Usd.TimeCode, put: Put = put_plainly) -> None:
        put(self.schema.CreatePointsAttr(), Vt.Vec3fArray, pose.positions, time)
        put(primvar(self.schema, "orient", Sdf.ValueTypeNames.QuatfArray), Vt.QuatfArray, pose.orientations_xyzw, time)
        if velocities is not None:
            put(self.schema.CreateVelocitiesAttr(), Vt.Vec3fArray, velocities, time)
        # Of the spheres: what USD itself computes, and its validators compare with.
        box = UsdGeom.Points.ComputeExtent(usd_array(Vt.Vec3fArray, pose.positions), self._widths)
        put(self.schema.CreateExtentAttr(), Vt.Vec3fArray, np.asarray(box), time)

    def show(self, opacities: np.ndarray, time: Usd.TimeCode) -> None:
        values = usd_array(Vt.FloatArray, opacities)
        set_primvar(self.schema, "displayOpacity", Sdf.ValueTypeNames.FloatArray, values, time)
