"""The scene ``thin``: thrown rods and plates."""

from __future__ import annotations

import numpy as np

from scenes.synthetic.bodies import Pattern, Texture, box
from scenes.synthetic.builtin_tumble import FENCE, throw
from scenes.synthetic.options import DEFAULTS, SyntheticOptions
from scenes.synthetic.rigid import Shape, simulate
from scenes.synthetic.scene import SyntheticScene

PARTS = {
    "long_rod": (0.56, 0.022, 0.022),
    "short_rod": (0.40, 0.016, 0.016),
    "plate": (0.36, 0.28, 0.010),
    "tile": (0.24, 0.24, 0.012),
    "lath": (0.50, 0.06, 0.012),
}
"""Edge lengths [m]; a pixel of the cameras covers about 9 mm."""
TEXTURES = (
    Texture(Pattern.STRIPES, 0.05, ((0.85, 0.20, 0.15), (0.90, 0.85, 0.70), (0.15, 0.25, 0.60)), seed=41),
    Texture(Pattern.CHECKER, 0.05, ((0.10, 0.45, 0.75), (0.85, 0.75, 0.15), (0.80, 0.20, 0.50)), seed=42),
    Texture(Pattern.MARBLE, 0.05, ((0.15, 0.55, 0.30), (0.85, 0.85, 0.80), (0.75, 0.30, 0.10)), seed=43),
    Texture(Pattern.CHECKER, 0.05, ((0.60, 0.15, 0.60), (0.25, 0.75, 0.70), (0.90, 0.80, 0.25)), seed=44),
    Texture(Pattern.MARBLE, 0.04, ((0.90, 0.50, 0.10), (0.15, 0.20, 0.45), (0.85, 0.85, 0.75)), seed=45),
)
SLOWER = 0.55
"""Speeds relative to those of ``tumble``: the ends of a long body move fast as it turns."""


def thin(options: SyntheticOptions = DEFAULTS) -> SyntheticScene:
    """Two rods, two plates and a lath, 1 to 2 cm thin, thrown together: one or two pixels wide seen from the side."""
    bodies = [box(name, extents, texture) for (name, extents), texture in zip(PARTS.items(), TEXTURES, strict=True)]
    shapes = tuple(Shape(0.5 * np.array(extents), 0.0) for extents in PARTS.values())
    start = throw(len(bodies), np.random.default_rng([options.seed, 4]))
    start.velocity *= SLOWER
    start.spin *= SLOWER
    return SyntheticScene("thin", bodies, simulate(shapes, start, options.timesteps, options.fps, FENCE), options)
