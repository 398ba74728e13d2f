"""Rays against groups of textured meshes: structs and ``wp.func`` only."""

from __future__ import annotations

import warp as wp

from scenes.synthetic.shading import LIGHT, Material, albedo, lit

FAR = wp.constant(1.0e6)
"""Longest ray [m]."""
LIFT = wp.constant(1.0e-3)
"""Start of a shadow ray above its surface, and tolerance of a visibility test [m]."""


@wp.struct
class Parts:
    """Textured meshes and, in rows of one timestep each, where they are."""

    meshes: wp.array2d[wp.uint64]
    """One per timestep, shape [t, p]: the same one where a part is rigid."""
    materials: wp.array[Material]
    poses: wp.array2d[wp.transform]
    """World from part, shape [t, p]."""
    spheres: wp.array2d[wp.vec4]
    """Bounding spheres, world frame: center and radius [m], shape [t, p]."""


@wp.struct
class View:
    """A camera as kernels read it."""

    width: int
    height: int
    focal: wp.vec2
    center: wp.vec2
    rotation: wp.mat33
    """World from camera."""
    origin: wp.vec3


@wp.struct
class Hit:
    """Where a ray meets a part first; ``part`` is -1 where it meets none."""

    distance: float
    part: int
    face: int


@wp.func
def direction_world(view: View, x_px: float, y_px: float) -> wp.vec3:
    """Unit direction of the ray through a point of the picture [px]."""
    x = (x_px - view.center[0]) / view.focal[0]
    y = (y_px - view.center[1]) / view.focal[1]
    return wp.normalize(view.rotation * wp.vec3(x, y, 1.0))


@wp.func
def sample_direction(view: View, pixel: int, sample: int, side: int) -> wp.vec3:
    """Unit direction of one of the ``side`` x ``side`` rays of a pixel."""
    x_px = float(pixel % view.width) + (float(sample % side) + 0.5) / float(side)
    y_px = float(pixel // view.width) + (float(sample // side) + 0.5) / float(side)
    return direction_world(view, x_px, y_px)


@wp.func
def meets_sphere(sphere: wp.vec4, origin: wp.vec3, direction: wp.vec3, width: float, spread: float) -> bool:
    """True where a beam, ``width`` [m] thick and growing by ``spread`` per metre, passes within a bounding sphere."""
    to_center = wp.vec3(sphere[0], sphere[1], sphere[2]) - origin
    along = wp.dot(to_center, direction)
    radius = sphere[3] + width
    reach = radius + spread * (along + radius)
    return along > -radius and wp.length_sq(to_center) - along * along < reach * reach


@wp.func
def meets_any_sphere(
    parts: Parts, timestep: int, origin: wp.vec3, direction: wp.vec3, width: float, spread: float
) -> bool:
    """True where a ray of the beam may meet a part."""
    for part in range(parts.meshes.shape[1]):
        if meets_sphere(parts.spheres[timestep, part], origin, direction, width, spread):
            return True
    return False


@wp.func
def cast(parts: Parts, timestep: int, origin: wp.vec3, direction: wp.vec3, limit: float) -> Hit:
    """First hit of a ray nearer than ``limit`` [m]."""
    hit = Hit()
    hit.distance = limit
    hit.part = -1
    for part in range(parts.meshes.shape[1]):
        if meets_sphere(parts.spheres[timestep, part], origin, direction, 0.0, 0.0):
            part_from_world = wp.transform_inverse(parts.poses[timestep, part])
            start = wp.transform_point(part_from_world, origin)
            query = wp.mesh_query_ray(
                parts.meshes[timestep, part], start, wp.transform_vector(part_from_world, direction), hit.distance
            )
            if query.result:
                hit.distance = query.t
                hit.part = part
                hit.face = query.face
    return hit


@wp.func
def rest_point(parts: Parts, timestep: int, part: int, face: int, point: wp.vec3) -> wp.vec3:
    """Where a point of a face, part frame, was at the start: a texture sticks to a surface that deforms."""
    mesh = parts.meshes[timestep, part]
    rest = parts.meshes[0, part]
    if mesh == rest:
        return point
    a = wp.mesh_get_point(mesh, 3 * face)
    along_b = wp.mesh_get_point(mesh, 3 * face + 1) - a
    along_c = wp.mesh_get_point(mesh, 3 * face + 2) - a
    normal = wp.cross(along_b, along_c)
    b = wp.dot(wp.cross(point - a, along_c), normal) / wp.length_sq(normal)
    c = wp.dot(wp.cross(along_b, point - a), normal) / wp.length_sq(normal)
    origin = wp.mesh_get_point(rest, 3 * face)
    return (
        origin
        + b * (wp.mesh_get_point(rest, 3 * face + 1) - origin)
        + c * (wp.mesh_get_point(rest, 3 * face + 2) - origin)
    )


@wp.func
def surface_color(
    parts: Parts, timestep: int, part: int, face: int, point: wp.vec3, bodies: Parts, body_timestep: int, shadows: int
) -> wp.vec3:
    """Shaded color of a point of a part; the bodies throw shadows. RGB 0..1."""
    pose = parts.poses[timestep, part]
    normal = wp.transform_vector(pose, wp.mesh_eval_face_normal(parts.meshes[timestep, part], face))
    shadowed = wp.float32(0.0)
    if shadows != 0 and wp.dot(normal, LIGHT) > 0.0:
        blocker = cast(bodies, body_timestep, point + LIFT * normal, LIGHT, FAR)
        if blocker.part >= 0:
            shadowed = wp.float32(1.0)
    local = wp.transform_point(wp.transform_inverse(pose), point)
    color = albedo(parts.materials[part], rest_point(parts, timestep, part, face, local))
    return lit(color, normal, shadowed)
