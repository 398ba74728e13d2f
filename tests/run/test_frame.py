"""A run stored in a frame and unit of its own gives tracks in the world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.run.makers import COUNT, Config, FakeScene, make_gaussians, make_pose
from warpgs.run import Run
from warpgs.similarity import Similarity

WORLD_FROM_RUN = Similarity(2.7, Rotation.from_rotvec([0.9, -0.4, 1.7]).as_matrix(), np.array([600.0, -640.0, 480.0]))
NEUTRAL = {"camera_log_gains": np.zeros((1, 3), np.float32), "camera_offsets": np.zeros((1, 3), np.float32)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Run.create(tmp_path / "run", FakeScene(), Config(), timesteps=range(3)) as run:
        run.write_gaussians(make_gaussians(), camera_names=("7",), **NEUTRAL, world_from_run=WORLD_FROM_RUN)
        run.write_pose(0, *make_pose(0), metrics={})
        run.write_births(1, make_gaussians(3))
        for timestep in (1, 2):
            run.write_pose(timestep, *make_pose(timestep, COUNT + 3), metrics={})
    return tmp_path / "run"


def test_run_gives_tracks_in_the_world_and_keeps_what_it_stores(path: Path):
    run = Run.open(path)
    tracks = run.tracks()
    first, born = (WORLD_FROM_RUN.gaussians(make_gaussians(count)) for count in (COUNT, 3))
    np.testing.assert_array_equal(tracks.log_scales, np.concatenate([first.log_scales, born.log_scales]))
    np.testing.assert_array_equal(tracks.means[0, COUNT:], born.means)  # not born yet
    for timestep, count in ((0, COUNT), (1, COUNT + 3), (2, COUNT + 3)):
        means, rotations = make_pose(timestep, count)
        stored = run.read_pose(timestep)
        assert (stored.means.tobytes(), stored.rotations_wxyz.tobytes()) == (means.tobytes(), rotations.tobytes())
        np.testing.assert_array_equal(tracks.means[timestep, :count], WORLD_FROM_RUN.points(means).astype(np.float32))
        np.testing.assert_array_equal(
            tracks.rotations_wxyz[timestep, :count], WORLD_FROM_RUN.rotations_wxyz(rotations).astype(np.float32)
        )
    assert run.gaussians().means.tobytes() == make_gaussians().means.tobytes()
    assert run.births()[1].log_scales.tobytes() == make_gaussians(3).log_scales.tobytes()


def test_run_of_before_there_were_frames_stands_in_the_world(path: Path):
    with np.load(path / "gaussians.npz") as file:
        arrays = dict(file)
    del arrays["world_from_run"]
    np.savez(path / "gaussians.npz", **arrays)
    np.testing.assert_array_equal(Run.open(path).tracks().means[0, :COUNT], make_pose(0)[0])


def test_run_refuses_a_frame_that_mirrors(path: Path):
    with np.load(path / "gaussians.npz") as file:
        arrays = dict(file)
    np.savez(path / "gaussians.npz", **arrays | {"world_from_run": np.diag([1.0, 1.0, -1.0, 1.0])})
    with pytest.raises(ValueError, match=r"gaussians\.npz: world_from_run: expected a similarity"):
        Run.open(path)
