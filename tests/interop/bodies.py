"""Bodies made by hand of dark cores with bright pins: parts, poses and pictures are known.

Renderers sort particles in different ways. Pins stand apart from each other and from the core, which is of one color:
no order but front to back changes the picture, while a pin that is turned wrongly shows at once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from warpgs.bodies import BACKGROUND, DEFORMABLE, Parts
from warpgs.types import Camera, Tracks

STEPS = 6
FPS = 24.0
NAMES = ("brick", "cube")
HALF_SIZES = np.array([[0.30, 0.18, 0.12], [0.15, 0.15, 0.15]])
"""Half the sides of each rigid part's core [m]."""
STARTS = np.array([[-0.35, 0.0, 0.45], [0.35, 0.1, 0.60]])
"""Center of each at the first instant [m]: above the ground, which is z = 0."""
VELOCITY = np.array([0.24, 0.12, 0.0])
"""Of every rigid part [m/s], world frame."""
TURN = np.array([0.2, -0.4, 1.2])
"""Angular velocity of every rigid part [rad/s], world frame."""
CORE_SIGMA, CORE_SPACING, CORE_GRAY = 0.02, 0.02, 0.1
PIN_SIGMAS, PIN_SPACING, PIN_HEIGHT = (0.035, 0.014, 0.01), 0.15, 0.06
"""Standard deviations and distance of the pins, and how far they are above the core [m]."""


class _Body:
    """Particles of one kind of thing around the origin: centers [m], orientations, scales [m] and colors."""

    def __init__(self, half: tuple[float, float, float], seed: int) -> None:
        core, _ = _sides(half, CORE_SPACING)
        pins, facings = _sides(half, PIN_SPACING, PIN_HEIGHT)
        rng = np.random.default_rng(seed)
        spins = Rotation.from_rotvec(rng.uniform(0, np.pi, (len(pins), 1)) * [0.0, 0.0, 1.0])
        tilts = Rotation.from_rotvec(rng.uniform(-0.3, 0.3, (len(pins), 1)) * [1.0, 0.0, 0.0])
        self.points = np.concatenate([core, pins])
        self.rotations = Rotation.concatenate([Rotation.identity(len(core)), facings * spins * tilts])
        self.scales = np.concatenate([np.full((len(core), 3), CORE_SIGMA), np.tile(PIN_SIGMAS, (len(pins), 1))])
        self.colors = np.concatenate([np.full((len(core), 3), CORE_GRAY), rng.uniform(0.3, 0.95, (len(pins), 3))])

    def __len__(self) -> int:
        return len(self.points)

    def placed(self, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centers [m], shape [n, 3], and orientations w, x, y, z, shape [n, 4], in the world."""
        turn = Rotation.from_matrix(pose[:3, :3])
        return turn.apply(self.points) + pose[:3, 3], np.roll((turn * self.rotations).as_quat(), 1, axis=1)


def _bodies() -> list[_Body]:
    """The parts, then the ground, then a rag."""
    halves = [*HALF_SIZES, (0.9, 0.6, 0.0), (0.2, 0.15, 0.0)]
    return [_Body(tuple(half), seed) for seed, half in enumerate(halves)]


def make_parts() -> Parts:
    """A brick and a cube, which drift and turn at constant speed, over a ground at rest and under a rag that bends."""
    poses = np.tile(np.eye(4), (STEPS, len(NAMES), 1, 1))
    for i, time_s in enumerate(np.arange(STEPS) / FPS):
        poses[i, :, :3, :3] = Rotation.from_rotvec(time_s * TURN).as_matrix()
        poses[i, :, :3, 3] = STARTS + time_s * VELOCITY
    index = np.repeat([0, 1, BACKGROUND, DEFORMABLE], [len(body) for body in _bodies()])
    return Parts(index.astype(np.int32), NAMES, poses, np.zeros((STEPS, 2)), np.zeros(2, np.int32))


def make_tracks(parts: Parts) -> Tracks:
    """Their particles; colors within 0..1, almost opaque."""
    bodies = _bodies()
    means, rotations = [], []
    for i, (brick, cube) in enumerate(parts.world_from_part):
        above = np.eye(4)
        above[2, 3] = 1.0
        placed = [body.placed(pose) for body, pose in zip(bodies, (brick, cube, np.eye(4), above), strict=True)]
        means.append(np.concatenate([points for points, _ in placed]))
        rotations.append(np.concatenate([turns for _, turns in placed]))
        rag = parts.part_index == DEFORMABLE
        means[i][rag, 2] += 0.02 * (i + 1) * np.sin(12.0 * means[i][rag, 0])
    count = len(parts.part_index)
    return Tracks(
        means=np.stack(means).astype(np.float32),
        rotations_wxyz=np.stack(rotations).astype(np.float32),
        log_scales=np.log(np.concatenate([body.scales for body in bodies])).astype(np.float32),
        colors=np.concatenate([body.colors for body in bodies]).astype(np.float32),
        opacity_logits=np.full(count, 3.0, np.float32),
        foreground=(parts.part_index != BACKGROUND).astype(np.float32),
        timesteps=tuple(range(STEPS)),
        fps=FPS,
        source_from_world=np.eye(4),
        camera_names=(),
        camera_log_gains=np.zeros((0, 3), np.float32),
        camera_offsets=np.zeros((0, 3), np.float32),
    )


def make_camera(width: int = 160, height: int = 120) -> Camera:
    """From 7.5 m away and above, down at the middle; its center of projection is not that of the picture."""
    eye, target = np.array([4.5, -4.8, 4.3]), np.array([0.0, 0.0, 0.4])
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = eye
    focal = 3.3 * width
    intrinsics = np.array([[focal, 0.0, 0.54 * width], [0.0, 1.05 * focal, 0.47 * height], [0.0, 0.0, 1.0]])
    return Camera("front", width, height, intrinsics, pose)


def _sides(half: tuple[float, float, float], spacing: float, above: float = 0.0) -> tuple[np.ndarray, Rotation]:
    """Points on the sides of a box around the origin, or ``above`` them [m], and what turns z to each side's outside.

    A box without height has its upper side only.
    """
    points, facings = [], []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for side in (1.0, -1.0) if half[2] else (1.0,) * (axis == 2):
            x, y = (np.arange(spacing / 2 - h, h, spacing) for h in (half[u], half[v]))
            x, y = (grid.ravel() for grid in np.meshgrid(x, y))
            basis = np.eye(3)[:, [u, v, axis]] * [side, 1.0, side]  # columns: where x, y and z go
            points.append(np.stack([x, y, np.full(x.size, half[axis] + above)], axis=1) @ basis.T)
            facings += [Rotation.from_matrix(basis)] * x.size
    return np.concatenate(points), Rotation.concatenate(facings)


def without_pins(tracks: Tracks, parts: Parts) -> tuple[Tracks, Parts]:
    """The cores alone: with pins, hulls are round and roll."""
    kept = np.exp(tracks.log_scales[:, 1]) > 0.5 * (CORE_SIGMA + PIN_SIGMAS[1])
    bare = {name: getattr(tracks, name)[kept] for name in ("log_scales", "colors", "opacity_logits", "foreground")}
    poses = {name: getattr(tracks, name)[:, kept] for name in ("means", "rotations_wxyz")}
    return replace(tracks, **bare, **poses), replace(parts, part_index=parts.part_index[kept])
