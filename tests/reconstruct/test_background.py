import numpy as np
import pytest

from tests.reconstruct.room import BALL_CENTER, empty_room_depths, ring_of_cameras
from warpgs.reconstruct.background import background_points, complete_depths, shell_points
from warpgs.reconstruct.sweep import DepthMaps, SweepRange, agreement, rank_neighbors
from warpgs.reconstruct.views import Rig, Views
from warpgs.types import Frame

COLUMNS, ROWS = 40, 24
TOLERANCE = 0.05


@pytest.fixture(scope="module")
def room() -> tuple[Views, np.ndarray]:
    """Gray views of the empty room and its true inverse depths, rig frame."""
    cameras = ring_of_cameras(10, 2 * COLUMNS, 2 * ROWS)
    rig = Rig.of(cameras)
    images = tuple(np.full((2 * ROWS, 2 * COLUMNS, 3), 128, np.uint8) for _ in cameras)
    views = Views.of(Frame(0, 0.0, cameras, images, None), rig, 2 * COLUMNS, 2 * ROWS)
    cells = [camera.resized(COLUMNS, ROWS) for camera in cameras]
    depths = np.stack([empty_room_depths(camera) for camera in cells]) / rig.radius
    return views, (1.0 / depths).astype(np.float32)


def nothing_excluded() -> np.ndarray:
    return np.zeros((10, ROWS, COLUMNS), bool)


def points_of(views: Views, inverse_depths: np.ndarray) -> list[np.ndarray]:
    """The points of each camera's cells, rig frame, shape [rows * columns, 3] each."""
    u, v = np.meshgrid(2.0 * np.arange(COLUMNS) + 1.0, 2.0 * np.arange(ROWS) + 1.0)
    pixels = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3)
    return [
        views.centers[c] + pixels @ np.linalg.inv(views.pixels_from_rig[c]).T / inverse_depths[c].reshape(-1, 1)
        for c in range(len(views))
    ]


def views_of(views: Views, points: np.ndarray) -> np.ndarray:
    """Number of cameras that have each point in their picture."""
    return np.sum([views.project(c, points)[0] >= 0 for c in range(len(views))], axis=0)


def test_agreement_confirms_true_depths_and_contradicts_points_in_the_air(room):
    views, truth = room
    support, conflict = agreement(views, truth, nothing_excluded(), TOLERANCE, "cpu")
    seen = np.stack([views_of(views, points) for points in points_of(views, truth)]).reshape(support.shape)
    assert np.mean(support >= 0.8 * (seen - 1)) > 0.95
    assert np.mean(conflict == 0) > 0.95
    broken = truth.copy()
    broken[0] = 3.0 * truth[0]
    support, conflict = agreement(views, broken, nothing_excluded(), TOLERANCE, "cpu")
    assert np.mean(support[0] >= 2) < 0.1
    assert np.mean(conflict[0] >= 2) > 0.8


def test_agreement_does_not_ask_cells_that_hold_foreground(room):
    views, truth = room
    excluded = nothing_excluded()
    excluded[1:] = True
    support, conflict = agreement(views, truth, excluded, TOLERANCE, "cpu")
    assert support[0].max() == 0
    assert conflict[0].max() == 0


def test_complete_depths_leaves_true_depths_alone(room):
    views, truth = room
    maps = complete_depths(views, truth, nothing_excluded(), TOLERANCE, "cpu")
    assert np.median(np.abs(maps.inverse_depths - truth)) < 0.005
    assert np.quantile(np.abs(maps.inverse_depths - truth), 0.95) < 0.05


def test_complete_depths_repairs_what_other_cameras_contradict(room):
    views, truth = room
    broken = truth.copy()
    broken[:, 8:16, 10:26] = 3.5
    maps = complete_depths(views, broken, nothing_excluded(), TOLERANCE, "cpu")
    error = np.abs(maps.inverse_depths - truth)[:, 8:16, 10:26]
    assert np.median(error) < 0.03
    assert np.quantile(error, 0.95) < 0.15


