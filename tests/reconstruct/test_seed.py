from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from scenes.synthetic import SyntheticOptions, tumble
from tests.reconstruct.room import (
    BALL_CENTER,
    BALL_RADIUS,
    BALL_TINT,
    room_frame,
    surface_distance,
    texture,
)
from warpgs.reconstruct.seed import SeedConfig, seed_from_cloud, seed_without_cloud, vote_foreground
from warpgs.types import Camera, Frame, PointCloud

SMALL = SeedConfig(sweep_cells=40, sweep_hypotheses=64, hull_pixel_share=0.01, shell_points=0)


@pytest.fixture(scope="module")
def frame() -> Frame:
    return room_frame()


@pytest.fixture(scope="module")
def cloud(frame) -> PointCloud:
    return seed_without_cloud(frame, SMALL)


def moved(camera: Camera, scale: float, offset: np.ndarray) -> Camera:
    pose = camera.world_from_camera.copy()
    pose[:3, 3] = scale * pose[:3, 3] + offset
    return replace(camera, world_from_camera=pose)


def directions(count: int) -> np.ndarray:
    """Unit vectors spread over the sphere, shape [n, 3]."""
    z = 1.0 - 2.0 * (np.arange(count) + 0.5) / count
    turn = np.pi * (1.0 + np.sqrt(5.0)) * np.arange(count)
    return np.stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z], axis=1)


def gaussians_on(points, frame, config=None, foreground=None):
    points = np.asarray(points, np.float32)
    return seed_from_cloud(PointCloud(points, np.full_like(points, 0.5), foreground), frame, config or SeedConfig())


# a cloud out of pictures


def test_seed_without_cloud_hull_is_tight_around_the_object(cloud):
    radius = np.linalg.norm(cloud.points[cloud.foreground] - BALL_CENTER, axis=1)
    # a pixel is 1.8 cm wide at the ball; 12 views leave the hull of a sphere at most 4 % wider than it
    assert radius.min() > BALL_RADIUS - 0.04
    assert radius.max() < BALL_RADIUS + 0.06
    assert abs(np.median(radius) - BALL_RADIUS) < 0.015


def test_seed_without_cloud_hull_covers_the_object(cloud):
    surface = BALL_CENTER + BALL_RADIUS * directions(500)
    distance, _ = cKDTree(cloud.points[cloud.foreground]).query(surface)
    assert distance.max() < 0.07


def test_seed_without_cloud_background_lies_on_the_surfaces(cloud):
    distance = surface_distance(cloud.points[~cloud.foreground].astype(np.float64))
    # the walls are 5 m away in pictures 160 pixels wide
    assert np.median(distance) < 0.04
    assert np.mean(distance < 0.25) > 0.85


def test_seed_without_cloud_background_fills_the_room(cloud):
    floor = np.random.default_rng(2).uniform(-2.0, 2.0, (400, 2))
    floor = np.column_stack([floor, np.zeros(len(floor))])
    distance, _ = cKDTree(cloud.points[~cloud.foreground]).query(floor)
    assert np.quantile(distance, 0.95) < 0.15


def test_seed_without_cloud_keeps_the_object_out_of_the_background(cloud):
    distance = np.linalg.norm(cloud.points[~cloud.foreground] - BALL_CENTER, axis=1)
    assert np.mean(distance < BALL_RADIUS + 0.05) < 0.002


def test_seed_without_cloud_colors_are_those_of_the_surfaces(cloud):
    hull = cloud.points[cloud.foreground].astype(np.float64)
    on_ball = BALL_CENTER + BALL_RADIUS * (hull - BALL_CENTER) / np.linalg.norm(hull - BALL_CENTER, axis=1)[:, None]
    seen = on_ball[:, 2] > BALL_CENTER[2]  # from above: the cameras do not see the underside
    error = np.abs(cloud.colors[cloud.foreground] - np.clip(texture(on_ball), 0, 1) * BALL_TINT)[seen]
    assert np.median(error) < 0.03
    near = ~cloud.foreground & (np.abs(cloud.points[:, 2]) < 0.05) & (np.linalg.norm(cloud.points, axis=1) < 2.0)
    error = np.abs(cloud.colors[near] - np.clip(texture(cloud.points[near].astype(np.float64)), 0, 1))
    assert np.median(error) < 0.06


def test_seed_without_cloud_returns_the_same_bits_twice(cloud, frame):
    again = seed_without_cloud(frame, SMALL)
    assert again.points.tobytes() == cloud.points.tobytes()
    assert again.colors.tobytes() == cloud.colors.tobytes()
    assert again.foreground.tobytes() == cloud.foreground.tobytes()


