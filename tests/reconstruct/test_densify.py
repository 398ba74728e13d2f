"""Cloning, splitting and pruning: who comes from whom, and nothing lost unasked."""

from dataclasses import replace

import numpy as np
import pytest
import warp as wp

from tests.reconstruct.room import room_frame
from warpgs.math.pinhole import upload_views
from warpgs.particles import Particles, logit
from warpgs.reconstruct.config import DensifyConfig
from warpgs.reconstruct.densify import SPLIT_SHRINK, ScreenGradients, densify
from warpgs.render import Rasterizer
from warpgs.types import Gaussians

RADIUS = 2.0
CONFIG = DensifyConfig(
    grow="all",
    start=100,
    stop=600,
    every=100,
    gradient_threshold=1e-3,
    clone_scale=0.01,
    prune_opacity=0.005,
    final_prune_opacity=0.25,
    prune_scale=0.1,
    prune_scale_start=300,
    maximum=1000,
)
SMALL, LARGE, HUGE = 0.009 * RADIUS, 0.02 * RADIUS, 0.11 * RADIUS


def gaussians_of(scales: list[float], opacities: list[float] | None = None) -> Gaussians:
    """One per standard deviation [m], flattened along one axis, all different in every parameter."""
    count = len(scales)
    rng = np.random.default_rng(1)
    rotations = rng.normal(size=(count, 4))
    return Gaussians(
        means=rng.normal(size=(count, 3)).astype(np.float32),
        rotations_wxyz=(rotations / np.linalg.norm(rotations, axis=1, keepdims=True)).astype(np.float32),
        log_scales=np.log(np.outer(scales, [1.0, 0.5, 0.01])).astype(np.float32),
        colors=rng.uniform(size=(count, 3)).astype(np.float32),
        opacity_logits=logit(np.array(opacities if opacities is not None else [0.5] * count)),
        foreground=rng.uniform(size=count).astype(np.float32),
    )


def grow(gaussians: Gaussians, pull: list[float], config: DensifyConfig = CONFIG, *, step: int = 100, seed: int = 0):
    random = np.random.default_rng(seed)
    return densify(gaussians, np.array(pull), config, step=step, radius=RADIUS, random=random)


def check_rows(got: Gaussians, rows: slice | list[int], expected: Gaussians, from_rows: list[int], but=()) -> None:
    for name, array in got.arrays().items():
        if name not in but:
            np.testing.assert_array_equal(array[rows], getattr(expected, name)[from_rows], err_msg=name)


def test_densify_leaves_what_no_picture_pulls_at():
    gaussians = gaussians_of([SMALL, LARGE, HUGE])
    got, source = grow(gaussians, [0.0, 1e-3, 0.9e-3])  # the threshold itself is not above it
    check_rows(got, [0, 1, 2], gaussians, [0, 1, 2])
    np.testing.assert_array_equal(source, [0, 1, 2])


def test_densify_clones_the_small():
    gaussians = gaussians_of([SMALL, LARGE, SMALL])
    got, source = grow(gaussians, [0.0, 0.0, 2e-3])
    check_rows(got, [0, 1, 2, 3], gaussians, [0, 1, 2, 2])
    np.testing.assert_array_equal(source, [0, 1, 2, -1])


def test_densify_splits_the_large_in_two():
    gaussians = gaussians_of([SMALL, LARGE, SMALL])
    got, source = grow(gaussians, [0.0, 2e-3, 0.0])
    check_rows(got, [0, 1], gaussians, [0, 2])
    check_rows(got, [2, 3], gaussians, [1, 1], but=("means", "log_scales"))
    np.testing.assert_array_equal(source, [0, 2, -1, -1])
    expected = gaussians.log_scales[[1, 1]] - np.float32(np.log(SPLIT_SHRINK))
    np.testing.assert_allclose(got.log_scales[2:], expected, rtol=1e-6)
    assert (got.means[2] != got.means[3]).all()


def test_split_children_are_drawn_from_their_parent():
    """Their offsets have its covariance: its own axes, its own sizes."""
    parent = gaussians_of([LARGE])
    many = Gaussians(**{name: np.repeat(array, 4000, axis=0) for name, array in parent.arrays().items()})
    got, _ = grow(many, [1.0] * 4000, replace(CONFIG, maximum=10_000))
    w, x, y, z = parent.rotations_wxyz[0].astype(np.float64)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    offsets = (got.means - parent.means[0]).astype(np.float64) @ rotation / np.exp(parent.log_scales[0])
    assert len(offsets) == 8000
    np.testing.assert_allclose(np.cov(offsets.T), np.eye(3), rtol=0.0, atol=0.06)
    np.testing.assert_allclose(offsets.mean(axis=0), 0.0, rtol=0.0, atol=0.05)


def test_densify_grows_where_the_pull_is_strongest_up_to_the_maximum():
    gaussians = gaussians_of([SMALL, LARGE, SMALL, LARGE, SMALL])
    got, source = grow(gaussians, [2e-3, 5e-3, 4e-3, 3e-3, 9e-3], replace(CONFIG, maximum=7))
    assert len(got) == 7  # a clone of 4 and the children of 1
    np.testing.assert_array_equal(source, [0, 2, 3, 4, -1, -1, -1])
    check_rows(got, [4], gaussians, [4])


