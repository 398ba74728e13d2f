"""The stored arrays of a run, put together to tracks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from warpgs.run.arrays import Arrays, read_judgment
from warpgs.similarity import Similarity
from warpgs.types import Judgment, Tracks

WORLD = Similarity()
"""Of runs that are stored in the world's frame."""
CONSTANT = ("log_scales", "colors", "opacity_logits", "foreground", "harmonics")
"""Arrays of particles that stay as they are."""


def assemble(
    first: Arrays,
    births: Mapping[int, Arrays],
    timesteps: Sequence[int],
    poses: Iterable[Arrays],
    *,
    fps: float,
    source_from_world: np.ndarray,
) -> Tracks:
    """Tracks in the world.

    Args:
        first: The content of gaussians.npz.
        births: What entered later, by its timestep, not after the last of ``timesteps``.
        timesteps: Of the tracks.
        poses: The content of the pose of each of these.
        fps: Instants per second.
        source_from_world: As in Tracks.
    """
    parts = [first, *births.values()]
    birth = [0, *(bisect_left(timesteps, timestep) for timestep in births)]
    constant = {name: np.concatenate([part[name] for part in parts]) for name in CONSTANT if name in first}
    over_time = {name: np.concatenate([part[name] for part in parts]) for name in ("means", "rotations_wxyz")}
    over_time = {name: np.repeat(array[None], len(timesteps), axis=0) for name, array in over_time.items()}
    judgments = []
    for i, arrays in enumerate(poses):
        judgments.append(read_judgment(arrays))
        for name, stored in over_time.items():
            stored[i, : len(arrays[name])] = arrays[name]
    world = _world_from_run(first)
    for means, rotations_wxyz in zip(*over_time.values(), strict=True):
        means[:], rotations_wxyz[:] = world.points(means), world.rotations_wxyz(rotations_wxyz)
    constant["log_scales"] = world.log_scales(constant["log_scales"]).astype(np.float32)
    return Tracks(
        **over_time,
        **constant,
        timesteps=tuple(timesteps),
        fps=fps,
        source_from_world=source_from_world,
        camera_names=tuple(map(str, first["camera_names"])),
        camera_log_gains=first["camera_log_gains"],
        camera_offsets=first["camera_offsets"],
        camera_turns=first.get("camera_turns"),
        birth=np.repeat(birth, [len(part["means"]) for part in parts]).astype(np.int32),
        **_over_time(judgments, len(constant["foreground"])),
    )


def _world_from_run(first: Mapping[str, np.ndarray]) -> Similarity:
    """Of the arrays of gaussians.npz; those of older versions stand in the world."""
    return Similarity.of(first["world_from_run"], "world_from_run") if "world_from_run" in first else WORLD


def _over_time(judgments: Sequence[Judgment | None], count: int) -> dict[str, Any]:
    """The fields of Tracks that hold judgments of ``count`` particles; none unless all instants were judged."""
    known = [judgment for judgment in judgments if judgment is not None]
    if len(known) < len(judgments):
        return {}
    shares = {name: np.ones((len(known), count), np.float32) for name in ("confidence", "visibility")}
    for i, judgment in enumerate(known):
        for name, array in shares.items():
            array[i, : len(getattr(judgment, name))] = getattr(judgment, name)
    return {**shares, "tolerance": known[0].tolerance}
