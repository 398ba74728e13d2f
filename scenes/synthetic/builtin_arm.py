"""The scene ``arm``: a jointed arm with a gripper."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from scenes.synthetic.bodies import Body, Pattern, Texture, box, capsule
from scenes.synthetic.options import DEFAULTS, SyntheticOptions
from scenes.synthetic.scene import SyntheticScene

FOOT_M = -0.35
"""Where the foot stands on the x axis: the arm reaches over the middle of the floor [m]."""
TURRET_M = (0.30, 0.30, 0.20)
"""Edge lengths of the turning foot [m]."""
LINKS = {"upper_arm": (0.40, 0.090), "forearm": (0.34, 0.075), "wrist": (0.18, 0.062)}
"""Length between joints and radius [m]."""
HAND_M = (0.24, 0.12, 0.08)
"""Edge lengths of the hand [m]; it ends the wrist."""
FINGER_M = (0.05, 0.09, 0.16)
"""Edge lengths of each of two fingers [m]."""
SWINGS = {
    "turret": (0.0, 0.70, 3.4),
    "upper_arm": (0.35, 0.28, 2.7),
    "forearm": (0.75, 0.35, 2.3),
    "wrist": (0.50, 0.40, 1.9),
    "hand": (0.0, 0.70, 2.4),
    "grip": (0.045, 0.03, 1.5),
}
"""Middle, amplitude and period [s] of each joint: angles [rad], for the grip half the opening [m]."""
TEXTURES = (
    Texture(Pattern.MARBLE, 0.060, ((0.15, 0.20, 0.55), (0.80, 0.75, 0.30), (0.75, 0.20, 0.20)), seed=21),
    Texture(Pattern.STRIPES, 0.060, ((0.88, 0.45, 0.08), (0.20, 0.25, 0.30), (0.85, 0.85, 0.80)), seed=22),
    Texture(Pattern.CHECKER, 0.055, ((0.10, 0.50, 0.70), (0.85, 0.82, 0.70), (0.80, 0.25, 0.15)), seed=23),
    Texture(Pattern.MARBLE, 0.045, ((0.70, 0.12, 0.45), (0.25, 0.70, 0.55), (0.88, 0.80, 0.25)), seed=24),
    Texture(Pattern.CHECKER, 0.045, ((0.85, 0.75, 0.12), (0.15, 0.35, 0.25), (0.70, 0.25, 0.60)), seed=25),
    Texture(Pattern.STRIPES, 0.040, ((0.85, 0.20, 0.15), (0.85, 0.85, 0.85), (0.20, 0.30, 0.65)), seed=26),
    Texture(Pattern.MARBLE, 0.040, ((0.15, 0.65, 0.30), (0.80, 0.85, 0.80), (0.60, 0.15, 0.60)), seed=27),
)


def arm(options: SyntheticOptions = DEFAULTS) -> SyntheticScene:
    """A jointed arm that turns, bends, and opens its gripper smoothly: up to 8 cm per frame at the finger tips."""
    turret, *links, hand, left, right = TEXTURES
    bodies: list[Body] = [box("turret", TURRET_M, turret)]
    for (name, (length, radius)), texture in zip(LINKS.items(), links, strict=True):
        bodies.append(capsule(name, length, radius, texture))
    bodies += [box("hand", HAND_M, hand), box("left_finger", FINGER_M, left), box("right_finger", FINGER_M, right)]
    return SyntheticScene("arm", bodies, pose(options), options)


def pose(options: SyntheticOptions) -> np.ndarray:
    """World from body of the turret, the links, the hand and the two fingers, shape [t, 7, 4, 4].

    The seed moves every joint's swing by a part of its period.
    """
    phases = np.random.default_rng([options.seed, 0]).uniform(-0.12, 0.12, len(SWINGS))
    time_s = np.arange(options.timesteps) / options.fps
    joint = {
        name: middle + amplitude * np.sin(2.0 * np.pi * (time_s / period + phase))
        for (name, (middle, amplitude, period)), phase in zip(SWINGS.items(), phases, strict=True)
    }
    foot = _shift(FOOT_M, 0.0) @ _turn("z", joint["turret"])
    frames = [foot @ _shift(0.0, 0.5 * TURRET_M[2])]
    joint_frame = foot @ _shift(0.0, TURRET_M[2])
    for name, (length, _) in LINKS.items():
        joint_frame = joint_frame @ _turn("y", joint[name])
        frames.append(joint_frame)
        joint_frame = joint_frame @ _shift(0.0, length)
    hand = joint_frame @ _turn("z", joint["hand"]) @ _shift(0.0, 0.5 * HAND_M[2])
    frames.append(hand)
    reach = 0.5 * (HAND_M[2] + FINGER_M[2])
    aside = joint["grip"] + 0.5 * FINGER_M[0]
    frames += [hand @ _shift(-aside, reach), hand @ _shift(aside, reach)]
    return np.stack(np.broadcast_arrays(*frames), axis=1)


def _turn(axis: str, angles: np.ndarray) -> np.ndarray:
    """Rotations about an axis by angles [rad], shape [t, 4, 4]."""
    transforms = np.tile(np.eye(4), (len(angles), 1, 1))
    transforms[:, :3, :3] = Rotation.from_euler(axis, angles[:, None]).as_matrix()
    return transforms


def _shift(x: np.ndarray | float, z: float) -> np.ndarray:
    """Translations along x and z [m], shape [t, 4, 4] or [1, 4, 4]."""
    transforms = np.tile(np.eye(4), (np.size(x), 1, 1))
    transforms[:, 0, 3], transforms[:, 2, 3] = x, z
    return transforms
