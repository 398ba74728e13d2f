"""Particles whose poses are sampled over time, in one kind of prim or in several, streamed to the disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pxr import Usd

from usd_export.form import Progress, opacities
from usd_export.poses import Gather
from usd_export.prims import ParticlePrim, judge
from usd_export.staging import written_behind
from warpgs.types import Tracks

SAVE_EVERY = 10
"""Timesteps between two saves of a binary layer: bounds the memory to these (164 instead of 592 MB for 100k x 150)."""


def births_of(tracks: Tracks) -> np.ndarray:
    """Index of the first instant of each particle, shape [n]."""
    return np.zeros(tracks.means.shape[1], np.int32) if tracks.birth is None else tracks.birth


def birth_instants(births: np.ndarray) -> list[int]:
    """Instants whose opacities have to be sampled so that particles are unseen before their births.

    The first, those of births and, because USD interpolates in between, those just before; none where all are there
    from the first instant on.
    """
    late = np.unique(births[births > 0])
    return sorted({0, *late.tolist(), *(late - 1).tolist()}) if len(late) else []


class Field:
    """Particles of tracks in prims that hold the same."""

    def __init__(self, prims: Sequence[ParticlePrim], tracks: Tracks, ids: np.ndarray) -> None:
        """``ids``: indices of the particles, shape [n]."""
        self._prims, self._tracks, self._ids = prims, tracks, ids
        self._opacities = opacities(tracks.opacity_logits[ids])
        self._gather = Gather(ids, tracks.log_scales)
        self._births = births_of(tracks)[ids]
        self._births_at = birth_instants(self._births)

    def still(self) -> None:
        """Author the poses of the first instant, for all times."""
        self._pose(0, Usd.TimeCode.Default(), still=True)

    def default(self) -> None:
        """Author what holds at the first instant as the default, for who reads no samples."""
        self._author(0, Usd.TimeCode.Default())

    def sample(self, index: int) -> None:
        """Author what holds at an instant."""
        self._author(index, Usd.TimeCode(self._tracks.timesteps[index]))

    def _author(self, index: int, time: Usd.TimeCode) -> None:
        self._pose(index, time)
        tracks, ids = self._tracks, self._ids
        for prim in self._prims:
            if index in self._births_at:
                prim.show(np.where(self._births <= index, self._opacities, np.float32(0.0)), time)
            if tracks.confidence is not None and tracks.visibility is not None:
                judge(prim.schema, tracks.confidence[index, ids], tracks.visibility[index, ids], time)

    def _pose(self, index: int, time: Usd.TimeCode, still: bool = False) -> None:
        pose = self._gather(self._tracks.means[index], self._tracks.rotations_wxyz[index])
        velocities = None
        if not still and any(prim.wants_velocities for prim in self._prims):
            velocities = self._velocities(index)
        for prim in self._prims:
            prim.pose(pose, velocities, time)

    def _velocities(self, index: int) -> np.ndarray:
        """What leads from this instant to the next, or at the last from the one before [m/s], shape [n, 3], float32."""
        tracks, first = self._tracks, max(min(index, len(self._tracks) - 2), 0)
        second = min(first + 1, len(tracks) - 1)
        seconds = max(tracks.timesteps[second] - tracks.timesteps[first], 1) / tracks.fps
        moved = tracks.means[second][self._ids] - tracks.means[first][self._ids]
        return moved / np.float32(seconds)


def stream(stage: Usd.Stage, fields: Sequence[Field], steps: int, progress: Progress) -> None:
    """Author defaults and all samples, saving as it goes: all but the last samples are then on the disk alone."""
    for field in fields:
        field.default()
    binary = stage.GetRootLayer().GetFileFormat().formatId == "usdc"  # text is written anew at each save
    with written_behind(Path(stage.GetRootLayer().realPath)) as write_behind:
        for i in range(steps):
            for field in fields:
                field.sample(i)
            if (i + 1) % SAVE_EVERY == 0 and binary and fields:
                stage.Save()
                write_behind()
            progress(i + 1, steps)
