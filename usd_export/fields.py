"""Particles whose poses are sampled over time, in one kind of prim or in several, streamed to the disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pxr import Usd

from usd_export.bulk import Bulk, Put, UnknownLayer, put_plainly
from usd_export.form import Progress, opacities
from usd_export.poses import Gather
from usd_export.prims import ParticlePrim, judge
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
        self._first = self._gather(tracks.means[0], tracks.rotations_wxyz[0])
        self._first_velocities = np.empty_like(self._first.positions)

    def still(self) -> None:
        """Author the poses of the first instant, for all times."""
        self._pose(0, Usd.TimeCode.Default(), put_plainly, still=True)

    def default(self) -> None:
        """Author what holds at the first instant as the default, for who reads no samples."""
        self._pose(0, Usd.TimeCode.Default(), put_plainly)
        self._shares(0, Usd.TimeCode.Default())

    def sample(self, index: int) -> None:
        """Author what holds at an instant."""
        self.pose(index, put_plainly)
        self._shares(index, self._time(index))

    def reserve(self, index: int, bulk: Bulk) -> None:
        """Author what holds at an instant, but for poses, which ``pose`` brings later."""
        for prim in self._prims:
            prim.pose(self._first, self._first_velocities, self._time(index), bulk.reserve)
        self._shares(index, self._time(index))

    def pose(self, index: int, put: Put) -> None:
        """Author the poses of an instant."""
        self._pose(index, self._time(index), put)

    def _time(self, index: int) -> Usd.TimeCode:
        return Usd.TimeCode(self._tracks.timesteps[index])

    def _shares(self, index: int, time: Usd.TimeCode) -> None:
        """Author what lies between 0 and 1, and is small once it is compressed."""
        tracks, ids = self._tracks, self._ids
        for prim in self._prims:
            if index in self._births_at:
                prim.show(np.where(self._births <= index, self._opacities, np.float32(0.0)), time)
            if tracks.confidence is not None and tracks.visibility is not None:
                judge(prim.schema, tracks.confidence[index, ids], tracks.visibility[index, ids], time)

    def _pose(self, index: int, time: Usd.TimeCode, put: Put, still: bool = False) -> None:
        pose = self._gather(self._tracks.means[index], self._tracks.rotations_wxyz[index])
        velocities = None
        if not still and any(prim.wants_velocities for prim in self._prims):
            velocities = self._velocities(index)
        for prim in self._prims:
            prim.pose(pose, velocities, time, put)

    def _velocities(self, index: int) -> np.ndarray:
        """What leads from this instant to the next, or at the last from the one before [m/s], shape [n, 3], float32."""
        tracks, first = self._tracks, max(min(index, len(self._tracks) - 2), 0)
        second = min(first + 1, len(tracks) - 1)
        seconds = max(tracks.timesteps[second] - tracks.timesteps[first], 1) / tracks.fps
        moved = tracks.means[second][self._ids] - tracks.means[first][self._ids]
        return moved / np.float32(seconds)


def stream(stage: Usd.Stage, fields: Sequence[Field], steps: int, progress: Progress) -> None:
    """Author defaults and all samples of what is otherwise whole, and save the stage, which is of no use afterwards.

    Poses go into binary layers past USD, or, where that cannot be, through it like the rest.
    """
    for field in fields:
        field.default()
    path, bulk = Path(stage.GetRootLayer().realPath), Bulk()
    binary = stage.GetRootLayer().GetFileFormat().formatId == "usdc"
    if not (fields and binary):
        return _stream_plainly(stage, fields, steps, progress)
    for i in range(steps):
        for field in fields:
            field.reserve(i, bulk)
        if (i + 1) % SAVE_EVERY == 0:
            stage.Save()
    stage.Save()
    try:
        with bulk.fill(path) as put:
            for i in range(steps):
                for field in fields:
                    field.pose(i, put)
                progress(i + 1, steps)
    except UnknownLayer as error:
        logging.getLogger(__name__).warning("%s; poses are written by USD itself, which takes longer", error)
        _stream_plainly(stage, fields, steps, progress)


def _stream_plainly(stage: Usd.Stage, fields: Sequence[Field], steps: int, progress: Progress) -> None:
    """Author all samples, saving as it goes: all but the last are then on the disk alone."""
    binary = stage.GetRootLayer().GetFileFormat().formatId == "usdc"  # text is written anew at each save
    for i in range(steps):
        for field in fields:
            field.sample(i)
        if (i + 1) % SAVE_EVERY == 0 and binary and fields:
            stage.Save()
        progress(i + 1, steps)
    stage.Save()
