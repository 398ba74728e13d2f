"""How far poses can be trusted, as a run stores it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.run.makers import COUNT, Config, FakeScene, make_gaussians, make_pose, make_run, write_constant
from warpgs.run import Run
from warpgs.types import Judgment

STEPS = 3


def make_judgment(timestep: int, count: int = COUNT) -> Judgment:
    confidence, visibility = np.random.default_rng(timestep).random((2, count)).astype(np.float32)
    return Judgment(confidence, visibility, tolerance=0.02)


def write_judged(path: Path, stop: int = STEPS, **options: bool) -> None:
    with Run.create(path, FakeScene(), Config(), timesteps=range(STEPS), **options) as run:
        if not run.completed:
            write_constant(run)
        for timestep in run.timesteps[len(run.completed) : stop]:
            run.write_pose(timestep, *make_pose(timestep), metrics={}, judgment=make_judgment(timestep))


def test_run_returns_shares_to_half_a_step_of_a_byte(tmp_path: Path):
    write_judged(tmp_path / "run")
    run = Run.open(tmp_path / "run")
    tracks = run.tracks()
    assert tracks.tolerance == 0.02
    for timestep in range(STEPS):
        given, stored = make_judgment(timestep), run.read_pose(timestep).judgment
        for name in ("confidence", "visibility"):
            assert np.abs(getattr(stored, name) - getattr(given, name)).max() <= 0.5001 / 255
            np.testing.assert_array_equal(getattr(tracks, name)[timestep], getattr(stored, name))
            assert getattr(tracks, name).dtype == np.float32


def test_run_resumed_has_the_judgments_of_one_never_interrupted(tmp_path: Path):
    write_judged(tmp_path / "whole")
    write_judged(tmp_path / "resumed", stop=1)
    write_judged(tmp_path / "resumed", resume=True)
    for timestep in range(STEPS):
        name = f"poses/{timestep:06d}.npz"
        assert (tmp_path / "resumed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_run_without_judgments_has_none(tmp_path: Path):
    make_run(tmp_path / "old")
    run = Run.open(tmp_path / "old")
    tracks = run.tracks()
    assert run.read_pose(0).judgment is None
    assert (tracks.confidence, tracks.visibility, tracks.tolerance) == (None, None, None)


def test_run_judged_in_part_has_judgments_of_that_part_alone(tmp_path: Path):
    with Run.create(tmp_path / "run", FakeScene(), Config(), timesteps=range(STEPS)) as run:
        write_constant(run)
        run.write_pose(0, *make_pose(0), metrics={})
        for timestep in (1, 2):
            run.write_pose(timestep, *make_pose(timestep), metrics={}, judgment=make_judgment(timestep))
    assert run.tracks().confidence is None
    assert run.tracks(range(1, 3)).confidence.shape == (2, COUNT)


def test_run_calls_particles_certain_and_seen_before_their_birth(tmp_path: Path):
    born = 4
    with Run.create(tmp_path / "run", FakeScene(), Config(), timesteps=range(2)) as run:
        write_constant(run)
        run.write_pose(0, *make_pose(0), metrics={}, judgment=make_judgment(0))
        run.write_births(1, make_gaussians(born))
        poses = make_pose(1, COUNT + born)
        run.write_pose(1, *poses, metrics={}, judgment=make_judgment(1, COUNT + born))
    tracks = run.tracks()
    assert (tracks.confidence[0, COUNT:] == 1.0).all() and (tracks.visibility[0, COUNT:] == 1.0).all()
    assert (tracks.confidence[1, COUNT:] < 1.0).any()
    assert tracks.since(1).confidence.shape == (1, COUNT + born)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"confidence": np.full(COUNT, 1.5, np.float32)}, "confidence: expected shares 0..1, got 1.5 to 1.5"),
        ({"visibility": np.full(COUNT, np.nan, np.float32)}, "visibility: expected shares 0..1"),
        ({"visibility": np.ones(COUNT - 1, np.float32)}, "visibility: expected shape"),
    ],
)
def test_run_refuses_judgments_that_cannot_be(tmp_path: Path, change: dict[str, np.ndarray], message: str):
    with Run.create(tmp_path / "run", FakeScene(), Config(), timesteps=range(STEPS)) as run:
        write_constant(run)
        with pytest.raises(ValueError, match=message):
            run.write_pose(0, *make_pose(0), metrics={}, judgment=replace(make_judgment(0), **change))
