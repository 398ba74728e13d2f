"""The scene ``hidden``: a body that no camera sees for a while."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from scenes.synthetic.bodies import Body, Pattern, Texture, ball, box, room
from scenes.synthetic.builtin_tumble import FENCE
from scenes.synthetic.options import DEFAULTS, SyntheticOptions
from scenes.synthetic.rigid import Motion, Shape, simulate
from scenes.synthetic.scene import SyntheticScene

TUNNEL_M = (0.56, 0.70, 0.30)
"""Edge lengths [m] of the box that stands in the middle, curtains at its ends."""
PUCK_M = (0.24, 0.22, 0.18)
"""Edge lengths of what slides through it along y [m]."""
START_M, SPEED, SLOWING, SPIN = -0.98, 2.4, 0.5, 1.5
"""Of the puck: where it begins on y [m], its speed [m/s], friction [m/s^2], turning on the floor [rad/s]."""
BOX_M, BALL_RADIUS = (0.26, 0.20, 0.16), 0.12
"""What always stays in view [m]."""
TUNNEL_TEXTURE = Texture(Pattern.MARBLE, 0.12, ((0.45, 0.42, 0.50), (0.62, 0.58, 0.40), (0.30, 0.40, 0.45)), seed=61)
TEXTURES = (
    Texture(Pattern.CHECKER, 0.06, ((0.85, 0.25, 0.15), (0.85, 0.80, 0.65), (0.15, 0.30, 0.65)), seed=62),
    Texture(Pattern.MARBLE, 0.05, ((0.15, 0.55, 0.70), (0.85, 0.75, 0.20), (0.70, 0.20, 0.50)), seed=63),
    Texture(Pattern.STRIPES, 0.06, ((0.20, 0.60, 0.25), (0.85, 0.85, 0.80), (0.80, 0.40, 0.10)), seed=64),
)


def hidden(options: SyntheticOptions = DEFAULTS) -> SyntheticScene:
    """A puck slides through a tunnel, where no camera sees it for five timesteps; a box and a ball bounce beside it."""
    puck, bouncing_box, bouncing_ball = TEXTURES
    bodies: list[Body] = [
        box("puck", PUCK_M, puck),
        box("box", BOX_M, bouncing_box),
        ball("ball", BALL_RADIUS, bouncing_ball),
    ]
    shapes = (Shape(0.5 * np.array(BOX_M), 0.0), Shape(np.zeros(3), BALL_RADIUS))
    start = Motion(
        position=np.array([[-0.75, -0.2, 0.45], [0.70, 0.2, 0.60]]),
        rotation=np.tile(np.eye(3), (2, 1, 1)),
        velocity=np.array([[0.1, 0.5, 1.5], [0.1, -0.6, 1.2]])
        + np.random.default_rng([options.seed, 0]).uniform(-0.1, 0.1, (2, 3)),
        spin=np.array([[2.0, 1.0, 3.0], [3.0, 2.0, -2.0]]),
    )
    poses = simulate(shapes, start, options.timesteps, options.fps, FENCE)
    tunnel = box("tunnel", TUNNEL_M, TUNNEL_TEXTURE)
    tunnel.mesh.apply_translation([0.0, 0.0, 0.5 * TUNNEL_M[2]])
    poses = np.concatenate([_slide(options)[:, None], poses], axis=1)
    return SyntheticScene("hidden", bodies, poses, options, background=(*room(), tunnel))


def _slide(options: SyntheticOptions) -> np.ndarray:
    """World from body of the puck, shape [t, 4, 4]."""
    time_s = np.arange(options.timesteps) / options.fps
    poses = np.tile(np.eye(4), (options.timesteps, 1, 1))
    poses[:, :3, :3] = Rotation.from_euler("z", SPIN * time_s[:, None]).as_matrix()
    stopped_s = np.minimum(time_s, SPEED / SLOWING)
    poses[:, 1, 3] = START_M + SPEED * stopped_s - 0.5 * SLOWING * stopped_s**2
    poses[:, 2, 3] = 0.5 * PUCK_M[2] + 0.001
    return poses
