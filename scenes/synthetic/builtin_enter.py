"""The scene ``enter``: bodies that come into all cameras' view and leave it."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from scenes.synthetic.bodies import Body, Pattern, Texture, ball, box
from scenes.synthetic.builtin_tumble import FENCE
from scenes.synthetic.options import DEFAULTS, SyntheticOptions
from scenes.synthetic.rigid import Motion, Shape, simulate
from scenes.synthetic.scene import SyntheticScene

SLIDER_M, CRATE_M, PARCEL_M = (0.32, 0.24, 0.20), (0.28, 0.24, 0.22), (0.26, 0.20, 0.16)
"""Edge lengths [m]."""
DROP_RADIUS, JUMP_RADIUS = 0.11, 0.12
"""[m]."""
TEXTURES = (
    Texture(Pattern.CHECKER, 0.06, ((0.15, 0.40, 0.75), (0.85, 0.80, 0.60), (0.75, 0.20, 0.15)), seed=51),
    Texture(Pattern.STRIPES, 0.06, ((0.80, 0.55, 0.10), (0.20, 0.30, 0.25), (0.85, 0.85, 0.80)), seed=52),
    Texture(Pattern.MARBLE, 0.05, ((0.15, 0.60, 0.30), (0.85, 0.80, 0.25), (0.60, 0.15, 0.50)), seed=53),
    Texture(Pattern.MARBLE, 0.05, ((0.85, 0.25, 0.20), (0.85, 0.85, 0.80), (0.15, 0.25, 0.55)), seed=54),
    Texture(Pattern.CHECKER, 0.05, ((0.55, 0.15, 0.60), (0.25, 0.75, 0.70), (0.90, 0.80, 0.20)), seed=55),
)


def enter(options: SyntheticOptions = DEFAULTS) -> SyntheticScene:
    """A ball and a parcel fall into view, a crate is hoisted out, a ball jumps out and comes back; one box stays."""
    slider, jumper, dropper, parcel, crate = TEXTURES
    bodies: list[Body] = [
        box("slider", SLIDER_M, slider),
        ball("jumper", JUMP_RADIUS, jumper),
        ball("dropper", DROP_RADIUS, dropper),
        box("parcel", PARCEL_M, parcel),
        box("crate", CRATE_M, crate),
    ]
    shapes = (
        Shape(0.5 * np.array(SLIDER_M), 0.0),
        Shape(np.zeros(3), JUMP_RADIUS),
        Shape(np.zeros(3), DROP_RADIUS),
        Shape(0.5 * np.array(PARCEL_M), 0.0),
    )
    change = np.random.default_rng([options.seed, 0]).uniform(-0.2, 0.2, (len(shapes), 2))
    velocity = np.array([[1.0, 0.3, 0.0], [-0.2, 0.3, 3.5], [-0.7, -0.1, 0.4], [0.5, -0.6, 0.2]])
    velocity[:, :2] += change
    start = Motion(
        # What falls into view starts above the pictures: the lowest cameras see up to 1.1 m over the middle.
        position=np.array([[-0.20, -0.50, 0.11], [0.50, -0.20, 0.70], [0.45, 0.35, 1.36], [-0.45, 0.50, 1.38]]),
        rotation=Rotation.from_euler("z", [[20.0], [0.0], [50.0], [80.0]], degrees=True).as_matrix(),
        velocity=velocity,
        spin=np.array([[0.0, 0.0, 1.5], [2.0, -2.0, 1.5], [-3.0, 1.0, 2.0], [2.0, 2.5, -3.0]]),
    )
    poses = simulate(shapes, start, options.timesteps, options.fps, FENCE)
    return SyntheticScene("enter", bodies, np.concatenate([poses, _hoist(options)[:, None]], axis=1), options)


def _hoist(options: SyntheticOptions) -> np.ndarray:
    """World from body of a crate that is pulled up faster and faster, turning on its rope, shape [t, 4, 4]."""
    time_s = np.arange(options.timesteps) / options.fps
    poses = np.tile(np.eye(4), (options.timesteps, 1, 1))
    poses[:, :3, :3] = Rotation.from_euler("z", (0.4 + 2.0 * time_s**2)[:, None]).as_matrix()
    poses[:, :2, 3] = -0.65, -0.05
    poses[:, 2, 3] = 0.5 * CRATE_M[2] + 0.02 + 0.5 * 4.5 * np.minimum(time_s, 0.9) ** 2
    return poses
