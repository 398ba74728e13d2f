"""Who touches what: how deep feelers lie in colliders, and which way is out."""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.simulate.colliders import Kind

SPHERE, BOX, MESH = (wp.constant(int(kind)) for kind in (Kind.SPHERE, Kind.BOX, Kind.MESH))


@cache
def touch_kernels(dtype: type) -> SimpleNamespace:
    """The kernels for numbers of ``dtype``; the tape derives the adjoint of ``touch``, which takes the face of a mesh
    that is near for granted."""
    real = dtype
    vec3, quat = wp.types.vector(3, dtype), wp.types.quaternion(dtype)

    @wp.func
    def frame_center(center: vec3, body: int, centers: wp.array(dtype=vec3), rotations: wp.array(dtype=quat)):
        world = center
        if body >= 0:
            world = centers[body] + wp.quat_rotate(rotations[body], center)
        return world

    @wp.func
    def frame_rotation(rotation: quat, body: int, rotations: wp.array(dtype=quat)):
        world = rotation
        if body >= 0:
            world = rotations[body] * rotation
        return world

    @wp.func
    def box_normal(point: vec3, half: vec3):
        """Outward unit normal of a box where it is nearest to a point, and the signed distance [m]."""
        beyond = vec3(wp.abs(point[0]) - half[0], wp.abs(point[1]) - half[1], wp.abs(point[2]) - half[2])
        side = vec3(wp.sign(point[0]), wp.sign(point[1]), wp.sign(point[2]))
        out = vec3(
            wp.max(beyond[0], real(0.0)), wp.max(beyond[1], real(0.0)), wp.max(beyond[2], real(0.0))
        )  # fmt: skip
        distance = wp.length(out)
        normal = wp.cw_mul(side, out) / wp.max(distance, real(1e-12))
        if distance < real(1e-12):
            if beyond[0] >= beyond[1] and beyond[0] >= beyond[2]:
                distance = beyond[0]
                normal = vec3(side[0], real(0.0), real(0.0))
            elif beyond[1] >= beyond[2]:
                distance = beyond[1]
                normal = vec3(real(0.0), side[1], real(0.0))
            else:
                distance = beyond[2]
                normal = vec3(real(0.0), real(0.0), side[2])
        return normal, distance

    @wp.kernel(module="unique", enable_backward=False)
    def mesh_kernel(
        # inputs
        centers: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        pair_bodies: wp.array(dtype=wp.int32),
        pair_offsets: wp.array(dtype=vec3),
        pair_radii: wp.array(dtype=real),
        pair_colliders: wp.array(dtype=wp.int32),
        collider_kinds: wp.array(dtype=wp.int32),
        collider_bodies: wp.array(dtype=wp.int32),
        collider_centers: wp.array(dtype=vec3),
        collider_rotations: wp.array(dtype=quat),
        collider_sizes: wp.array(dtype=vec3),
        collider_meshes: wp.array(dtype=wp.uint64),
        # outputs: the face that a feeler is nearest to, in the collider's frame; no normal where it is far
        face_points: wp.array(dtype=vec3),
        face_normals: wp.array(dtype=vec3),
    ):
        p = wp.tid()
        c = pair_colliders[p]
        if collider_kinds[c] != MESH:
            return
        face_normals[p] = vec3(real(0.0), real(0.0), real(0.0))
        body = pair_bodies[p]
        world = centers[body] + wp.quat_rotate(rotations[body], pair_offsets[p])
        center = frame_center(collider_centers[c], collider_bodies[c], centers, rotations)
        rotation = frame_rotation(collider_rotations[c], collider_bodies[c], rotations)
        exact = wp.quat_rotate_inv(rotation, world - center)
        reach = collider_sizes[c][0] + pair_radii[p]
        if wp.length(exact) > reach:
            return
        # Meshes know float32 only.
        point = wp.vec3(float(exact[0]), float(exact[1]), float(exact[2]))
        query = wp.mesh_query_point_sign_normal(collider_meshes[c], point, float(reach))
        if not query.result:
            return
        closest = wp.mesh_eval_position(collider_meshes[c], query.face, query.u, query.v)
        normal = wp.mesh_eval_face_normal(collider_meshes[c], query.face)
        away = (point - closest) * query.sign
        # An edge or a corner has no normal of its own but from outside, seen from a point at some distance.
        if query.sign > 0.0 and wp.length(away) > 1.0e-3 * float(reach):
            normal = wp.normalize(away)
        face_points[p] = vec3(real(closest[0]), real(closest[1]), real(closest[2]))
        face_normals[p] = vec3(real(normal[0]), real(normal[1]), real(normal[2]))

    @wp.kernel(module="unique")
    def touch_kernel(
        # inputs
        centers: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        pair_bodies: wp.array(dtype=wp.int32),
        pair_offsets: wp.array(dtype=vec3),
        pair_radii: wp.array(dtype=real),
        pair_colliders: wp.array(dtype=wp.int32),
        collider_kinds: wp.array(dtype=wp.int32),
        collider_bodies: wp.array(dtype=wp.int32),
        collider_centers: wp.array(dtype=vec3),
        collider_rotations: wp.array(dtype=quat),
        collider_sizes: wp.array(dtype=vec3),
        face_points: wp.array(dtype=vec3),
        face_normals: wp.array(dtype=vec3),
        # outputs
        depths: wp.array(dtype=real),
        normals: wp.array(dtype=vec3),
        arms: wp.array(dtype=vec3),
        other_arms: wp.array(dtype=vec3),
    ):
        p = wp.tid()
        c = pair_colliders[p]
        kind = collider_kinds[c]
        body = pair_bodies[p]
        other = collider_bodies[c]
        arm = wp.quat_rotate(rotations[body], pair_offsets[p])
        world = centers[body] + arm
        center = frame_center(collider_centers[c], other, centers, rotations)
        rotation = frame_rotation(collider_rotations[c], other, rotations)
        point = wp.quat_rotate_inv(rotation, world - center)
        size = collider_sizes[c]
        normal = vec3(real(0.0), real(0.0), real(1.0))
        distance = point[2]
        if kind == SPHERE:
            length = wp.length(point)
            normal = point / wp.max(length, real(1e-12))
            distance = length - size[0]
        elif kind == BOX:
            box_out, box_distance = box_normal(point, size)
            normal = box_out
            distance = box_distance
        elif kind == MESH:
            normal = face_normals[p]
            distance = real(1e6)
            if wp.length_sq(normal) > real(0.0):
                distance = wp.dot(normal, point - face_points[p])
        depth = pair_radii[p] - distance
        depths[p] = depth
        if depth > real(0.0):
            out = wp.quat_rotate(rotation, normal)
            normals[p] = out
            arms[p] = arm - pair_radii[p] * out
            if other >= 0:
                other_arms[p] = world - pair_radii[p] * out - centers[other]

    @wp.kernel(module="unique", enable_backward=False)
    def count_kernel(
        # inputs
        depths: wp.array(dtype=real),
        pair_bodies: wp.array(dtype=wp.int32),
        pair_colliders: wp.array(dtype=wp.int32),
        collider_bodies: wp.array(dtype=wp.int32),
        # outputs, accumulated
        counts: wp.array(dtype=real),
    ):
        p = wp.tid()
        if depths[p] > real(0.0):
            wp.atomic_add(counts, pair_bodies[p], real(1.0))
            other = collider_bodies[pair_colliders[p]]
            if other >= 0:
                wp.atomic_add(counts, other, real(1.0))

    return SimpleNamespace(mesh=mesh_kernel, touch=touch_kernel, count=count_kernel)
