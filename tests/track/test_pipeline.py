"""Whole runs: the same bits however they are computed and interrupted."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.track.recordings import QUICK, result_bytes, track_into
from warpgs.run import Run
from warpgs.track import PRESETS, track
from warpgs.track.config import RigidConfig

FREE = replace(QUICK, follow=replace(QUICK.follow, freeze_background=False, views_per_step=3))
LINEAR = replace(QUICK, follow=replace(QUICK.follow, prediction="linear"))
PUBLISHED = replace(
    FREE,
    follow=replace(
        FREE.follow,
        prediction="linear",
        background_channel=True,
        rigid=RigidConfig(clusters=0),
        priors=PRESETS["paper"].follow.priors,
    ),
)
CONFIGS = {
    "frozen background": QUICK,
    "free background": FREE,
    "linear prediction": LINEAR,
    "as published": PUBLISHED,
}


@pytest.fixture(scope="module")
def whole(recording, tmp_path_factory) -> Callable[[str], Path]:
    """Runs that nobody interrupted, on one thread, by the name of their settings."""

    @cache
    def run(name: str) -> Path:
        path = tmp_path_factory.mktemp("whole")
        track_into(path, recording, CONFIGS[name])
        return path

    return run


def check_same_bytes(path: Path, other: Path) -> None:
    got, expected = result_bytes(path), result_bytes(other)
    assert sorted(got) == sorted(expected) == ["gaussians.npz", *(f"poses/{i:06d}.npz" for i in range(3))]
    assert [name for name in expected if got[name] != expected[name]] == []


@pytest.mark.parametrize(
    ("name", "threads"), [("frozen background", 2), ("free background", 2), ("free background", 3)]
)
def test_track_writes_the_same_bytes_on_any_number_of_threads(name, threads, whole, recording, tmp_path):
    track_into(tmp_path, recording, replace(CONFIGS[name], threads=threads))
    check_same_bytes(tmp_path, whole(name))


def test_track_depends_on_the_seed(whole, recording, tmp_path):
    track_into(tmp_path, recording, replace(QUICK, seed=1), stop=1)
    assert result_bytes(tmp_path)["gaussians.npz"] != result_bytes(whole("frozen background"))["gaussians.npz"]


@pytest.mark.parametrize(
    ("name", "stop"),
    [("frozen background", 1), ("frozen background", 2), ("free background", 2), ("linear prediction", 2)],
)
def test_track_resumed_writes_the_bytes_of_an_uninterrupted_run(name, stop, whole, recording, tmp_path):
    before = track_into(tmp_path, recording, CONFIGS[name], stop=stop)
    after = track_into(tmp_path, recording, CONFIGS[name], resume=True)
    assert [state.timestep for state in before + after] == [0, 1, 2]
    check_same_bytes(tmp_path, whole(name))


KILLED = """
import os, signal, sys
from tests.track.recordings import QUICK, tiny_recording
from warpgs.run import Run
from warpgs.track import PRESETS, track
from warpgs.track.config import RigidConfig

def kill(timestep, step, step_count, psnr):
    if timestep == 2 and 0 < step < step_count:
        os.kill(os.getpid(), signal.SIGKILL)

with Run.create(sys.argv[1], tiny_recording(), QUICK) as run:
    for _ in track(tiny_recording(), QUICK, run=run, progress=kill):
        pass
"""


def test_track_killed_within_a_timestep_resumes_to_the_same_bytes(whole, recording, tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    killed = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert Run.open(tmp_path).completed == (0, 1)
    states = track_into(tmp_path, recording, QUICK, resume=True)
    assert [state.timestep for state in states] == [2]
    check_same_bytes(tmp_path, whole("frozen background"))


def test_track_of_a_finished_run_yields_nothing_and_changes_nothing(whole, recording):
    path = whole("frozen background")
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in path.rglob("*.npz")}
    assert track_into(path, recording, QUICK, resume=True) == []
    assert {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in path.rglob("*.npz")} == before


def test_track_stores_what_it_yields(whole, recording):
    """And yields the same without a run."""
    run = Run.open(whole("frozen background"))
    tracks = run.tracks()
    for index, state in enumerate(track(recording, QUICK)):
        assert state.timestep == tracks.timesteps[index]
        for name, array in state.gaussians.arrays().items():
            np.testing.assert_array_equal(getattr(tracks.at(index), name), array)
        metrics = run.read_pose(state.timestep).metrics
        assert set(metrics) == {"psnr", "loss", "seconds"} and metrics["psnr"] == state.psnr
    assert tracks.camera_names == tuple(camera.name for camera in recording.cameras("train"))
    assert tracks.camera_log_gains.any() and tracks.camera_offsets.any()


def test_track_freezes_the_background_bit_for_bit(whole):
    tracks = Run.open(whole("frozen background")).tracks()
    moving = int((tracks.foreground >= 0.5).sum())
    assert 0 < moving < len(tracks.foreground) and (tracks.foreground[:moving] >= 0.5).all()
    for later in (1, 2):
        np.testing.assert_array_equal(tracks.means[later, moving:], tracks.means[0, moving:])
        np.testing.assert_array_equal(tracks.rotations_wxyz[later, moving:], tracks.rotations_wxyz[0, moving:])
        assert (tracks.means[later, :moving] != tracks.means[0, :moving]).any(axis=1).all()


def test_track_moves_the_background_unless_told_otherwise(whole):
    tracks = Run.open(whole("free background")).tracks()
    assert (tracks.means[1:] != tracks.means[:1]).any(axis=2).mean() > 0.95


@pytest.mark.parametrize("name", CONFIGS)
def test_track_stores_unit_quaternions_that_never_flip(name, whole):
    rotations = Run.open(whole(name)).tracks().rotations_wxyz
    np.testing.assert_allclose(np.linalg.norm(rotations, axis=2), 1.0, rtol=0.0, atol=1e-6)
    assert ((rotations[1:] * rotations[:-1]).sum(axis=2) > 0.0).all()


MISS = RigidConfig().miss


@pytest.mark.parametrize(("miss", "draws", "last_steps"), [(MISS, 0, 24), (MISS, 256, 22), (0.2, 0, 22)])
def test_progress_tells_every_timestep(recording, miss, draws, last_steps):
    calls = []
    rigid, search = replace(QUICK.follow.rigid, miss=miss), replace(QUICK.follow.search, draws=draws)
    config = replace(QUICK, follow=replace(QUICK.follow, rigid=rigid, search=search))
    for _ in track(recording, config, progress=lambda *call: calls.append(call)):
        pass
    # in so few steps the second timestep is tracked badly, and what it predicts for the third misses, if not found
    assert [call[:3] for call in calls] == [(0, 20, 20), (1, 20, 24), (2, 20, last_steps)]
    assert all(5.0 < psnr < 60.0 for *_, psnr in calls)


@pytest.mark.parametrize(("use_cloud", "expected"), [(True, {20}), (False, {30})])
def test_without_a_cloud_the_first_timestep_takes_more_steps(recording, use_cloud, expected):
    config = replace(QUICK, use_cloud=use_cloud, reconstruct=replace(QUICK.reconstruct, without_cloud=1.5))
    counts = set()
    list(track(recording, config, timesteps=range(1), progress=lambda timestep, step, count, psnr: counts.add(count)))
    assert counts == expected
