"""Steps that change how pieces look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from warpgs.edit import look
from warpgs.edit.desk import SCENE, Desk, Eye
from warpgs.edit.paint import paint
from warpgs.edit.split import split
from warpgs.edit.step import Checked, Step, Vector, instant
from warpgs.types import Camera


@final
@dataclass(frozen=True)
class Recolor(Step):
    """In another color."""

    color: Vector
    of: str = SCENE
    share: float = 1.0
    """How much of the way, 0..1."""
    shading: bool = False
    """Keep what is lighter and darker."""

    def apply(self, desk: Desk) -> None:
        desk.change(self.of, lambda t: look.recolor(t, self.color, share=self.share, shading=self.shading))


@final
@dataclass(frozen=True)
class Tint(Step):
    """Red, green and blue times some factors."""

    factor: Vector
    of: str = SCENE

    def apply(self, desk: Desk) -> None:
        desk.change(self.of, lambda tracks: look.tint(tracks, self.factor))


@final
@dataclass(frozen=True)
class Fade(Step):
    """Opacities times a factor."""

    factor: float
    of: str = SCENE

    def apply(self, desk: Desk) -> None:
        desk.change(self.of, lambda tracks: look.fade(tracks, self.factor))


@final
@dataclass(frozen=True)
class Relight(Step):
    """Under an ambient and a directional light: an approximation, see ``relight``."""

    of: str = SCENE
    ambient: Vector = (0.4, 0.4, 0.4)
    light: Vector = (0.8, 0.8, 0.8)
    toward: Vector = (0.0, 0.0, 1.0)
    """Direction to the light."""
    at: int | None = None
    """Timestep of which the normals are; the first when not given."""

    def apply(self, desk: Desk) -> None:
        lights = {"ambient": self.ambient, "light": self.light, "toward": self.toward, "at": instant(desk, self.at)}
        desk.change(self.of, lambda tracks: look.relight(tracks, **lights))


@final
@dataclass(frozen=True)
class Paint(Checked):
    """Color what a picture that was painted on shows; what is transparent in it stays."""

    picture: str
    """RGBA, of the camera's size."""
    camera: str | Eye
    of: str = SCENE
    at: int | None = None
    """Timestep of that picture; the first when not given."""
    detail: int = 1
    """How often painted particles that are coarser than the picture's pixels are first cut into four."""

    def check(self, desk: Desk) -> None:
        self._painting(desk)

    def apply(self, desk: Desk) -> None:
        painting, camera = self._painting(desk)
        at = instant(desk, self.at)
        desk.change(self.of, lambda tracks: paint(tracks, painting / 255.0, camera, at, detail=self.detail))

    def _painting(self, desk: Desk) -> tuple[np.ndarray, Camera]:
        camera = desk.camera(self.camera, desk.timeline.timesteps[instant(desk, self.at)])
        return desk.picture(self.picture, camera, "RGBA"), camera


@final
@dataclass(frozen=True)
class Split(Step):
    """Cut every particle into four."""

    of: str = SCENE

    def apply(self, desk: Desk) -> None:
        desk.change(self.of, lambda tracks: split(tracks, np.ones(len(tracks.foreground), bool)))
