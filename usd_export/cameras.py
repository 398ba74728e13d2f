"""Calibrated cameras as UsdGeom.Camera."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pxr import Gf, Tf, Usd, UsdGeom
from scipy.spatial.transform import Rotation

from usd_export.stage import ROOT
from warpgs.types import Camera

APERTURE = 20.955
"""Width of the picture [mm], USD's default: pictures know angles only, so one number is free."""

CLIPPING = (0.01, 10_000.0)
"""Nearest and farthest distance [m]."""

USD_FROM_OPENCV = np.diag([1.0, -1.0, -1.0])
"""USD's cameras look down -z and have +y up."""


def write_cameras(stage: Usd.Stage, cameras: Sequence[Sequence[Camera]], times: Sequence[int]) -> None:
    """Write cameras under ``Cameras``; a pixel of theirs is one of USD's.

    Args:
        stage: Receives the prims.
        cameras: Those of each timestep, in one order.
        times: The timesteps.
    """
    if not cameras or not cameras[0]:
        return
    scope = UsdGeom.Scope.Define(stage, f"{ROOT}/Cameras")
    names: set[str] = set()
    for over_time in zip(*cameras, strict=True):
        first = over_time[0]
        name = base = Tf.MakeValidIdentifier(f"cam_{first.name}")
        while name in names:
            name = f"{base}_{len(names)}"
        names.add(name)
        camera = UsdGeom.Camera.Define(stage, f"{scope.GetPath()}/{name}")
        camera.CreateClippingRangeAttr(Gf.Vec2f(*CLIPPING))
        camera.GetPrim().SetCustomDataByKey(
            "warpgs", {"name": first.name, "width": first.width, "height": first.height}
        )
        camera.AddTranslateOp()
        camera.AddOrientOp(UsdGeom.XformOp.PrecisionDouble)
        _author(camera, first, Usd.TimeCode.Default())
        if any(not _same(first, other) for other in over_time):
            for one, time in zip(over_time, times, strict=True):
                _author(camera, one, Usd.TimeCode(time))


def _author(prim: UsdGeom.Camera, camera: Camera, time: Usd.TimeCode) -> None:
    """Pose and calibration at a time.

    The picture spans x = (0 - cx) / fx to (width - cx) / fx at depth 1, USD's (offset -+ aperture / 2) / focal length.
    """
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
    focal = fx / camera.width * APERTURE
    prim.CreateFocalLengthAttr().Set(focal, time)
    prim.CreateHorizontalApertureAttr().Set(APERTURE, time)
    prim.CreateVerticalApertureAttr().Set(camera.height / fy * focal, time)
    prim.CreateHorizontalApertureOffsetAttr().Set((0.5 * camera.width - cx) / fx * focal, time)
    prim.CreateVerticalApertureOffsetAttr().Set((cy - 0.5 * camera.height) / fy * focal, time)
    translate, orient = prim.GetOrderedXformOps()
    turn = Rotation.from_matrix(camera.world_from_camera[:3, :3] @ USD_FROM_OPENCV)
    translate.Set(Gf.Vec3d(*camera.center_world.tolist()), time)
    orient.Set(Gf.Quatd(*turn.as_quat(scalar_first=True).tolist()), time)


def _same(a: Camera, b: Camera) -> bool:
    return np.array_equal(a.world_from_camera, b.world_from_camera) and np.array_equal(a.intrinsics, b.intrinsics)
