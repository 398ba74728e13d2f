"""Particles that are born after the first timestep, as a run stores them."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.run.makers import (
    COUNT,
    Config,
    FakeScene,
    file_bytes,
    in_subprocess,
    make_gaussians,
    make_pose,
    write_with_births,
)
from warpgs.run import Run


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
