"""The run directory as an object: written by the tracker, read by everything after it."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import numpy as np

from warpgs.checks import refuse, sentence
from warpgs.files import read_npz, whole_file
from warpgs.run.arrays import (
    FREE_SPACE,
    check_gaussians,
    check_particles,
    check_pose,
    judgment_arrays,
    read_judgment,
    write_npz,
)
from warpgs.run.assemble import WORLD, assemble
from warpgs.run.directory import (
    acquire_lock,
    birth_files,
    check_target,
    make_folders,
    pose_files,
    pose_name,
    remove_run,
    temporary_files,
)
from warpgs.run.log import read_log, write_log
from warpgs.run.manifest import Manifest, make_manifest, read_manifest
from warpgs.similarity import Similarity
from warpgs.types import Gaussians, Judgment, Scene, Tracks

logger = logging.getLogger(__name__)

RESTORE = "restore it, or start the run again with --overwrite"


@dataclass(frozen=True, eq=False)
class Pose:
    """What a run stores for one timestep."""

    means: np.ndarray
    """Centers, in the run's frame and unit, shape [n, 3], float32."""
    rotations_wxyz: np.ndarray
    """Unit quaternions, the run's frame from particle, shape [n, 4], float32."""
    metrics: dict[str, float]
    """As logged; empty when the log was lost."""
    extra: dict[str, np.ndarray]
    """Tracker state that a resumed run goes on from."""
    judgment: Judgment | None
    """How far the poses can be trusted; None where the run does not say."""


