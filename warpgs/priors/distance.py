"""Signed distance from a solid: negative inside."""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.priors.rest import TINY, Rest
from warpgs.priors.surfaces import Kind, Placed, Surface, TriangleMesh, upload_mesh

SPHERE, BOX = wp.constant(int(Kind.SPHERE)), wp.constant(int(Kind.BOX))
FAR = wp.constant(1e6)
"""Distance from a mesh whose bounding box is farther than asked for."""


@cache
def distance_kernels(dtype: type) -> SimpleNamespace:
    """The kernels for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    mat33 = wp.types.matrix((3, 3), dtype)
    tiny = wp.constant(dtype(TINY))
    zero, one = wp.constant(dtype(0.0)), wp.constant(dtype(1.0))

    @wp.func
    def nearest_on_box(half: vec3, point: vec3):
        beyond = vec3(wp.abs(point[0]) - half[0], wp.abs(point[1]) - half[1], wp.abs(point[2]) - half[2])
        out = vec3(wp.max(beyond[0], zero), wp.max(beyond[1], zero), wp.max(beyond[2], zero))
        distance = wp.length(out)
        side = vec3(one, one, one)
        for axis in range(3):
            if point[axis] < zero:
                side[axis] = -one
        if distance == zero:
            distance = wp.max(beyond[0], wp.max(beyond[1], beyond[2]))
            if beyond[0] == distance:
                out = vec3(one, zero, zero)
            elif beyond[1] == distance:
                out = vec3(zero, one, zero)
            else:
                out = vec3(zero, zero, one)
        return wp.normalize(wp.cw_mul(side, out)), distance

    @wp.func
    def nearest_on_triangle(a: vec3, b: vec3, c: vec3, point: vec3):
        """The point of a triangle that is nearest to ``point`` (Ericson, "Real-time collision detection", 5.1.5)."""
        ab = b - a
        ac = c - a
        d1 = wp.dot(ab, point - a)
        d2 = wp.dot(ac, point - a)
        d3 = wp.dot(ab, point - b)
        d4 = wp.dot(ac, point - b)
        d5 = wp.dot(ab, point - c)
        d6 = wp.dot(ac, point - c)
        va = d3 * d6 - d5 * d4
        vb = d5 * d2 - d1 * d6
        vc = d1 * d4 - d3 * d2
        inner = wp.max(va + vb + vc, tiny * tiny)
        nearest = a + ab * (vb / inner) + ac * (vc / inner)
        if d1 <= zero and d2 <= zero:
            nearest = a
        elif d3 >= zero and d4 <= d3:
            nearest = b
        elif d6 >= zero and d5 <= d6:
            nearest = c
        elif vc <= zero and d1 >= zero and d3 <= zero:
            nearest = a + ab * (d1 / (d1 - d3))
        elif vb <= zero and d2 >= zero and d6 <= zero:
            nearest = a + ac * (d2 / (d2 - d6))
        elif va <= zero and d4 >= d3 and d5 >= d6:
            nearest = b + (c - b) * ((d4 - d3) / ((d4 - d3) + (d5 - d6)))
        return nearest

    @wp.func
    def corner(mesh: wp.uint64, index: int):
        point = wp.mesh_get_point(mesh, index)
        return vec3(real(point[0]), real(point[1]), real(point[2]))

    @wp.func
    def nearest_on_mesh(half: vec3, mesh: wp.uint64, within: real, point: vec3):
        """Which face and which side Warp tells in float32; the point on it is found in ``real``."""
        normal = vec3(zero, zero, one)
        distance = real(FAR)
        _, outside = nearest_on_box(half, point)
        if outside < within or outside <= zero:
            rounded = wp.vec3(float(point[0]), float(point[1]), float(point[2]))
            reach = float(real(2.0) * wp.length(half) + within)
            query = wp.mesh_query_point_sign_normal(mesh, rounded, reach)
            if query.result:
                a = corner(mesh, query.face * 3)
                b = corner(mesh, query.face * 3 + 1)
                c = corner(mesh, query.face * 3 + 2)
                away = point - nearest_on_triangle(a, b, c, point)
                length = wp.length(away)
                distance = real(query.sign) * length
                normal = away * (real(query.sign) / wp.max(length, tiny))
                if length < real(1e-6) * wp.length(half):
                    normal = wp.normalize(wp.cross(b - a, c - a))
        return normal, distance

    @wp.kernel(module="unique", enable_backward=False)
    def solid_kernel(
        # inputs
        points: wp.array(dtype=vec3),
        turn: mat33,
        shift: vec3,
        unit: real,
        kind: int,
        half: vec3,
        # outputs
        normals: wp.array(dtype=vec3),
        distances: wp.array(dtype=real),
    ):
        i = wp.tid()
        point = unit * (turn * points[i]) + shift
        normal = vec3(zero, zero, one)
        distance = point[2]
        if kind == SPHERE:
            length = wp.length(point)
            distance = length - half[0]
            if length > zero:
                normal = point / length
        elif kind == BOX:
            box_normal, box_distance = nearest_on_box(half, point)
            normal = box_normal
            distance = box_distance
        normals[i] = wp.transpose(turn) * normal
        distances[i] = distance / unit

    @wp.kernel(module="unique", enable_backward=False)
    def mesh_kernel(
        # inputs
        points: wp.array(dtype=vec3),
        turn: mat33,
        shift: vec3,
        unit: real,
        mesh: wp.uint64,
        half: vec3,
        within: real,
        # outputs
        normals: wp.array(dtype=vec3),
        distances: wp.array(dtype=real),
    ):
        i = wp.tid()
        normal, distance = nearest_on_mesh(half, mesh, within * unit, unit * (turn * points[i]) + shift)
        normals[i] = wp.transpose(turn) * normal
        distances[i] = distance / unit

    return SimpleNamespace(solid=solid_kernel, mesh=mesh_kernel)


def signed_distances(
    surface: Surface, points: wp.array, rest: Rest, normals: wp.array, distances: wp.array, *, within: float
) -> None:
    """Where points are with respect to a solid.

    Args:
        surface: The solid, in the frame of the scene.
        points: In the frame of ``rest``, vec3, shape [n].
        rest: Says where that is, and keeps the mesh.
        normals: Output, outward unit normals where the solid is nearest, shape [n].
        distances: Output, in the unit of ``rest``, negative inside, shape [n]. Meshes may give any larger number
            to points outside that are farther than ``within``.
        within: Distance that matters [unit of ``rest``].
    """
    placed, unit = Placed.of(surface), rest.world_from_rest.scale
    surface_from_rest = placed.world_from_surface.inverse().matrix @ rest.world_from_rest.matrix
    turn = wp.types.matrix((3, 3), rest.dtype)(*(surface_from_rest[:3, :3] / unit).ravel().tolist())
    inputs, half = [points, turn, surface_from_rest[:3, 3].tolist(), unit], placed.half.tolist()
    kernels = distance_kernels(rest.dtype)
    if isinstance(surface, TriangleMesh):
        mesh = rest.once((surface, "mesh"), lambda: upload_mesh(surface, points.device))
        kernel, inputs = kernels.mesh, [*inputs, mesh.id, half, within]
    else:
        kernel, inputs = kernels.solid, [*inputs, int(placed.kind), half]
    wp.launch(kernel, points.size, inputs, [normals, distances], device=points.device, record_tape=False)
