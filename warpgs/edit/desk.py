"""What the steps of a script work on: pieces by name, on one timeline, and where files, cameras and parts come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image, UnidentifiedImageError

from warpgs.bodies import Parts
from warpgs.checks import refuse, sentence
from warpgs.edit.pieces import join
from warpgs.query import find_camera
from warpgs.retime import rows
from warpgs.types import Camera, Scene, Tracks
from warpgs.view import look_at

SCENE = "scene"
"""The piece that a script starts with: all of its base."""


@dataclass(frozen=True)
class Eye:
    """A camera of a script's own: where it stands and what it looks at [m], world frame, z up."""

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    fov_deg: float = 45.0
    """From top to bottom [degrees]."""
    size: tuple[int, int] = (640, 360)
    """Width and height [px]."""

    def camera(self) -> Camera:
        if not 0.0 < self.fov_deg < 180.0 or min(self.size) < 1:
            refuse("camera", "fov_deg between 0 and 180, a size of at least 1x1", f"{self.fov_deg} and {self.size}")
        width, height = self.size
        focal = 0.5 * height / np.tan(np.deg2rad(0.5 * self.fov_deg))
        intrinsics = np.array([[focal, 0.0, 0.5 * width], [0.0, focal, 0.5 * height], [0.0, 0.0, 1.0]])
        return Camera("eye", width, height, intrinsics, look_at(np.array(self.eye), np.array(self.target)))


@dataclass(eq=False)
class Desk:
    """Pieces at work."""

    base: Tracks
    """What a script starts with."""
    open_scene: Callable[[], Scene | None]
    """The scene, which knows the cameras; None where nobody does."""
    folder: Path
    """Of the script: where its relative paths start."""
    open_tracks: Callable[[Path], Tracks]
    """Reads a run or a file."""
    find_parts: Callable[[], Parts]
    """The rigid parts of ``base``; asked for when the first step needs them."""
    pieces: dict[str, Tracks] = field(init=False)
    """By name, in the order in which they are joined."""
    timeline: Tracks = field(init=False)
    """One particle that has the timesteps and the frame rate of all pieces."""
    _parts: Parts | None = field(init=False, default=None)
    _part_index: dict[str, np.ndarray] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.pieces = {SCENE: self.base}
        self.timeline = rows(self.base, slice(0, 1))

    def change(self, piece: str, change: Callable[[Tracks], Tracks]) -> None:
        """Put in place of a piece what a function makes of it."""
        before = self.pieces[piece]
        self.pieces[piece] = change(before)
        if len(self.pieces[piece].foreground) != len(before.foreground):
            self._part_index.pop(piece, None)

    def cut(self, of: str, piece: str, chosen: np.ndarray) -> None:
        """Move particles of a piece to a new one."""
        if chosen.all() or not chosen.any():
            got = "all of it" if chosen.all() else "nothing"
            refuse("cut", f"some particles of {of!r} that meet all conditions", got, "choose something else")
        tracks, index = self.pieces[of], self._part_index.get(of)
        for name, mask in ((of, ~chosen), (piece, chosen)):
            self.pieces[name] = rows(tracks, mask)
            if index is not None:
                self._part_index[name] = index[mask]

    def parts_of(self, piece: str) -> Parts:
        """The parts of the base, as far as they are in a piece."""
        parts = self.parts()
        if piece not in self._part_index:
            remedy = "cut parts out of what was there from the start, before steps that add or drop particles"
            refuse(f"part of {piece!r}", "a piece of the base", "one whose particles changed", remedy)
        return replace(parts, part_index=self._part_index[piece])

    def parts(self) -> Parts:
        """Those of the base; before any step."""
        if self._parts is None:
            self._parts = self.find_parts()
            self._part_index[SCENE] = self._parts.part_index
        return self._parts

    def instant(self, timestep: int) -> int:
        """Index of a timestep.

        Raises:
            ValueError: the tracks do not have it.
        """
        timesteps = self.timeline.timesteps
        if timestep not in timesteps:
            refuse("timestep", f"one of {timesteps[0]} to {timesteps[-1]}, those of the tracks", timestep)
        return timesteps.index(timestep)

    def camera(self, asked: str | Eye, timestep: int) -> Camera:
        """By name, of the scene, or a script's own."""
        if isinstance(asked, Eye):
            return asked.camera()
        scene = self.open_scene()
        if scene is None:
            remedy = "name the scene, or give camera = { eye = [...], target = [...] }"
            refuse(f"camera {asked!r}", "a scene that knows it", "none", remedy)
        return find_camera(scene, asked, timestep)

    def path(self, name: str) -> Path:
        """A path of the script, which has to exist (``box.ply`` may be a series)."""
        path = self.folder / name
        series = path.suffix.lower() == ".ply" and any(path.parent.glob(f"{path.stem}_*.ply"))
        if not path.exists() and not series:
            raise FileNotFoundError(sentence(path, "a file or a run", "none", "paths start at the script's folder"))
        return path

    def picture(self, name: str, camera: Camera, mode: str) -> np.ndarray:
        """A picture of a camera's size as Pillow's ``mode``, uint8."""
        path = self.path(name)
        try:
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert(mode))
        except UnidentifiedImageError as error:
            raise ValueError(sentence(path, "a picture", "something else", "save it as PNG")) from error
        if pixels.shape[:2] != (camera.height, camera.width):
            rule = f"{camera.width}x{camera.height} pixels, as camera {camera.name} has"
            refuse(path, rule, f"{pixels.shape[1]}x{pixels.shape[0]}", "start from a picture of warpgs render")
        return pixels

    def mesh(self, name: str) -> trimesh.Trimesh:
        """A triangle mesh."""
        path = self.path(name)
        try:
            return trimesh.load_mesh(path)
        except (NotImplementedError, ValueError, KeyError) as error:
            refuse(path, "a triangle mesh (.obj, .ply, .stl, .glb)", error, "convert it")

    def result(self) -> Tracks:
        """All pieces together."""
        if not self.pieces:
            refuse("script", "a piece that is left at the end", "none", "remove less")
        joined = join(list(self.pieces.values()))
        kept = ("source_from_world", "camera_names", "camera_log_gains", "camera_offsets", "camera_turns")
        return replace(joined, **{name: getattr(self.timeline, name) for name in kept})