@pytest.mark.parametrize(("scale", "offset"), [(100.0, [0, 0, 0]), (0.01, [0.3, -0.2, 0.1]), (1.0, [100, -50, 20])])
def test_seed_without_cloud_follows_scale_and_place(cloud, frame, scale, offset):
    offset = np.asarray(offset, np.float64)
    cameras = tuple(moved(camera, scale, offset) for camera in frame.cameras)
    other = seed_without_cloud(replace(frame, cameras=cameras), SMALL)
    expected = scale * cloud.points.astype(np.float64) + offset
    # rounding of the cameras may tip single cells; the clouds are the same but for those
    assert abs(len(other.points) - len(expected)) <= 0.01 * len(expected)
    assert abs(int(other.foreground.sum()) - int(cloud.foreground.sum())) <= 0.01 * cloud.foreground.sum()
    distance, _ = cKDTree(other.points.astype(np.float64)).query(expected)
    assert np.quantile(distance, 0.98) < 1e-3 * scale


def test_seed_without_cloud_without_masks_finds_object_and_room(frame):
    cloud = seed_without_cloud(replace(frame, masks=None), SMALL)
    assert cloud.foreground is None
    points = cloud.points.astype(np.float64)
    to_ball = np.abs(np.linalg.norm(points - BALL_CENTER, axis=1) - BALL_RADIUS)
    assert np.median(np.minimum(surface_distance(points), to_ball)) < 0.04
    upper = directions(300)[:, 2] > 0.0
    distance, _ = cKDTree(points).query(BALL_CENTER + BALL_RADIUS * directions(300)[upper])
    assert np.quantile(distance, 0.9) < 0.15  # 12 views are 30 degrees apart, far for patches


def test_seed_without_cloud_outvotes_a_bad_mask(frame):
    masks = [mask.copy() for mask in frame.masks]
    masks[3][:] = 0
    cloud = seed_without_cloud(replace(frame, masks=tuple(masks)), SMALL)
    radius = np.linalg.norm(cloud.points[cloud.foreground] - BALL_CENTER, axis=1)
    assert abs(np.median(radius) - BALL_RADIUS) < 0.03
    surface = BALL_CENTER + BALL_RADIUS * directions(500)
    assert cKDTree(cloud.points[cloud.foreground]).query(surface)[0].max() < 0.1


def test_seed_without_cloud_finds_a_small_object_far_from_the_center(frame):
    spot = np.array([-1.2, 0.9, 0.3])
    masks = []
    for camera in frame.cameras:
        local = np.linalg.inv(camera.world_from_camera) @ np.append(spot, 1.0)
        column, row, depth = camera.intrinsics @ local[:3]
        y, x = np.mgrid[: camera.height, : camera.width] + 0.5
        masks.append(((np.hypot(x - column / depth, y - row / depth) < 3.0) * 255).astype(np.uint8))
    cloud = seed_without_cloud(replace(frame, masks=tuple(masks)), SMALL)
    assert cloud.foreground.any()
    assert np.linalg.norm(cloud.points[cloud.foreground] - spot, axis=1).max() < 0.15


def test_seed_without_cloud_takes_pictures_of_different_sizes(frame):
    doubled = [np.kron(image, np.ones((2, 2, 1), np.uint8)) for image in frame.images[::2]]
    masks = [np.kron(mask, np.ones((2, 2), np.uint8)) for mask in frame.masks[::2]]
    cameras = [camera.resized(2 * camera.width, 2 * camera.height) for camera in frame.cameras[::2]]
    images, all_masks, all_cameras = (list(x) for x in (frame.images, frame.masks, frame.cameras))
    images[::2], all_masks[::2], all_cameras[::2] = doubled, masks, cameras
    mixed = replace(frame, cameras=tuple(all_cameras), images=tuple(images), masks=tuple(all_masks))
    cloud = seed_without_cloud(mixed, SMALL)
    assert np.median(surface_distance(cloud.points[~cloud.foreground].astype(np.float64))) < 0.04
    radius = np.linalg.norm(cloud.points[cloud.foreground] - BALL_CENTER, axis=1)
    assert abs(np.median(radius) - BALL_RADIUS) < 0.02


def test_seed_without_cloud_works_with_two_cameras(frame):
    pair = replace(frame, cameras=frame.cameras[:2], images=frame.images[:2], masks=frame.masks[:2])
    cloud = seed_without_cloud(pair, SMALL)
    assert np.isfinite(cloud.points).all()
    assert cloud.foreground.any()
    assert (~cloud.foreground).sum() > 1000