@pytest.mark.parametrize(("what", "cloned"), [("none", []), ("background", [1]), ("all", [0, 1])])
def test_densify_grows_what_it_is_told_to(what, cloned):
    gaussians = replace(gaussians_of([SMALL, SMALL]), foreground=np.array([0.9, 0.1], np.float32))
    got, _ = grow(gaussians, [1.0, 1.0], replace(CONFIG, grow=what))
    check_rows(got, slice(None), gaussians, [0, 1, *cloned])


@pytest.mark.parametrize("maximum", [5, 3, 0])
def test_densify_never_removes_to_meet_the_maximum(maximum):
    gaussians = gaussians_of([SMALL, LARGE, SMALL, LARGE, SMALL])
    got, source = grow(gaussians, [1.0] * 5, replace(CONFIG, maximum=maximum))
    check_rows(got, slice(None), gaussians, list(range(5)))
    np.testing.assert_array_equal(source, range(5))


@pytest.mark.parametrize(("step", "kept"), [(500, [1, 2, 3]), (600, [2, 3])])
def test_densify_prunes_the_faint(step, kept):
    gaussians = gaussians_of([SMALL] * 4, [0.0049, 0.0051, 0.26, 0.9])
    got, source = grow(gaussians, [0.0] * 4, step=step)
    check_rows(got, slice(None), gaussians, kept)
    np.testing.assert_array_equal(source, kept)


@pytest.mark.parametrize(("step", "kept"), [(200, [0, 1, 2]), (300, [0, 2])])
def test_densify_prunes_the_huge_from_a_step_on(step, kept):
    gaussians = gaussians_of([SMALL, HUGE, LARGE])
    got, source = grow(gaussians, [0.0] * 3, step=step)
    check_rows(got, slice(None), gaussians, kept)
    np.testing.assert_array_equal(source, kept)


def test_densify_prunes_clones_with_their_source():
    got, source = grow(gaussians_of([SMALL, SMALL], [0.004, 0.5]), [1.0, 0.0])
    assert len(got) == 1
    np.testing.assert_array_equal(source, [1])


def test_densify_depends_on_the_generator_alone_and_keeps_its_input():
    gaussians = gaussians_of([LARGE] * 5)
    before = {name: array.copy() for name, array in gaussians.arrays().items()}
    first, again, other = (grow(gaussians, [1.0] * 5, seed=seed)[0] for seed in (1, 1, 2))
    check_rows(first, slice(None), again, list(range(10)))
    assert (first.means != other.means).any()
    for name, array in gaussians.arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_densify_keeps_the_types_of_its_input():
    got, source = grow(gaussians_of([SMALL, LARGE]), [1.0, 1.0])
    assert {array.dtype for array in got.arrays().values()} == {np.dtype(np.float32)}
    assert np.issubdtype(source.dtype, np.integer) and len(source) == len(got) == 4


def test_densify_of_nothing_is_nothing():
    got, source = grow(gaussians_of([]), [])
    assert len(got) == len(source) == 0


def test_screen_gradients_are_means_over_the_views_that_saw_the_splat(device):
    """The third lies outside the first camera's picture, the last outside both."""
    frame = room_frame(2, 48, 27)
    cameras = frame.cameras
    forward = [camera.world_from_camera[:3, 2] for camera in cameras]
    means = np.stack(
        [
            cameras[0].center_world + 2.0 * forward[0] + [0.1, 0.0, 0.05],
            cameras[0].center_world + 2.0 * forward[0] - [0.1, 0.1, 0.0],
            cameras[1].center_world + 0.5 * forward[1],
            [0.0, 0.0, 50.0],
        ]
    )
    gaussians = replace(gaussians_of([0.1] * 4), means=means.astype(np.float32))
    particles = Particles.upload(gaussians, device)
    views = upload_views(cameras, 0.05, device)
    rng = np.random.default_rng(3)
    gradients = ScreenGradients(4, device)
    norms, seen = np.zeros(4), np.zeros(4)
    for view in (0, 1, 1):
        rasterizer = Rasterizer(4, 48, 27, device=device)
        view_index = wp.array([view], dtype=wp.int32, device=device)
        rasterizer.render(particles, views, view_index)
        adj_image = wp.array(rng.normal(size=(4, 27, 48)), dtype=float, device=device)
        rasterizer.backward(particles, views, view_index, adj_image, Particles.zeros(4, device))
        gradients.add(rasterizer, 3.0)
        drawn = rasterizer.records.numpy()[:, 6] >= 0.0
        pixels = rasterizer.adj_records.numpy()[:, :2].astype(np.float64)
        norms[drawn] += np.linalg.norm(3.0 * pixels * [24.0, 13.5], axis=1)[drawn]
        seen += drawn
    assert seen[:2].min() == 3.0 and seen[2] == 2.0 and seen[3] == 0.0
    mean = gradients.mean()
    np.testing.assert_allclose(mean[:3], norms[:3] / seen[:3], rtol=1e-5)
    assert mean[3] == 0.0 and (mean[:3] > 0.0).all()