def test_complete_depths_returns_the_sweep_where_nothing_agrees(room):
    views, _ = room
    random = np.random.default_rng(0).uniform(50.0, 90.0, (10, ROWS, COLUMNS)).astype(np.float32)
    maps = complete_depths(views, random, nothing_excluded(), 1e-6, "cpu")
    np.testing.assert_array_equal(maps.inverse_depths, random)


def test_background_points_lie_where_the_depths_say(room):
    views, truth = room
    none = np.zeros(truth.shape, np.int32)
    cloud = background_points(views, DepthMaps(truth, none, none, nothing_excluded()), 100_000, 0.0)
    for c in range(len(views)):
        column, row, depth = views.project(c, cloud.points)
        front = depth < 1.05 / truth[c, row // 2, column // 2]
        assert np.mean(front[column >= 0]) > 0.9
    np.testing.assert_allclose(cloud.colors, 128 / 255, atol=1e-6)
    assert len(cloud.points) < 0.9 * truth.size  # cells of several cameras share voxels


def test_background_points_leaves_out_excluded_and_contradicted_cells(room):
    views, truth = room
    none, all_cameras = np.zeros(truth.shape, np.int32), np.full(truth.shape, 9, np.int32)
    contradicted = DepthMaps(truth, none, all_cameras, nothing_excluded())
    excluded = DepthMaps(truth, none, none, ~nothing_excluded())
    for maps in (contradicted, excluded):
        assert len(background_points(views, maps, 1000, 0.0).points) == 0


@pytest.mark.parametrize(("support", "before"), [(0, 0), (9, 60)])
def test_background_points_are_guessed_behind_what_moves(room, support, before):
    """Half way to the middle of the room, where no camera confirms them, they would hide what moves."""
    views, truth = room
    guesses = np.full_like(truth, 2.0 / np.linalg.norm(views.centers, axis=1).mean())
    none = np.zeros(truth.shape, np.int32)
    maps = DepthMaps(guesses, none + support, none, nothing_excluded())
    rig = Rig.of(ring_of_cameras(10, COLUMNS, ROWS))
    middle = (BALL_CENTER - rig.origin) / rig.radius
    moving = (middle + np.random.default_rng(0).uniform(-0.1, 0.1, (100, 3))).astype(np.float32)
    cloud = background_points(views, maps, 100_000, 0.0, moving)
    for c in range(len(views)):
        shown = np.stack(views.project(c, moving)[:2], axis=1)
        column, row, depth = views.project(c, cloud.points)
        nearer = (column >= 0) & (depth < 0.6 * np.linalg.norm(views.centers[c] - middle))
        near = np.stack([column, row], axis=1)[nearer]
        hiding = (np.linalg.norm(near[:, None] - shown, axis=2).min(axis=1) < 4.0).sum()
        assert hiding >= before if before else hiding == 0


def test_background_points_stay_where_no_camera_sees_what_moves(room):
    views, truth = room
    none = np.zeros(truth.shape, np.int32)
    maps = DepthMaps(truth, none, none, nothing_excluded())
    outside = 100.0 * np.eye(3, dtype=np.float32)[2:]  # above all pictures
    assert all(views.project(c, outside)[0].max() < 0 for c in range(len(views)))
    with_it, without = (background_points(views, maps, 100_000, 0.0, moving) for moving in (outside, None))
    np.testing.assert_array_equal(with_it.points, without.points)


def test_shell_points_enclose_everything(room):
    views, _ = room
    inner = np.random.default_rng(1).normal(size=(1000, 3)).astype(np.float32)
    shell = shell_points(views, inner, 300)
    radius = np.linalg.norm(shell.points, axis=1)
    assert np.ptp(radius) < 1e-4
    assert radius[0] > np.quantile(np.linalg.norm(inner, axis=1), 0.99)
    assert np.linalg.norm(shell.points.mean(axis=0)) < 0.01 * radius[0]
    np.testing.assert_allclose(shell.colors, 128 / 255, atol=1e-6)


def test_rank_neighbors_puts_the_nearest_cameras_of_a_ring_first(room):
    views, _ = room
    order = rank_neighbors(views, 0, SweepRange(0.25, 100.0, 96))
    assert sorted(order.tolist()) == list(range(1, 10))
    assert set(order[:4].tolist()) == {1, 9, 2, 8}
