"""What stands in a synthetic scene: meshes with solid textures, and the room around them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import trimesh


class Pattern(IntEnum):
    """Kinds of solid texture."""

    MARBLE = 0
    CHECKER = 1
    STRIPES = 2
    PLAIN = 3
    """One color, the first, without any change of brightness."""


@dataclass(frozen=True)
class Texture:
    """A solid procedural texture: a pattern of two colors, patches of a third, fine changes of brightness."""

    pattern: Pattern
    """How the first two colors alternate."""
    grain_m: float
    """Size of the pattern's features [m]."""
    colors: tuple[tuple[float, float, float], ...]
    """Three albedos, RGB 0..1."""
    seed: int = 0
    """Chooses the noise."""


@dataclass(frozen=True, eq=False)
class Body:
    """A textured triangle mesh in its own frame; the texture is evaluated there, so it moves with the body."""

    name: str
    """Names the body in the ground truth."""
    mesh: trimesh.Trimesh
    """Surface [m], body frame, triangles counterclockwise seen from outside. A body that deforms starts so."""
    texture: Texture
    """Colors of the surface."""
    deformed: np.ndarray | None = None
    """Vertices at every timestep [m], body frame, shape [t, v, 3]; the first are the mesh's. None for a rigid body."""

    def surfaces(self, timesteps: int) -> tuple[trimesh.Trimesh, ...]:
        """The surface at every timestep, body frame; the very same mesh where the body is rigid."""
        if self.deformed is None:
            return (self.mesh,) * timesteps
        later = (trimesh.Trimesh(vertices, self.mesh.faces, process=False) for vertices in self.deformed[1:])
        return (self.mesh, *later)


def box(name: str, extents: tuple[float, float, float], texture: Texture) -> Body:
    """A box around the body's origin; ``extents`` are whole edge lengths [m]."""
    return Body(name, trimesh.creation.box(extents), texture)


def ball(name: str, radius: float, texture: Texture) -> Body:
    """A ball around the body's origin, fine enough that its facets do not show."""
    return Body(name, trimesh.creation.icosphere(subdivisions=4, radius=radius), texture)


def capsule(name: str, length: float, radius: float, texture: Texture) -> Body:
    """A capsule along z whose caps are centered at z = 0 and z = ``length`` [m]."""
    mesh = trimesh.creation.capsule(height=length, radius=radius, count=[32, 32])
    mesh.apply_translation([0.0, 0.0, 0.5 * length - mesh.bounds.mean(axis=0)[2]])
    return Body(name, mesh, texture)


def room(radius: float = 2.9, height: float = 2.6, sides: int = 48) -> tuple[Body, ...]:
    """A closed round room seen from inside: every ray of a camera within it hits something.

    Args:
        radius: Of the wall [m].
        height: Of the ceiling above the floor, which is at z = 0 [m].
        sides: Flat pieces of the wall.
    """
    shell = trimesh.creation.cylinder(radius=radius, height=height, sections=sides)
    shell.apply_translation([0.0, 0.0, 0.5 * height])
    shell.invert()
    up = shell.face_normals[:, 2]
    floor = Texture(Pattern.MARBLE, 0.22, ((0.62, 0.50, 0.36), (0.34, 0.40, 0.44), (0.66, 0.64, 0.52)), seed=101)
    wall = Texture(Pattern.MARBLE, 0.40, ((0.30, 0.45, 0.55), (0.60, 0.62, 0.56), (0.52, 0.36, 0.34)), seed=102)
    ceiling = Texture(Pattern.MARBLE, 0.80, ((0.75, 0.75, 0.72), (0.68, 0.70, 0.74), (0.75, 0.75, 0.72)), seed=103)
    return (
        Body("floor", _faces(shell, up > 0.5), floor),
        Body("wall", _faces(shell, np.abs(up) <= 0.5), wall),
        Body("ceiling", _faces(shell, up < -0.5), ceiling),
    )


def _faces(mesh: trimesh.Trimesh, chosen: np.ndarray) -> trimesh.Trimesh:
    return mesh.submesh([chosen], append=True)
