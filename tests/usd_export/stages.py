"""Stages as others may write them, made with pxr alone."""

from __future__ import annotations

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdVol, Vt
from scipy.spatial.transform import Rotation

HARMONICS = "radiance:sphericalHarmonicsCoefficients"


def make_stage(*, up: str = "Z", meters_per_unit: float = 1.0) -> Usd.Stage:
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, up)
    UsdGeom.SetStageMetersPerUnit(stage, meters_per_unit)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/World").GetPrim())
    return stage


def make_field(
    stage: Usd.Stage,
    path: str = "/World/Splats",
    count: int = 20,
    *,
    degree: int = 0,
    seed: int = 3,
    half: bool = False,
) -> UsdVol.ParticleField3DGaussianSplat:
    """Still Gaussians, all at their defaults; random, so that no two axes are alike."""
    rng = np.random.default_rng(seed)
    splats = UsdVol.ParticleField3DGaussianSplat.Define(stage, path)
    prim = splats.GetPrim()
    values = {
        "positions": ("point3", rng.normal(size=(count, 3))),
        "scales": ("float3", rng.uniform(0.01, 0.2, size=(count, 3))),
        "opacities": ("float", rng.uniform(0.1, 0.9, size=count)),
        "orientations": ("quat", Rotation.random(count, random_state=seed).as_quat()),
        HARMONICS: ("float3", rng.normal(size=(count * (degree + 1) ** 2, 3))),
    }
    for name, (kind, value) in values.items():
        put(prim, name, kind, value, half=half)
    splats.CreateRadianceSphericalHarmonicsDegreeAttr(degree)
    return splats


def put(
    prim: Usd.Prim, name: str, kind: str, value: np.ndarray, time: float | None = None, *, half: bool = False
) -> None:
    """Author one attribute; quaternions are x, y, z, w."""
    names = {
        "point3": ("point3f[]", "point3h[]", Vt.Vec3fArray, Vt.Vec3hArray),
        "float3": ("float3[]", "half3[]", Vt.Vec3fArray, Vt.Vec3hArray),
        "float": ("float[]", "half[]", Vt.FloatArray, Vt.HalfArray),
        "quat": ("quatf[]", "quath[]", Vt.QuatfArray, Vt.QuathArray),
    }[kind]
    attribute = prim.CreateAttribute(f"{name}h" if half else name, getattr(Sdf.ValueTypeNames, type_name(names[half])))
    array = names[2 + half].FromNumpy(np.ascontiguousarray(value, np.float16 if half else np.float32))
    attribute.Set(array, Usd.TimeCode.Default() if time is None else Usd.TimeCode(time))


def type_name(kind: str) -> str:
    """``point3f[]`` is ``Sdf.ValueTypeNames.Point3fArray``."""
    return kind[0].upper() + kind[1:].replace("[]", "Array")


def place(xform: UsdGeom.Xformable, matrix: np.ndarray, time: float | None = None) -> None:
    """Author a transform for columns, shape [4, 4]."""
    ops = xform.GetOrderedXformOps()
    op = ops[0] if ops else xform.AddTransformOp()
    op.Set(Gf.Matrix4d(matrix.T.tolist()), Usd.TimeCode.Default() if time is None else Usd.TimeCode(time))
