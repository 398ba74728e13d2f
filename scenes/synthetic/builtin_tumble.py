"""The scene ``tumble``: boxes and balls thrown together."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from scenes.synthetic.bodies import Body, Pattern, Texture, ball, box
from scenes.synthetic.options import DEFAULTS, SyntheticOptions
from scenes.synthetic.rigid import Motion, Shape, simulate
from scenes.synthetic.scene import SyntheticScene

FENCE = 1.05
"""Radius of the arena that bodies do not leave [m]."""
BOXES = {"crate": (0.42, 0.34, 0.24), "cube": (0.28, 0.28, 0.28), "brick": (0.36, 0.20, 0.16)}
"""Edge lengths [m]."""
BALLS = {"beach_ball": 0.19, "ball": 0.13, "small_ball": 0.085}
"""Radii [m]."""
TEXTURES = (
    Texture(Pattern.CHECKER, 0.07, ((0.85, 0.16, 0.10), (0.88, 0.70, 0.12), (0.15, 0.20, 0.55)), seed=11),
    Texture(Pattern.MARBLE, 0.06, ((0.10, 0.35, 0.80), (0.80, 0.85, 0.88), (0.85, 0.30, 0.10)), seed=12),
    Texture(Pattern.STRIPES, 0.06, ((0.10, 0.55, 0.22), (0.85, 0.80, 0.20), (0.60, 0.10, 0.45)), seed=13),
    Texture(Pattern.STRIPES, 0.08, ((0.85, 0.20, 0.35), (0.85, 0.85, 0.80), (0.10, 0.50, 0.65)), seed=14),
    Texture(Pattern.CHECKER, 0.06, ((0.55, 0.15, 0.65), (0.20, 0.75, 0.70), (0.90, 0.80, 0.20)), seed=15),
    Texture(Pattern.MARBLE, 0.045, ((0.90, 0.55, 0.08), (0.12, 0.20, 0.50), (0.85, 0.85, 0.75)), seed=16),
)


def tumble(options: SyntheticOptions = DEFAULTS) -> SyntheticScene:
    """Three boxes and three balls thrown together: impacts, bounces, up to 16 cm and 19 degrees per frame."""
    bodies: list[Body] = []
    shapes: list[Shape] = []
    for (name, extents), texture in zip(BOXES.items(), TEXTURES[:3], strict=True):
        bodies.append(box(name, extents, texture))
        shapes.append(Shape(0.5 * np.array(extents), 0.0))
    for (name, radius), texture in zip(BALLS.items(), TEXTURES[3:], strict=True):
        bodies.append(ball(name, radius, texture))
        shapes.append(Shape(np.zeros(3), radius))
    start = throw(len(bodies), np.random.default_rng([options.seed, 0]))
    poses = simulate(tuple(shapes), start, options.timesteps, options.fps, FENCE)
    return SyntheticScene("tumble", bodies, poses, options)


def throw(body_count: int, generator: np.random.Generator) -> Motion:
    """Bodies spread over a ring at different heights, thrown toward the middle with a spin."""
    turns = (np.arange(body_count) + generator.uniform(-0.1, 0.1, body_count)) / body_count
    angles = 2.0 * np.pi * generator.permutation(turns)
    outward = np.stack([np.cos(angles), np.sin(angles), np.zeros(body_count)], axis=1)
    aside = np.stack([-np.sin(angles), np.cos(angles), np.zeros(body_count)], axis=1)
    heights = generator.permutation(np.linspace(0.38, 0.85, body_count))
    position = outward * generator.uniform(0.62, 0.78, (body_count, 1))
    position[:, 2] = heights
    velocity = -outward * generator.uniform(1.8, 3.6, (body_count, 1))
    velocity += aside * generator.uniform(-0.3, 0.3, (body_count, 1))
    velocity[:, 2] = generator.uniform(0.3, 1.5, body_count)
    axes = generator.normal(size=(body_count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return Motion(
        position=position,
        rotation=Rotation.from_quat(generator.normal(size=(body_count, 4))).as_matrix(),
        velocity=velocity,
        spin=axes * generator.uniform(2.0, 7.0, (body_count, 1)),
    )
