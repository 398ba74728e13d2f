"""Rays against textured meshes: pictures, masks, depths, visibility and colors of points, on Warp's CPU device.

A group of parts is cast together: the surroundings, which never move, and the bodies, one pose each per timestep. Rays
are taken into a part's own frame, so no mesh is ever rebuilt. What each ray of a camera hits on the surroundings is
found once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import trimesh
import warp as wp
from scipy.spatial.transform import Rotation

from scenes.synthetic.bodies import Body
from scenes.synthetic.rays import (
    FAR,
    LIFT,
    Parts,
    View,
    cast,
    direction_world,
    meets_any_sphere,
    sample_direction,
    surface_color,
)
from scenes.synthetic.shading import LIGHT, Material, shadow_ratio
from warpgs.types import Camera

DEVICE = "cpu"


@wp.kernel(enable_backward=False)
def cast_background_kernel(
    # inputs
    view: View,
    background: Parts,
    bodies: Parts,
    side: int,
    # outputs
    distance: wp.array2d[float],
    dimming: wp.array2d[float],
    color: wp.array3d[wp.uint8],
    extent: wp.array[wp.vec4],
):
    pixel = wp.tid()
    low = wp.vec3(FAR, FAR, FAR)
    high = -low
    for sample in range(side * side):
        direction = sample_direction(view, pixel, sample, side)
        hit = cast(background, 0, view.origin, direction, FAR)
        distance[pixel, sample] = hit.distance
        dimming[pixel, sample] = 1.0
        point = view.origin + hit.distance * direction
        low = wp.min(low, point)
        high = wp.max(high, point)
        shaded = wp.vec3()
        if hit.part >= 0:
            shaded = surface_color(background, 0, hit.part, hit.face, point, bodies, 0, 0)
            dimming[pixel, sample] = shadow_ratio(wp.mesh_eval_face_normal(background.meshes[0, hit.part], hit.face))
        for channel in range(3):
            color[pixel, sample, channel] = wp.uint8(255.0 * shaded[channel] + 0.5)
    center = 0.5 * (low + high)
    extent[pixel] = wp.vec4(center[0], center[1], center[2], 0.5 * wp.length(high - low))


@wp.kernel(enable_backward=False)
def cast_frame_kernel(
    # inputs
    view: View,
    bodies: Parts,
    timestep: int,
    side: int,
    shadows: int,
    distance: wp.array2d[float],
    dimming: wp.array2d[float],
    background_color: wp.array3d[wp.uint8],
    extent: wp.array[wp.vec4],
    # outputs
    color: wp.array2d[wp.uint8],
    mask: wp.array[wp.uint8],
):
    pixel = wp.tid()
    x_px = float(pixel % view.width) + 0.5
    direction = direction_world(view, x_px, float(pixel // view.width) + 0.5)
    # Half a pixel's diagonal is 0.71 px; rays away from the axis diverge less.
    spread = 0.75 / wp.min(view.focal[0], view.focal[1])
    may_cover = meets_any_sphere(bodies, timestep, view.origin, direction, 0.0, spread)
    may_dim = may_cover
    if shadows != 0 and not may_cover:
        ground = extent[pixel]
        may_dim = meets_any_sphere(bodies, timestep, wp.vec3(ground[0], ground[1], ground[2]), LIGHT, ground[3], 0.0)
    total = wp.vec3()
    covered = wp.float32(0.0)
    for sample in range(side * side):
        part = wp.int32(-1)
        point = wp.vec3()
        if may_dim:
            direction = sample_direction(view, pixel, sample, side)
            point = view.origin + distance[pixel, sample] * direction
        if may_cover:
            hit = cast(bodies, timestep, view.origin, direction, distance[pixel, sample])
            part = hit.part
            if part >= 0:
                point = view.origin + hit.distance * direction
                covered += 1.0
                total += surface_color(bodies, timestep, part, hit.face, point, bodies, timestep, shadows)
        if part < 0:
            light = wp.float32(1.0 / 255.0)
            if may_dim and shadows != 0 and dimming[pixel, sample] < 1.0:
                blocker = cast(bodies, timestep, point, LIGHT, FAR)
                if blocker.part >= 0:
                    light *= dimming[pixel, sample]
            for channel in range(3):
                total[channel] += light * float(background_color[pixel, sample, channel])
    total /= float(side * side)
    for channel in range(3):
        color[pixel, channel] = wp.uint8(255.0 * total[channel] + 0.5)
    mask[pixel] = wp.uint8(255.0 * covered / float(side * side) + 0.5)


@wp.kernel(enable_backward=False)
def cast_depth_kernel(
    # inputs
    view: View,
    background: Parts,
    bodies: Parts,
    timestep: int,
    # outputs
    depth: wp.array[float],
):
    pixel = wp.tid()
    direction = direction_world(view, float(pixel % view.width) + 0.5, float(pixel // view.width) + 0.5)
    hit = cast(background, 0, view.origin, direction, FAR)
    hit = cast(bodies, timestep, view.origin, direction, hit.distance)
    depth[pixel] = hit.distance * wp.dot(direction, view.rotation * wp.vec3(0.0, 0.0, 1.0))


@wp.kernel(enable_backward=False)
def see_points_kernel(
    # inputs
    view: View,
    background: Parts,
    bodies: Parts,
    timestep: int,
    points: wp.array[wp.vec3],
    # outputs
    visible: wp.array[wp.uint8],
):
    i = wp.tid()
    ray = points[i] - view.origin
    camera_point = wp.transpose(view.rotation) * ray
    seen = wp.uint8(0)
    if camera_point[2] > 0.0:
        x = view.focal[0] * camera_point[0] / camera_point[2] + view.center[0]
        y = view.focal[1] * camera_point[1] / camera_point[2] + view.center[1]
        if x >= 0.0 and y >= 0.0 and x < float(view.width) and y < float(view.height):
            distance = wp.length(ray)
            limit = distance - LIFT
            direction = ray / distance
            hit = cast(background, 0, view.origin, direction, limit)
            if hit.part < 0:
                hit = cast(bodies, timestep, view.origin, direction, limit)
            if hit.part < 0:
                seen = wp.uint8(1)
    visible[i] = seen


@wp.kernel(enable_backward=False)
def color_points_kernel(
    # inputs
    parts: Parts,
    timestep: int,
    bodies: Parts,
    shadows: int,
    points: wp.array[wp.vec3],
    part: wp.array[int],
    face: wp.array[int],
    # outputs
    colors: wp.array[wp.vec3],
):
    i = wp.tid()
    colors[i] = surface_color(parts, timestep, part[i], face[i], points[i], bodies, timestep, shadows)


@dataclass(frozen=True, eq=False)
class PartGroup:
    """Parts on the device, with the meshes that their ids point to."""

    parts: Parts
    """What kernels read."""
    meshes: tuple[wp.Mesh, ...]
    """Kept alive here: ``parts`` holds their ids only."""


@dataclass(frozen=True, eq=False)
class Backdrop:
    """What each ray of one camera hits on the surroundings."""

    distance: wp.array
    """Along each ray [m], shape [pixels, samples]."""
    dimming: wp.array
    """What a cast shadow multiplies the color with, shape [pixels, samples]; 1 where the light never falls."""
    color: wp.array
    """Colors without shadows, uint8, shape [pixels, samples, 3]: pictures without bodies are their mean."""
    extent: wp.array
    """Sphere around what the rays of a pixel hit: center and radius [m], shape [pixels] of vec4."""


def upload(bodies: Sequence[Body], world_from_body: np.ndarray) -> PartGroup:
    """Put bodies and their poses on the device.

    Args:
        bodies: Textured meshes, at most 127.
        world_from_body: Rigid transforms, shape [t, b, 4, 4].
    """
    timesteps = len(world_from_body)
    meshes, ids, spheres = [], np.empty((timesteps, len(bodies)), np.uint64), np.empty((timesteps, len(bodies), 4))
    for b, body in enumerate(bodies):
        surfaces = body.surfaces(timesteps)
        known = {id(surface): _mesh(surface) for surface in surfaces}
        meshes += known.values()
        for timestep, surface in enumerate(surfaces):
            ids[timestep, b] = known[id(surface)].id
            spheres[timestep, b] = _sphere(surface, world_from_body[timestep, b])
    parts = Parts()
    parts.meshes = wp.array(ids, dtype=wp.uint64, device=DEVICE)
    parts.materials = wp.array([_material(body) for body in bodies], dtype=Material, device=DEVICE)
    parts.poses = wp.array(_transforms(world_from_body), dtype=wp.transform, device=DEVICE)
    parts.spheres = wp.array(spheres, dtype=wp.vec4, device=DEVICE)
    return PartGroup(parts, tuple(meshes))


def view_of(camera: Camera) -> View:
    """A camera as kernels read it."""
    view = View()
    view.width, view.height = camera.width, camera.height
    view.focal = wp.vec2(camera.intrinsics[0, 0], camera.intrinsics[1, 1])
    view.center = wp.vec2(camera.intrinsics[0, 2], camera.intrinsics[1, 2])
    view.rotation = wp.mat33(camera.world_from_camera[:3, :3])
    view.origin = wp.vec3(camera.world_from_camera[:3, 3])
    return view


def cast_background(camera: Camera, background: PartGroup, bodies: PartGroup, side: int) -> Backdrop:
    """Cast ``side`` x ``side`` rays per pixel onto the surroundings alone."""
    pixels = camera.width * camera.height
    backdrop = Backdrop(
        distance=wp.empty((pixels, side * side), dtype=float, device=DEVICE),
        dimming=wp.empty((pixels, side * side), dtype=float, device=DEVICE),
        color=wp.empty((pixels, side * side, 3), dtype=wp.uint8, device=DEVICE),
        extent=wp.empty(pixels, dtype=wp.vec4, device=DEVICE),
    )
    inputs = [view_of(camera), background.parts, bodies.parts, side]
    outputs = [backdrop.distance, backdrop.dimming, backdrop.color, backdrop.extent]
    wp.launch(cast_background_kernel, pixels, inputs, outputs, device=DEVICE, record_tape=False)
    return backdrop


def cast_frame(
    camera: Camera, bodies: PartGroup, backdrop: Backdrop, timestep: int, shadows: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Picture and mask of one camera: uint8, shapes [height, width, 3] and [height, width].

    Only pixels whose rays, or whose light, may meet a body are cast anew; the others come from ``backdrop``.
    """
    pixels, samples = backdrop.distance.shape
    color = wp.empty((pixels, 3), dtype=wp.uint8, device=DEVICE)
    mask = wp.empty(pixels, dtype=wp.uint8, device=DEVICE)
    inputs = [view_of(camera), bodies.parts, timestep, round(samples**0.5), int(shadows)]
    inputs += [backdrop.distance, backdrop.dimming, backdrop.color, backdrop.extent]
    wp.launch(cast_frame_kernel, pixels, inputs, [color, mask], device=DEVICE, record_tape=False)
    return color.numpy().reshape(camera.height, camera.width, 3), mask.numpy().reshape(camera.height, camera.width)


