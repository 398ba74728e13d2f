import warnings
from dataclasses import replace

import numpy as np
import pytest

from scenes.synthetic import SyntheticOptions, tumble
from warpgs.diagnose.outlines import Misfit, misfit, outlines
from warpgs.types import Camera

FINE = 10
"""Instants of the scene per frame of the cameras."""
SCENE = tumble(
    SyntheticOptions(width=240, height=136, train_cameras=5, test_cameras=0, timesteps=240, fps=240.0, samples=1)
)
CAMERAS = SCENE.cameras("train")
FOCAL_PX = CAMERAS[0].intrinsics[0, 0]
INSTANTS = range(15, 228, 24)


@pytest.fixture(scope="module")
def masks_at():
    """Masks of all cameras at an instant of the scene, each drawn once."""
    known: dict[int, tuple[np.ndarray, ...]] = {}

    def masks(instant: int) -> tuple[np.ndarray, ...]:
        if instant not in known:
            known[instant] = SCENE.frame(instant).masks
        return known[instant]

    return masks


def found(masks_at, cameras=CAMERAS, late=(0, 0, 0, 0, 0), change=lambda masks, instant: masks) -> Misfit | None:
    """What outlines say of cameras whose pictures are ``late`` by so many instants."""
    groups = [
        [
            change([masks_at(instant + i * FINE + lag)[c].copy() for c, lag in enumerate(late)], instant)
            for i in (-1, 0, 1)
        ]
        for instant in INSTANTS
    ]
    return misfit(outlines(cameras, groups))


def bumped(turns: np.ndarray) -> tuple[Camera, ...]:
    """Cameras whose calibration does not know that they were turned."""
    return tuple(camera.turned(-turn) for camera, turn in zip(CAMERAS, turns, strict=True))


def test_exact_cameras_agree(masks_at):
    result = found(masks_at)
    assert result.before_px.max() < 0.5 and np.abs(result.turns[:, :2] * FOCAL_PX).max() < 0.7
    assert np.degrees(np.abs(result.turns[:, 2]).max()) < 0.4, "a turn about the line of sight shows least"
    assert np.abs(result.delays).max() < 0.1


def test_turned_cameras_are_turned_back(masks_at):
    turns = np.zeros((5, 3))
    turns[1], turns[3] = np.radians([0.8, -0.6, 0.5]), np.radians([-0.5, 0.7, 0.0])
    result = found(masks_at, bumped(turns))
    assert result.before_px[[1, 3]].min() > 1.5 and result.after_px.max() < 0.7
    np.testing.assert_allclose(result.turns[:, :2] * FOCAL_PX, turns[:, :2] * FOCAL_PX, atol=0.7)
    np.testing.assert_allclose(np.degrees(result.turns[:, 2]), np.degrees(turns[:, 2]), atol=0.4)


@pytest.mark.parametrize("instants", [4, -3])
def test_late_pictures_are_told_within_a_tenth_of_a_frame(masks_at, instants):
    result = found(masks_at, late=(0, 0, instants, 0, 0))
    np.testing.assert_allclose(result.delays, [0, 0, instants / FINE, 0, 0], atol=0.1)
    assert result.delay_errors.max() < 0.1


def test_masks_that_lack_pieces_do_not_turn_cameras(masks_at):
    def lacking(masks, instant):
        rows = np.nonzero(masks[2].any(axis=1))[0]
        if instant % 48 == 15:
            masks[2][int(np.median(rows)) :] = 0
        return masks

    result = found(masks_at, change=lacking)
    assert np.abs(result.turns[:, :2] * FOCAL_PX).max() < 1.2


def test_where_too_little_is_seen_nothing_is_said(masks_at):
    assert found(masks_at, change=lambda masks, _: [0 * mask for mask in masks]) is None

    def at_the_border(masks, _):
        for mask in masks:
            mask[mask.any(axis=1).argmax() :, :] = 255
            mask[:, :] = mask.any(axis=1)[:, None] * 255
        return masks

    assert found(masks_at, change=at_the_border) is None


def test_a_camera_without_foreground_says_nothing_and_disturbs_no_other(masks_at):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = found(masks_at, change=lambda masks, _: [masks[0] * 0, *masks[1:]])
    assert np.isnan(result.before_px[0]) and np.isfinite(result.before_px[1:]).all()
    groups = [[masks_at(t + i * FINE)[1:] for i in (-1, 0, 1)] for t in INSTANTS]
    without = misfit(outlines(CAMERAS[1:], groups))
    np.testing.assert_allclose(result.turns, [np.zeros(3), *without.turns], atol=1e-6)


def test_names_stay_with_their_cameras(masks_at):
    """The order of the cameras does not matter."""
    turns = np.zeros((5, 3))
    turns[0] = np.radians([0.5, 0.5, 0.0])
    cameras = bumped(turns)
    order = [4, 2, 0, 1, 3]
    groups = [[[masks_at(t + i * FINE)[c] for c in order] for i in (-1, 0, 1)] for t in INSTANTS]
    swapped = misfit(outlines([replace(cameras[c]) for c in order], groups))
    np.testing.assert_allclose(swapped.turns, found(masks_at, cameras).turns[order], atol=2e-4)
