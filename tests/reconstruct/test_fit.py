"""The first timestep, on pictures that Gaussians can match exactly: they are pictures of Gaussians."""

from dataclasses import replace

import numpy as np
import pytest
import warp as wp

from tests.reconstruct.splats import BALL, FIXED_NUMBER, STILL, WALL, pictures_of
from warpgs.particles import logit
from warpgs.reconstruct.config import DensifyConfig, Rates, ReconstructConfig
from warpgs.reconstruct.fit import reconstruct
from warpgs.reconstruct.iteration import Iteration
from warpgs.reconstruct.objective import NEAR_RADII, Objective, scene_radius
from warpgs.reconstruct.snapshot import Snapshot
from warpgs.render.renderer import Renderer
from warpgs.types import Frame, Gaussians

GAINS = np.random.default_rng(4).normal(0.2, 0.15, (6, 3))
"""Logarithms of what each camera does to colors; their mean is not neutral."""


def objective_of(frame: Frame, views_per_step: int = 2) -> Objective:
    objective = Objective((3.0, 3.0), views_per_step=views_per_step, device=wp.get_device("cpu"), executor=None)
    objective.load(frame)
    return objective


def fit(start: Gaussians, frame: Frame, config: ReconstructConfig, *, seed: int = 0, progress=None):
    """The fitted Gaussians, and the log gains and offsets of the cameras."""
    objective = objective_of(frame, config.views_per_step)
    fitted, _ = reconstruct(start, objective, config, seed=seed, progress=progress)
    return fitted, objective.log_gains.numpy(), objective.offsets.numpy()


def test_reconstruct_at_rest_only_sorts_foreground_first(truth, frame):
    fitted, log_gains, offsets = fit(truth, frame, ReconstructConfig(steps=2, rates=STILL, densify=FIXED_NUMBER))
    assert (fitted.foreground[:BALL] > 0.5).all() and (fitted.foreground[BALL:] < 0.5).all()
    order, expected = np.lexsort(fitted.means.T), np.lexsort(truth.means.T)
    for name, array in fitted.arrays().items():
        np.testing.assert_allclose(array[order], getattr(truth, name)[expected], rtol=1e-6, err_msg=name)
    assert not log_gains.any() and not offsets.any()


def test_reconstruct_keeps_neighbors_in_space_neighbors_in_memory(truth, frame):
    fitted, *_ = fit(truth, frame, ReconstructConfig(steps=1, rates=STILL, densify=FIXED_NUMBER))

    def stride(gaussians: Gaussians) -> float:
        background = gaussians.means[gaussians.foreground < 0.5]
        return float(np.linalg.norm(np.diff(background, axis=0), axis=1).mean())

    assert stride(fitted) < 0.5 * stride(truth)


def test_reconstruct_matches_the_pictures(truth, frame):
    """From gray and nearly transparent; the shape is given."""
    start = replace(
        truth, colors=np.full_like(truth.colors, 0.3), opacity_logits=np.full_like(truth.opacity_logits, logit(0.1))
    )
    psnr = []
    config = ReconstructConfig(steps=160, densify=FIXED_NUMBER)
    fit(start, frame, config, progress=lambda *call: psnr.append(call[3]))
    assert np.mean(psnr[-3:]) > 31.0 > psnr[0] + 5.0


