"""Bodies whose particles are known: surfaces of boxes that move, a sheet that bends, and tracks of them."""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from tests.tracks_by_hand import make_tracks
from warpgs.types import Tracks

INSTANTS = 12


def box(extents, count: int, generator: np.random.Generator) -> np.ndarray:
    """Points on the surface of a box about the origin, shape [count, 3]."""
    points = generator.uniform(-0.5, 0.5, (count, 3))
    axis = generator.integers(0, 3, count)
    points[np.arange(count), axis] = 0.5 * np.sign(points[np.arange(count), axis])
    return points * np.asarray(extents)


def moved(points, rate_rad, shift, about=(0.0, 0.0, 0.0), instants: int = INSTANTS) -> np.ndarray:
    """Paths of points that turn about ``about`` by ``rate_rad`` and go on by ``shift`` at every instant, shape [t, m,
    3]."""
    about = np.asarray(about)
    steps = np.arange(instants)[:, None]
    turns = Rotation.from_rotvec(steps * np.asarray(rate_rad)).as_matrix()
    return (points - about) @ np.swapaxes(turns, 1, 2) + about + (steps * np.asarray(shift))[:, None]


def poses_of(rate_rad, shift, about, center, instants: int = INSTANTS) -> np.ndarray:
    """The true world_from_part of ``moved``, from the formula, shape [t, 4, 4]."""
    poses = np.tile(np.eye(4), (instants, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(np.arange(instants)[:, None] * np.asarray(rate_rad)).as_matrix()
    poses[:, :3, 3] = moved(np.asarray(center)[None], rate_rad, shift, about, instants)[:, 0]
    return poses


def bending_sheet(side: int = 28, instants: int = INSTANTS) -> np.ndarray:
    """A sheet half a metre wide on which waves travel, shape [t, side^2, 3]."""
    u, v = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 0.5, side), np.linspace(0, 0.5, side), indexing="ij"))
    time = np.arange(instants)[:, None]
    z = 0.06 * np.sin(14.0 * u + 0.5 * time) + 0.04 * np.sin(11.0 * v - 0.4 * time)
    return np.stack([np.broadcast_to(u, z.shape), np.broadcast_to(v, z.shape), z], axis=2)


def tracks_of(paths: list[np.ndarray], noise: float = 0.0, seed: int = 0) -> tuple[Tracks, np.ndarray]:
    """Tracks of bodies, in an order that mixes them, and the body of each particle.

    Particles are small and do not turn: their own rotations, which are wrong then, count by their size."""
    generator = np.random.default_rng(seed)
    means = np.concatenate(paths, axis=1)
    body = np.repeat(np.arange(len(paths)), [path.shape[1] for path in paths])
    order = generator.permutation(len(body))
    means = means[:, order] + noise * generator.normal(size=means.shape)
    return make_tracks(means, sigma=1e-4), body[order]


def with_background(tracks: Tracks, count: int) -> Tracks:
    """The same before ``count`` background particles are appended that stand still."""
    still = np.broadcast_to(np.random.default_rng(5).uniform(-2, 2, (count, 3)), (len(tracks), count, 3))
    joined = make_tracks(np.concatenate([tracks.means, still], axis=1), sigma=1e-4)
    return replace(joined, foreground=np.append(tracks.foreground, np.zeros(count, np.float32)))
