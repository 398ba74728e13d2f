import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.priors.worlds import evaluate, random_world
from warpgs.priors import GroundPrior, GroundSearch, Plane, find_ground


def room(seed=0, tilt=(0.0, 0.0, 0.0), height=0.0, noise=0.002):
    """A floor 4 x 3 m, two walls, a crowded table, a ball: points, and the floor's normal and a point on it."""
    rng = np.random.default_rng(seed)
    floor = rng.uniform([-2, -1.5, 0], [2, 1.5, 0], (1500, 3))
    walls = np.concatenate(
        [rng.uniform([-2, 1.5, 0], [2, 1.5, 2.5], (2500, 3)), rng.uniform([-2, -1.5, 0], [-2, 1.5, 2.5], (2000, 3))]
    )
    table = rng.uniform([0, 0, 0.8], [1, 0.7, 0.8], (2500, 3))
    ball = rng.normal(size=(800, 3))
    ball = 0.2 * ball / np.linalg.norm(ball, axis=1, keepdims=True) + [-1.0, -0.5, 0.2]
    points = np.concatenate([floor, walls, table, ball])
    points = points + noise * rng.normal(size=points.shape) + [0.0, 0.0, height]
    turn = Rotation.from_rotvec(tilt)
    return turn.apply(points), turn.apply([0.0, 0.0, 1.0]), turn.apply([0.0, 0.0, height])


def angle_deg(plane, normal):
    """Angle between a plane's normal and another [deg]."""
    return np.degrees(np.arccos(np.clip(np.dot(plane.normal, normal), -1.0, 1.0)))


@pytest.mark.parametrize("tilt", [(0.0, 0.0, 0.0), (0.2, -0.1, 0.0)])
@pytest.mark.parametrize("height", [0.0, -7.0])
@pytest.mark.parametrize("seed", range(3))
def test_find_ground_prefers_the_floor_to_walls_and_a_crowded_table(tilt, height, seed):
    points, normal, origin = room(seed, tilt, height)
    plane = find_ground(points)
    assert angle_deg(plane, normal) < 0.2
    assert abs(plane.heights(origin[None])[0]) < 0.003
    assert abs(np.linalg.norm(plane.normal) - 1.0) < 1e-12


def test_find_ground_is_exact_without_noise():
    points, normal, origin = room(noise=0.0, tilt=(0.1, 0.05, 0.0), height=0.3)
    plane = find_ground(points, GroundSearch(tolerance=1e-9))
    assert angle_deg(plane, normal) < 1e-5 and abs(plane.heights(origin[None])[0]) < 1e-9


def test_find_ground_ignores_a_few_strays_below_and_one_far_away():
    points, normal, origin = room()
    rng = np.random.default_rng(1)
    strays = rng.uniform([-2, -1.5, -1.0], [2, 1.5, -0.1], (100, 3))
    plane = find_ground(np.concatenate([points, strays, [[0.0, 0.0, 1e4]]]))
    assert angle_deg(plane, normal) < 0.2 and abs(plane.heights(origin[None])[0]) < 0.003


def test_find_ground_scales_with_the_scene():
    points, _, _ = room()
    plane, large = find_ground(points), find_ground(points * 1000.0)
    np.testing.assert_allclose(large.normal, plane.normal, atol=1e-9)
    assert large.offset == pytest.approx(1000.0 * plane.offset, abs=1e-6)


def test_find_ground_repeats_itself():
    points, _, _ = room()
    assert find_ground(points) == find_ground(points)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 3)),
        np.zeros((2, 3)),
        np.zeros((500, 3)),
        np.linspace(0.0, 1.0, 500)[:, None] * [1.0, 2.0, 0.1],
        np.random.default_rng(0).uniform(0.0, 1.0, (3000, 3)),
        np.random.default_rng(0).uniform([0, 0, 0], [0, 1, 1], (3000, 3)),
        np.concatenate([room()[0][:1500], np.random.default_rng(0).uniform([-2, -2, -3], [2, 2, -1], (1500, 3))]),
    ],
    ids=["nothing", "two points", "one place", "a line", "a full cube", "a wall", "as much below as on it"],
)
def test_find_ground_finds_none_where_there_is_none(points):
    assert find_ground(points) is None


def test_find_ground_refuses_points_that_are_not_finite():
    with pytest.raises(ValueError, match="finite"):
        find_ground(np.full((5, 3), np.nan))
    with pytest.raises(ValueError, match="shape"):
        find_ground(np.zeros((5, 2)))


def test_ground_prior_is_the_mean_depth_below_a_tilted_plane(device):
    world = random_world()
    normal = np.array([0.6, 0.0, 0.8])
    heights = world.poses.means @ normal - 0.5
    assert 3 < (heights < 0.0).sum() < 21
    result = evaluate(GroundPrior(3.0, Plane(tuple(normal), -0.5)), world, device)
    np.testing.assert_allclose(
        result.value, 3.0 * np.maximum(-heights, 0.0).mean() / world.rest.length_unit, rtol=1e-13
    )
    expected = np.where(heights[:, None] < 0.0, -3.0 * normal / 24 / world.rest.length_unit, 0.0)
    np.testing.assert_allclose(result.adj_means, expected, atol=1e-15)


@pytest.mark.parametrize("plane", [Plane((0.0, 0.0, 2.0)), Plane(offset=float("inf")), Plane((float("nan"), 0.0, 1.0))])
def test_ground_prior_refuses_what_is_no_plane(plane):
    with pytest.raises(ValueError, match="GroundPrior: plane"):
        GroundPrior(plane=plane)
