"""One ParticleField of a stage as it is stored, whoever wrote it: what reading and checking ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pxr import Tf, Usd, UsdGeom, UsdVol

from warpgs.checks import refuse

POSITIONS, ORIENTATIONS, SCALES, OPACITIES = "positions", "orientations", "scales", "opacities"
HARMONICS = "radiance:sphericalHarmonicsCoefficients"
DEGREE = "radiance:sphericalHarmonicsDegree"
ARRAYS = (POSITIONS, ORIENTATIONS, SCALES, OPACITIES, HARMONICS)
SHAPES = {POSITIONS: (3,), ORIENTATIONS: (4,), SCALES: (3,), OPACITIES: (), HARMONICS: (3,), "extent": (3,)}
"""What stands for each particle, of numbers."""


@dataclass(frozen=True, eq=False)
class Field:
    """A prim of type UsdVol.ParticleField3DGaussianSplat."""

    prim: Usd.Prim

    @property
    def path(self) -> str:
        return str(self.prim.GetPath())

    def attribute(self, name: str) -> Usd.Attribute:
        """One of ARRAYS, or its twin in half precision where only that is authored."""
        full, half = self.prim.GetAttribute(name), self.prim.GetAttribute(f"{name}h")
        return half if half.HasAuthoredValue() and not full.HasAuthoredValue() else full

    def mistyped(self) -> list[str]:
        """Names of attributes that hold something else than the schema says: text, single numbers, matrices."""
        wrong = [] if isinstance(self.prim.GetAttribute(DEGREE).Get(), int) else [DEGREE]
        for name, shape in SHAPES.items():
            attribute = self.attribute(name)
            codes = [Usd.TimeCode.Default(), *map(Usd.TimeCode, attribute.GetTimeSamples()[:1])]
            arrays = [np.array(value) for value in map(attribute.Get, codes) if value is not None]
            if any(array.dtype.kind != "f" or array.ndim < 1 or array.shape[1:] != shape for array in arrays):
                wrong.append(name)
        return wrong

    def is_half(self) -> bool:
        """Whether positions, orientations or scales are in half precision."""
        return any(self.attribute(name).GetName() == f"{name}h" for name in (POSITIONS, ORIENTATIONS, SCALES))

    def primvar(self, name: str) -> UsdGeom.Primvar:
        return UsdGeom.PrimvarsAPI(self.prim).GetPrimvar(name)

    def first(self, name: str) -> np.ndarray | None:
        """One of ARRAYS at its first time sample, at the default where it has none; None where nothing is authored."""
        samples = self.attribute(name).GetTimeSamples()
        return self.at(name, Usd.TimeCode(samples[0]) if samples else Usd.TimeCode.Default())

    def at(self, name: str, time: Usd.TimeCode) -> np.ndarray | None:
        """One of ARRAYS at a time, as stored: [n], [n, 3], or x, y, z, w [n, 4]; None where nothing is authored."""
        value = self.attribute(name).Get(time)
        return None if value is None else np.array(value)

    def pose_times(self) -> list[float]:
        """Time samples of where the particles are and of which are shown, those of all parents included; rising."""
        times = [time for name in ARRAYS for time in self.attribute(name).GetTimeSamples()]
        for prim in self.ancestry():
            times += UsdGeom.Xformable(prim).GetTimeSamples() if prim.IsA(UsdGeom.Xformable) else []
            times += UsdGeom.Imageable(prim).GetVisibilityAttr().GetTimeSamples()
        return sorted(set(times))

    def ancestry(self) -> list[Usd.Prim]:
        """The prim and what it hangs from, up to the root of the stage, as far as it can be drawn."""
        prims, prim = [], self.prim
        while prim and not prim.IsPseudoRoot():
            prims += [prim] if prim.IsA(UsdGeom.Imageable) else []
            prim = prim.GetParent()
        return prims

    def transforms_vary(self) -> bool:
        """Whether the transform to the world may depend on the time."""
        return any(
            UsdGeom.Xformable(prim).TransformMightBeTimeVarying()
            for prim in self.ancestry()
            if prim.IsA(UsdGeom.Xformable)
        )

    def stage_from_prim(self, time: Usd.TimeCode) -> np.ndarray:
        """The transform from the prim's frame to the stage's, shape [4, 4], for columns."""
        return stage_from_prim(self.prim, time)

    def is_visible(self, time: Usd.TimeCode) -> bool:
        return UsdGeom.Imageable(self.prim).ComputeVisibility(time) != UsdGeom.Tokens.invisible


def open_stage(path: Path) -> Usd.Stage:
    """Open a stage.

    Raises:
        ValueError: not USD, or damaged.
    """
    try:
        return Usd.Stage.Open(str(path))
    except Tf.ErrorException as error:
        reasons = "; ".join(reason.commentary for reason in error.args) or "nothing that opens"
        refuse(path, "a USD file", reasons, "export it again, or restore it from its source")


def find_fields(stage: Usd.Stage) -> list[Field]:
    """Every field of Gaussians in a stage, instances included, in the order of the stage; none that merely guides or
    stands in for another."""
    return find_fields_under(stage.GetPseudoRoot())


def find_fields_under(root: Usd.Prim) -> list[Field]:
    """The same, of a prim and all below."""
    prims = Usd.PrimRange(root, Usd.TraverseInstanceProxies())
    drawn = (UsdGeom.Tokens.default_, UsdGeom.Tokens.render)
    return [
        Field(prim)
        for prim in prims
        if prim.IsA(UsdVol.ParticleField3DGaussianSplat) and UsdGeom.Imageable(prim).ComputePurpose() in drawn
    ]


def stage_from_prim(prim: Usd.Prim, time: Usd.TimeCode) -> np.ndarray:
    """The transform from a prim's frame to the stage's, shape [4, 4], for columns."""
    return np.array(UsdGeom.XformCache(time).GetLocalToWorldTransform(prim)).T
