"""The way of a point through time: asked for by a pixel or by a position, answered in space and in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from warpgs.checks import check_finite, refuse
from warpgs.query.assign import assign, carry
from warpgs.query.geometry import conjugate, inside, multiply, project, to_camera
from warpgs.query.surface import lift
from warpgs.query.visibility import visible
from warpgs.types import Camera, Scene, Split, Tracks

SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True)
class PixelQuery:
    """What shows at a position in a picture."""

    camera: str
    """Camera.name, training or held out."""
    timestep: int
    """The scene's index of the instant."""
    x: float
    """Position from the left [px]; the center of the first pixel is 0.5."""
    y: float
    """Position from the top [px]."""


@dataclass(frozen=True)
class PointQuery:
    """What is at a position in space."""

    x: float
    """Position [m], world frame."""
    y: float
    """Position [m], world frame."""
    z: float
    """Position [m], world frame."""
    timestep: int | None = None
    """The scene's index of the instant; the first of the run when None."""


Query = PixelQuery | PointQuery


@dataclass(frozen=True, eq=False)
class Paths:
    """Where m queried points are at each of the t instants of a run."""

    timesteps: tuple[int, ...]
    """The scene's index of each instant."""
    time_s: np.ndarray
    """Time of each instant since timestep 0 [s], shape [t]."""
    origin: np.ndarray
    """The instant of each query, an index into ``timesteps``, shape [m]."""
    particle: np.ndarray
    """The particle that carries each point, shape [m]."""
    assigned: np.ndarray
    """False where the point lies beyond 3 sigma of every particle: it is carried all the same; shape [m], bool."""
    positions: np.ndarray
    """Positions [m], world frame, shape [t, m, 3]."""
    rotations_wxyz: np.ndarray
    """Rotations since the instant of the query, world frame, shape [t, m, 4]."""
    confidence: np.ndarray | None
    """How sure the run is of the particle, 0..1, shape [t, m], see Tracks; None where it does not say."""
    visibility: np.ndarray | None
    """Share of the particle's light that reaches the training views, 0..1, shape [t, m]; None where the run does not
    say."""


@dataclass(frozen=True, eq=False)
class Sights:
    """How one camera sees m paths at each of t instants."""

    points_px: np.ndarray
    """Positions [px], shape [t, m, 2]; NaN behind the camera."""
    depth: np.ndarray
    """Distance along the optical axis [m], shape [t, m]."""
    visible: np.ndarray
    """Whether the point lies in the picture with little in front of it, shape [t, m], bool."""


def query(tracks: Tracks, queries: Sequence[Query], scene: Scene | None = None) -> Paths:
    """Follow points through all instants, before and after the one they are asked at.

    A pixel is lifted to the surface that shows there. The point then belongs to the particle with the largest influence
    on it, and moves and turns with that particle.

    Args:
        tracks: Poses of the particles.
        queries: Pixels and points, m of them.
        scene: Knows the cameras; needed for pixels.

    Raises:
        ValueError: an unknown camera, an instant that is not tracked, a pixel outside its picture or of nothing.
    """
    origin = np.array([_origin(f"query {i}", each, tracks) for i, each in enumerate(queries)], dtype=np.int64)
    points = _points(tracks, queries, origin, scene)
    count = len(queries)
    particle, assigned = np.zeros(count, np.int64), np.zeros(count, bool)
    positions, rotations = np.zeros((len(tracks), count, 3)), np.zeros((len(tracks), count, 4))
    for instant in np.unique(origin):
        rows = np.flatnonzero(origin == instant)
        particle[rows], assigned[rows] = assign(points[rows], tracks.at(instant))
        positions[:, rows] = carry(tracks, particle[rows], points[rows], origin=instant)
        turns = tracks.rotations_wxyz[:, particle[rows]].astype(np.float64)
        rotations[:, rows] = multiply(turns, conjugate(turns[instant : instant + 1]))
    return Paths(
        timesteps=tracks.timesteps,
        time_s=np.array(tracks.timesteps) / tracks.fps,
        origin=origin,
        particle=particle,
        assigned=assigned,
        positions=positions,
        # Of both quaternions of a rotation the one with a positive w.
        rotations_wxyz=np.where(rotations[..., :1] < 0.0, -rotations, rotations),
        confidence=None if tracks.confidence is None else tracks.confidence[:, particle],
        visibility=None if tracks.visibility is None else tracks.visibility[:, particle],
    )