@final
class Run:
    """One run directory, written (``create``) or read (``open``). A context manager: leaving it frees the lock."""

    def __init__(self, path: Path, manifest: Manifest, lock: int | None):
        """Use ``create`` or ``open``."""
        self._path = path
        self._manifest = manifest
        self._lock = lock
        self._count: int | None = None  # Gaussians of the first timestep, once known
        self._born: dict[int, int] = {}  # those of every later one where something enters, once known

    @classmethod
    def create(
        cls,
        path: str | Path,
        scene: Scene,
        config: Any,
        *,
        timesteps: range | None = None,
        overwrite: bool = False,
        resume: bool = False,
    ) -> Run:
        """Start a run, or go on with one.

        Args:
            path: The directory; made with its parents.
            scene: What will be tracked. It is validated before anything is written.
            config: The settings, a dataclass instance (nested ones included) of plain values.
            timesteps: Which instants of the scene; all when None.
            overwrite: Replace an existing run. Only a folder that is a run, and in it only files that a run writes.
            resume: Go on after the last whole timestep of an existing run of the same scene, timesteps and settings;
                starts one where there is none.

        Raises:
            FileExistsError: the folder is not empty and neither ``resume`` nor ``overwrite`` applies.
            BlockingIOError: another process is writing this run.
            ValueError, OSError: a broken scene, other settings than those stored, a damaged file, no room on the disk.
        """
        path = Path(path)
        manifest = make_manifest(scene, config, timesteps)
        check_target(path, manifest, overwrite=overwrite, resume=resume)
        # A run in use is refused before every picture is read; a new folder is made only after.
        lock = acquire_lock(path) if (path / "lock").exists() else None
        try:
            scene.validate(range(*manifest["timesteps"]))
            make_folders(path)
            lock = acquire_lock(path) if lock is None else lock
            check_target(path, manifest, overwrite=overwrite, resume=resume)  # again, now that nobody else writes
            run = cls(path, manifest, lock)
            if overwrite:
                remove_run(path)
            if (path / "config.json").exists():
                run._recover()
            else:
                run._write_manifest()
            return run
        except BaseException:
            if lock is not None:
                os.close(lock)
            raise

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Read a run, finished or still being written.

        Raises:
            FileNotFoundError, ValueError, TypeError: not a run, or its config.json or gaussians.npz is damaged. Poses
                are checked when they are read.
        """
        run = cls(Path(path), read_manifest(Path(path)), None)
        if (run.path / "gaussians.npz").exists():
            run._read_gaussians()
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the lock; the run can still be read."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def path(self) -> Path:
        """The run directory."""
        return self._path

    @property
    def config(self) -> dict[str, Any]:
        """The settings as JSON values (tuples have become lists)."""
        return self._manifest["config"]

    @property
    def scene_name(self) -> str:
        """What ``open_scene`` takes: a built-in name, or the absolute path of a folder."""
        return self._manifest["scene"]

    @property
    def layout(self) -> str | None:
        """The layout that the files of the scene were read in, None where it had none or the run does not say."""
        return self._manifest.get("layout")

    @property
    def fps(self) -> float:
        """Instants per second."""
        return self._manifest["fps"]

    @property
    def source_from_world(self) -> np.ndarray:
        """Similarity from the world frame to the source's own frame and unit, shape [4, 4], float64."""
        return np.array(self._manifest["source_from_world"], np.float64)

    @property
    def timesteps(self) -> tuple[int, ...]:
        """Scene timesteps that the run is to contain."""
        return tuple(range(*self._manifest["timesteps"]))

    @property
    def completed(self) -> tuple[int, ...]:
        """The longest beginning of ``timesteps`` that is stored, each whole; read off the disk."""
        if not (self.path / "gaussians.npz").exists():
            return ()
        stored = {file.name for file in pose_files(self.path)}
        missing = (i for i, timestep in enumerate(self.timesteps) if pose_name(timestep) not in stored)
        return self.timesteps[: next(missing, len(self.timesteps))]

    def write_gaussians(
        self,
        gaussians: Gaussians,
        *,
        camera_names: Sequence[str],
        camera_log_gains: np.ndarray,
        camera_offsets: np.ndarray,
        camera_turns: np.ndarray | None = None,
        world_from_run: Similarity = WORLD,
    ) -> None:
        """Store the first timestep and all that stays constant, before the first pose.

        Args:
            gaussians: The particles at the first timestep, in the run's frame.
            camera_names: Training cameras, c of them.
            camera_log_gains: Color correction, shape [c, 3], float32.
            camera_offsets: Color correction, shape [c, 3], float32.
            camera_turns: From their calibration, as in Tracks, shape [c, 3], float32; none when None.
            world_from_run: From the frame and unit of all that is stored; float32 has its digits near that origin.

        Raises:
            ValueError, TypeError: wrong shapes or types, NaN, or stored poses that refer to other Gaussians.
            OSError: no room on the disk.
        """
        self._check_writable()
        path = self.path / "gaussians.npz"
        if self.completed:
            refuse(path, "to be written before the first pose", f"{len(self.completed)} stored poses")
        arrays = gaussians.arrays()
        arrays["camera_names"] = np.array(camera_names, dtype=np.str_)
        arrays["camera_log_gains"] = camera_log_gains
        arrays["camera_offsets"] = camera_offsets
        if camera_turns is not None:
            arrays["camera_turns"] = camera_turns
        arrays["world_from_run"] = world_from_run.matrix
        check_gaussians(path, arrays)
        write_npz(path, arrays)
        self._count = len(gaussians)

    def write_births(self, timestep: int, gaussians: Gaussians) -> None:
        """Store what is first seen at a timestep, before its pose, which will hold these after all others.

        Args:
            timestep: The one whose pose is written next; not the first.
            gaussians: The new particles as they are at that timestep, in the run's frame.

        Raises:
            ValueError, TypeError: wrong order, shapes or types, NaN.
            OSError: no room on the disk.
        """
        self._check_writable()
        path = self.path / "births" / pose_name(timestep)
        self._check_due(path, timestep)
        if timestep == self.timesteps[0]:
            refuse(f"{path}: timestep", "one after the first", timestep, "store these in gaussians.npz")
        arrays = gaussians.arrays()
        self._check_births(path, arrays)
        make_folders(self.path, "births")
        write_npz(path, arrays)
        self._born[timestep] = len(gaussians)

    def write_pose(
        self,
        timestep: int,
        means: np.ndarray,
        rotations_wxyz: np.ndarray,
        *,
        metrics: Mapping[str, float],
        judgment: Judgment | None = None,
        extra: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Store one timestep; they are written in order, each once.

        Args:
            timestep: The first of ``timesteps`` that is not in ``completed``.
            means: Centers, in the run's frame and unit, shape [n, 3], float32.
            rotations_wxyz: Unit quaternions, shape [n, 4], float32.
            metrics: Numbers for the log; timings belong here and nowhere else.
            judgment: How far these poses can be trusted, of n particles; shares are stored in steps of 1/255.
            extra: Tracker state to be read back after a resume; plain arrays, stored bit for bit.

        Raises:
            ValueError, TypeError: wrong order, shapes or types, NaN (the optimization diverged), objects in ``extra``.
            OSError: no room on the disk; the timesteps before stay as they are.
        """
        self._check_writable()
        path = self.path / "poses" / pose_name(timestep)
        completed = self._check_due(path, timestep)
        arrays = {"means": means, "rotations_wxyz": rotations_wxyz}
        arrays |= {} if judgment is None else judgment_arrays(judgment)
        arrays |= {f"extra/{name}": np.asarray(array) for name, array in (extra or {}).items()}
        check_pose(path, arrays, self._count_at(timestep))
        # The log first: a stored pose never lacks its line, and a line without a pose is dropped by the next writer.
        write_log(self.path / "log.jsonl", read_log(self.path / "log.jsonl", completed) | {timestep: metrics})
        write_npz(path, arrays)

    def gaussians(self) -> Gaussians:
        """The particles at the first timestep, in the run's frame, bit for bit.

        Raises:
            FileNotFoundError, ValueError, TypeError: not stored yet, or damaged.
        """
        return _as_gaussians(self._read_gaussians())

    def births(self) -> dict[int, Gaussians]:
        """The particles of what entered later, in the run's frame, each as at the timestep that it is listed under, in
        order of time.

        Raises:
            FileNotFoundError, ValueError, TypeError: damaged.
        """
        last = self.completed[-1] if self.completed else -1
        return {timestep: _as_gaussians(arrays) for timestep, arrays in self._read_births(last).items()}

    def read_pose(self, timestep: int) -> Pose:
        """What was stored for one timestep, bit for bit.

        Raises:
            FileNotFoundError, ValueError, TypeError: not stored yet, or damaged.
        """
        arrays = self._read_pose_arrays(timestep)
        extra = {name.removeprefix("extra/"): array for name, array in arrays.items() if name.startswith("extra/")}
        metrics = read_log(self.path / "log.jsonl", [timestep]).get(timestep, {})
        return Pose(arrays["means"], arrays["rotations_wxyz"], dict(metrics), extra, read_judgment(arrays))

    def tracks(self, timesteps: range | None = None) -> Tracks:
        """The pose of every particle in the world at the completed timesteps, or at those asked for.

        Particles that are born after the last of these are left out.

        Raises:
            FileNotFoundError, ValueError, TypeError: nothing stored yet, a timestep that is not, or a damaged file.
        """
        first = self._read_gaussians()
        completed = self.completed
        wanted = completed if timesteps is None else tuple(timesteps)
        if not wanted or not set(wanted) <= set(completed):
            got = f"{_span(wanted)} where {_span(completed)} are stored"
            refuse(f"{self.path}: timesteps", "one or more that are tracked", got, "track them first")
        births = self._read_births(wanted[-1])
        poses = map(self._read_pose_arrays, wanted)
        return assemble(first, births, wanted, poses, fps=self.fps, source_from_world=self.source_from_world)

    def _check_writable(self) -> None:
        if self._lock is None:
            raise PermissionError(sentence(self.path, "a run from Run.create", "one opened for reading, or closed"))

    def _check_due(self, path: Path, timestep: int) -> tuple[int, ...]:
        """Refuse a timestep out of order; returns ``completed``."""
        completed = self.completed
        due = self.timesteps[len(completed)] if len(completed) < len(self.timesteps) else "none, all are stored"
        if timestep != due:
            refuse(f"{path}: timestep", due, timestep, "write the timesteps in order")
        return completed

    def _write_manifest(self) -> None:
        with whole_file(self.path / "config.json", FREE_SPACE) as temporary:
            temporary.write_text(json.dumps(self._manifest, indent=2) + "\n", encoding="utf-8")

    def _recover(self) -> None:
        """Make a killed run whole: no debris, nothing beyond a gap, one log line per pose, every pose readable."""
        if pose_files(self.path):
            self._read_gaussians()  # without them the poses mean nothing, but they are not ours to throw away
        completed = self.completed
        for timestep in completed:
            self._read_pose_arrays(timestep)
        kept = {pose_name(timestep) for timestep in completed}
        beyond = [file for file in (*pose_files(self.path), *birth_files(self.path)) if file.name not in kept]
        for file in [*beyond, *temporary_files(self.path)]:
            logger.info("%s: removed, left over from an interrupted run", file)
            file.unlink()
        write_log(self.path / "log.jsonl", read_log(self.path / "log.jsonl", completed))

    def _read_gaussians(self) -> dict[str, np.ndarray]:
        path = self.path / "gaussians.npz"
        if not path.exists():
            raise FileNotFoundError(sentence(path, "a file", "none, no timestep is stored", "track or restore it"))
        arrays = read_npz(path, RESTORE)
        check_gaussians(path, arrays)
        self._count = len(arrays["means"])
        return arrays

    def _read_births(self, last: int) -> dict[int, dict[str, np.ndarray]]:
        """The arrays of what entered until a timestep, by its own."""
        births = {}
        for path in birth_files(self.path):
            timestep = int(path.stem)
            if timestep <= last:
                births[timestep] = read_npz(path, RESTORE)
                self._check_births(path, births[timestep])
                self._born[timestep] = len(births[timestep]["means"])
        return births

    def _check_births(self, path: Path, arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse what are not Gaussians of the same kind as those of the first timestep."""
        check_particles(path, arrays)
        shapes = [
            each["harmonics"].shape[1:] if "harmonics" in each else None for each in (self._read_gaussians(), arrays)
        ]
        if shapes[0] != shapes[1]:
            refuse(f"{path}: harmonics", f"as in gaussians.npz, shape {shapes[0]}", shapes[1])

    def _count_at(self, timestep: int) -> int:
        """Number of particles that the pose of a timestep holds."""
        first = len(self._read_gaussians()["means"]) if self._count is None else self._count
        if not {int(path.stem) for path in birth_files(self.path)} <= set(self._born):
            self._read_births(timestep)
        return first + sum(count for birth, count in self._born.items() if birth <= timestep)

    def _read_pose_arrays(self, timestep: int) -> dict[str, np.ndarray]:
        path = self.path / "poses" / pose_name(timestep)
        arrays = read_npz(path, "delete it and run again with --resume to track again from there")
        check_pose(path, arrays, self._count_at(timestep))
        return arrays


def _as_gaussians(arrays: Mapping[str, np.ndarray]) -> Gaussians:
    names = [field.name for field in dataclasses.fields(Gaussians) if field.name in arrays]
    return Gaussians(**{name: arrays[name] for name in names})


def _span(timesteps: Sequence[int]) -> str:
    return f"{timesteps[0]}..{timesteps[-1]}" if timesteps else "none"
