"""Cameras that go with what moves: beside it, or on it in first person.

A ride is the pose of what carries the camera, world_from_ride, at every instant: of a rigid part, whose frame stands at
the center of its particles, or of a point, whose frame stands in it; axes are parallel to the world's at the instant
that the part begins at or the point is asked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from warpgs.bodies import Parts
from warpgs.bodies.fit import smooth_motions
from warpgs.checks import refuse
from warpgs.query import PointQuery, query
from warpgs.query.geometry import matrices_from_wxyz
from warpgs.types import Camera, Tracks
from warpgs.view.paths import look_at


def part_ride(parts: Parts, name: str, *, smooth: float = 0.0) -> np.ndarray:
    """The ride of a part by its name; ``smooth``: time constant over which it is smoothed [timesteps].

    Returns:
        world_from_ride, shape [t, 4, 4].

    Raises:
        ValueError: no such part; names those there are.
    """
    if name not in parts.names:
        refuse("part", "one of " + " ".join(parts.names) if parts.names else "a run with rigid parts", repr(name))
    return _smoothed(parts.world_from_part[:, parts.names.index(name)], smooth)


def point_ride(tracks: Tracks, point: PointQuery, *, smooth: float = 0.0) -> np.ndarray:
    """The same of a point: it moves and turns with the particle that it belongs to.

    Raises:
        ValueError: the point is in no particle, or asked at an instant that the tracks lack.
    """
    paths = query(tracks, [point])
    if not paths.assigned[0]:
        got = f"({point.x:g}, {point.y:g}, {point.z:g})"
        refuse("point", "a position within 3 sigma of a particle", got, "take one of warpgs query")
    poses = np.tile(np.eye(4), (len(tracks), 1, 1))
    poses[:, :3, :3] = matrices_from_wxyz(paths.rotations_wxyz[:, 0])
    poses[:, :3, 3] = paths.positions[:, 0]
    return _smoothed(poses, smooth)


def follow(camera: Camera, ride: np.ndarray, offset: Sequence[float] | None = None) -> tuple[Camera, ...]:
    """Cameras that go along with what they look at, and do not turn.

    Args:
        camera: Gives the picture's size and lens, and where to start without an ``offset``.
        ride: world_from_ride, shape [k, 4, 4].
        offset: Of the camera from what it looks at [m], world frame.

    Returns:
        One per pose.
    """
    away = camera.center_world - ride[0, :3, 3] if offset is None else np.asarray(offset, np.float64)
    return tuple(
        replace(camera, name="follow", world_from_camera=look_at(target + away, target)) for target in ride[:, :3, 3]
    )


def attach(
    camera: Camera,
    ride: np.ndarray,
    offset: Sequence[float] | None = None,
    look: Sequence[float] = (0.0, 0.0, 0.0),
) -> tuple[Camera, ...]:
    """Cameras that are fixed to what moves: first person.

    Args:
        camera: Gives the picture's size and lens, and where to start without an ``offset``.
        ride: world_from_ride, shape [k, 4, 4].
        offset: Where the camera is [m], frame of the ride.
        look: What it looks at [m], frame of the ride.

    Returns:
        One per pose.
    """
    if offset is None:
        offset = (np.linalg.inv(ride[0]) @ np.append(camera.center_world, 1.0))[:3]
    ride_from_camera = look_at(np.asarray(offset, np.float64), np.asarray(look, np.float64))
    return tuple(replace(camera, name="attach", world_from_camera=pose @ ride_from_camera) for pose in ride)


def _smoothed(poses: np.ndarray, smooth: float) -> np.ndarray:
    if not (np.isfinite(smooth) and smooth >= 0.0):
        refuse("smooth", "0 or a positive number of timesteps", smooth)
    return smooth_motions(poses, smooth) if smooth > 0.0 else poses
