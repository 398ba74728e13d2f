"""The run directory: what is stored comes back, whatever happens in between."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from warpgs.run import Run
from warpgs.types import Camera, Frame, Gaussians, GroundTruth, PointCloud, Scene, Split

COUNT = 40
SOURCE_FROM_WORLD = ((2.0, 0, 0, 1), (0, 0, -2, 2), (0, 2, 0, 3), (0, 0, 0, 1))


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    rates: tuple[float, ...] = (1.0, 2.0)


@dataclass(frozen=True)
class Config:
    preset: str = "fast"
    inner: Inner = field(default_factory=Inner)
    cache: Path | None = None


@dataclass(frozen=True)
class FakeScene(Scene):
    """Eight timesteps of nothing; ``broken`` makes it fail its validation."""

    broken: bool = False
    name: str = "nothing"
    fps: float = 30.0
    timestep_count: int = 8
    source_from_world: Sequence[Sequence[float]] = SOURCE_FROM_WORLD

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        return ()

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        return Frame(timestep, timestep / self.fps, (), (), None)

    def point_cloud(self) -> PointCloud | None:
        return None

    def ground_truth(self) -> GroundTruth | None:
        return None

    def validate(self, timesteps: range) -> None:
        if self.broken:
            raise ValueError("cam_03.png: broken")


def make_gaussians(count: int = COUNT) -> Gaussians:
    rng = np.random.default_rng(1)
    rotations = rng.normal(size=(count, 4))
    return Gaussians(
        means=rng.normal(size=(count, 3)).astype(np.float32),
        rotations_wxyz=(rotations / np.linalg.norm(rotations, axis=1, keepdims=True)).astype(np.float32),
        log_scales=rng.normal(size=(count, 3)).astype(np.float32),
        colors=rng.uniform(size=(count, 3)).astype(np.float32),
        opacity_logits=rng.normal(size=count).astype(np.float32),
        foreground=rng.uniform(size=count).astype(np.float32),
    )


def make_pose(timestep: int, count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(100 + timestep)
    rotations = rng.normal(size=(count, 4))
    rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
    return rng.normal(size=(count, 3)).astype(np.float32), rotations.astype(np.float32)


def write_constant(run: Run) -> None:
    rng = np.random.default_rng(2)
    gains, offsets = rng.normal(size=(2, 2, 3)).astype(np.float32)
    run.write_gaussians(make_gaussians(), camera_names=("7", "é"), camera_log_gains=gains, camera_offsets=offsets)


def write_poses(run: Run, stop: int | None = None) -> None:
    """What a tracker does: go on after the last whole timestep, from the state stored with it."""
    if not run.completed:
        write_constant(run)
    for timestep in run.timesteps[len(run.completed) : stop]:
        done = run.completed
        state = run.read_pose(done[-1]).extra["momentum"] + 1.0 if done else np.zeros((3, 2))
        metrics = {"psnr": 20.0 + timestep, "seconds": float(os.getpid())}
        run.write_pose(timestep, *make_pose(timestep), metrics=metrics, extra={"momentum": state})


def make_run(path: Path, stop: int | None = None, **options: object) -> None:
    with Run.create(path, FakeScene(), Config(), **options) as run:
        write_poses(run, stop)


def file_bytes(path: Path, pattern: str = "**/*") -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.glob(pattern) if file.is_file()}


def in_subprocess(code: str, *arguments: object) -> subprocess.Popen[str]:
    script = "import sys\nfrom tests.test_run import *\n" + textwrap.dedent(code)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    root = Path(__file__).parents[1]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("coefficients", [3, 8, 15])
def test_run_keeps_harmonics_bit_for_bit(tmp_path: Path, coefficients: int):
    harmonics = np.random.default_rng(3).normal(size=(COUNT, coefficients, 3)).astype(np.float32)
    neutral = np.zeros((1, 3), np.float32)
    with Run.create(tmp_path / "run", FakeScene(), Config()) as run:
        gaussians = replace(make_gaussians(), harmonics=harmonics)
        run.write_gaussians(gaussians, camera_names=("7",), camera_log_gains=neutral, camera_offsets=neutral)
        run.write_pose(0, *make_pose(0), metrics={})
    run = Run.open(tmp_path / "run")
    for stored in (run.gaussians(), run.tracks(), run.tracks().at(0)):
        assert stored.harmonics.tobytes() == harmonics.tobytes()


def write_with_births(run: Run, stop: int | None = None) -> None:
    """Poses of a run in which 3 particles enter at timestep 2 and 5 more at timestep 4."""
    if not run.completed:
        write_constant(run)
    for timestep in run.timesteps[len(run.completed) : stop]:
        if timestep in BIRTHS:
            run.write_births(timestep, make_gaussians(BIRTHS[timestep]))
        count = COUNT + sum(born for birth, born in BIRTHS.items() if birth <= timestep)
        run.write_pose(timestep, *make_pose(timestep, count), metrics={})


BIRTHS = {2: 3, 4: 5}


def test_run_returns_births_bit_for_bit(tmp_path: Path):
    with Run.create(tmp_path / "run", FakeScene(), Config()) as run:
        write_with_births(run)
    tracks = Run.open(tmp_path / "run").tracks()
    assert tracks.birth.tolist() == [0] * COUNT + [2] * 3 + [4] * 5
    born = Run.open(tmp_path / "run").births()
    assert list(born) == [2, 4]
    parts = [make_gaussians(), make_gaussians(3), make_gaussians(5)]
    for name in ("log_scales", "colors", "opacity_logits", "foreground"):
        expected = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(getattr(tracks, name), expected)
    for i in range(8):
        count = COUNT + 3 * (i >= 2) + 5 * (i >= 4)
        means, rotations_wxyz = make_pose(i, count)
        assert len(tracks.at(i)) == tracks.count_at(i) == count
        np.testing.assert_array_equal(tracks.at(i).means, means)
        np.testing.assert_array_equal(tracks.at(i).rotations_wxyz, rotations_wxyz)
        np.testing.assert_array_equal(tracks.at(i).colors, tracks.colors[:count])
    for i in range(4):  # what is not yet born waits where it will be
        np.testing.assert_array_equal(tracks.means[i, COUNT + 3 :], parts[2].means)
        np.testing.assert_array_equal(tracks.all_at(i).rotations_wxyz[COUNT + 3 :], parts[2].rotations_wxyz)


@pytest.mark.parametrize(
    ("timesteps", "birth"),
    [
        (range(0, 2), [0] * COUNT),
        (range(1, 4), [0] * COUNT + [1] * 3),
        (range(3, 8, 2), [0] * (COUNT + 3) + [1] * 5),
        (range(4, 6), [0] * (COUNT + 8)),
    ],
)
def test_run_tracks_of_some_timesteps_start_at_the_first_of_them(tmp_path: Path, timesteps: range, birth: list[int]):
    with Run.create(tmp_path / "run", FakeScene(), Config()) as run:
        write_with_births(run)
        tracks = run.tracks(timesteps)
    assert tracks.birth.tolist() == birth and tracks.means.shape == (len(timesteps), len(birth), 3)
    whole = run.tracks()
    for i, timestep in enumerate(timesteps):
        np.testing.assert_array_equal(tracks.at(i).means, whole.at(timestep).means)
    since = whole.since(3)
    assert since.birth.tolist() == [0] * (COUNT + 3) + [1] * 5 and since.timesteps == (3, 4, 5, 6, 7)
    np.testing.assert_array_equal(since.at(1).means, whole.at(4).means)


@pytest.mark.parametrize("place", ["births", "poses"])
def test_run_killed_around_a_birth_resumes_to_the_same_bytes(tmp_path: Path, place: str):
    kill = """
        path, place = sys.argv[1:]
        run = Run.create(path, FakeScene(), Config())
        replace = os.replace
        def replace_or_die(source, target):
            if str(target).endswith(f"{place}/000004.npz"):
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)
        os.replace = replace_or_die
        write_with_births(run)
    """
    process = in_subprocess(kill, tmp_path / "run", place)
    assert process.wait(60) == -signal.SIGKILL
    assert (tmp_path / "run/births/000004.npz").exists() == (place == "poses")
    killed = Run.open(tmp_path / "run")
    assert killed.completed == (0, 1, 2, 3) and killed.tracks().birth.tolist() == [0] * COUNT + [2] * 3
    assert list(killed.births()) == [2]
    with Run.create(tmp_path / "run", FakeScene(), Config(), resume=True) as run:
        assert sorted(file.name for file in (tmp_path / "run/births").iterdir()) == ["000002.npz"]
        write_with_births(run)
    with Run.create(tmp_path / "whole", FakeScene(), Config()) as run:
        write_with_births(run)
    assert file_bytes(tmp_path / "run", "**/*.npz") == file_bytes(tmp_path / "whole", "**/*.npz")
    with Run.create(tmp_path / "run", FakeScene(), Config(), overwrite=True):
        assert not file_bytes(tmp_path / "run", "**/*.npz")


def test_run_refuses_births_that_cannot_be_right(tmp_path: Path):
    with Run.create(tmp_path / "run", FakeScene(), Config()) as run:
        write_with_births(run, 1)
        with pytest.raises(ValueError, match=r"births/000003\.npz: timestep: expected 1, got 3; write .* in order"):
            run.write_births(3, make_gaussians(3))
        with pytest.raises(ValueError, match=r"harmonics: expected as in gaussians\.npz, shape None, got \(3, 3\)"):
            run.write_births(1, replace(make_gaussians(3), harmonics=np.zeros((3, 3, 3), np.float32)))
        run.write_births(1, make_gaussians(3))
        with pytest.raises(ValueError, match=rf"means: expected shape \[{COUNT + 3}, 3\], got \[{COUNT}, 3\]"):
            run.write_pose(1, *make_pose(1), metrics={})


@pytest.mark.parametrize(
    ("harmonics", "message"),
    [
        (np.zeros((COUNT, 4, 3), np.float32), r"harmonics: expected 3, 8 or 15 coefficients each .*, got 4"),
        (np.zeros((COUNT - 1, 3, 3), np.float32), r"harmonics: expected shape "),
        (np.full((COUNT, 3, 3), np.nan, np.float32), r"harmonics: expected finite numbers, got nan at \[0, 0, 0\]"),
        (np.zeros((COUNT, 3, 3)), "harmonics: expected float32, got float64"),
    ],
)
def test_run_refuses_harmonics_that_cannot_be(tmp_path: Path, harmonics: np.ndarray, message: str):
    neutral = np.zeros((1, 3), np.float32)
    with (
        Run.create(tmp_path / "run", FakeScene(), Config()) as run,
        pytest.raises((ValueError, TypeError), match=message),
    ):
        gaussians = replace(make_gaussians(), harmonics=harmonics)
        run.write_gaussians(gaussians, camera_names=("7",), camera_log_gains=neutral, camera_offsets=neutral)


def test_run_returns_what_was_stored_bit_for_bit(tmp_path: Path):
    make_run(tmp_path / "run", timesteps=range(1, 7, 2))
    run = Run.open(tmp_path / "run")
    assert run.timesteps == run.completed == (1, 3, 5)
    assert (run.scene_name, run.fps) == ("nothing", 30.0)
    assert run.config == {"preset": "fast", "inner": {"rate": 0.1, "rates": [1.0, 2.0]}, "cache": None}
    expected = make_gaussians()
    for name, value in run.gaussians().arrays().items():
        assert value.dtype == np.float32 and value.tobytes() == getattr(expected, name).tobytes(), name
    tracks = run.tracks()
    assert tracks.timesteps == (1, 3, 5) and tracks.camera_names == ("7", "é")
    np.testing.assert_array_equal(tracks.source_from_world, SOURCE_FROM_WORLD)
    for i, timestep in enumerate(tracks.timesteps):
        means, rotations = make_pose(timestep)
        assert tracks.means[i].tobytes() == means.tobytes()
        assert tracks.rotations_wxyz[i].tobytes() == rotations.tobytes()
        pose = run.read_pose(timestep)
        assert pose.means.tobytes() == means.tobytes() and pose.metrics["psnr"] == 20.0 + timestep
        np.testing.assert_array_equal(pose.extra["momentum"], np.full((3, 2), float(i)))
    part = run.tracks(range(3, 4))
    assert part.timesteps == (3,) and part.means.tobytes() == make_pose(3)[0].tobytes()


def test_run_stores_metrics_that_are_not_finite(tmp_path: Path):
    with Run.create(tmp_path, FakeScene(), Config()) as run:
        write_constant(run)
        run.write_pose(0, *make_pose(0), metrics={"psnr": np.inf, "error": np.float32(np.nan)})
        metrics = run.read_pose(0).metrics
    assert metrics["psnr"] == np.inf and np.isnan(metrics["error"])
    json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_run_names_a_folder_scene_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "capture").mkdir()
    monkeypatch.chdir(tmp_path)
    with Run.create("run", FakeScene(name="capture"), Config()) as run:
        assert run.scene_name == str((tmp_path / "capture").resolve())


@pytest.mark.parametrize("timesteps", [range(0), range(3, 9), range(-1, 3), range(5, 1, -1)])
def test_run_refuses_timesteps_the_scene_does_not_have(tmp_path: Path, timesteps: range):
    with pytest.raises(ValueError, match="timesteps: expected a rising, non-empty range within 0:8"):
        Run.create(tmp_path / "run", FakeScene(), Config(), timesteps=timesteps)
    assert not (tmp_path / "run").exists()


def test_run_refuses_a_config_that_json_cannot_hold(tmp_path: Path):
    with pytest.raises(TypeError, match="dataclass instance"):
        Run.create(tmp_path / "run", FakeScene(), {"preset": "fast"})
    with pytest.raises(TypeError, match="got a ndarray"):
        Run.create(tmp_path / "run", FakeScene(), Config(preset=np.zeros(3)))  # pyright: ignore
    assert not (tmp_path / "run").exists()


def test_run_writes_nothing_when_the_scene_is_broken(tmp_path: Path):
    with pytest.raises(ValueError, match=r"cam_03\.png: broken"):
        Run.create(tmp_path / "deep" / "run", FakeScene(broken=True), Config())
    assert not any(tmp_path.iterdir())
    make_run(tmp_path / "run")
    before = file_bytes(tmp_path)
    for options in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(ValueError, match="broken"):
            Run.create(tmp_path / "run", FakeScene(broken=True), Config(), **options)
    assert file_bytes(tmp_path) == before


# -- resuming


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


# -- who may write where


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


# -- writing


def test_run_opened_for_reading_cannot_be_written(tmp_path: Path):
    make_run(tmp_path, 2)
    run = Run.open(tmp_path)
    with pytest.raises(PermissionError, match="opened for reading"):
        run.write_pose(2, *make_pose(2), metrics={})
    with pytest.raises(PermissionError, match="opened for reading"):
        write_constant(run)


def test_run_takes_timesteps_in_order_only(tmp_path: Path):
    with Run.create(tmp_path, FakeScene(), Config(), timesteps=range(2, 4)) as run:
        with pytest.raises(FileNotFoundError, match=r"gaussians\.npz"):
            run.write_pose(2, *make_pose(2), metrics={})
        write_constant(run)
        for wrong in (0, 3):
            with pytest.raises(ValueError, match=f"timestep: expected 2, got {wrong}"):
                run.write_pose(wrong, *make_pose(wrong), metrics={})
        write_poses(run)
        with pytest.raises(ValueError, match="expected none, all are stored, got 4"):
            run.write_pose(4, *make_pose(4), metrics={})
        with pytest.raises(ValueError, match="to be written before the first pose"):
            write_constant(run)


def with_nan(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[5, 1] = np.nan
    return array


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda m, q: (with_nan(m), q), ValueError, r"means: expected finite numbers, got nan at \[5, 1\]"),
        (lambda m, q: (m[:-1], q), ValueError, r"means: expected shape \[40, 3\], got \[39, 3\]"),
        (lambda m, q: (m.astype(np.float64), q), TypeError, "means: expected float32, got float64"),
        (lambda m, q: (m, 2 * q), ValueError, "expected unit quaternions"),
        (lambda m, q: (m, q[:, :3].copy()), ValueError, r"rotations_wxyz: expected shape \[40, 4\]"),
    ],
)
def test_run_refuses_a_pose_that_cannot_be_right(
    tmp_path: Path, change: Callable[..., tuple[np.ndarray, np.ndarray]], error: type[Exception], message: str
):
    with Run.create(tmp_path, FakeScene(), Config()) as run:
        write_constant(run)
        with pytest.raises(error, match=message):
            run.write_pose(0, *change(*make_pose(0)), metrics={})
        with pytest.raises(TypeError, match="extra/state: expected numbers or text, got Python objects"):
            run.write_pose(0, *make_pose(0), metrics={}, extra={"state": np.array([{}])})
        assert run.completed == ()


def test_run_refuses_gaussians_that_cannot_be_right(tmp_path: Path):
    gaussians, none = make_gaussians(), np.zeros((0, 3), np.float32)
    cameras = {"camera_names": (), "camera_log_gains": none, "camera_offsets": none}
    with Run.create(tmp_path, FakeScene(), Config()) as run:
        with pytest.raises(ValueError, match="colors: expected finite"):
            run.write_gaussians(replace(gaussians, colors=with_nan(gaussians.colors)), **cameras)
        with pytest.raises(ValueError, match=r"foreground: expected shape \[40\]"):
            run.write_gaussians(replace(gaussians, foreground=gaussians.foreground[:, None]), **cameras)
        with pytest.raises(ValueError, match="at least one Gaussian"):
            run.write_gaussians(make_gaussians(0), **cameras)
        with pytest.raises(ValueError, match=r"camera_offsets: expected shape \[0, 3\]"):
            run.write_gaussians(gaussians, **cameras | {"camera_offsets": np.zeros((1, 3), np.float32)})
        assert not (tmp_path / "gaussians.npz").exists()
        run.write_gaussians(gaussians, **cameras)


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


# -- reading what is damaged


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


def test_run_tracks_refuses_timesteps_that_are_not_stored(tmp_path: Path):
    make_run(tmp_path, 3)
    run = Run.open(tmp_path)
    with pytest.raises(ValueError, match=r"timesteps: expected one or more that are tracked, got 2\.\.4 where 0\.\.2"):
        run.tracks(range(2, 5))
    with pytest.raises(ValueError, match="got none where"):
        run.tracks(range(0))
    with pytest.raises(FileNotFoundError, match=r"000003\.npz"):
        run.read_pose(3)
    make_run(tmp_path / "empty", 0)
    with pytest.raises(ValueError, match="got none where none are stored"):
        Run.open(tmp_path / "empty").tracks()
