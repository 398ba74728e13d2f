"""Particles whose poses are sampled over time, in one kind of prim or in several, streamed to the disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pxr import Usd

from usd_export.bulk import Bulk, Put, UnknownLayer, put_plainly
from usd_export.form import Progress, opacities
from usd_export.poses import Gather, Pose
from usd_export.prims import ParticlePrim, judge
from warpgs.types import Tracks

Reading = tuple[Pose, np.ndarray | None]
"""Poses of particles at an instant; their velocities [m/s], shape [n, 3], where they are wanted."""

SAVE_EVERY = 30
"""Timesteps between two saves of a binary layer: bounds the memory to what these hold."""


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
        self._gathers = [Gather(ids, tracks.log_scales) for _ in range(2)]  # one pose is read while the last is written
        self._births = births_of(tracks)[ids]
        self._births_at = birth_instants(self._births)

    def still(self) -> None:
        """Author the poses of the first instant, for all times."""
        pose, _ = self.read(0)
        for prim in self._prims:
            prim.pose(pose, None, Usd.TimeCode.Default())

    def default(self) -> None:
        """Author what holds at the first instant as the default, for who reads no samples."""
        self._author(Usd.TimeCode.Default(), self.read(0), put_plainly)
        self._share(0, Usd.TimeCode.Default())

    def share(self, index: int) -> None:
        """Author what holds at an instant but for poses: numbers between 0 and 1, which USD compresses."""
        self._share(index, self._time(index))

    def read(self, index: int) -> Reading:
        """The poses of an instant, until the next but one is read."""
        pose = self._gathers[index % 2](self._tracks.means[index], self._tracks.rotations_wxyz[index])
        return pose, self._velocities(index) if any(prim.wants_velocities for prim in self._prims) else None

    def pose(self, index: int, reading: Reading, put: Put) -> None:
        """Author the poses of an instant."""
        self._author(self._time(index), reading, put)

    def _time(self, index: int) -> Usd.TimeCode:
        return Usd.TimeCode(self._tracks.timesteps[index])

    def _share(self, index: int, time: Usd.TimeCode) -> None:
        tracks, ids = self._tracks, self._ids
        for prim in self._prims:
            if index in self._births_at:
                prim.show(np.where(self._births <= index, self._opacities, np.float32(0.0)), time)
            if tracks.confidence is not None and tracks.visibility is not None:
                judge(prim.schema, tracks.confidence[index, ids], tracks.visibility[index, ids], time)

    def _author(self, time: Usd.TimeCode, reading: Reading, put: Put) -> None:
        for prim in self._prims:
            prim.pose(*reading, time, put)

    def _velocities(self, index: int) -> np.ndarray:
        """What leads from this instant to the next, or at the last from the one before [m/s], shape [n, 3], float32."""
        tracks, first = self._tracks, max(min(index, len(self._tracks) - 2), 0)
        second = min(first + 1, len(tracks) - 1)
        seconds = max(tracks.timesteps[second] - tracks.timesteps[first], 1) / tracks.fps
        moved = tracks.means[second][self._ids] - tracks.means[first][self._ids]
        return moved / np.float32(seconds)


def stream(stage: Usd.Stage, field: Field | None, steps: int, progress: Progress) -> None:
    """Author the default and all samples of what is otherwise whole, and save the stage, which is of no use afterwards.

    Poses go into binary layers past USD, or, where that cannot be, through it like the rest.
    """
    if field is None:
        stage.Save()
        return
    field.default()
    if stage.GetRootLayer().GetFileFormat().formatId != "usdc":
        _stream_plainly(stage, field, steps, progress)
        return
    layer, bulk, any_pose = Path(stage.GetRootLayer().realPath), Bulk(), field.read(0)
    for i in range(steps):
        field.share(i)
        field.pose(i, any_pose, bulk.reserve)
        _save_now_and_then(stage, i)
    stage.Save()
    try:
        with bulk.fill(layer) as put:
            for i, reading in enumerate(_ahead(field.read, steps)):
                field.pose(i, reading, put)
                progress(i + 1, steps)
    except UnknownLayer as error:
        logging.getLogger(__name__).warning("%s: USD itself writes the poses, which takes longer", error)
        _stream_plainly(stage, field, steps, progress)


def _stream_plainly(stage: Usd.Stage, field: Field, steps: int, progress: Progress) -> None:
    for i, reading in enumerate(_ahead(field.read, steps)):
        field.share(i)
        field.pose(i, reading, put_plainly)
        _save_now_and_then(stage, i)
        progress(i + 1, steps)
    stage.Save()


def _save_now_and_then(stage: Usd.Stage, index: int) -> None:
    """What is saved is no longer in memory; but text is written anew at each save."""
    if (index + 1) % SAVE_EVERY == 0 and stage.GetRootLayer().GetFileFormat().formatId == "usdc":
        stage.Save()


def _ahead(read: Callable[[int], Reading], count: int) -> Iterator[Reading]:
    """What ``read`` gives for 0 to ``count`` - 1, each read while the one before is used."""
    with ThreadPoolExecutor(1, "warpgs-read") as pool:
        coming = pool.submit(read, 0)
        for i in range(count):
            reading = coming.result()
            coming = pool.submit(read, min(i + 1, count - 1))
            yield reading
