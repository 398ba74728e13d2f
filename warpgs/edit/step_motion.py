"""Steps that move pieces, in space and in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.spatial.transform import Rotation

from warpgs.bodies import fit_parts
from warpgs.checks import refuse
from warpgs.edit import space, time
from warpgs.edit.desk import SCENE, Desk
from warpgs.edit.step import ORIGIN, Step, Vector, instant
from warpgs.types import Tracks


@final
@dataclass(frozen=True)
class Transform(Step):
    """Scale and turn, then move."""

    of: str = SCENE
    scale: float = 1.0
    rotate_deg: Vector = ORIGIN
    """About the world's x, then y, then z axis."""
    translate: Vector = ORIGIN
    """How far [m]."""
    about: Vector | None = None
    """What scaling and turning leave in place [m]; the middle of the piece when not given."""
    at: int | None = None
    """Timestep of that middle; the first when not given."""

    def __post_init__(self) -> None:
        space.placing(scale=self.scale)

    def apply(self, desk: Desk) -> None:
        at = instant(desk, self.at)

        def moved(tracks: Tracks) -> Tracks:
            about = space.center(tracks, at) if self.about is None else self.about
            return space.transform(tracks, space.placing(self.translate, self.rotate_deg, self.scale, about))

        desk.change(self.of, moved)


@final
@dataclass(frozen=True)
class Attach(Step):
    """Fix a piece to the motion of another, which should be rigid, as both are at a timestep."""

    of: str
    to: str
    at: int | None = None
    """Timestep at which it is where it should be; the first when not given."""

    def apply(self, desk: Desk) -> None:
        carrier, at = desk.pieces[self.to], instant(desk, self.at)
        body = fit_parts(carrier, np.zeros(len(carrier.foreground), np.int32), [self.to])
        desk.change(self.of, lambda tracks: space.attach(tracks, body.world_from_part[:, 0], at))


@dataclass(frozen=True)
class Key:
    """A keyframe."""

    timestep: float
    position: Vector
    """Where the middle of the piece is [m]."""
    rotate_deg: Vector = ORIGIN
    """Since the timestep whose shape is kept."""


@final
@dataclass(frozen=True)
class Keyframes(Step):
    """Replace a trajectory by keyframes; in between on straight lines and arcs."""

    keys: tuple[Key, ...]
    of: str = SCENE
    smooth: bool = False
    """In between on smooth curves."""
    at: int | None = None
    """Timestep whose shape is kept; the first when not given."""

    def __post_init__(self) -> None:
        if not self.keys:
            refuse("keys", "at least one keyframe", "none")

    def apply(self, desk: Desk) -> None:
        timesteps, at = desk.timeline.timesteps, instant(desk, self.at)
        instants = np.interp([key.timestep for key in self.keys], timesteps, np.arange(len(timesteps)))
        turns = Rotation.from_euler("xyz", [key.rotate_deg for key in self.keys], degrees=True)
        places = np.array([key.position for key in self.keys])
        desk.change(self.of, lambda t: space.along(t, instants.tolist(), places, turns, at=at, smooth=self.smooth))


@final
@dataclass(frozen=True)
class Shift(Step):
    """Later by some timesteps, earlier where negative."""

    by: float
    of: str = SCENE

    def apply(self, desk: Desk) -> None:
        desk.change(self.of, lambda tracks: time.shift(tracks, self.by))


@final
@dataclass(frozen=True)
class Stretch(Step):
    """So many times as slow."""

    factor: float
    of: str = SCENE
    around: int | None = None
    """Timestep that stays where it is; the first when not given."""

    def apply(self, desk: Desk) -> None:
        around = instant(desk, self.around)
        desk.change(self.of, lambda tracks: time.stretch(tracks, self.factor, around))


@final
@dataclass(frozen=True)
class Loop(Step):
    """From a timestep on, what was from another on, again and again."""

    of: str = SCENE
    start: int | None = None
    """First timestep of what is repeated; the first of all when not given."""
    last: int | None = None
    """Last timestep of what is repeated; the last of all when not given."""
    back: bool = False
    """To and fro."""

    def apply(self, desk: Desk) -> None:
        start, last = instant(desk, self.start), instant(desk, self.last, default=-1)
        desk.change(self.of, lambda tracks: time.loop(tracks, start, last + 1, back=self.back))


@final
@dataclass(frozen=True)
class Reverse(Step):
    """Played backward."""

    of: str = SCENE

    def apply(self, desk: Desk) -> None:
        desk.change(self.of, time.reverse)


@final
@dataclass(frozen=True)
class Freeze(Step):
    """Still from a timestep on."""

    at: int
    of: str = SCENE
    always: bool = False
    """Before it too."""

    def apply(self, desk: Desk) -> None:
        at, stop = desk.instant(self.at), time.hold if self.always else time.freeze
        desk.change(self.of, lambda tracks: stop(tracks, at))


@final
@dataclass(frozen=True)
class Lengthen(Step):
    """So many timesteps for all pieces: the first of them, or more in which nothing moves."""

    timesteps: int

    def apply(self, desk: Desk) -> None:
        for piece in list(desk.pieces):
            desk.change(piece, lambda tracks: time.lengthen(tracks, self.timesteps))
        desk.timeline = time.lengthen(desk.timeline, self.timesteps)
