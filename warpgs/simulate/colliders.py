"""What bodies collide with: planes, spheres, boxes and triangle meshes, fixed in the world or on a body."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import warp as wp

from warpgs.checks import check_finite, check_shape, refuse

WORLD = -1
"""Body of a collider that stands still."""
IDENTITY_WXYZ = (1.0, 0.0, 0.0, 0.0)


class Kind(IntEnum):
    """Shapes that kernels know."""

    PLANE = 0
    """Half space below z = 0."""
    SPHERE = 1
    """Around the origin."""
    BOX = 2
    """Around the origin, its edges along the axes."""
    MESH = 3
    """Triangles, counterclockwise seen from outside."""


@dataclass(frozen=True, eq=False)
class Collider:
    """A solid in a frame of its own. Make one with ``plane``, ``sphere``, ``box`` or ``mesh``."""

    kind: Kind
    center: np.ndarray
    """Origin of its frame [m], in the world or in the frame of its body, shape [3]."""
    rotation_wxyz: np.ndarray
    """Of its frame, shape [4]."""
    size: np.ndarray
    """Half edges of a box, radius of a sphere (three times), farthest vertex of a mesh [m], shape [3]."""
    vertices: np.ndarray | None = None
    """Of a mesh [m], its own frame, shape [v, 3]."""
    triangles: np.ndarray | None = None
    """Of a mesh, indices of vertices, shape [f, 3]."""
    body: int = WORLD
    """The body that it is part of, or WORLD."""

    def uploaded(self, device: wp.DeviceLike) -> wp.Mesh | None:
        """The mesh on a device; None for other shapes."""
        if self.vertices is None or self.triangles is None:
            return None
        points = wp.array(self.vertices, dtype=wp.vec3, device=device)
        return wp.Mesh(points, wp.array(self.triangles.ravel(), dtype=wp.int32, device=device))


def plane(normal: Any = (0.0, 0.0, 1.0), offset: float = 0.0) -> Collider:
    """The half space normal . x + offset < 0; ``normal`` is a unit vector, ``offset`` a height [m], as in Plane."""
    up = _vector("plane: normal", normal)
    if abs(np.linalg.norm(up) - 1.0) > 1e-6:
        refuse("plane: normal", "a unit vector", up.tolist())
    w = 1.0 + up[2]
    turn = np.array([w, -up[1], up[0], 0.0]) if w > 1e-6 else np.array([0.0, 1.0, 0.0, 0.0])
    return Collider(Kind.PLANE, -offset * up, turn / np.linalg.norm(turn), np.zeros(3))


def sphere(center: Any, radius: float, *, body: int = WORLD) -> Collider:
    """A ball of ``radius`` [m]."""
    _check_positive("sphere: radius", radius)
    return Collider(
        Kind.SPHERE, _vector("sphere: center", center), np.array(IDENTITY_WXYZ), np.full(3, float(radius)), body=body
    )


def box(center: Any, extents: Any, rotation_wxyz: Any = IDENTITY_WXYZ, *, body: int = WORLD) -> Collider:
    """A box; ``extents`` are whole edge lengths [m]."""
    edges = _vector("box: extents", extents)
    _check_positive("box: extents", float(edges.min()))
    turn = _unit("box: rotation_wxyz", rotation_wxyz)
    return Collider(Kind.BOX, _vector("box: center", center), turn, 0.5 * edges, body=body)


def mesh(
    vertices: np.ndarray, triangles: np.ndarray, center: Any = (0.0, 0.0, 0.0), rotation_wxyz: Any = IDENTITY_WXYZ,
    *, body: int = WORLD,
) -> Collider:  # fmt: skip
    """Triangles, counterclockwise seen from outside; what is open has a back that counts as inside.

    Raises:
        ValueError: no triangles, indices that do not exist, numbers that are not finite.
    """
    vertices, triangles = np.asarray(vertices, np.float64), np.asarray(triangles, np.int64)
    check_shape("mesh: vertices", vertices, (None, 3))
    check_shape("mesh: triangles", triangles, (None, 3))
    check_finite("mesh: vertices", vertices, "repair the mesh")
    if len(triangles) == 0 or triangles.min() < 0 or triangles.max() >= len(vertices):
        span = f"{triangles.min()} to {triangles.max()}" if len(triangles) else "none"
        refuse("mesh: triangles", f"indices of {len(vertices)} vertices", span)
    size = np.full(3, np.linalg.norm(vertices, axis=1).max())
    turn = _unit("mesh: rotation_wxyz", rotation_wxyz)
    return Collider(
        Kind.MESH, _vector("mesh: center", center), turn, size, vertices, triangles.astype(np.int32), body
    )  # fmt: skip


def _vector(what: str, values: Any) -> np.ndarray:
    array = np.asarray(values, np.float64)
    check_shape(what, array, (3,))
    check_finite(what, array)
    return array


def _unit(what: str, values: Any) -> np.ndarray:
    array = np.asarray(values, np.float64)
    check_shape(what, array, (4,))
    if not abs(np.linalg.norm(array) - 1.0) < 1e-3:
        refuse(what, "a unit quaternion w, x, y, z", array.tolist())
    return array / np.linalg.norm(array)


def _check_positive(what: str, value: float) -> None:
    if not (np.isfinite(value) and value > 0.0):
        refuse(what, "more than 0 [m]", value)