@pytest.mark.parametrize("seed", range(4))
def test_reconstruct_finds_the_gains_of_cameras_up_to_a_common_factor(seed, truth):
    # Adam on L1 dithers about the optimum by a few steps: these are short enough to tell hundredths
    rates = replace(STILL, colors=2.5e-3, corrections=5e-3)
    config = ReconstructConfig(steps=300, rates=rates, densify=FIXED_NUMBER)
    fitted, log_gains, offsets = fit(truth, pictures_of(truth, GAINS), config, seed=seed)
    np.testing.assert_allclose(log_gains.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(offsets.mean(axis=0), 0.0, atol=0.01)
    # a gray of the scene's brightness, as each camera shows it
    gray = np.exp(log_gains) * fitted.colors.mean(axis=0) + offsets
    found = np.log(gray) - np.log(gray).mean(axis=0)
    np.testing.assert_allclose(found, GAINS - GAINS.mean(axis=0), rtol=0.0, atol=0.03)
    brighter = np.log(fitted.colors.mean(axis=0) / truth.colors.mean(axis=0))
    np.testing.assert_allclose(brighter, GAINS.mean(axis=0), rtol=0.0, atol=0.02)


def test_neutral_corrections_leave_every_opaque_picture_as_it_is(truth):
    frame = pictures_of(truth, GAINS)
    config = ReconstructConfig(steps=12, rates=Rates(corrections=3e-2), densify=FIXED_NUMBER)
    neutral, log_gains, offsets = fit(truth, frame, config)
    other, other_gains, other_offsets = fit(truth, frame, replace(config, neutral_corrections=False))
    assert np.abs(other_gains.mean(axis=0)).min() > 0.01 and np.abs(other_offsets.mean(axis=0)).min() > 0.01
    np.testing.assert_allclose(log_gains.mean(axis=0), 0.0, atol=1e-6)
    for camera in range(6):
        shown = np.exp(log_gains[camera]) * neutral.colors + offsets[camera]
        expected = np.exp(other_gains[camera]) * other.colors + other_offsets[camera]
        np.testing.assert_allclose(shown, expected, rtol=0.0, atol=1e-5)
    for name in ("means", "rotations_wxyz", "log_scales", "opacity_logits", "foreground"):
        np.testing.assert_array_equal(getattr(neutral, name), getattr(other, name))


def test_reconstruct_depends_on_the_seed_alone(truth, frame):
    config = ReconstructConfig(
        steps=12, densify=DensifyConfig(grow="all", start=5, stop=10, every=5, gradient_threshold=0.0, clone_scale=0.0)
    )
    first, again, other = (fit(truth, frame, config, seed=seed)[0] for seed in (1, 1, 2))
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, getattr(again, name), err_msg=name)
    assert first.means.shape != other.means.shape or (first.means != other.means).any()


EVENTFUL = ReconstructConfig(
    steps=33,
    harmonics_degree=1,
    densify=DensifyConfig(
        grow="all", start=5, stop=15, every=5, gradient_threshold=1e-3, final_prune_opacity=0.005, reset_opacity_at=12
    ),
)
"""Takes more steps than between two looks at the lists, densifies by what was counted, resets opacities, corrects
colors."""


