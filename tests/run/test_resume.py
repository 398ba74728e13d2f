"""A run that was killed goes on and ends with the same bytes."""

from __future__ import annotations

import json
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.run.makers import Config, FakeScene, Inner, file_bytes, in_subprocess, make_run
from warpgs.run import Run
from warpgs.types import Scene


def test_run_resumed_has_the_bytes_of_one_never_interrupted(tmp_path: Path):
    make_run(tmp_path / "whole")
    for stop in (0, 1, 5, 8):
        make_run(tmp_path / "parts", stop, resume=True)
        assert len(Run.open(tmp_path / "parts").completed) == stop
    whole, parts = (file_bytes(tmp_path / name, "**/*.npz") for name in ("whole", "parts"))
    assert len(whole) == 9 and whole == parts
    assert (tmp_path / "whole/log.jsonl").read_bytes() == (tmp_path / "parts/log.jsonl").read_bytes()
    assert (tmp_path / "whole/config.json").read_bytes() == (tmp_path / "parts/config.json").read_bytes()


def test_run_npz_members_carry_no_date(tmp_path: Path):
    make_run(tmp_path, 1)
    for file in (tmp_path / "gaussians.npz", tmp_path / "poses/000000.npz"):
        assert {info.date_time for info in zipfile.ZipFile(file).infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("place", ["data half written", "before rename", "after rename"])
def test_run_killed_while_writing_a_pose_resumes_to_the_same_bytes(tmp_path: Path, place: str):
    kill = """
        import warpgs.files, warpgs.run.arrays
        path, place = sys.argv[1:]
        die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        run = Run.create(path, FakeScene(), Config())
        write_poses(run, 3)
        replace = os.replace
        def replace_or_die(source, target):
            if str(target).endswith("000003.npz"):
                if place == "after rename":
                    replace(source, target)
                die()
            replace(source, target)
        def write_half(temporary, **arrays):
            np.savez_compressed(temporary, **arrays)
            os.truncate(temporary, os.path.getsize(temporary) // 2)
            die()
        os.replace = replace_or_die
        if place == "data half written":
            warpgs.run.arrays.np.savez = write_half
        write_poses(run)
    """
    process = in_subprocess(kill, tmp_path / "run", place)
    assert process.wait(60) == -signal.SIGKILL
    (tmp_path / "run/log.jsonl").open("a").write('{"timestep": 3, "ps')  # torn by a file system that lost the end
    debris = list((tmp_path / "run/poses").glob(".*"))
    assert len(debris) == (0 if place == "after rename" else 1)
    completed = Run.open(tmp_path / "run").completed
    assert completed == ((0, 1, 2, 3) if place == "after rename" else (0, 1, 2))
    make_run(tmp_path / "run", resume=True)
    make_run(tmp_path / "whole")
    assert file_bytes(tmp_path / "run", "**/*.npz") == file_bytes(tmp_path / "whole", "**/*.npz")
    assert [json.loads(line)["timestep"] for line in (tmp_path / "run/log.jsonl").open()] == list(range(8))
    assert not list((tmp_path / "run").glob("**/.*"))


def test_run_killed_before_its_config_starts_again_without_flags(tmp_path: Path):
    (tmp_path / "run/poses").mkdir(parents=True)
    (tmp_path / "run/lock").write_text("1\n")
    (tmp_path / "run/.config.tmp.json").write_text("{")
    make_run(tmp_path / "run")
    assert len(Run.open(tmp_path / "run").completed) == 8
    assert not list((tmp_path / "run").glob(".*"))


def test_run_resume_drops_poses_beyond_a_gap(tmp_path: Path):
    make_run(tmp_path)
    (tmp_path / "poses/000004.npz").unlink()
    assert Run.open(tmp_path).completed == (0, 1, 2, 3)
    with Run.create(tmp_path, FakeScene(), Config(), resume=True):
        assert sorted(file.name for file in (tmp_path / "poses").iterdir()) == [f"{t:06d}.npz" for t in range(4)]
        assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 4


def test_run_resume_keeps_poses_whose_gaussians_are_lost(tmp_path: Path):
    make_run(tmp_path)
    (tmp_path / "gaussians.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"gaussians\.npz"):
        Run.create(tmp_path, FakeScene(), Config(), resume=True)
    assert len(list((tmp_path / "poses").iterdir())) == 8


@pytest.mark.parametrize(
    ("scene", "config", "timesteps", "named"),
    [
        (FakeScene(), Config(inner=Inner(rate=0.2)), None, r"config\.inner\.rate: expected 0\.1, as stored, got 0\.2"),
        (FakeScene(), Inner(), None, r"config\.rate: expected 'nothing'"),
        (FakeScene(name="other"), Config(), None, "scene: expected 'nothing', as stored, got 'other'"),
        (FakeScene(fps=25.0), Config(), None, "fps: expected 30.0, as stored, got 25.0"),
        (FakeScene(), Config(), range(7), r"timesteps: expected \[0, 8, 1\], as stored, got \[0, 7, 1\]"),
        (FakeScene(source_from_world=np.eye(4).tolist()), Config(), None, "source_from_world: expected"),
    ],
)
def test_run_resume_refuses_other_settings(tmp_path: Path, scene: Scene, config: object, timesteps: range, named: str):
    make_run(tmp_path, 2)
    before = file_bytes(tmp_path)
    with pytest.raises(ValueError, match=rf"config\.json: {named}.*--overwrite"):
        Run.create(tmp_path, scene, config, timesteps=timesteps, resume=True)
    assert file_bytes(tmp_path) == before
