"""The run directory as an object: written by the tracker, read by everything after it."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import numpy as np

from warpgs.checks import refuse, sentence
from warpgs.files import read_npz, whole_file
from warpgs.run.arrays import FREE_SPACE, check_gaussians, check_pose, write_npz
from warpgs.run.directory import (
    acquire_lock,
    check_target,
    make_folders,
    pose_files,
    pose_name,
    remove_run,
    temporary_files,
)
from warpgs.run.manifest import Manifest, make_manifest, read_manifest
from warpgs.types import Gaussians, Scene, Tracks

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Pose:
    """What a run stores for one timestep."""

    means: np.ndarray
    """Centers [m], world frame, shape [n, 3], float32."""
    rotations_wxyz: np.ndarray
    """Unit quaternions, world from particle, shape [n, 4], float32."""
    metrics: dict[str, float]
    """As logged; empty when the log was lost."""
    extra: dict[str, np.ndarray]
    """Tracker state that a resumed run goes on from."""


@final
class Run:
    """One run directory, written (``create``) or read (``open``). A context manager: leaving it frees the lock."""

    def __init__(self, path: Path, manifest: Manifest, lock: int | None):
        """Use ``create`` or ``open``."""
        self._path = path
        self._manifest = manifest
        self._lock = lock
        self._count: int | None = None  # Gaussians, once known

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
    ) -> None:
        """Store the first timestep and all that stays constant, before the first pose.

        Args:
            gaussians: The particles at the first timestep.
            camera_names: Training cameras, c of them.
            camera_log_gains: Color correction, shape [c, 3], float32.
            camera_offsets: Color correction, shape [c, 3], float32.

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
        check_gaussians(path, arrays)
        write_npz(path, arrays)
        self._count = len(gaussians)

    def write_pose(
        self,
        timestep: int,
        means: np.ndarray,
        rotations_wxyz: np.ndarray,
        *,
        metrics: Mapping[str, float],
        extra: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Store one timestep; they are written in order, each once.

        Args:
            timestep: The first of ``timesteps`` that is not in ``completed``.
            means: Centers [m], world frame, shape [n, 3], float32.
            rotations_wxyz: Unit quaternions, shape [n, 4], float32.
            metrics: Numbers for the log; timings belong here and nowhere else.
            extra: Tracker state to be read back after a resume; plain arrays, stored bit for bit.

        Raises:
            ValueError, TypeError: wrong order, shapes or types, NaN (the optimization diverged), objects in ``extra``.
            OSError: no room on the disk; the timesteps before stay as they are.
        """
        self._check_writable()
        path = self.path / "poses" / pose_name(timestep)
        completed = self.completed
        due = self.timesteps[len(completed)] if len(completed) < len(self.timesteps) else "none, all are stored"
        if timestep != due:
            refuse(f"{path}: timestep", due, timestep, "write the timesteps in order")
        arrays = {"means": means, "rotations_wxyz": rotations_wxyz}
        arrays |= {f"extra/{name}": np.asarray(array) for name, array in (extra or {}).items()}
        check_pose(path, arrays, self._particle_count())
        # The log first: a stored pose never lacks its line, and a line without a pose is dropped by the next writer.
        self._write_log(self._logged(completed) | {timestep: metrics})
        write_npz(path, arrays)

    def gaussians(self) -> Gaussians:
        """The particles at the first timestep.

        Raises:
            FileNotFoundError, ValueError, TypeError: not stored yet, or damaged.
        """
        arrays = self._read_gaussians()
        names = [field.name for field in dataclasses.fields(Gaussians) if field.name in arrays]
        return Gaussians(**{name: arrays[name] for name in names})

    def read_pose(self, timestep: int) -> Pose:
        """What was stored for one timestep, bit for bit.

        Raises:
            FileNotFoundError, ValueError, TypeError: not stored yet, or damaged.
        """
        arrays = self._read_pose_arrays(timestep)
        extra = {name.removeprefix("extra/"): array for name, array in arrays.items() if name.startswith("extra/")}
        metrics = self._logged([timestep]).get(timestep, {})
        return Pose(arrays["means"], arrays["rotations_wxyz"], dict(metrics), extra)

    def tracks(self, timesteps: range | None = None) -> Tracks:
        """The pose of every particle at the completed timesteps, or at those asked for.

        Raises:
            FileNotFoundError, ValueError, TypeError: nothing stored yet, a timestep that is not, or a damaged file.
        """
        constant = self._read_gaussians()
        completed = self.completed
        wanted = completed if timesteps is None else tuple(timesteps)
        if not wanted or not set(wanted) <= set(completed):
            got = f"{_span(wanted)} where {_span(completed)} are stored"
            refuse(f"{self.path}: timesteps", "one or more that are tracked", got, "track them first")
        means = np.empty((len(wanted), len(constant["means"]), 3), np.float32)
        rotations_wxyz = np.empty((*means.shape[:2], 4), np.float32)
        for i, timestep in enumerate(wanted):
            arrays = self._read_pose_arrays(timestep)
            means[i], rotations_wxyz[i] = arrays["means"], arrays["rotations_wxyz"]
        kept = ("log_scales", "colors", "opacity_logits", "foreground", "camera_log_gains", "camera_offsets")
        return Tracks(
            means=means,
            rotations_wxyz=rotations_wxyz,
            timesteps=wanted,
            fps=self.fps,
            source_from_world=self.source_from_world,
            camera_names=tuple(map(str, constant["camera_names"])),
            **{name: constant[name] for name in kept},
            harmonics=constant.get("harmonics"),
        )

    def _check_writable(self) -> None:
        if self._lock is None:
            raise PermissionError(sentence(self.path, "a run from Run.create", "one opened for reading, or closed"))

    def _write_manifest(self) -> None:
        with whole_file(self.path / "config.json", FREE_SPACE) as temporary:
            temporary.write_text(json.dumps(self._manifest, indent=2) + "\n", encoding="utf-8")

    def _recover(self) -> None:
        """Make a killed run whole: no debris, no poses beyond a gap, one log line per pose, every pose readable."""
        if pose_files(self.path):
            self._read_gaussians()  # without them the poses mean nothing, but they are not ours to throw away
        completed = self.completed
        for timestep in completed:
            self._read_pose_arrays(timestep)
        kept = {pose_name(timestep) for timestep in completed}
        beyond = [file for file in pose_files(self.path) if file.name not in kept]
        for file in [*beyond, *temporary_files(self.path)]:
            logger.info("%s: removed, left over from an interrupted run", file)
            file.unlink()
        self._write_log(self._logged(completed))

    def _read_gaussians(self) -> dict[str, np.ndarray]:
        path = self.path / "gaussians.npz"
        if not path.exists():
            raise FileNotFoundError(sentence(path, "a file", "none, no timestep is stored", "track or restore it"))
        arrays = read_npz(path, "restore it, or start the run again with --overwrite")
        check_gaussians(path, arrays)
        self._count = len(arrays["means"])
        return arrays

    def _particle_count(self) -> int:
        return len(self._read_gaussians()["means"]) if self._count is None else self._count

    def _read_pose_arrays(self, timestep: int) -> dict[str, np.ndarray]:
        path = self.path / "poses" / pose_name(timestep)
        arrays = read_npz(path, "delete it and run again with --resume to track again from there")
        check_pose(path, arrays, self._particle_count())
        return arrays

    def _logged(self, timesteps: Sequence[int]) -> dict[int, Mapping[str, float]]:
        """Metrics of the given timesteps; a line that makes no sense is left out, for no log is worth a refusal."""
        path = self.path / "log.jsonl"
        log = {}
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
            try:
                entry = json.loads(line)
                timestep = int(entry.pop("timestep"))
                log[timestep] = {name: float(value) for name, value in entry.items()}
            except (ValueError, TypeError, AttributeError, KeyError):
                logger.warning("%s: left out a line that is no log entry", path)
        return {timestep: log[timestep] for timestep in timesteps if timestep in log}

    def _write_log(self, log: Mapping[int, Mapping[str, float]]) -> None:
        lines = [json.dumps({"timestep": timestep} | _jsonable(metrics)) + "\n" for timestep, metrics in log.items()]
        with whole_file(self.path / "log.jsonl", FREE_SPACE) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")


def _span(timesteps: Sequence[int]) -> str:
    return f"{timesteps[0]}..{timesteps[-1]}" if timesteps else "none"


def _jsonable(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """Infinity and NaN as text that float() reads, since JSON has no word for them."""
    return {name: float(value) if math.isfinite(value) else str(float(value)) for name, value in metrics.items()}