def assert_same(fits: tuple, others: tuple) -> None:
    for name, array in fits[0].arrays().items():
        np.testing.assert_array_equal(array, getattr(others[0], name), err_msg=name)
    for found, expected in zip(fits[1:], others[1:], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_reconstruct_in_one_graph_gives_the_bits_of_view_by_view(truth, monkeypatch):
    frame = pictures_of(truth, GAINS)
    expected = fit(truth, frame, EVENTFUL)
    assert len(expected[0]) > len(truth) and np.abs(expected[1]).max() > 1e-3
    monkeypatch.setattr(Objective, "one_graph", True)
    assert_same(fit(truth, frame, EVENTFUL), expected)


@pytest.mark.parametrize("lost", [1, 2, 3, 6])
def test_steps_without_room_in_one_graph_are_taken_again(lost, truth, monkeypatch):
    """The room is gone at the start of some of the steps between two looks, of which there are six."""
    frame = pictures_of(truth, GAINS)
    expected = fit(truth, frame, EVENTFUL)
    monkeypatch.setattr(Objective, "one_graph", True)
    take, begin, grow = Snapshot.take, Iteration.begin, Objective.grow
    starts, grown = [], []

    def without_room(snapshot):
        take(snapshot)
        starts.append("some steps")

    def beginning(iteration, order):
        if len(starts) == lost and not grown:
            objective = iteration._objective
            objective.reserve(iteration._particles, len(iteration._gradients))
            for rasterizer in (worker.rasterizer for worker in objective._workers.values()):
                rasterizer._bins._allocate(10)
            objective.generation += 1
        begin(iteration, order)

    monkeypatch.setattr(Snapshot, "take", without_room)
    monkeypatch.setattr(Iteration, "begin", beginning)
    monkeypatch.setattr(Objective, "grow", lambda objective: (grow(objective), grown.append(len(starts))))
    assert_same(fit(truth, frame, EVENTFUL), expected)
    assert grown == [lost]
    assert len(starts) == 6


def test_steps_in_one_graph_read_nothing_back(truth, frame, monkeypatch):
    """On CUDA each would wait for the device."""
    monkeypatch.setattr(Objective, "one_graph", True)
    read, take, overflowed = wp.array.numpy, Snapshot.take, Objective.overflowed

    def refuse_reading(array):
        raise AssertionError("read back")

    def steps_begin(snapshot):
        take(snapshot)
        monkeypatch.setattr(wp.array, "numpy", refuse_reading)

    def steps_end(objective):
        monkeypatch.setattr(wp.array, "numpy", read)
        return overflowed(objective)

    monkeypatch.setattr(Snapshot, "take", steps_begin)
    monkeypatch.setattr(Objective, "overflowed", steps_end)
    fit(truth, frame, EVENTFUL)


@pytest.mark.parametrize(("steps", "count"), [(5, 1), (6, 2), (10, 2), (11, 4), (20, 4)])
def test_reconstruct_densifies_when_it_is_told(steps, count, truth, frame):
    """A threshold of minus infinity clones everything: the number doubles after steps 5 and 10, if others follow."""
    densify = DensifyConfig(
        grow="all", start=5, stop=10, every=5, gradient_threshold=-np.inf, clone_scale=np.inf, final_prune_opacity=0.001
    )
    fitted, *_ = fit(truth, frame, ReconstructConfig(steps=steps, rates=STILL, densify=densify))
    assert len(fitted) == count * (BALL + WALL)
    np.testing.assert_array_equal(np.unique(fitted.means, axis=0), np.unique(truth.means, axis=0))


def test_reconstruct_respects_the_maximum(truth, frame):
    densify = DensifyConfig(grow="all", start=5, stop=10, every=5, gradient_threshold=-np.inf, maximum=1000)
    fitted, *_ = fit(truth, frame, ReconstructConfig(steps=12, rates=STILL, densify=densify))
    assert len(fitted) == 1000


def test_reconstruct_resets_opacities_once(truth, frame):
    densify = DensifyConfig(start=100, stop=100, every=100, reset_opacity_at=3)
    rates = replace(STILL, opacity_logits=1e-3)
    faint = replace(truth, opacity_logits=np.where(truth.means[:, 0] > 0.0, truth.opacity_logits, logit(0.004)))
    faint = replace(faint, opacity_logits=faint.opacity_logits.astype(np.float32))
    before, *_ = fit(faint, frame, ReconstructConfig(steps=2, rates=rates, densify=densify))
    after, *_ = fit(faint, frame, ReconstructConfig(steps=4, rates=rates, densify=densify))
    assert before.opacity_logits.max() > 2.9
    np.testing.assert_allclose(after.opacity_logits.max(), logit(0.01), atol=1.1e-3)  # and one step
    np.testing.assert_allclose(after.opacity_logits.min(), logit(0.004), atol=0.01)  # never raised
    later, *_ = fit(faint, frame, ReconstructConfig(steps=8, rates=rates, densify=densify))
    assert later.opacity_logits.max() > after.opacity_logits.max()


def test_progress_is_told_every_twenty_steps_and_at_the_end(truth, frame):
    calls = []
    config = ReconstructConfig(steps=47, rates=STILL, densify=FIXED_NUMBER)
    fit(truth, frame, config, progress=lambda *call: calls.append(call))
    assert [call[:3] for call in calls] == [(0, 20, 47), (0, 40, 47), (0, 47, 47)]
    assert all(call[3] > 45.0 for call in calls)  # the truth itself: 8 bits of rounding remain


def test_reconstruct_finds_colors_that_depend_on_the_direction_of_sight(truth):
    harmonics = np.random.default_rng(6).normal(scale=0.08, size=(len(truth), 3, 3)).astype(np.float32)
    shiny = replace(truth, colors=np.clip(truth.colors, 0.3, 0.6), harmonics=harmonics)
    plain = replace(shiny, harmonics=None)
    frame = pictures_of(shiny, np.zeros((6, 3)))
    rates = replace(STILL, harmonics=2e-2)
    fitted, *_ = fit(plain, frame, ReconstructConfig(steps=60, harmonics_degree=1, rates=rates, densify=FIXED_NUMBER))
    assert fitted.harmonics.shape == (len(truth), 3, 3)
    renderer, near = Renderer("cpu", threads=1), NEAR_RADII * scene_radius(frame.cameras)

    def error(gaussians: Gaussians) -> float:
        differences = [
            renderer.view(gaussians, camera, near=near).color - image / 255.0
            for camera, image in zip(frame.cameras, frame.images, strict=True)
        ]
        return float(np.sqrt(np.mean(np.square(differences))))

    assert error(fitted) < 0.25 * error(plain)


def test_reconstruct_stores_no_harmonics_by_default(truth, frame):
    fitted, *_ = fit(truth, frame, ReconstructConfig(steps=1, rates=STILL, densify=FIXED_NUMBER))
    assert fitted.harmonics is None
