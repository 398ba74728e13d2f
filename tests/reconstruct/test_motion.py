from dataclasses import replace

import numpy as np
import pytest

from scenes.synthetic import SyntheticOptions, tumble
from tests.track.recordings import QUICK, Recording
from warpgs.reconstruct.config import DensifyConfig
from warpgs.reconstruct.motion import MotionMasks, half_sample_mode, learn_background
from warpgs.track import track
from warpgs.types import Frame

TIMESTEPS = range(12)


@pytest.fixture(scope="module")
def frames() -> tuple[Frame, ...]:
    scene = tumble(SyntheticOptions(width=160, height=90, train_cameras=8, test_cameras=0, timesteps=len(TIMESTEPS)))
    return tuple(scene.frames())


def without_masks(frames: tuple[Frame, ...]) -> Recording:
    return Recording(tuple(replace(frame, masks=None) for frame in frames), None)


def overlap(made: Frame, true: Frame) -> float:
    """Intersection over union of all masks of an instant."""
    pairs = [(a > 127, b > 127) for a, b in zip(made.masks, true.masks, strict=True)]
    return sum((a & b).sum() for a, b in pairs) / sum((a | b).sum() for a, b in pairs)


def test_half_sample_mode_finds_the_value_that_returns():
    rng = np.random.default_rng(0)
    series = np.concatenate([rng.integers(98, 103, (9, 200)), rng.integers(120, 256, (15, 200))]).astype(np.uint8)
    mode = half_sample_mode(rng.permutation(series))
    assert (np.abs(mode.astype(int) - 100) <= 2).mean() > 0.9


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_half_sample_mode_of_equal_values_is_that_value(count):
    assert (half_sample_mode(np.full((count, 4, 3), 7, np.uint8)) == 7).all()


def test_masks_of_moving_bodies_match_the_true_ones(frames):
    scene = without_masks(frames)
    motion = MotionMasks.learn(scene)
    for frame in frames:
        assert overlap(motion.add_to(replace(frame, masks=None)), frame) > 0.75


def test_masks_leave_pictures_and_cameras_as_they_are(frames):
    scene = without_masks(frames)
    made = MotionMasks.learn(scene).add_to(scene.frame(3))
    assert made.images is scene.frame(3).images and made.cameras is scene.frame(3).cameras
    assert all(mask.dtype == np.uint8 and mask.shape == (90, 160) for mask in made.masks)


@pytest.mark.parametrize(("factor", "marked"), [(0.6, 0.0), (1.5, 0.5)])
def test_a_background_made_darker_is_a_shadow_and_one_made_brighter_is_not(factor, marked, frames):
    camera, picture = frames[0].cameras[0], frames[0].images[0]
    motion = MotionMasks([learn_background(camera, [picture] * 5)])
    changed = np.minimum(factor * picture, 255.0).astype(np.uint8)
    frame = motion.add_to(Frame(0, 0.0, (camera,), (changed,), None))
    assert (frame.masks[0] > 127).mean() >= marked
    assert frame.masks[0].any() == (marked > 0.0)


def test_nothing_is_learned_where_nothing_moves(frames):
    still = Recording(tuple(replace(frames[0], timestep=t, masks=None) for t in TIMESTEPS), None)
    assert MotionMasks.learn(still) is None


def test_nothing_is_learned_from_a_handful_of_instants(frames):
    assert MotionMasks.learn(without_masks(frames[:4])) is None


def test_nothing_is_learned_from_cameras_that_move(frames):
    pose = np.eye(4)
    pose[0, 3] = 0.01
    moved = tuple(replace(c, world_from_camera=pose @ c.world_from_camera) for c in frames[5].cameras)
    shots = (*frames[:5], replace(frames[5], cameras=moved), *frames[6:])
    assert MotionMasks.learn(without_masks(shots)) is None


def test_track_takes_what_moves_for_the_foreground(frames):
    config = replace(QUICK, reconstruct=replace(QUICK.reconstruct, steps=2, densify=DensifyConfig(every=0)))
    [state] = track(without_masks(frames), config, timesteps=range(1))
    assert 0.02 < (state.gaussians.foreground >= 0.5).mean() < 0.5
