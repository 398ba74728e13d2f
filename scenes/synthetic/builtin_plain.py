"""The scene ``plain``: thrown bodies of one color each."""

from __future__ import annotations

import numpy as np

from scenes.synthetic.bodies import Pattern, Texture, box
from scenes.synthetic.builtin_tumble import FENCE, throw
from scenes.synthetic.options import DEFAULTS, SyntheticOptions
from scenes.synthetic.rigid import Shape, simulate
from scenes.synthetic.scene import SyntheticScene

BOXES = {
    "red": ((0.42, 0.34, 0.24), (0.75, 0.15, 0.12)),
    "green": ((0.44, 0.22, 0.12), (0.15, 0.55, 0.25)),
    "blue": ((0.30, 0.26, 0.18), (0.15, 0.30, 0.75)),
    "yellow": ((0.48, 0.13, 0.13), (0.85, 0.75, 0.15)),
}
"""Edge lengths [m] and color. No balls: nothing would show how a plain ball turns."""
SLOWER = 0.7
"""Speeds relative to those of ``tumble``: only edges and light tell the faces apart."""


def plain(options: SyntheticOptions = DEFAULTS) -> SyntheticScene:
    """Four boxes, each of one color without any texture, thrown together."""
    bodies = [box(name, extents, Texture(Pattern.PLAIN, 1.0, (color,) * 3)) for name, (extents, color) in BOXES.items()]
    shapes = tuple(Shape(0.5 * np.array(extents), 0.0) for extents, _ in BOXES.values())
    start = throw(len(bodies), np.random.default_rng([options.seed, 3]))
    start.velocity *= SLOWER
    start.spin *= SLOWER
    return SyntheticScene("plain", bodies, simulate(shapes, start, options.timesteps, options.fps, FENCE), options)
