"""Closed meshes around moving sheets and ropes, the same triangles at every timestep. Float64 NumPy."""

from __future__ import annotations

import numpy as np
import trimesh
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from scenes.synthetic.bodies import Body, Texture


def sheet(name: str, middle: np.ndarray, thickness: float, texture: Texture, *, finer: int = 2) -> Body:
    """A thin sheet.

    Args:
        name: Names the body.
        middle: Grid of points halfway between its two faces [m], shape [t, rows, columns, 3].
        thickness: Between the faces [m].
        texture: Colors.
        finer: Quads per cell of the grid along each side; points between are on a cubic spline.
    """
    for axis in (1, 2):
        count = middle.shape[axis]
        middle = CubicSpline(np.arange(count), middle, axis=axis)(np.linspace(0, count - 1, finer * (count - 1) + 1))
    normals = np.cross(np.gradient(middle, axis=1), np.gradient(middle, axis=2))
    normals *= 0.5 * thickness / np.linalg.norm(normals, axis=-1, keepdims=True)
    timesteps, rows, columns = middle.shape[:3]
    vertices = np.stack([middle + normals, middle - normals], axis=1).reshape(timesteps, -1, 3)
    front = np.arange(rows * columns).reshape(rows, columns)
    back = front + rows * columns
    border = np.concatenate([front[0, :-1], front[:-1, -1], front[-1, :0:-1], front[:0:-1, 0]])
    around = np.roll(border, -1)
    faces = np.concatenate(
        [
            _quads(front[:-1, :-1], front[1:, :-1], front[1:, 1:], front[:-1, 1:]),
            _quads(back[:-1, :-1], back[:-1, 1:], back[1:, 1:], back[1:, :-1]),
            _quads(border, around, around + rows * columns, border + rows * columns),
        ]
    )
    return _deforming(name, vertices, faces, texture)


def rope(name: str, middle: np.ndarray, radius: float, texture: Texture, *, sides: int = 10) -> Body:
    """A round rope that does not twist: rings turn by the smallest rotation that keeps them across the rope.

    Args:
        name: Names the body.
        middle: Points of its axis [m], shape [t, n, 3].
        radius: [m].
        texture: Colors.
        sides: Flat pieces around.
    """
    along = np.gradient(middle, axis=1)
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    across = np.empty_like(middle)
    helper = np.eye(3)[np.abs(along[0]).max(axis=0).argmin()]
    across[0] = np.cross(along[0], helper)
    for timestep in range(1, len(middle)):
        across[timestep] = _swing(along[timestep - 1], along[timestep]).apply(across[timestep - 1])
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    angles = 2.0 * np.pi * np.arange(sides) / sides
    spokes = (
        np.cos(angles)[:, None] * across[:, :, None] + np.sin(angles)[:, None] * np.cross(along, across)[:, :, None]
    )
    rings = (middle[:, :, None] + radius * spokes).reshape(len(middle), -1, 3)
    vertices = np.concatenate([rings, middle[:, :1], middle[:, -1:]], axis=1)
    ring = np.arange(middle.shape[1] * sides).reshape(-1, sides)
    turned = np.roll(ring, -1, axis=1)
    faces = np.concatenate(
        [
            _quads(ring[:-1], turned[:-1], turned[1:], ring[1:]),
            np.stack([turned[0], ring[0], np.full(sides, ring.size)], axis=1),
            np.stack([ring[-1], turned[-1], np.full(sides, ring.size + 1)], axis=1),
        ]
    )
    return _deforming(name, vertices, faces, texture)


def _quads(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Two triangles for each quad."""
    corners = np.stack(np.broadcast_arrays(a, b, c, a, c, d), axis=-1)
    return corners.reshape(-1, 3)


def _swing(before: np.ndarray, after: np.ndarray) -> Rotation:
    """The smallest rotations between unit vectors less than half a turn apart, shape [n, 3]."""
    quaternions = np.concatenate([np.cross(before, after), 1.0 + np.sum(before * after, axis=1, keepdims=True)], axis=1)
    return Rotation.from_quat(quaternions)


def _deforming(name: str, vertices: np.ndarray, faces: np.ndarray, texture: Texture) -> Body:
    return Body(name, trimesh.Trimesh(vertices[0], faces, process=False), texture, vertices)
