"""Colors of surfaces: solid procedural textures and the light. ``wp.func`` only."""

from __future__ import annotations

import warp as wp

LIGHT = wp.constant(wp.normalize(wp.vec3(0.45, -0.3, 0.85)))
"""Direction to the light, infinitely far away, world frame."""
AMBIENT = wp.constant(0.62)
"""Light from everywhere; what a surface turned away from the light receives."""
DIRECT = wp.constant(0.42)
"""Light from ``LIGHT`` on a surface that faces it."""
SHADOW = wp.constant(0.6)
"""Share of the direct light that a cast shadow takes away."""


@wp.struct
class Material:
    """A texture as kernels read it; see ``scenes.synthetic.bodies.Texture``."""

    pattern: int
    seed: int
    grain: float
    color_a: wp.vec3
    color_b: wp.vec3
    color_c: wp.vec3


@wp.func
def ease(low: float, high: float, x: float) -> float:
    """Smooth step from 0 below ``low`` to 1 above ``high``."""
    t = wp.clamp((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@wp.func
def octaves(state: wp.uint32, p: wp.vec3) -> float:
    """Three octaves of gradient noise, about -1..1."""
    return wp.noise(state, p) + 0.5 * wp.noise(state, 2.03 * p) + 0.25 * wp.noise(state, 4.01 * p)


@wp.func
def albedo(material: Material, point: wp.vec3) -> wp.vec3:
    """Color of a texture at a point of the body [m], RGB 0..1."""
    state = wp.rand_init(material.seed)
    q = point / material.grain
    warp_x = octaves(state, 0.7 * q + wp.vec3(7.3, 1.1, 4.7))
    share = ease(-0.25, 0.25, warp_x)
    if material.pattern == 1:
        half = wp.PI * 0.5
        share = ease(-0.2, 0.2, wp.sin(half * q[0] + 0.4) * wp.sin(half * q[1] + 0.9) * wp.sin(half * q[2] + 0.7))
    if material.pattern == 2:
        share = ease(-0.35, 0.35, wp.sin(wp.PI * (q[2] + 0.35 * q[0]) + 1.8 * warp_x))
    color = wp.lerp(material.color_a, material.color_b, share)
    patches = ease(0.22, 0.42, octaves(state, 0.55 * q + wp.vec3(3.1, 9.7, 5.3)))
    color = wp.lerp(color, material.color_c, patches)
    return color * (1.0 + 0.3 * octaves(state, 1.3 * q + wp.vec3(1.9, 2.3, 8.1)))


@wp.func
def lit(color: wp.vec3, normal_world: wp.vec3, shadowed: float) -> wp.vec3:
    """Lambertian shading; ``shadowed`` is 1 where the light is blocked. RGB 0..1."""
    direct = DIRECT * wp.max(wp.dot(normal_world, LIGHT), 0.0) * (1.0 - SHADOW * shadowed)
    light = color * (AMBIENT + direct)
    return wp.vec3(wp.clamp(light[0], 0.0, 1.0), wp.clamp(light[1], 0.0, 1.0), wp.clamp(light[2], 0.0, 1.0))
