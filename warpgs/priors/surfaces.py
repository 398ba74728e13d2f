"""Solids that stand in the scene: planes, spheres, boxes and triangle meshes, and the signed distance from each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from warpgs.checks import check_finite, check_shape, refuse
from warpgs.priors.ground import Plane, check_plane
from warpgs.similarity import Similarity


class Kind(IntEnum):
    """Which solid, for kernels; each in a frame of its own."""

    PLANE = 0
    """All below z = 0."""
    SPHERE = 1
    """About the origin."""
    BOX = 2
    """About the origin, edges along the axes."""
    MESH = 3
    """Bounding box about the origin."""


@dataclass(frozen=True)
class Sphere:
    """A ball."""

    center_m: tuple[float, float, float]
    """In the frame of the scene [m]."""
    radius_m: float
    """[m]"""

    def __post_init__(self) -> None:
        _check_vector("Sphere: center_m", self.center_m)
        if not 0.0 < self.radius_m < np.inf:
            refuse("Sphere: radius_m", "more than 0", self.radius_m)


@dataclass(frozen=True)
class Box:
    """A block."""

    center_m: tuple[float, float, float]
    """In the frame of the scene [m]."""
    size_m: tuple[float, float, float]
    """Lengths of its edges [m]."""
    rotation_wxyz: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """Scene from block."""

    def __post_init__(self) -> None:
        _check_vector("Box: center_m", self.center_m)
        _check_vector("Box: size_m", self.size_m)
        check_shape("Box: rotation_wxyz", np.asarray(self.rotation_wxyz), (4,))
        if not (min(self.size_m) > 0.0 and np.linalg.norm(self.rotation_wxyz) > 0.0):
            refuse("Box", "edges > 0 and a quaternion", (self.size_m, self.rotation_wxyz))


@dataclass(frozen=True, eq=False)
class TriangleMesh:
    """Closed triangles, counterclockwise seen from outside."""

    vertices_m: np.ndarray
    """In the frame of the scene [m], shape [v, 3]."""
    triangles: np.ndarray
    """Indices of vertices, shape [f, 3]."""

    def __post_init__(self) -> None:
        check_shape("TriangleMesh: vertices_m", self.vertices_m, (None, 3))
        check_shape("TriangleMesh: triangles", self.triangles, (None, 3))
        check_finite("TriangleMesh: vertices_m", self.vertices_m, "repair the mesh")
        if not len(self.triangles) or self.triangles.min() < 0 or self.triangles.max() >= len(self.vertices_m):
            span = f"{self.triangles.min()} to {self.triangles.max()}" if len(self.triangles) else "none"
            refuse("TriangleMesh: triangles", f"indices of {len(self.vertices_m)} vertices", span)

    @staticmethod
    def load(path: str | Path) -> TriangleMesh:
        """A mesh file of any kind that trimesh reads; its coordinates are those of the scene [m].

        Raises:
            FileNotFoundError, ValueError: no such file, or no triangles in it.
        """
        import trimesh  # noqa: PLC0415, a second to import, and few need it

        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: expected a mesh file, got none there")
        mesh = trimesh.load(path, force="mesh")
        return TriangleMesh(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int32))

    @cached_property
    def bounds_m(self) -> tuple[np.ndarray, np.ndarray]:
        """Center and half edges of the bounding box [m], shape [3] each."""
        low, high = self.vertices_m.min(axis=0), self.vertices_m.max(axis=0)
        return 0.5 * (low + high), 0.5 * (high - low)


Surface: TypeAlias = Plane | Sphere | Box | TriangleMesh


@dataclass(frozen=True, eq=False)
class Placed:
    """A solid as kernels take it."""

    kind: Kind
    world_from_surface: Similarity
    """From its own frame, which a motion without scale leads to the scene."""
    half: np.ndarray
    """Half edges of (the bounding box of) it, radius of a sphere [m], shape [3]."""

    @staticmethod
    def of(surface: Surface) -> Placed:
        """Where ``surface`` is."""
        if isinstance(surface, Plane):
            up = np.array(surface.normal)
            across = np.linalg.svd(up[None])[2][1]
            axes = np.stack([across, np.cross(up, across), up], axis=1)
            return Placed(Kind.PLANE, Similarity(1.0, axes, -surface.offset * up), np.zeros(3))
        if isinstance(surface, Sphere):
            return Placed(
                Kind.SPHERE, Similarity(translation=np.array(surface.center_m)), np.full(3, surface.radius_m)
            )  # fmt: skip
        if isinstance(surface, Box):
            turn = Rotation.from_quat(surface.rotation_wxyz, scalar_first=True).as_matrix()
            place = Similarity(1.0, turn, np.array(surface.center_m, float))
            return Placed(Kind.BOX, place, 0.5 * np.array(surface.size_m))
        center, half = surface.bounds_m
        return Placed(Kind.MESH, Similarity(translation=center), half)


def surface_of(value: Any) -> Surface:
    """A surface from what a command line can say: the four numbers of a plane (normal and offset), or a mesh file.

    Raises:
        TypeError: neither of them, nor a surface; and as the surface itself.
    """
    if isinstance(value, str):
        return TriangleMesh.load(value)
    if isinstance(value, tuple) and len(value) == 4:
        value = Plane((value[0], value[1], value[2]), value[3])
    if isinstance(value, Plane):
        check_plane("surface: plane", value)
    if isinstance(value, Plane | Sphere | Box | TriangleMesh):
        return value
    raise TypeError(f"surface: expected a Plane, Sphere, Box or TriangleMesh, 4 numbers or a mesh file, got {value!r}")


def upload_mesh(surface: TriangleMesh, device: wp.DeviceLike) -> wp.Mesh:
    """The mesh on a device, about the center of its bounding box."""
    points = wp.array(surface.vertices_m - surface.bounds_m[0], dtype=wp.vec3, device=device)
    return wp.Mesh(points, wp.array(np.ravel(surface.triangles), dtype=wp.int32, device=device))


def _check_vector(what: str, value: Any) -> None:
    check_shape(what, np.asarray(value, float), (3,))
    check_finite(what, np.asarray(value, float))
