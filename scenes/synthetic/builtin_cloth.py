"""The scene ``cloth``: a sheet and a rope that swing."""

from __future__ import annotations

import numpy as np

from scenes.synthetic.bodies import Pattern, Texture
from scenes.synthetic.options import DEFAULTS, SyntheticOptions
from scenes.synthetic.scene import SyntheticScene
from scenes.synthetic.shells import rope, sheet
from scenes.synthetic.threads import sheet_threads, simulate

SHEET_M = (0.66, 0.80)
"""Height and width [m]."""
SHEET_GRID = (20, 25)
"""Particles along height and width."""
THICKNESS = 0.008
"""Of the sheet [m]."""
ROPE_M, ROPE_POINTS, ROPE_RADIUS = 0.75, 33, 0.024
"""Length [m], particles, radius [m]."""
TOP = 0.98
"""Height at which both are held [m]."""
SHEET_TEXTURE = Texture(Pattern.CHECKER, 0.06, ((0.80, 0.20, 0.15), (0.85, 0.80, 0.65), (0.15, 0.35, 0.60)), seed=31)
ROPE_TEXTURE = Texture(Pattern.STRIPES, 0.05, ((0.15, 0.25, 0.60), (0.90, 0.80, 0.20), (0.20, 0.60, 0.35)), seed=32)


def cloth(options: SyntheticOptions = DEFAULTS) -> SyntheticScene:
    """A sheet held at two corners and a rope held at one end swing and bend: every point moves by itself."""
    swing = np.random.default_rng([options.seed, 0]).uniform(-0.3, 0.3, 2)
    bodies = [
        sheet("sheet", _sheet_motion(options, swing[0]), THICKNESS, SHEET_TEXTURE),
        rope("rope", _rope_motion(options, swing[1]), ROPE_RADIUS, ROPE_TEXTURE),
    ]
    poses = np.tile(np.eye(4), (options.timesteps, len(bodies), 1, 1))
    return SyntheticScene("cloth", bodies, poses, options)


def _sheet_motion(options: SyntheticOptions, phase: float) -> np.ndarray:
    """Middle of the sheet [m], shape [t, rows, columns, 3]; it starts flat and slanted."""
    rows, columns = SHEET_GRID
    down = SHEET_M[0] * np.array([np.sin(0.9), 0.0, -np.cos(0.9)])
    across = np.array([0.0, SHEET_M[1], 0.0])
    v, u = np.meshgrid(np.linspace(0.0, 1.0, rows), np.linspace(-0.5, 0.5, columns), indexing="ij")
    start = np.array([-0.45, 0.0, TOP]) + v[..., None] * down + u[..., None] * across
    start = start.reshape(-1, 3)
    held = np.array([0, columns - 1])

    def hold(time_s: float) -> np.ndarray:
        # The hands, at rest at first, go against each other and come closer: the sheet turns, and folds form.
        turn = 2.0 * np.pi * time_s / (1.1 + 0.2 * phase)
        away = 0.10 * (1.0 - np.cos(turn)) * np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
        nearer = 0.10 * (1.0 - np.cos(0.8 * turn)) * np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
        return start[held] + away + nearer

    path = simulate(start, sheet_threads(rows, columns, start), held, hold, options.timesteps, options.fps)
    return path.reshape(-1, rows, columns, 3)


def _rope_motion(options: SyntheticOptions, phase: float) -> np.ndarray:
    """Axis of the rope [m], shape [t, n, 3]; it starts straight and slanted."""
    direction = np.array([0.0, np.sin(1.0), -np.cos(1.0)])
    start = np.array([0.52, -0.10, TOP]) + np.linspace(0.0, ROPE_M, ROPE_POINTS)[:, None] * direction

    def hold(time_s: float) -> np.ndarray:
        turn = 2.0 * np.pi * time_s / (0.9 + 0.2 * phase)
        return start[:1] + 0.08 * np.array([[1.0 - np.cos(turn), np.cos(0.7 * turn) - 1.0, 0.0]])

    threads = sheet_threads(1, ROPE_POINTS, start)
    return simulate(start, threads, np.array([0]), hold, options.timesteps, options.fps)
