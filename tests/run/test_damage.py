"""Full disks and damaged files: named, and nothing else is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.run.makers import Config, FakeScene, file_bytes, make_pose, make_run, with_nan, write_poses
from warpgs.run import Run


@pytest.mark.parametrize("victim", ["log.jsonl", "000002.npz"])
def test_run_disk_full_keeps_earlier_timesteps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str):
    stem = Path(victim).stem
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).name.startswith(f".{stem}.tmp"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with Run.create(tmp_path, FakeScene(), Config()) as run:
        write_poses(run, 2)
        before = file_bytes(tmp_path / "poses")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=rf"{victim}: .*No space left on device; free some disk space") as caught:
            run.write_pose(2, *make_pose(2), metrics={"psnr": 1.0}, extra={"momentum": np.full((3, 2), 2.0)})
        assert caught.value.errno == errno.ENOSPC
        assert file_bytes(tmp_path / "poses") == before and not list(tmp_path.glob("**/.*"))
        monkeypatch.undo()
        write_poses(run)  # room was made: the same process can go on
    assert [json.loads(line)["psnr"] for line in (tmp_path / "log.jsonl").open()] == [20.0 + t for t in range(8)]
    make_run(tmp_path / "whole")
    assert file_bytes(tmp_path / "whole/poses") == file_bytes(tmp_path / "poses")


def test_run_names_the_folder_when_the_disk_is_full_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(self: Path, **_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match=r"run: expected to be written, got No space left on device; choose another"):
        Run.create(tmp_path / "run", FakeScene(), Config())
    assert not any(tmp_path.iterdir())


def save_npz(file: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    with np.load(file) as data:
        arrays = dict(data)
    change(arrays)
    np.savez(file, **arrays)


def flip_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 0xFF
    file.write_bytes(data)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda file: os.truncate(file, file.stat().st_size // 2), "expected an .npz file, got"),
    "short by a byte": (lambda file: os.truncate(file, file.stat().st_size - 1), "expected an .npz file"),
    "empty": (lambda file: file.write_bytes(b""), "expected an .npz file, got 0 bytes"),
    "text": (lambda file: file.write_text("hello"), "expected an .npz file, got 5 bytes"),
    "bit rot": (flip_a_byte, "plain arrays, got Bad CRC-32"),
    "pickled": (
        lambda f: np.savez(f, means=np.array([{}], object)),
        "plain arrays, got Object arrays cannot be loaded",
    ),
    "not arrays": (lambda f: zipfile.ZipFile(f, "w").writestr("means.npy", "hello"), "a member that is no array"),
    "missing": (lambda file: save_npz(file, lambda a: a.pop("means")), "an array named means, got"),
    "shape": (lambda file: save_npz(file, lambda a: a.update(rotations_wxyz=a["means"])), r"shape \[40, 4\]"),
    "scalar": (lambda file: save_npz(file, lambda a: a.update(means=np.float32(1.0))), "expected"),
    "nan": (lambda file: save_npz(file, lambda a: a.update(means=with_nan(a["means"]))), r"got nan at \[5, 1\]"),
    "type": (lambda f: save_npz(f, lambda a: a.update(means=a["means"].astype(int))), "expected float32, got int64"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_run_names_a_damaged_file(tmp_path: Path, damage: str):
    make_run(tmp_path, 3)
    shutil.copytree(tmp_path, pose_damaged := tmp_path / "other")
    spoil, message = DAMAGES[damage]
    spoil(pose_damaged / "poses/000001.npz")
    run = Run.open(pose_damaged)
    for read in (run.tracks, lambda: run.read_pose(1), lambda: make_run(pose_damaged, resume=True)):
        with pytest.raises((ValueError, TypeError), match=rf"poses/000001\.npz.*{message}"):
            read()
    assert run.tracks(range(1)).timesteps == (0,)
    assert len(run.completed) == 3  # nothing thrown away
    spoil(tmp_path / "gaussians.npz")
    for read in (lambda: Run.open(tmp_path), run_gaussians(tmp_path), lambda: make_run(tmp_path, resume=True)):
        with pytest.raises((ValueError, TypeError), match=rf"gaussians\.npz.*{message}"):
            read()


def run_gaussians(path: Path) -> Callable[[], object]:
    """Reads the Gaussians of a run that was opened while they were whole."""
    whole = (path / "gaussians.npz").read_bytes()
    (path / "gaussians.npz").unlink()
    run = Run.open(path)
    (path / "gaussians.npz").write_bytes(whole)
    return run.gaussians


def test_run_open_refuses_what_is_no_run(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"gone: expected a run directory, got no such folder; .*--run"):
        Run.open(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="got a folder without config"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text('{"format": "warpgs-run-99"}')
    with pytest.raises(ValueError, match=r"expected the format 'warpgs-run-1', got 'warpgs-run-99'"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text('{"format": ')
    with pytest.raises(ValueError, match=r"config\.json: expected JSON"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("timesteps", [0, 8]), ("timesteps", [0, 8, 0]), ("fps", 0.0), ("source_from_world", [[1.0]]), ("config", None)],
)
def test_run_open_refuses_a_damaged_config(tmp_path: Path, name: str, value: object):
    make_run(tmp_path, 1)
    stored = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(stored | {name: value}))
    with pytest.raises(ValueError, match=rf"config\.json: {name}: expected"):
        Run.open(tmp_path)
