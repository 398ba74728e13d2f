"""Points that stick to a surface, rigid or deforming, and how the patch around each of them turns. NumPy, float64."""

from __future__ import annotations

import numpy as np
import trimesh

from scenes.synthetic.bodies import Body


def sample_surface(mesh: trimesh.Trimesh, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random points spread evenly over a surface: positions [m], shape [n, 3], and their faces, shape [n]."""
    faces = generator.choice(len(mesh.faces), count, p=mesh.area_faces / mesh.area)
    u, v = generator.random((2, count, 1))
    flip = u + v > 1.0
    u, v = np.where(flip, 1.0 - u, u), np.where(flip, 1.0 - v, v)
    a, b, c = np.moveaxis(mesh.triangles[faces], 1, 0)
    return a + u * (b - a) + v * (c - a), faces


def carry(body: Body, points: np.ndarray, faces: np.ndarray, timesteps: int) -> tuple[np.ndarray, np.ndarray]:
    """Where points of a body's surface go.

    Args:
        body: Rigid or deforming.
        points: Positions on the surface at the start [m], body frame, shape [n, 3].
        faces: The face of each, shape [n].
        timesteps: Number of instants, the first at the start.

    Returns:
        Positions [m], body frame, shape [t, n, 3], and the rotation of each point's face since the start, shape
        [t, n, 3, 3]: the rotation nearest to its deformation.
    """
    if body.deformed is None:
        return np.broadcast_to(points, (timesteps, *points.shape)), np.broadcast_to(
            np.eye(3), (timesteps, len(points), 3, 3)
        )
    weights = trimesh.triangles.points_to_barycentric(body.mesh.triangles[faces], points)
    corners = body.deformed[:, body.mesh.faces[faces]]
    edges = _frames(corners)
    left, _, right = np.linalg.svd(edges @ np.linalg.inv(edges[:1]))
    return np.einsum("nk,tnki->tni", weights, corners), left @ right


def _frames(corners: np.ndarray) -> np.ndarray:
    """Two edges and the unit normal of triangles as columns, shape [..., 3, 3]."""
    first, second = corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    normal = np.cross(first, second)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.stack([first, second, normal], axis=-1)
