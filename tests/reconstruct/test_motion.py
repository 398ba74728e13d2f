from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy import ndimage

from scenes.synthetic import SyntheticOptions, tumble
from tests.track.recordings import QUICK, Recording
from warpgs.reconstruct.backplate import learn_backgrounds, returning_color
from warpgs.reconstruct.config import DensifyConfig
from warpgs.reconstruct.consensus import agreed_masks
from warpgs.reconstruct.motion import MotionMasks
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


def test_returning_color_is_the_one_that_most_of_the_weight_has():
    """Twelve of 24 instants show a body of one color, eight the background with noise, the others anything."""
    rng = np.random.default_rng(0)
    background = rng.integers(97, 104, (8, 10, 20, 3))
    body, other = np.full((12, 10, 20, 3), 180), rng.integers(0, 256, (4, 10, 20, 3))
    series = np.concatenate([body, background, other]).astype(np.uint8)
    weights = np.ones((24, 10, 20), np.float32)
    np.testing.assert_array_equal(returning_color(series, weights), 180.0)
    weights[:12] = 0.02
    np.testing.assert_allclose(returning_color(series, weights), 100.0, atol=3.0)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_returning_color_of_equal_values_is_that_value(count):
    assert (returning_color(np.full((count, 4, 3, 3), 7, np.uint8), np.ones((count, 4, 3), np.float32)) == 7.0).all()


def stage(position: int, seed: int = 0) -> np.ndarray:
    """A textured square of 30 px, ``position`` columns from the left, over a textured wall."""
    rng = np.random.default_rng(seed)
    wall, square = (cv2.GaussianBlur(rng.integers(0, 256, (48, 96, 3)).astype(np.uint8), (0, 0), 1.5) for _ in "ab")
    wall[10:40, position : position + 30] = 255 - square[:30, :30] // 3
    return wall


def test_background_is_found_where_a_body_stands_longer_than_not(frames):
    """The square sways about one place and leaves it for a quarter of the time: the mode over time is the square."""
    camera = frames[0].cameras[0].resized(96, 48)
    places = [2 * (i % 5) + 10 for i in range(18)] + [60] * 6
    pictures, following = ([stage(place + step) for place in places] for step in (0, 2))
    [learned] = learn_backgrounds([camera], [pictures], [following])
    wall = stage(60)[:, 20:40] / 255.0
    assert np.abs(learned.color[:, 20:40] - wall).mean() < 0.01
    [mask] = MotionMasks([learned]).add_to(Frame(0, 0.0, (camera,), (stage(12),), None)).masks
    true = np.zeros(mask.shape, bool)
    true[10:40, 12:42] = True
    assert ((mask > 127) & true).sum() / ((mask > 127) | true).sum() > 0.85


def test_masks_agree_in_space(frames):
    """One camera marks a lamp that flickers and sees only the rim of a body; the others know better."""
    frame = frames[6]
    true = frame.masks[0] > 127
    core = ndimage.binary_erosion(true, iterations=3)
    seen, doubtful = frame.masks[0].copy(), [np.zeros(mask.shape, bool) for mask in frame.masks]
    seen[core], seen[:20, :20], doubtful[0][core] = 0, 255, True
    assert core.sum() > 0.2 * true.sum() and not true[:30, :30].any()
    made = agreed_masks(replace(frame, masks=(seen, *frame.masks[1:])), doubtful, "cpu")
    assert not made[0][:20, :20].any()
    assert (made[0] > 127)[core].mean() > 0.9
    assert overlap(replace(frame, masks=made), frame) > 0.97


def test_masks_that_agree_on_nothing_stay(frames):
    masks = tuple(np.zeros_like(mask) for mask in frames[0].masks)
    masks[0][:20, :20] = 255
    doubtful = [np.zeros(mask.shape, bool) for mask in masks]
    made = agreed_masks(replace(frames[0], masks=masks), doubtful, "cpu")
    np.testing.assert_array_equal(made, masks)


@pytest.fixture(scope="module")
def motion(frames) -> MotionMasks:
    learned = MotionMasks.learn(without_masks(frames))
    assert learned is not None
    return learned


def test_masks_of_moving_bodies_match_the_true_ones(frames, motion):
    overlaps = [overlap(motion.add_to(replace(frame, masks=None)), frame) for frame in frames]
    assert min(overlaps) > 0.9 and np.mean(overlaps) > 0.94


def test_masks_leave_pictures_and_cameras_as_they_are(frames, motion):
    frame = without_masks(frames).frame(3)
    made = motion.add_to(frame)
    assert made.images is frame.images and made.cameras is frame.cameras
    assert all(mask.dtype == np.uint8 and mask.shape == (90, 160) for mask in made.masks)


@pytest.mark.parametrize(("factor", "marked"), [(0.6, 0.0), (1.5, 0.5)])
def test_a_background_made_darker_is_a_shadow_and_one_made_brighter_is_not(factor, marked, frames):
    camera, picture = frames[0].cameras[0], frames[0].images[0]
    motion = MotionMasks(learn_backgrounds([camera], [[picture] * 5], [[picture] * 5]))
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


def test_one_instant_without_masks_is_a_still_scene(frames, caplog):
    config = replace(QUICK, reconstruct=replace(QUICK.reconstruct, steps=2, densify=DensifyConfig(every=0)))
    four = replace(frames[0], cameras=frames[0].cameras[:4], images=frames[0].images[:4], masks=None)
    [state] = track(Recording((four,), None), config)
    assert not (state.gaussians.foreground >= 0.5).any() and not caplog.records