def cast_depth(camera: Camera, background: PartGroup, bodies: PartGroup, timestep: int) -> np.ndarray:
    """Depth along the optical axis at each pixel's center [m], shape [height, width], float32."""
    depth = wp.empty(camera.width * camera.height, dtype=float, device=DEVICE)
    inputs = [view_of(camera), background.parts, bodies.parts, timestep]
    wp.launch(cast_depth_kernel, depth.size, inputs, [depth], device=DEVICE, record_tape=False)
    return depth.numpy().reshape(camera.height, camera.width)


def see_points(
    camera: Camera, background: PartGroup, bodies: PartGroup, timestep: int, points: np.ndarray
) -> np.ndarray:
    """True where a point [m], world frame, lies in the picture with nothing in front; shape [n], bool."""
    visible = wp.empty(len(points), dtype=wp.uint8, device=DEVICE)
    inputs = [view_of(camera), background.parts, bodies.parts, timestep]
    inputs.append(wp.array(points, dtype=wp.vec3, device=DEVICE))
    wp.launch(see_points_kernel, len(points), inputs, [visible], device=DEVICE, record_tape=False)
    return visible.numpy().astype(bool)


def color_points(
    parts: PartGroup,
    bodies: PartGroup,
    shadows: bool,
    points: np.ndarray,
    part: np.ndarray,
    face: np.ndarray,
    *,
    timestep: int = 0,
) -> np.ndarray:
    """Shaded colors of points [m] on given faces of parts; RGB 0..1, shape [n, 3], float32."""
    colors = wp.empty(len(points), dtype=wp.vec3, device=DEVICE)
    inputs = [parts.parts, timestep, bodies.parts, int(shadows), wp.array(points, dtype=wp.vec3, device=DEVICE)]
    inputs += [wp.array(index, dtype=wp.int32, device=DEVICE) for index in (part, face)]
    wp.launch(color_points_kernel, len(points), inputs, [colors], device=DEVICE, record_tape=False)
    return colors.numpy()


