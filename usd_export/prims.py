"""What the kinds of prims that hold particles have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from pxr import Sdf, Usd, UsdGeom, Vt

from usd_export.arrays import usd_array
from usd_export.bulk import Put, put_plainly
from usd_export.poses import Pose


class ParticlePrim(ABC):
    """A prim whose particles move. Each method authors the default, or what holds at a time."""

    schema: UsdGeom.Gprim
    """The prim itself."""
    wants_velocities: bool
    """Whether ``pose`` has a use for velocities."""

    @abstractmethod
    def pose(self, pose: Pose, velocities: np.ndarray | None, time: Usd.TimeCode, put: Put = put_plainly) -> None:
        """Author where its n particles are, with the extent, which no plugin computes. ``velocities`` [m/s], shape
        [n, 3], where they are known. ``put`` authors all that is sampled."""

    @abstractmethod
    def show(self, opacities: np.ndarray, time: Usd.TimeCode) -> None:
        """Author opacities, shape [n], float32."""


def primvar(schema: UsdGeom.Gprim, name: str, kind: Sdf.ValueTypeName) -> Usd.Attribute:
    """The attribute of a primvar with one value per particle."""
    return UsdGeom.PrimvarsAPI(schema).CreatePrimvar(name, kind, UsdGeom.Tokens.vertex).GetAttr()


def set_primvar(
    schema: UsdGeom.Gprim, name: str, kind: Sdf.ValueTypeName, values: Any, time: Usd.TimeCode | None = None
) -> None:
    """Author one value per particle."""
    primvar(schema, name, kind).Set(values, Usd.TimeCode.Default() if time is None else time)


def judge(schema: UsdGeom.Gprim, confidence: np.ndarray, visibility: np.ndarray, time: Usd.TimeCode) -> None:
    """Author how far particles can be trusted, shape [n] each, as ``primvars:warpgs:confidence`` and
    ``primvars:warpgs:visibility``; see Judgment."""
    for name, shares in (("confidence", confidence), ("visibility", visibility)):
        values = usd_array(Vt.FloatArray, shares)
        set_primvar(schema, f"warpgs:{name}", Sdf.ValueTypeNames.FloatArray, values, time)
