"""Tracks made of noise, and what a Gaussian is, in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from warpgs.bodies import BACKGROUND, DEFORMABLE, Parts
from warpgs.types import Tracks

SH_C0 = 0.28209479177


def make_tracks(
    steps: int = 13,
    count: int = 60,
    static: int = 25,
    *,
    source_from_world: np.ndarray | None = None,
    stride: int = 1,
    harmonics: int = 0,
) -> Tracks:
    """Particles whose first ``static`` ones never move, in an order that a writer must not take for granted."""
    rng = np.random.default_rng(7)
    means = rng.normal(size=(steps, count, 3)).astype(np.float32)
    rotations = rng.normal(size=(steps, count, 4))
    rotations_wxyz = (rotations / np.linalg.norm(rotations, axis=2, keepdims=True)).astype(np.float32)
    still = rng.permutation(count)[:static]
    means[:, still], rotations_wxyz[:, still] = means[0, still], rotations_wxyz[0, still]
    return Tracks(
        means=means,
        rotations_wxyz=rotations_wxyz,
        log_scales=rng.normal(-2.0, 1.0, size=(count, 3)).astype(np.float32),
        colors=rng.uniform(-0.2, 1.3, size=(count, 3)).astype(np.float32),
        opacity_logits=rng.normal(scale=4.0, size=count).astype(np.float32),
        foreground=rng.uniform(size=count).astype(np.float32),
        timesteps=tuple(range(3, 3 + stride * steps, stride)),
        fps=29.97,
        source_from_world=np.eye(4) if source_from_world is None else source_from_world,
        camera_names=("7", "11"),
        camera_log_gains=rng.normal(size=(2, 3)).astype(np.float32),
        camera_offsets=rng.normal(size=(2, 3)).astype(np.float32),
        harmonics=rng.normal(size=(count, harmonics, 3)).astype(np.float32) if harmonics else None,
    )


def with_births(tracks: Tracks, births: tuple[int, ...] = (4, 4, 9)) -> Tracks:
    """The same with the last particles born at these instants; the last of all never moves again."""
    birth = np.zeros(tracks.means.shape[1], np.int32)
    birth[len(birth) - len(births) :] = births
    held = np.maximum(np.arange(len(tracks))[:, None], birth)
    held[:, -1] = birth[-1]
    rows = np.arange(len(birth))
    return replace(
        tracks, means=tracks.means[held, rows], rotations_wxyz=tracks.rotations_wxyz[held, rows], birth=birth
    )


def with_judgments(tracks: Tracks) -> Tracks:
    """The same with shares of noise."""
    shares = np.random.default_rng(11).random((2, *tracks.means.shape[:2])).astype(np.float32)
    return replace(tracks, confidence=shares[0], visibility=shares[1], tolerance=0.02)


def make_rigid(
    steps: int = 13, bodies: int = 2, each: int = 40, *, birth: int = 0, spin: float = 0.4
) -> tuple[Tracks, Parts]:
    """Boxes that tumble, the last of them born at ``birth``, over particles that stand still and ones that
    wander. ``spin``: [rad] a timestep."""
    rng = np.random.default_rng(3)
    tracks = make_tracks(steps, 50 + bodies * each, 0, harmonics=3)
    count = tracks.means.shape[1]
    part_index = np.full(count, BACKGROUND, np.int32)
    part_index[:20] = DEFORMABLE
    part_index[50:] = np.repeat(np.arange(bodies), each)
    world_from_part = np.tile(np.eye(4), (steps, bodies, 1, 1))
    means, rotations_wxyz = tracks.means.copy(), tracks.rotations_wxyz.copy()
    means[:, 20:50], rotations_wxyz[:, 20:50] = means[0, 20:50], rotations_wxyz[0, 20:50]
    births = np.zeros(bodies, np.int32)
    births[-1] = birth
    for p in range(bodies):
        since = np.maximum(np.arange(steps) - births[p], 0)[:, None]
        turns = Rotation.from_rotvec(since * rng.normal(scale=spin, size=3))
        world_from_part[:, p, :3, :3] = turns.as_matrix()
        world_from_part[:, p, :3, 3] = rng.normal(size=3) + since * rng.normal(scale=0.1, size=3)
        ids = np.flatnonzero(part_index == p)
        local, spins = rng.uniform(-0.2, 0.2, size=(each, 3)), Rotation.random(each, random_state=p)
        for t in range(steps):
            means[t, ids] = turns[t].apply(local) + world_from_part[t, p, :3, 3]
            rotations_wxyz[t, ids] = (turns[t] * spins).as_quat(scalar_first=True)
    birth_of = np.where(part_index == bodies - 1, birth, 0).astype(np.int32)
    tracks = replace(
        tracks, means=means, rotations_wxyz=rotations_wxyz, birth=birth_of, log_scales=tracks.log_scales - 2.0
    )
    return tracks, Parts(
        part_index, tuple(f"part_{p:02d}" for p in range(bodies)), world_from_part, np.zeros((steps, bodies)), births
    )


def make_similarity(seed: int) -> np.ndarray:
    """A random change of frame and unit, shape [4, 4]."""
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = rng.uniform(0.01, 100.0) * Rotation.random(random_state=seed).as_matrix()
    matrix[:3, 3] = rng.normal(size=3)
    return matrix


def covariances(rotations_wxyz: np.ndarray, log_scales: np.ndarray) -> np.ndarray:
    """R S S^T R^T, shape [n, 3, 3], float64; R written out from the quaternion."""
    w, x, y, z = rotations_wxyz.astype(np.float64).T
    rows = [
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ]
    stretched = np.moveaxis(np.array(rows), 2, 0) * np.exp(log_scales.astype(np.float64))[:, None, :]
    return stretched @ np.swapaxes(stretched, 1, 2)
