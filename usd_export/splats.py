"""Particles as UsdVol.ParticleField3DGaussianSplat: the schema that renderers of Gaussians read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
from pxr import Sdf, Usd, UsdGeom, UsdVol, Vt

from usd_export.arrays import usd_array
from usd_export.bulk import Put, put_plainly
from usd_export.form import harmonics, opacities, scales
from usd_export.poses import Pose
from usd_export.prims import ParticlePrim, set_primvar
from warpgs.types import Gaussians

COLOR_SPACE = "srgb_rec709_scene"
"""Colors were fitted to sRGB-encoded pictures and stay so."""

Schema = UsdVol.ParticleField3DGaussianSplat
VALUES: dict[str, tuple[Callable[[Schema], Any], type, Callable[[Schema], Any], type]] = {
    "positions": (Schema.CreatePositionsAttr, Vt.Vec3fArray, Schema.CreatePositionshAttr, Vt.Vec3hArray),
    "orientations": (Schema.CreateOrientationsAttr, Vt.QuatfArray, Schema.CreateOrientationshAttr, Vt.QuathArray),
    "scales": (Schema.CreateScalesAttr, Vt.Vec3fArray, Schema.CreateScaleshAttr, Vt.Vec3hArray),
    "opacities": (Schema.CreateOpacitiesAttr, Vt.FloatArray, Schema.CreateOpacitieshAttr, Vt.HalfArray),
    "coefficients": (
        Schema.CreateRadianceSphericalHarmonicsCoefficientsAttr,
        Vt.Vec3fArray,
        Schema.CreateRadianceSphericalHarmonicsCoefficientshAttr,
        Vt.Vec3hArray,
    ),
}
"""Attribute and array of each value of a particle, in single and in half precision."""


@final
class SplatPrim(ParticlePrim):
    """A ParticleField, whole before any time sample."""

    wants_velocities = False

    def __init__(self, stage: Usd.Stage, path: str, gaussians: Gaussians, ids: np.ndarray, half: bool) -> None:
        """Everything but poses, which ``pose`` gives.

        Args:
            stage: Receives the prim.
            path: Its place.
            gaussians: Its particles, n of them.
            ids: Index of each in the tracks, shape [n]; stored as ``primvars:ids`` beside ``primvars:foreground``.
            half: Write the twins of half precision instead.
        """
        self.schema = Schema.Define(stage, path)
        self._half = half
        self._set("scales", scales(gaussians.log_scales))
        self._set("opacities", opacities(gaussians.opacity_logits))
        self.schema.CreateProjectionModeHintAttr(UsdVol.Tokens.perspective)
        self.schema.CreateSortingModeHintAttr(UsdVol.Tokens.zDepth)  # as they were sorted when they were fitted
        self._set_colors(gaussians)
        set_primvar(self.schema, "ids", Sdf.ValueTypeNames.IntArray, usd_array(Vt.IntArray, ids))
        foreground = usd_array(Vt.FloatArray, gaussians.foreground)
        set_primvar(self.schema, "foreground", Sdf.ValueTypeNames.FloatArray, foreground)

    def pose(self, pose: Pose, velocities: np.ndarray | None, time: Usd.TimeCode, put: Put = put_plainly) -> None:
        self._set("positions", pose.positions, time, put)
        self._set("orientations", pose.orientations_xyzw, time, put)
        # A box of what was rounded to half precision: half a unit of its last place outwards.
        slack = np.abs(pose.positions).max(axis=0, initial=0.0) * 2.0**-11 if self._half else 0.0
        box = pose.extent + np.array([[-1.0], [1.0]]) * slack
        put(self.schema.CreateExtentAttr(), Vt.Vec3fArray, box, time)

    def show(self, opacities: np.ndarray, time: Usd.TimeCode) -> None:
        self._set("opacities", opacities, time)

    def _set(
        self, name: str, values: np.ndarray, time: Usd.TimeCode | None = None, put: Put = put_plainly
    ) -> Usd.Attribute:
        single, array, half, half_array = VALUES[name]
        attribute = (half if self._half else single)(self.schema)
        put(attribute, half_array if self._half else array, values, Usd.TimeCode.Default() if time is None else time)
        return attribute

    def _set_colors(self, gaussians: Gaussians) -> None:
        """Harmonics of degree 0 or, padded with zeros, 3: renderers need not know those between.

        The schema falls back to 3, and would ignore plain colors as too short.
        """
        coefficients = harmonics(gaussians.colors)[:, None]
        if gaussians.harmonics is not None:
            rest = np.zeros((len(gaussians), 15, 3), np.float32)
            rest[:, : gaussians.harmonics.shape[1]] = gaussians.harmonics
            coefficients = np.concatenate([coefficients, rest], axis=1)
        Usd.ColorSpaceAPI.Apply(self.schema.GetPrim()).CreateColorSpaceNameAttr(COLOR_SPACE)
        self.schema.CreateRadianceSphericalHarmonicsDegreeAttr(0 if gaussians.harmonics is None else 3)
        attribute = self._set("coefficients", coefficients.reshape(-1, 3))
        attribute.SetColorSpace(COLOR_SPACE)
        attribute.SetMetadata("interpolation", UsdGeom.Tokens.vertex)
        attribute.SetMetadata("elementSize", coefficients.shape[1])
