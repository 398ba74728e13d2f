"""A run returns what was stored, bit for bit, and refuses what cannot be right."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenes import built_in_scene
from tests.run.makers import (
    COUNT,
    SOURCE_FROM_WORLD,
    Config,
    FakeScene,
    file_bytes,
    make_gaussians,
    make_pose,
    make_run,
    with_nan,
    write_constant,
    write_poses,
)
from tests.scenes.panoptic_folder import TINY
from warpgs.run import Run


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


def test_run_keeps_the_turns_of_cameras(tmp_path: Path):
    neutral, turns = np.zeros((1, 3), np.float32), np.array([[1e-3, -2e-3, 3e-3]], np.float32)
    cameras = {"camera_names": ("7",), "camera_log_gains": neutral, "camera_offsets": neutral}
    for name, given in (("turned", turns), ("as calibrated", None)):
        with Run.create(tmp_path / name, FakeScene(), Config()) as run:
            run.write_gaussians(make_gaussians(), **cameras, camera_turns=given)
            run.write_pose(0, *make_pose(0), metrics={})
    np.testing.assert_array_equal(Run.open(tmp_path / "turned").tracks().camera_turns, turns)
    assert Run.open(tmp_path / "as calibrated").tracks().camera_turns is None


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


def test_run_does_not_take_a_generated_scene_for_a_folder_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tumble").mkdir()
    monkeypatch.chdir(tmp_path)
    with Run.create("run", built_in_scene("tumble", TINY), Config()) as run:
        assert run.scene_name == "tumble"


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
        with pytest.raises(ValueError, match=r"camera_turns: expected shape \[0, 3\]"):
            run.write_gaussians(gaussians, **cameras, camera_turns=np.zeros((1, 3), np.float32))
        assert not (tmp_path / "gaussians.npz").exists()
        run.write_gaussians(gaussians, **cameras)


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
