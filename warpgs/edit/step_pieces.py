"""Steps that make and take away pieces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from warpgs.checks import refuse
from warpgs.edit import pieces, select, space
from warpgs.edit.desk import SCENE, Desk, Eye
from warpgs.edit.step import ORIGIN, Checked, Step, Vector, instant
from warpgs.retime import onto
from warpgs.types import Tracks


@dataclass(frozen=True)
class Mask:
    """Where in a camera's picture."""

    picture: str
    """A picture of that size; what is not black counts."""
    camera: str | Eye
    seen: bool = False
    """Only what nothing hides."""


@final
@dataclass(frozen=True)
class Cut(Checked):
    """Move to a piece of its own what meets all conditions."""

    piece: str
    of: str = SCENE
    part: str | None = None
    """A rigid part, as ``warpgs parts`` names it; background, deformable."""
    box: tuple[Vector, Vector] | None = None
    """Least and greatest corner [m]."""
    mask: Mask | None = None
    mesh: str | None = None
    """What is inside of a closed mesh, in metres of the world."""
    where: dict[str, tuple[float, float]] | None = None
    """Ranges of x, y, z, red, green, blue, opacity, size, foreground."""
    invert: bool = False
    """What does not meet them."""
    at: int | None = None
    """Timestep at which places count; the first when not given."""

    def __post_init__(self) -> None:
        if all(value is None for value in (self.part, self.box, self.mask, self.mesh, self.where)):
            refuse("cut", "at least one of part, box, mask, mesh, where", "none")

    def check(self, desk: Desk) -> None:
        at = instant(desk, self.at)
        if self.part is not None:
            select.by_part(desk.parts(), self.part)
        if self.mesh is not None:
            desk.mesh(self.mesh)
        if self.mask is not None:
            desk.picture(self.mask.picture, desk.camera(self.mask.camera, desk.timeline.timesteps[at]), "L")
        if self.where is not None:
            select.in_ranges(desk.timeline, self.where)

    def apply(self, desk: Desk) -> None:
        tracks, at = desk.pieces[self.of], instant(desk, self.at)
        chosen = np.ones(len(tracks.foreground), bool)
        if self.part is not None:
            chosen &= select.by_part(desk.parts_of(self.of), self.part)
        if self.box is not None:
            chosen &= select.in_box(tracks, *map(np.array, self.box), at)
        if self.mesh is not None:
            chosen &= select.in_mesh(tracks, desk.mesh(self.mesh), at)
        if self.mask is not None:
            camera = desk.camera(self.mask.camera, desk.timeline.timesteps[at])
            pixels = desk.picture(self.mask.picture, camera, "L")
            chosen &= select.in_picture(tracks, pixels > 0, camera, at, seen=self.mask.seen)
        if self.where is not None:
            chosen &= select.in_ranges(tracks, self.where, at)
        desk.cut(self.of, self.piece, ~chosen if self.invert else chosen)


@final
@dataclass(frozen=True)
class Remove(Step):
    """Take a piece away."""

    of: str

    def apply(self, desk: Desk) -> None:
        del desk.pieces[self.of]


@final
@dataclass(frozen=True)
class Duplicate(Step):
    """The same again, as a piece of its own."""

    piece: str
    of: str = SCENE

    def apply(self, desk: Desk) -> None:
        desk.pieces[self.piece] = desk.pieces[self.of]


@final
@dataclass(frozen=True)
class Insert(Checked):
    """Put in another run, or a file: .usd*, .npz, .ply (3DGS)."""

    piece: str
    file: str
    start: int | None = None
    """Timestep at which it appears with its first; the first when not given."""
    foreground: bool | None = None
    """Whether all of it counts as foreground; as it says itself when not given."""
    scale: float = 1.0
    """Our metres per its unit."""
    rotate_deg: Vector = ORIGIN
    """About our x, then y, then z axis, through its origin."""
    translate: Vector = ORIGIN
    """Where its origin goes [m]."""

    def __post_init__(self) -> None:
        space.placing(scale=self.scale)

    def check(self, desk: Desk) -> None:
        desk.path(self.file)

    def apply(self, desk: Desk) -> None:
        tracks = _placed(desk.open_tracks(desk.path(self.file)), self)
        if self.foreground is not None:
            tracks = replace(tracks, foreground=np.full_like(tracks.foreground, self.foreground))
        desk.pieces[self.piece] = onto(tracks, desk.timeline, instant(desk, self.start))


@final
@dataclass(frozen=True)
class Background(Checked):
    """Replace the background of a piece by a run or a file; a piece named background afterward."""

    file: str
    of: str = SCENE
    piece: str = "background"
    scale: float = 1.0
    """Our metres per its unit."""
    rotate_deg: Vector = ORIGIN
    """About our x, then y, then z axis, through its origin."""
    translate: Vector = ORIGIN
    """Where its origin goes [m]."""

    def __post_init__(self) -> None:
        space.placing(scale=self.scale)

    def check(self, desk: Desk) -> None:
        desk.path(self.file)

    def apply(self, desk: Desk) -> None:
        desk.change(self.of, lambda tracks: pieces.take(tracks, tracks.foreground >= 0.5))
        surroundings = _placed(desk.open_tracks(desk.path(self.file)), self)
        surroundings = replace(surroundings, foreground=np.zeros_like(surroundings.foreground))
        desk.pieces[self.piece] = onto(surroundings, desk.timeline)


def _placed(tracks: Tracks, step: Insert | Background) -> Tracks:
    return space.transform(tracks, space.placing(step.translate, step.rotate_deg, step.scale))
