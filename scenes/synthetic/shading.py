"""Colors of surfaces: solid procedural textures and the light. ``wp.func`` only."""

from __future__ import annotations

import warp as wp

LIGHT = wp.constant(wp.normalize(wp.vec3(0.45, -0.3, 0.85)))
"""Direction to the light, infinitely far away, world frame."""
AMBIENT = wp.constant(0.84)
"""Light from everywhere, as in a capture studio; what a surface turned away from the light receives."""
DIRECT = wp.constant(0.18)
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
def corner(x: int, y: int, z: int, seed: int) -> float:
    """A fixed random number -1..1 for each point of the integer lattice."""
    mixed = wp.uint32(x) * wp.uint32(73856093) + wp.uint32(y) * wp.uint32(19349663)
    mixed += wp.uint32(z) * wp.uint32(83492791) + wp.uint32(seed) * wp.uint32(0x2545F491)
    mixed = (mixed ^ (mixed >> wp.uint32(16))) * wp.uint32(0x7FEB352D)
    mixed = (mixed ^ (mixed >> wp.uint32(15))) * wp.uint32(0x2C1B3C6D)
    return float(mixed >> wp.uint32(8)) / 8388608.0 - 1.0


@wp.func
def noise(p: wp.vec3, seed: int) -> float:
    """Smooth noise, -1..1: lattice values blended by smooth steps; five times faster here than ``wp.noise``."""
    x, y, z = int(wp.floor(p[0])), int(wp.floor(p[1])), int(wp.floor(p[2]))
    f = p - wp.vec3(float(x), float(y), float(z))
    f = wp.cw_mul(wp.cw_mul(f, f), wp.vec3(3.0, 3.0, 3.0) - 2.0 * f)
    low = wp.lerp(
        wp.lerp(corner(x, y, z, seed), corner(x + 1, y, z, seed), f[0]),
        wp.lerp(corner(x, y + 1, z, seed), corner(x + 1, y + 1, z, seed), f[0]),
        f[1],
    )
    high = wp.lerp(
        wp.lerp(corner(x, y, z + 1, seed), corner(x + 1, y, z + 1, seed), f[0]),
        wp.lerp(corner(x, y + 1, z + 1, seed), corner(x + 1, y + 1, z + 1, seed), f[0]),
        f[1],
    )
    return wp.lerp(low, high, f[2])


@wp.func
def octaves(p: wp.vec3, seed: int) -> float:
    """Two octaves of noise, -1..1; the second is turned and shifted, so that the lattice does not show."""
    q = wp.vec3(1.6 * p[1] + 1.2 * p[2] + 0.37, 2.0 * p[0] + 0.71, 1.6 * p[2] - 1.2 * p[1] + 0.19)
    return (noise(p, seed) + 0.6 * noise(q, seed + 1)) / 1.2


@wp.func
def albedo(material: Material, point: wp.vec3) -> wp.vec3:
    """Color of a texture at a point of the body [m], RGB 0..1."""
    if material.pattern == 3:
        return material.color_a
    q = point / material.grain
    drift = octaves(0.8 * q, material.seed)
    share = ease(-0.25, 0.25, drift)
    if material.pattern == 1:
        half = wp.PI * 0.5
        share = ease(-0.2, 0.2, wp.sin(half * q[0] + 0.4) * wp.sin(half * q[1] + 0.9) * wp.sin(half * q[2] + 0.7))
    if material.pattern == 2:
        share = ease(-0.35, 0.35, wp.sin(wp.PI * (q[2] + 0.35 * q[0]) + 1.8 * drift))
    color = wp.lerp(material.color_a, material.color_b, share)
    patches = ease(0.3, 0.55, octaves(0.6 * q, material.seed + 7))
    color = wp.lerp(color, material.color_c, patches)
    return color * (1.0 + 0.28 * octaves(1.5 * q, material.seed + 13))


@wp.func
def lit(color: wp.vec3, normal_world: wp.vec3, shadowed: float) -> wp.vec3:
    """Lambertian shading; ``shadowed`` is 1 where the light is blocked. RGB 0..1."""
    direct = DIRECT * wp.max(wp.dot(normal_world, LIGHT), 0.0) * (1.0 - SHADOW * shadowed)
    light = color * (AMBIENT + direct)
    return wp.vec3(wp.clamp(light[0], 0.0, 1.0), wp.clamp(light[1], 0.0, 1.0), wp.clamp(light[2], 0.0, 1.0))


@wp.func
def shadow_ratio(normal_world: wp.vec3) -> float:
    """What a cast shadow multiplies the shaded color with; 1 on a surface turned away from the light."""
    direct = DIRECT * wp.max(wp.dot(normal_world, LIGHT), 0.0)
    return (AMBIENT + direct * (1.0 - SHADOW)) / (AMBIENT + direct)
