"""What a run does about what is there already, and about others who write it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.run.makers import Config, FakeScene, file_bytes, in_subprocess, make_run, write_poses
from warpgs.run import Run


def test_run_refuses_an_existing_run_without_flags(tmp_path: Path):
    make_run(tmp_path, 2)
    before = file_bytes(tmp_path)
    with pytest.raises(FileExistsError, match="an existing run; pass --resume to go on with it or --overwrite"):
        Run.create(tmp_path, FakeScene(), Config())
    with pytest.raises(ValueError, match="at most one"):
        Run.create(tmp_path, FakeScene(), Config(), resume=True, overwrite=True)
    assert file_bytes(tmp_path) == before


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
@pytest.mark.parametrize(
    "foreign",
    [
        {"thesis.tex": "10 years"},
        {"config.json": "{}", "thesis.tex": "10 years"},
        {"config.json": "[1, 2]"},
        {"config.json": "not json"},
        {"poses/000000.jpg": "a picture"},
        {"gaussians.npz": "not ours", "poses/000000.npz": "not ours"},
    ],
)
def test_run_never_touches_a_foreign_folder(tmp_path: Path, foreign: dict[str, str], options: dict[str, bool]):
    for name, text in foreign.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = file_bytes(tmp_path)
    with pytest.raises((FileExistsError, ValueError), match=str(tmp_path)):
        Run.create(tmp_path, FakeScene(), Config(), **options)
    assert file_bytes(tmp_path) == before


def test_run_refuses_a_file_in_place_of_a_folder(tmp_path: Path):
    (tmp_path / "run").write_text("precious")
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(NotADirectoryError, match="expected a directory, got a file"):
            Run.create(tmp_path / "run", FakeScene(), Config(), **options)
    assert (tmp_path / "run").read_text() == "precious"


def test_run_overwrite_removes_only_what_a_run_writes(tmp_path: Path):
    make_run(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "poses/plot.png").write_text("mine")
    with Run.create(tmp_path, FakeScene(), Config(preset="paper"), overwrite=True) as run:
        assert run.completed == ()
        kept = {"lock", "config.json", "notes.txt", "poses/plot.png", "log.jsonl"}
        assert set(file_bytes(tmp_path)) <= kept
        write_poses(run)
    assert Run.open(tmp_path).config["preset"] == "paper"


def test_run_in_use_is_refused_at_once_naming_the_process(tmp_path: Path):
    hold = """
        with Run.create(sys.argv[1], FakeScene(), Config()) as run:
            write_poses(run, 2)
            print("held", flush=True)
            signal.pause()
    """
    process = in_subprocess(hold, tmp_path)
    try:
        assert process.stdout and process.stdout.readline() == "held\n"
        before = file_bytes(tmp_path)
        for options in ({"overwrite": True}, {"resume": True}):
            # Refused before the scene is read: the broken one is never looked at.
            with pytest.raises(BlockingIOError, match=f"no process is writing, got process {process.pid}"):
                Run.create(tmp_path, FakeScene(broken=True), Config(), **options)
        assert file_bytes(tmp_path) == before
        assert Run.open(tmp_path).completed == (0, 1)  # reading is free
    finally:
        process.kill()
        process.wait(60)
    make_run(tmp_path, resume=True)  # the kernel freed the lock
    assert len(Run.open(tmp_path).completed) == 8


def test_run_is_refused_twice_in_one_process_until_closed(tmp_path: Path):
    first = Run.create(tmp_path, FakeScene(), Config())
    with pytest.raises(BlockingIOError, match=str(os.getpid())):
        Run.create(tmp_path, FakeScene(), Config(), resume=True)
    first.close()
    Run.create(tmp_path, FakeScene(), Config(), resume=True).close()
    with pytest.raises(PermissionError, match=r"Run\.create"):
        write_poses(first)


def test_run_create_frees_the_lock_when_it_fails(tmp_path: Path):
    make_run(tmp_path, 2)
    with pytest.raises(ValueError, match="broken"):
        Run.create(tmp_path, FakeScene(broken=True), Config(), resume=True)
    make_run(tmp_path, resume=True)
