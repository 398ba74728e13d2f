"""What things are made of, and what else is there: a JSON file that a person writes.

{"friction": 0.4, "restitution": 0.6, "stiffness": 2e5,
 "parts": {"ball": {"restitution": 0.8}},
 "pins": {"lamp": [0.0, 0.0, 1.2]},
 "colliders": [{"shape": "mesh", "file": "ramp.obj"}, {"shape": "box", "center": [0, 0, 0.1], "extents": [1, 1, 0.2]}]}
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from warpgs.checks import refuse
from warpgs.simulate.colliders import Collider, box, mesh, plane, sphere

REMEDY = "see docs/simulate.md"
GRAVITY = 9.81
"""Of the Earth [m/s^2]."""


@dataclass(frozen=True)
class PartMaterial:
    """What one part is made of; None: as everything."""

    density: float | None = None
    """[kg/m^3]."""
    friction: float | None = None
    """Coulomb's coefficient."""
    restitution: float | None = None
    """Speed after a bounce over that before it, 0..1."""


@dataclass(frozen=True)
class Material:
    """What everything is made of, unless its part says otherwise."""

    density: float = 300.0
    """[kg/m^3]."""
    friction: float = 0.4
    """Coulomb's coefficient."""
    restitution: float = 0.3
    """Speed after a bounce over that before it, 0..1."""
    stiffness: float = 1e5
    """Young's modulus of what bends [Pa]; of priors, what a mean energy of 1 stores in a volume [J/m^3]."""
    springs: bool = True
    """Whether springs hold together what bends; False where priors do."""
    damping_s: float = 1e-3
    """Viscosity over stiffness of what bends [s]."""
    drag: float = 0.0
    """Rate at which all motion dies down [1/s]."""
    gravity: tuple[float, float, float] | None = None
    """[m/s^2], world frame; None for GRAVITY down the scene's up axis."""
    ground: bool = True
    """Whether the floor that is found in the scene holds things."""
    parts: dict[str, PartMaterial] = field(default_factory=dict)
    """By name of the part."""
    pins: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """By name of the part: the point [m] that it hangs from and turns about, world frame."""
    colliders: tuple[Collider, ...] = ()
    """What else stands in the world."""

    def __post_init__(self) -> None:
        for what, of in (
            ("material", self),
            *((f"material of part {name}", part) for name, part in self.parts.items()),
        ):
            for name, most in (("density", np.inf), ("friction", np.inf), ("restitution", 1.0)):
                value = getattr(of, name)
                least = 1e-6 if name == "density" else 0.0
                if value is not None and not (np.isfinite(value) and least <= value <= most):
                    refuse(f"{what}: {name}", f"a number from {least:g} to {most:g}", value)
        for name in ("stiffness", "damping_s", "drag"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0.0):
                refuse(f"material: {name}", "a finite number >= 0", value)

    def of(self, part: str) -> Material:
        """What a part is made of."""
        own = {name: value for name, value in asdict(self.parts.get(part, PartMaterial())).items() if value is not None}
        return replace(self, **own)

    def numbers(self) -> dict[str, Any]:
        """What JSON can hold of it, for the record of a run."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("parts", "colliders")}
        return plain | {
            "parts": {name: asdict(part) for name, part in self.parts.items()},
            "colliders": [collider.kind.name.lower() for collider in self.colliders],
        }


def read_material(path: Path) -> Material:
    """Read a material; paths of meshes are relative to the file.

    Raises:
        FileNotFoundError, ValueError: no such file, not JSON, or an entry that is none; names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        refuse(path, "JSON", error, REMEDY)
    values = _checked(path, content, Material)
    values["parts"] = {
        name: PartMaterial(**_checked(f"{path}: parts: {name}", entry, PartMaterial))
        for name, entry in _object(f"{path}: parts", values.get("parts", {})).items()
    }
    values["pins"] = {
        name: _triple(f"{path}: pins: {name}", point)
        for name, point in _object(f"{path}: pins", values.get("pins", {})).items()
    }
    if values.get("gravity") is not None:
        values["gravity"] = _triple(f"{path}: gravity", values["gravity"])
    entries = values.get("colliders", [])
    if not isinstance(entries, list):
        refuse(f"{path}: colliders", "a list", type(entries).__name__, REMEDY)
    values["colliders"] = tuple(_collider(path, number, entry) for number, entry in enumerate(entries))
    return Material(**values)


def _object(what: object, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(what, "an object", type(value).__name__, REMEDY)
    return value


def _checked(what: object, value: Any, kind: type) -> dict[str, Any]:
    """The entries of an object, whose names are fields of ``kind`` and whose plain values are numbers."""
    names = [f.name for f in fields(kind)]
    for name, entry in _object(what, value).items():
        if name not in names:
            refuse(what, "entries among " + ", ".join(names), repr(name), REMEDY)
        is_number = isinstance(entry, int | float) and not isinstance(entry, bool)
        if name in ("ground", "springs") and not isinstance(entry, bool):
            refuse(f"{what}: {name}", "true or false", repr(entry), REMEDY)
        if name not in ("ground", "springs", "gravity", "parts", "pins", "colliders") and not is_number:
            refuse(f"{what}: {name}", "a number", repr(entry), REMEDY)
    return dict(value)


def _triple(what: str, value: Any) -> tuple[float, float, float]:
    numbers = value if isinstance(value, list) else []
    if len(numbers) != 3 or not all(isinstance(x, int | float) and np.isfinite(x) for x in numbers):
        refuse(what, "three numbers", repr(value)[:80], REMEDY)
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


def _collider(path: Path, number: int, entry: Any) -> Collider:
    """One of the file's colliders."""
    what = f"{path}: colliders[{number}]"
    shapes = {"plane": plane, "sphere": sphere, "box": box, "mesh": _read_mesh}
    values = dict(_object(what, entry))
    shape = values.pop("shape", None)
    if shape not in shapes:
        refuse(f"{what}: shape", "one of " + ", ".join(shapes), repr(shape), REMEDY)
    if shape == "mesh":
        values["file"] = path.parent / str(values.get("file", ""))
    try:
        return shapes[shape](**values)
    except TypeError as error:
        refuse(what, f"what a {shape} has", error, REMEDY)


def _read_mesh(file: Path, center: Any = (0, 0, 0), rotation_wxyz: Any = (1, 0, 0, 0), scale: float = 1.0) -> Collider:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: expected a mesh, got no such file; paths are relative to the material's file")
    try:
        read = trimesh.load(file, force="mesh", process=False)
    except Exception as error:  # whatever a reader of one of many formats may raise
        refuse(file, "a mesh that trimesh reads", error, "export it as .obj, .ply or .stl")
    return mesh(scale * np.asarray(read.vertices), np.asarray(read.faces), center, rotation_wxyz)
