"""The folder of a run: who may write to it, what belongs to it, what is removed from it."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from warpgs.checks import refuse, sentence
from warpgs.files import disk_error, sync, temporary_path
from warpgs.run.manifest import Manifest, check_same, read_manifest


def check_target(path: Path, manifest: Manifest, *, overwrite: bool, resume: bool) -> None:
    """Refuse a directory that a run must not write to; reads only.

    Raises:
        FileExistsError: not empty, and not a run or neither ``resume`` nor ``overwrite``.
        NotADirectoryError: a file.
        ValueError: a run of other settings, or a folder with somebody else's config.json.
    """
    if overwrite and resume:
        refuse("--resume and --overwrite", "at most one of them", "both")
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(sentence(path, "a directory", "a file", "choose another --run directory"))
    if not path.exists() or _is_unborn(path):
        return
    if not (path / "config.json").is_file():
        remedy = "choose another --run directory"
        raise FileExistsError(sentence(path, "an empty or new directory", "one with files of another kind", remedy))
    if not overwrite and not resume:
        remedy = "pass --resume to go on with it or --overwrite to start again"
        raise FileExistsError(sentence(path, "an empty or new directory", "an existing run", remedy))
    stored = read_manifest(path)
    if resume:
        check_same(path / "config.json", manifest, stored)


def _is_unborn(path: Path) -> bool:
    """Empty, or a run killed before its config.json was there."""
    born = {entry.name for entry in path.iterdir()} - {"lock", "poses", temporary_path(path / "config.json").name}
    poses = path / "poses"
    return not born and not (poses.exists() and (poses.is_file() or any(poses.iterdir())))


def make_folders(path: Path, name: str = "poses") -> None:
    """Make the directory and the folder ``name`` in it.

    Raises:
        OSError: naming the directory.
    """
    try:
        (path / name).mkdir(parents=True, exist_ok=True)
        sync(path)
        sync(path.parent)
    except OSError as error:
        raise disk_error(path, error, "choose another --run directory or free some disk space") from error


def acquire_lock(path: Path) -> int:
    """A descriptor that holds ``lock`` until closed; the kernel frees it when the process dies, however it dies.

    Raises:
        BlockingIOError: naming the process that holds it.
        OSError: the file system refuses.
    """
    file = path / "lock"
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise disk_error(file, error, "choose another --run directory") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        remedy = "wait for it to end or choose another --run directory"
        raise BlockingIOError(
            sentence(path, "a run that no process is writing", f"process {holder}", remedy)
        ) from error
    except OSError as error:
        os.close(descriptor)
        raise disk_error(file, error, "free some disk space or choose another --run directory") from error
    return descriptor


def remove_run(path: Path) -> None:
    """Remove what a run writes and nothing else; config.json last, so that a killed removal still leaves a run."""
    arrays = [*pose_files(path), *birth_files(path), path / "gaussians.npz"]
    for file in [*arrays, *temporary_files(path), path / "log.jsonl"]:
        file.unlink(missing_ok=True)
    sync(path)
    (path / "config.json").unlink(missing_ok=True)


def pose_name(timestep: int) -> str:
    """File name of one timestep."""
    return f"{timestep:06d}.npz"


def pose_files(path: Path) -> list[Path]:
    """Every stored timestep, in order."""
    return _numbered_files(path / "poses")


def birth_files(path: Path) -> list[Path]:
    """What entered after the first timestep, in order."""
    return _numbered_files(path / "births")


def _numbered_files(folder: Path) -> list[Path]:
    files = {int(file.stem): file for file in folder.glob("*.npz") if re.fullmatch(r"\d{6,}\.npz", file.name)}
    return [files[timestep] for timestep in sorted(files)]


def temporary_files(path: Path) -> list[Path]:
    """What a process killed while writing left behind."""
    whole = [path / "config.json", path / "gaussians.npz", path / "log.jsonl"]
    numbered = [file for name in ("poses", "births") for file in (path / name).glob(".*.npz")]
    numbered = [file for file in numbered if re.fullmatch(r"\.\d{6,}\.tmp\.npz", file.name)]
    return [*(temporary_path(file) for file in whole if temporary_path(file).exists()), *sorted(numbered)]