@pytest.mark.parametrize(("cameras", "reach"), [(4, 0.5), (8, 0.1)])
def test_seed_without_cloud_of_few_cameras_stays_near_the_bodies(cameras, reach):
    scene = tumble(SyntheticOptions(width=160, height=90, train_cameras=cameras, test_cameras=0, timesteps=1))
    cloud, truth = seed_without_cloud(scene.frame(0), SMALL), scene.point_cloud()
    distances, _ = cKDTree(truth.points[truth.foreground]).query(cloud.points[cloud.foreground])
    assert np.percentile(distances, 90) < reach


def test_seed_without_cloud_respects_its_limits(frame):
    config = replace(SMALL, hull_point_limit=200, background_point_limit=1000, shell_points=50, clearance=0.5)
    cloud = seed_without_cloud(frame, config)
    assert 50 < cloud.foreground.sum() <= 200
    background = cloud.points[~cloud.foreground]
    assert 500 < len(background) <= 1050
    centers = np.stack([camera.center_world for camera in frame.cameras])
    spread = np.linalg.norm(centers - centers.mean(axis=0), axis=1).max()
    # a merged point is the mean of points that all keep the distance, so it may come a little nearer
    assert cKDTree(centers).query(background)[0].min() > 0.5 * spread
    shell = background[-50:] - centers.mean(axis=0)
    assert np.ptp(np.linalg.norm(shell, axis=1)) < 1e-3
    inner = np.linalg.norm(background[:-50] - centers.mean(axis=0), axis=1)
    assert np.linalg.norm(shell, axis=1).min() > np.quantile(inner, 0.99)


@pytest.mark.parametrize("count", [0, 1])
def test_seed_without_cloud_refuses_too_few_cameras(frame, count):
    few = replace(frame, cameras=frame.cameras[:count], images=frame.images[:count], masks=None)
    with pytest.raises(ValueError, match=f"cameras: expected at least 2 to triangulate, got {count}; add cameras"):
        seed_without_cloud(few, SMALL)


def test_seed_without_cloud_refuses_cameras_at_one_place(frame):
    cameras = tuple(moved(camera, 0.0, np.array([1.0, 2.0, 3.0])) for camera in frame.cameras)
    with pytest.raises(ValueError, match="cameras: expected at least 2 different places, got one place"):
        seed_without_cloud(replace(frame, cameras=cameras), SMALL)


def test_seed_without_cloud_refuses_empty_masks(frame):
    empty = replace(frame, masks=tuple(np.zeros_like(mask) for mask in frame.masks))
    with pytest.raises(
        ValueError, match=r"timestep 0: masks: expected some foreground pixels .* check the mask folder"
    ):
        seed_without_cloud(empty, SMALL)


def test_seed_without_cloud_refuses_masks_without_a_common_volume(frame):
    masks = [np.zeros_like(mask) for mask in frame.masks]
    masks[0][:4, :4] = 255
    with pytest.raises(ValueError, match="masks: expected masks that agree on some volume, got none in common; check"):
        seed_without_cloud(replace(frame, masks=tuple(masks)), SMALL)


def test_seed_without_cloud_refuses_a_picture_of_the_wrong_size(frame):
    images = (frame.images[0][:-1], *frame.images[1:])
    with pytest.raises(ValueError, match="timestep 0: image of camera cam00: expected 160x90 pixels"):
        seed_without_cloud(replace(frame, images=images), SMALL)


# Gaussians out of a cloud


def test_seed_from_cloud_takes_size_from_the_three_nearest(frame):
    points = np.random.default_rng(3).random((300, 3)).astype(np.float32)
    config = SeedConfig(scale_limits=(1e-6, 1e6))
    gaussians = gaussians_on(points, frame, config, np.ones(300, bool))
    distance, _ = cKDTree(points.astype(np.float64)).query(points.astype(np.float64), 4)
    np.testing.assert_allclose(np.exp(gaussians.log_scales), distance[:, 1:].mean(axis=1)[:, None].repeat(3, 1), 1e-5)


def test_seed_from_cloud_fills_in_the_rest(frame):
    points = np.random.default_rng(4).random((50, 3)).astype(np.float32)
    colors = np.linspace(-0.5, 1.5, 150, dtype=np.float32).reshape(50, 3)
    layer = np.arange(50) < 20
    gaussians = seed_from_cloud(PointCloud(points, colors, layer), frame, SeedConfig(opacity=0.25))
    np.testing.assert_array_equal(gaussians.means, points)
    np.testing.assert_array_equal(gaussians.rotations_wxyz, np.tile([1.0, 0, 0, 0], (50, 1)))
    np.testing.assert_array_equal(gaussians.colors, np.clip(colors, 0, 1))
    np.testing.assert_allclose(1 / (1 + np.exp(-gaussians.opacity_logits)), 0.25, rtol=1e-6)
    np.testing.assert_allclose(gaussians.foreground, np.where(layer, 0.98, 0.02), rtol=1e-6)
    assert {array.dtype for array in gaussians.arrays().values()} == {np.dtype(np.float32)}


