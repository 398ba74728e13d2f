"""The scene ``stack``: a tower that falls apart."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from scenes.synthetic.bodies import Body, Pattern, Texture, ball, box
from scenes.synthetic.builtin_tumble import FENCE
from scenes.synthetic.options import DEFAULTS, SyntheticOptions
from scenes.synthetic.rigid import Motion, Shape, simulate
from scenes.synthetic.scene import SyntheticScene

TOWER = {"base": (0.36, 0.30, 0.22), "middle": (0.28, 0.28, 0.20), "top": (0.30, 0.20, 0.16)}
"""Edge lengths [m], from below."""
BOOK = (0.26, 0.19, 0.05)
"""Edge lengths of what lies aside and is not hit [m]."""
BALL = 0.13
"""Radius of what lies on top [m]."""
PUSHES = {"base": (0.0, 0.0), "middle": (1.3, 0.5), "top": (2.2, -0.8), "book": (0.0, 0.0), "ball": (2.0, 1.4)}
"""Speeds at the start [m/s], along x and y."""
TEXTURES = (
    Texture(Pattern.MARBLE, 0.06, ((0.80, 0.25, 0.15), (0.90, 0.80, 0.55), (0.20, 0.25, 0.50)), seed=71),
    Texture(Pattern.CHECKER, 0.06, ((0.15, 0.50, 0.40), (0.85, 0.80, 0.30), (0.70, 0.20, 0.30)), seed=72),
    Texture(Pattern.STRIPES, 0.06, ((0.20, 0.35, 0.75), (0.85, 0.85, 0.80), (0.85, 0.45, 0.10)), seed=73),
    Texture(Pattern.MARBLE, 0.05, ((0.55, 0.20, 0.55), (0.85, 0.75, 0.60), (0.20, 0.20, 0.25)), seed=74),
    Texture(Pattern.CHECKER, 0.06, ((0.90, 0.60, 0.10), (0.15, 0.25, 0.55), (0.85, 0.85, 0.80)), seed=75),
)


def stack(options: SyntheticOptions = DEFAULTS) -> SyntheticScene:
    """Three boxes and a ball on each other that slide and topple, a book that lies still: what touches at the start
    parts."""
    generator = np.random.default_rng([options.seed, 7])
    bodies: list[Body] = [
        box(name, extents, texture) for (name, extents), texture in zip(TOWER.items(), TEXTURES[:3], strict=True)
    ]
    bodies += [box("book", BOOK, TEXTURES[3]), ball("ball", BALL, TEXTURES[4])]
    extents = np.array([*TOWER.values(), BOOK])
    shapes = (*(Shape(0.5 * each, 0.0) for each in extents), Shape(np.zeros(3), BALL))
    heights = extents[:, 2]
    place = np.zeros((5, 3))
    place[:3, :2] = generator.uniform(-0.02, 0.02, (3, 2))
    place[:3, 2] = np.cumsum(heights[:3]) - 0.5 * heights[:3]
    place[3] = 0.1, 0.7, 0.5 * heights[3]
    place[4] = 0.0, 0.0, heights[:3].sum() + BALL
    turns = np.append(generator.uniform(-0.3, 0.3, 4), 0.0)
    velocity, spin = np.zeros((5, 3)), np.zeros((5, 3))
    velocity[:, :2] = list(PUSHES.values())
    spin[:, 2] = (0.0, 2.0, -3.0, 0.0, 4.0)
    start = Motion(place, Rotation.from_rotvec(np.outer(turns, [0.0, 0.0, 1.0])).as_matrix(), velocity, spin)
    return SyntheticScene("stack", bodies, simulate(shapes, start, options.timesteps, options.fps, FENCE), options)
