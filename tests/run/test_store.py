"""Whole tracks written as a run come back bit for bit."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from scenes.synthetic import SyntheticOptions, plain
from tests.test_retime import assert_same
from tests.usd_export.sample import make_tracks, with_births
from warpgs.run import Run, write_run
from warpgs.types import Tracks

SCENE = plain(SyntheticOptions(width=32, height=18, timesteps=20, train_cameras=2, test_cameras=0, has_cloud=False))


@dataclass(frozen=True)
class Settings:
    what: str = "made by hand"


def storable(tracks: Tracks) -> Tracks:
    return replace(tracks, fps=SCENE.fps)


def judged(tracks: Tracks) -> Tracks:
    """With shares that bytes can hold, 1 before a birth."""
    steps = np.random.default_rng(0).integers(0, 256, (2, *tracks.means.shape[:2])).astype(np.float32) / np.float32(255)
    steps[:, np.arange(len(tracks))[:, None] < tracks.birth] = 1.0
    return replace(tracks, confidence=steps[0], visibility=steps[1], tolerance=0.02)


@pytest.mark.parametrize("stride", [1, 2])
def test_tracks_come_back_bit_for_bit(tmp_path, stride):
    tracks = judged(with_births(storable(make_tracks(steps=8, stride=stride, harmonics=8)), births=(2, 2, 5)))
    done = []
    run = write_run(tmp_path / "run", tracks, SCENE, Settings(), progress=lambda i, n: done.append((i, n)))
    assert done == [(i, 8) for i in range(1, 9)] and run.config == {"what": "made by hand"}
    assert_same(tracks, Run.open(tmp_path / "run").tracks())


def test_what_was_fitted_of_cameras_comes_back(tmp_path):
    gains, offsets, turns = np.random.default_rng(1).normal(size=(3, 2, 3)).astype(np.float32)
    cameras = {"camera_names": ("a", "b"), "camera_log_gains": gains, "camera_offsets": offsets, "camera_turns": turns}
    write_run(tmp_path / "run", replace(storable(make_tracks(steps=2)), **cameras), SCENE, Settings())
    stored = Run.open(tmp_path / "run").tracks()
    for name, fitted in cameras.items():
        np.testing.assert_array_equal(getattr(stored, name), fitted, err_msg=name)


def test_nothing_is_overwritten_unasked(tmp_path):
    tracks = storable(make_tracks(steps=3))
    write_run(tmp_path / "run", tracks, SCENE, Settings())
    with pytest.raises(FileExistsError):
        write_run(tmp_path / "run", tracks, SCENE, Settings())
    write_run(tmp_path / "run", storable(make_tracks(steps=2)), SCENE, Settings(), overwrite=True)
    assert len(Run.open(tmp_path / "run").tracks()) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timesteps": (0, 1, 3)}, "an even spacing"),
        ({"timesteps": (18, 19, 20)}, "timesteps within 0 to 19"),
        ({"fps": 25.0}, "fps: expected 30"),
        ({"birth": np.ones(60, np.int32)}, "something at the first timestep"),
    ],
)
def test_what_a_run_of_the_scene_cannot_hold_is_refused_before_anything_is_written(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write_run(tmp_path / "run", replace(storable(make_tracks(steps=3)), **change), SCENE, Settings())
    assert not (tmp_path / "run").exists()
