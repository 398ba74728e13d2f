"""What a USD file is to hold, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from warpgs.checks import refuse

Form = Literal["rigid", "raw", "dcc"]
Collider = Literal["hull", "decomposition", "none"]


@dataclass(frozen=True)
class UsdOptions:
    """How tracks become USD. The defaults are right for most."""

    form: Form | None = None
    """``rigid``: bodies that move, each with particles that stand still in its frame, colliders and physics. ``raw``:
    every particle's pose at every timestep. ``dcc``: that, and the same as UsdGeom.Points for programs that know no
    Gaussians. None: ``rigid`` where parts are given, otherwise ``raw``."""
    collider: Collider = "hull"
    """What a body collides with: its convex hull, convex pieces (needs the extra ``decomposition``), nothing."""
    dynamic: bool = False
    """Bodies move freely from ``start`` on, with the velocities that they have then, and nothing has time samples; the
    file comes with a physics scene and the ground. Otherwise bodies are kinematic: they move as they were tracked."""
    start: int | None = None
    """The timestep of a ``dynamic`` file; the first when None."""
    density: float = 300.0
    """Of bodies [kg/m^3], for their mass: between a hollow box (100) and water (1000)."""
    ground: bool = False
    """Write a physics scene and, as a collider, the ground beneath the parts."""
    ground_height: float | None = None
    """Where the ground is [m], or below, where a body reaches deeper at the start; None: under the lowest body."""
    half: bool = False
    """Particles in half precision: half the size, an error of 1 mm at 4 m from the origin of their frame."""
    records: Mapping[str, str] = field(default_factory=dict)
    """Where the tracks came from, stored in the layer's custom data: ``scene``, ``config_sha256``."""

    def __post_init__(self):
        for name, choices in (("form", (None, *get_args(Form))), ("collider", get_args(Collider))):
            if getattr(self, name) not in choices:
                refuse(f"UsdOptions: {name}", "one of " + ", ".join(map(str, choices)), getattr(self, name))
        if not (np.isfinite(self.density) and self.density > 0.0):
            refuse("UsdOptions: density", "a number above 0 [kg/m^3]", self.density)
        if self.start is not None and not self.dynamic:
            refuse("UsdOptions: start", "dynamic bodies", "kinematic ones", "pass dynamic=True too")


def points_layer(path: Path) -> Path:
    """Where the layer that shows points lies beside a file of the dcc form."""
    return path.with_name(f"{path.stem}_points.usda")
