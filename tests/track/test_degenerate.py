"""Scenes with next to nothing in them, and input that cannot be right."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenes import SyntheticScene, open_scene
from tests.scenes.panoptic_folder import cloud_rows, tiny_scene, write_cloud, write_panoptic
from tests.track.recordings import FIXED, QUICK, Recording, result_bytes, track_into
from warpgs.run import Run
from warpgs.track import TimestepState, TrackConfig, track


def finish(recording: Recording, config: TrackConfig = QUICK, **options) -> list[TimestepState]:
    """All states of a run, which must be finite and complete."""
    states = list(track(recording, config, **options))
    for state in states:
        assert np.isfinite(state.psnr)
        for array in state.gaussians.arrays().values():
            assert np.isfinite(array).all()
    return states


def test_track_without_masks_moves_everything_and_says_so_where_motion_does_not_tell(recording, caplog):
    unmasked = recording.with_masks(None)
    states = finish(replace(unmasked, cloud=replace(recording.cloud, foreground=None)))
    assert "everything is tracked as if it moved" in caplog.text
    assert len(states) == 3 and (states[0].gaussians.foreground >= 0.5).all()
    assert (states[1].gaussians.means != states[0].gaussians.means).any(axis=1).mean() > 0.99


@pytest.mark.parametrize("freeze", [True, False])
def test_track_without_foreground_particles_keeps_going(freeze, recording):
    config = replace(FIXED, follow=replace(FIXED.follow, freeze_background=freeze))
    states = finish(recording.with_points(600, foreground=0), config)
    assert [len(state.gaussians) for state in states] == [600, 600, 600]
    moved = (states[2].gaussians.means != states[0].gaussians.means).any(axis=1).mean()
    assert moved == 0.0 if freeze else moved > 0.9


@pytest.mark.parametrize("foreground", [1, 2])
def test_track_follows_a_handful_of_foreground_particles(foreground, recording):
    states = finish(recording.with_points(600, foreground=foreground), FIXED)
    means = np.stack([state.gaussians.means for state in states])
    assert (states[0].gaussians.foreground >= 0.5).sum() == foreground
    assert (means[1:, :foreground] != means[0, :foreground]).any(axis=2).all()
    np.testing.assert_array_equal(means[2, foreground:], means[0, foreground:])


def test_track_starts_from_four_points(recording):
    states = finish(recording.with_points(4, foreground=2), FIXED)
    assert [len(state.gaussians) for state in states] == [4, 4, 4]


def test_track_of_one_timestep_is_its_reconstruction(recording):
    (state,) = finish(recording, timesteps=range(1))
    assert state.timestep == 0


def test_track_starts_and_ends_where_it_is_told(recording, tmp_path):
    wanted = range(1, 3)
    states = track_into(tmp_path, recording, QUICK, timesteps=wanted)
    assert [state.timestep for state in states] == [1, 2] == list(Run.open(tmp_path).completed)
    assert set(result_bytes(tmp_path)) == {"gaussians.npz", "poses/000001.npz", "poses/000002.npz"}


def test_track_in_steps_of_two(recording):
    assert [state.timestep for state in finish(recording, timesteps=range(0, 3, 2))] == [0, 2]


def with_nan_in_cloud(recording: Recording) -> Recording:
    points = recording.cloud.points.copy()
    points[7, 1] = np.nan
    return replace(recording, cloud=replace(recording.cloud, points=points))


def with_small_picture(recording: Recording) -> Recording:
    first, *later = recording.shots
    images = (first.images[0][::2, ::2], *first.images[1:])
    return replace(recording, shots=(replace(first, images=images), *later))


BAD = {
    "masks all empty": (lambda recording: recording.with_masks(0), "some foreground pixels in at least one mask"),
    "NaN in the cloud": (with_nan_in_cloud, r"points: expected finite numbers, got nan at \[7, 1\]"),
    "empty cloud": (lambda recording: recording.with_points(0, foreground=0), "expected at least one point, got 0"),
    "picture of the wrong size": (with_small_picture, "image of camera .*: expected 96x54 pixels"),
}


@pytest.mark.parametrize("case", BAD)
def test_track_refuses_bad_input_before_the_first_step(case, recording, tmp_path):
    """Also where the reader's own ``validate`` let it pass."""
    breaks, words = BAD[case]

    def never(*_):
        pytest.fail("optimized")

    broken = breaks(recording)
    with Run.create(tmp_path, broken, QUICK) as run, pytest.raises(ValueError, match=words):
        next(track(broken, QUICK, run=run, progress=never))
    assert result_bytes(tmp_path) == {}


def test_track_refuses_timesteps_other_than_those_of_the_run(recording, tmp_path):
    with Run.create(tmp_path, recording, QUICK, timesteps=range(2)) as run:
        with pytest.raises(ValueError, match=r"^timesteps: expected those of the run, \[0, 1\], got \[0, 1, 2\]"):
            next(track(recording, QUICK, run=run, timesteps=range(3)))


def test_track_refuses_no_timesteps(recording):
    with pytest.raises(ValueError, match=r"^timesteps: expected at least one, got none"):
        next(track(recording, QUICK, timesteps=range(0)))


def test_given_floor_is_the_one_that_holds(recording):
    """A floor above everything pulls the foreground up to it."""
    heights = []
    for floor in (None, (0.0, 0.0, 1.0, -2.0)):
        priors = replace(FIXED.follow.priors, ground=1e4, floor=floor)
        follow = replace(FIXED.follow, priors=priors, free=replace(FIXED.follow.free, steps=20))
        *_, last = finish(recording, replace(FIXED, follow=follow))
        heights.append(last.gaussians.means[last.gaussians.foreground >= 0.5, 2])
    assert (heights[1] > heights[0] + 0.01).all()


def test_track_refuses_cameras_that_come_and_go(recording):
    first, second, third = recording.shots
    swapped = replace(second, cameras=(second.cameras[1], second.cameras[0], *second.cameras[2:]))
    broken = replace(recording, shots=(first, swapped, third))
    with pytest.raises(ValueError, match=r"^recording: training cameras of timestep 1: expected those of timestep 0"):
        next(track(broken, QUICK))


def test_track_refuses_a_single_camera(recording):
    alone = tuple(
        replace(shot, cameras=shot.cameras[:1], images=shot.images[:1], masks=shot.masks[:1])
        for shot in recording.shots
    )
    with pytest.raises(ValueError, match=r"^training cameras: expected at least two, at different places, got 1; "):
        next(track(replace(recording, shots=alone), QUICK))


@pytest.fixture(scope="module")
def source() -> SyntheticScene:
    return tiny_scene()


def empty_masks(root: Path, _: np.ndarray) -> None:
    for path in root.glob("seg/*/000000.png"):
        Image.new("1", (40, 24)).save(path)


def nan_in_cloud(root: Path, rows: np.ndarray) -> None:
    rows[5, 1] = np.nan
    write_cloud(root, rows)


def empty_cloud(root: Path, rows: np.ndarray) -> None:
    write_cloud(root, rows[:0])


@pytest.mark.parametrize("damage", [empty_masks, nan_in_cloud, empty_cloud])
def test_run_of_a_broken_folder_writes_nothing(damage: Callable, source, tmp_path):
    root = write_panoptic(tmp_path / "capture", source)
    damage(root, cloud_rows(source))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"capture.*(seg|init_pt_cld\.npz): .*; "):
        Run.create(tmp_path / "run", open_scene(root), QUICK)
    assert sorted(tmp_path.rglob("*")) == before
