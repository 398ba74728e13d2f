"""Particles as UsdVol.ParticleField3DGaussianSplat: the schema that renderers of Gaussians read."""

from __future__ import annotations

import numpy as np
from pxr import Sdf, Usd, UsdGeom, UsdVol, Vt
from scipy.spatial.transform import Rotation

from usd_export.form import harmonics, opacities, scales
from warpgs.types import Gaussians

COLOR_SPACE = "srgb_rec709_scene"
"""Colors were fitted to sRGB-encoded pictures and stay so."""

EXTENT_SIGMAS = 3.0
"""Standard deviations inside the extent: what is outside weighs less than 0.012 of the opacity."""


def define_splats(stage: Usd.Stage, path: str, gaussians: Gaussians, ids: np.ndarray) -> UsdVol.ParticleField:
    """A ParticleField with everything at its default, so that it is complete before any time sample.

    Args:
        stage: Receives the prim.
        path: Its place.
        gaussians: Particles at the first timestep.
        ids: Index of each in the tracks, shape [n]; stored as ``primvars:ids`` beside ``primvars:foreground``.
    """
    splats = UsdVol.ParticleField3DGaussianSplat.Define(stage, path)
    splats.CreateScalesAttr(Vt.Vec3fArray.FromNumpy(scales(gaussians.log_scales)))
    splats.CreateOpacitiesAttr(Vt.FloatArray.FromNumpy(opacities(gaussians.opacity_logits)))
    splats.CreateProjectionModeHintAttr(UsdVol.Tokens.perspective)
    splats.CreateSortingModeHintAttr(UsdVol.Tokens.cameraDistance)
    _set_colors(splats, gaussians)
    primvars = UsdGeom.PrimvarsAPI(splats)
    for name, kind, values in (
        ("ids", Sdf.ValueTypeNames.IntArray, Vt.IntArray.FromNumpy(ids.astype(np.int32))),
        ("foreground", Sdf.ValueTypeNames.FloatArray, Vt.FloatArray.FromNumpy(gaussians.foreground)),
    ):
        primvars.CreatePrimvar(name, kind, UsdGeom.Tokens.vertex).Set(values)
    pose_splats(splats, gaussians, Usd.TimeCode.Default())
    return splats


def pose_splats(splats: UsdVol.ParticleField3DGaussianSplat, gaussians: Gaussians, time: Usd.TimeCode) -> None:
    """Author where the particles are: positions, orientations and the extent, which no plugin computes."""
    splats.CreatePositionsAttr().Set(Vt.Vec3fArray.FromNumpy(gaussians.means), time)
    splats.CreateOrientationsAttr().Set(Vt.QuatfArray.FromNumpy(_rotations_xyzw(gaussians)), time)
    splats.CreateExtentAttr().Set(Vt.Vec3fArray.FromNumpy(extent(gaussians)), time)


def show_splats(
    splats: UsdVol.ParticleField3DGaussianSplat, opacity_logits: np.ndarray, shown: np.ndarray, time: Usd.TimeCode
) -> None:
    """Author opacities: those of their logits where ``shown``, 0 elsewhere; shape [n] each."""
    values = np.where(shown, opacities(opacity_logits), np.float32(0.0))
    splats.CreateOpacitiesAttr().Set(Vt.FloatArray.FromNumpy(values), time)


def judge_splats(
    splats: UsdVol.ParticleField3DGaussianSplat, confidence: np.ndarray, visibility: np.ndarray, time: Usd.TimeCode
) -> None:
    """Author how far the particles can be trusted, shape [n] each, as ``primvars:warpgs:confidence`` and
    ``primvars:warpgs:visibility``; see Judgment."""
    primvars, kind = UsdGeom.PrimvarsAPI(splats), Sdf.ValueTypeNames.FloatArray
    for name, shares in (("confidence", confidence), ("visibility", visibility)):
        primvar = primvars.CreatePrimvar(f"warpgs:{name}", kind, UsdGeom.Tokens.vertex)
        primvar.Set(Vt.FloatArray.FromNumpy(np.ascontiguousarray(shares, np.float32)), time)


def extent(gaussians: Gaussians) -> np.ndarray:
    """Axis-aligned box [m] around the 3 sigma ellipsoids, shape [2, 3], float32.

    An ellipsoid R S reaches sqrt(sum_j (R_kj s_j)^2) along world axis k.
    """
    axes_world = Rotation.from_quat(_rotations_xyzw(gaussians)).as_matrix()
    variances = np.square(scales(gaussians.log_scales), dtype=np.float64)
    reach = EXTENT_SIGMAS * np.sqrt(np.einsum("nkj,nj->nk", np.square(axes_world), variances))
    box = np.stack([(gaussians.means - reach).min(axis=0), (gaussians.means + reach).max(axis=0)])
    # One unit in the last place outwards: rounding must not cut into an ellipsoid.
    return np.nextafter(box.astype(np.float32), np.array([[-np.inf], [np.inf]], np.float32))


def _rotations_xyzw(gaussians: Gaussians) -> np.ndarray:
    """Quaternions as USD keeps them in memory, shape [n, 4]; its text and its Python constructor are w, x, y, z."""
    return np.ascontiguousarray(gaussians.rotations_wxyz[:, [1, 2, 3, 0]])


def _set_colors(splats: UsdVol.ParticleField3DGaussianSplat, gaussians: Gaussians) -> None:
    """Harmonics of degree 0 or, padded with zeros, 3: renderers need not know those between.

    The schema falls back to 3, and would ignore plain colors as too short.
    """
    coefficients = harmonics(gaussians.colors)[:, None]
    if gaussians.harmonics is not None:
        rest = np.zeros((len(gaussians), 15, 3), np.float32)
        rest[:, : gaussians.harmonics.shape[1]] = gaussians.harmonics
        coefficients = np.concatenate([coefficients, rest], axis=1)
    Usd.ColorSpaceAPI.Apply(splats.GetPrim()).CreateColorSpaceNameAttr(COLOR_SPACE)
    splats.CreateRadianceSphericalHarmonicsDegreeAttr(0 if gaussians.harmonics is None else 3)
    values = Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(coefficients.reshape(-1, 3)))
    attribute = splats.CreateRadianceSphericalHarmonicsCoefficientsAttr(values)
    attribute.SetColorSpace(COLOR_SPACE)
    attribute.SetMetadata("interpolation", UsdGeom.Tokens.vertex)
    attribute.SetMetadata("elementSize", coefficients.shape[1])