def _mesh(surface: trimesh.Trimesh) -> wp.Mesh:
    return wp.Mesh(
        points=wp.array(surface.vertices, dtype=wp.vec3, device=DEVICE),
        indices=wp.array(surface.faces.ravel(), dtype=wp.int32, device=DEVICE),
    )


def _sphere(surface: trimesh.Trimesh, world_from_body: np.ndarray) -> np.ndarray:
    """Bounding sphere in the world: center and radius [m], shape [4]."""
    center = surface.bounds.mean(axis=0)
    radius = 1.001 * np.linalg.norm(surface.vertices - center, axis=1).max()
    return np.array([*(world_from_body[:3, :3] @ center + world_from_body[:3, 3]), radius])


def _material(body: Body) -> Material:
    texture = body.texture
    material = Material()
    material.pattern, material.seed, material.grain = int(texture.pattern), texture.seed, texture.grain_m
    material.color_a, material.color_b, material.color_c = (wp.vec3(*color) for color in texture.colors)
    return material


def _transforms(matrices: np.ndarray) -> np.ndarray:
    """Rigid matrices [..., 4, 4] as position and quaternion x, y, z, w, shape [..., 7], float32."""
    quaternions = Rotation.from_matrix(matrices[..., :3, :3].reshape(-1, 3, 3)).as_quat()
    quaternions = quaternions.reshape((*matrices.shape[:-2], 4))
    return np.concatenate([matrices[..., :3, 3], quaternions], axis=-1).astype(np.float32)