def test_seed_from_cloud_limits_sizes_by_the_layers_own_spacing(frame):
    rng = np.random.default_rng(5)
    near, far = rng.random((200, 3)) * 0.1, 10.0 + rng.random((200, 3)) * 20.0
    lone, twins = np.array([[3.0, 3.0, 3.0]]), np.tile([[0.05, 0.05, 0.05]], (4, 1))
    points = np.concatenate([near, lone, twins, far])
    layer = np.arange(len(points)) < 205
    sizes = np.exp(gaussians_on(points, frame, SeedConfig(scale_limits=(0.1, 5.0)), layer).log_scales[:, 0])
    spacing = cKDTree(points).query(points, 4)[0][:, 1:].mean(axis=1)
    middle = np.median(spacing[layer & (spacing > 0)])
    assert sizes[200] == pytest.approx(5.0 * middle, rel=1e-4)
    np.testing.assert_allclose(sizes[201:205], 0.1 * middle, rtol=1e-4)
    assert np.median(sizes[205:]) == pytest.approx(np.median(spacing[205:]), rel=1e-4)


def test_seed_from_cloud_gives_coincident_points_a_finite_size(frame):
    gaussians = gaussians_on(np.ones((10, 3)), frame, foreground=np.ones(10, bool))
    assert np.isfinite(gaussians.log_scales).all()


def test_seed_from_cloud_lets_the_masks_vote_where_the_layer_is_unknown(frame):
    inside = BALL_CENTER + 0.8 * BALL_RADIUS * directions(100)
    outside = BALL_CENTER + 1.5 * BALL_RADIUS * directions(100)
    unseen = np.array([[0.0, 0.0, 50.0]])
    gaussians = gaussians_on(np.concatenate([inside, outside, unseen]), frame)
    np.testing.assert_array_equal(gaussians.foreground > 0.5, np.arange(201) < 100)


def test_seed_from_cloud_calls_everything_foreground_without_masks(frame):
    gaussians = gaussians_on(np.random.default_rng(6).random((20, 3)), replace(frame, masks=None))
    assert np.all(gaussians.foreground > 0.5)


def test_vote_foreground_weighs_the_cameras_that_see_a_point(frame):
    pair = replace(frame, cameras=frame.cameras[:2], images=frame.images[:2], masks=frame.masks[:2])
    full, empty = np.full_like(frame.masks[0], 255), np.zeros_like(frame.masks[0])
    half = replace(pair, masks=(full, empty))
    assert vote_foreground(BALL_CENTER[None], half, 0.4).tolist() == [True]
    assert vote_foreground(BALL_CENTER[None], half, 0.6).tolist() == [False]


@pytest.mark.parametrize(
    ("cloud", "words"),
    [
        (PointCloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), None), "expected at least one point"),
        (
            PointCloud(np.zeros((3, 3), np.float32), np.zeros((3, 3), np.float32), None),
            "expected at least 4 points, got 3",
        ),
        (
            PointCloud(np.full((9, 3), np.nan, np.float32), np.zeros((9, 3), np.float32), None),
            "points: expected finite",
        ),
        (
            PointCloud(np.zeros((9, 3), np.float32), np.zeros((8, 3), np.float32), None),
            r"colors: expected shape \[9, 3\]",
        ),
    ],
)
def test_seed_from_cloud_refuses_a_broken_cloud(frame, cloud, words):
    with pytest.raises(ValueError, match=f"starting cloud.*{words}"):
        seed_from_cloud(cloud, frame)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"opacity": 1.0}, "opacity: expected a number between 0 and 1"),
        ({"scale_limits": (2.0, 1.0)}, "scale_limits: expected 0 < least <= largest"),
        ({"foreground_certainty": 0.4}, "foreground_certainty: expected a number between 0.5 and 1"),
        ({"hull_dissent": 1.0}, "hull_dissent: expected a share from 0 to below 1"),
        ({"sweep_depths": (2.0, 1.0)}, "sweep_depths: expected 0 < least < largest"),
        ({"sweep_cells": 2}, "sweep_cells: expected at least 8, got 2"),
        ({"clearance": -1.0}, "clearance: expected 0 or more"),
        ({"hull_extent": 0.0}, "hull_extent: expected more than 0"),
    ],
)
def test_seed_config_refuses_senseless_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        SeedConfig(**settings)