def look(paths: Paths, tracks: Tracks, scene: Scene, camera_name: str) -> Sights:
    """Project paths into a camera, and judge which points it sees.

    Args:
        paths: Of ``query``, at the instants of ``tracks``.
        tracks: What may stand in front.
        scene: Knows the cameras.
        camera_name: Camera.name, training or held out.

    Raises:
        ValueError: an unknown camera.
    """
    points_px, depth, seen = [], [], []
    for index, timestep in enumerate(tracks.timesteps):
        camera = find_camera(scene, camera_name, timestep)
        points = paths.positions[index]
        points_px.append(project(points, camera)[0])
        depth.append(to_camera(points, camera)[:, 2])
        seen.append(visible(points, tracks.at(index), camera))
    return Sights(np.stack(points_px), np.stack(depth), np.stack(seen))


def find_camera(scene: Scene, name: str, timestep: int) -> Camera:
    """The camera of that name, training cameras first.

    Raises:
        ValueError: there is none; names those there are.
    """
    cameras = [camera for split in SPLITS for camera in scene.cameras(split, timestep)]
    for camera in cameras:
        if camera.name == name:
            return camera
    refuse("camera", "one of " + " ".join(camera.name for camera in cameras), repr(name))


def _origin(what: str, each: Query, tracks: Tracks) -> int:
    """Index of a query's instant."""
    timestep = tracks.timesteps[0] if each.timestep is None else each.timestep
    if timestep not in tracks.timesteps:
        span = f"a timestep of the run, {tracks.timesteps[0]} to {tracks.timesteps[-1]}"
        refuse(what, span, timestep, "ask at another instant, or track further")
    return tracks.timesteps.index(timestep)


def _points(tracks: Tracks, queries: Sequence[Query], origin: np.ndarray, scene: Scene | None) -> np.ndarray:
    """Positions of all queries at their instants [m], world frame, shape [m, 3]."""
    points = np.zeros((len(queries), 3))
    groups: dict[tuple[str, int], list[int]] = {}  # pixels of one picture are lifted together
    for i, each in enumerate(queries):
        if isinstance(each, PointQuery):
            points[i] = each.x, each.y, each.z
            check_finite(f"query {i}: position", points[i])
        else:
            groups.setdefault((each.camera, int(origin[i])), []).append(i)
    if groups and scene is None:
        refuse("query: pixels", "the scene, which knows the cameras", "none", "pass scene")
    for (name, instant), rows in groups.items():
        camera = find_camera(scene, name, tracks.timesteps[instant])
        points_px = np.array([[queries[i].x, queries[i].y] for i in rows])
        _check_inside(rows, points_px, camera)
        points[rows], known = lift(points_px, tracks.at(instant), camera)
        if not known.all():
            first = int(np.argmin(known))
            got = f"none at ({points_px[first, 0]:g}, {points_px[first, 1]:g}) in camera {name}"
            refuse(f"query {rows[first]}", "a pixel that shows a particle", got, "choose a pixel on a surface")
    return points


def _check_inside(rows: Sequence[int], points_px: np.ndarray, camera: Camera) -> None:
    outside = ~inside(points_px, camera)
    if outside.any():
        first = int(np.argmax(outside))
        rule = f"a pixel of camera {camera.name}, x in 0..{camera.width} and y in 0..{camera.height}"
        refuse(f"query {rows[first]}", rule, f"({points_px[first, 0]:g}, {points_px[first, 1]:g})")
