import numpy as np
import pytest
import warp as wp
from scipy.spatial import cKDTree

from warpgs.neighbors import BRUTE_FORCE_COUNT, nearest_neighbors

DEVICES = ["cpu", *(device.alias for device in wp.get_cuda_devices())]
LARGE = BRUTE_FORCE_COUNT + 500  # searched on the grid, small enough for an oracle of all pairs


def oracle(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs in float64; the stable sort breaks ties by index."""
    wide = points.astype(np.float64)
    squares = np.sum((wide[:, None] - wide[None]) ** 2, axis=2)
    np.fill_diagonal(squares, np.inf)
    indices = np.argsort(squares, axis=1, kind="stable")[:, :count]
    return indices, np.sqrt(np.take_along_axis(squares, indices, axis=1))


def search(points: np.ndarray, count: int, device: str = "cpu") -> tuple[np.ndarray, np.ndarray]:
    indices, distances = nearest_neighbors(wp.array(points, dtype=wp.vec3, device=device), count)
    return indices.numpy(), distances.numpy()


def assert_exact(points: np.ndarray, count: int, device: str = "cpu") -> None:
    points = points.astype(np.float32)
    indices, distances = search(points, count, device)
    expected_indices, expected_distances = oracle(points, count)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(distances, expected_distances.astype(np.float32))


def two_densities(rng: np.random.Generator, ratio: float) -> np.ndarray:
    dense = rng.random((LARGE // 2, 3)) * ratio
    return np.concatenate([dense, rng.random((LARGE - LARGE // 2, 3))])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count", [1, 3, 20])
@pytest.mark.parametrize("n", [21, 300, LARGE])
def test_nearest_neighbors_equal_all_pairs(n, count, device):
    assert_exact(np.random.default_rng(n).normal(size=(n, 3)), count, device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
@pytest.mark.parametrize("offset", [0.0, -1000.0])
def test_nearest_neighbors_are_exact_at_any_scale_and_offset(scale, offset, device):
    points = np.random.default_rng(5).random((LARGE, 3)) * scale + np.array([offset, -offset, offset])
    assert_exact(points, 20, device)


@pytest.mark.parametrize("ratio", [1e-2, 1e-6])
def test_nearest_neighbors_are_exact_across_densities(ratio):
    assert_exact(two_densities(np.random.default_rng(6), ratio), 20)


def test_nearest_neighbors_are_exact_with_lone_far_points():
    rng = np.random.default_rng(7)
    far = rng.normal(size=(5, 3)) * 1e4
    assert_exact(np.concatenate([rng.normal(size=(LARGE, 3)), far]), 20)


def test_nearest_neighbors_break_ties_by_index_on_a_lattice():
    axis = np.arange(12.0)
    lattice = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    order = np.random.default_rng(8).permutation(len(lattice))
    assert_exact(lattice[order], 20)


def test_nearest_neighbors_of_coincident_points_are_at_distance_zero():
    copies = np.repeat(np.random.default_rng(9).random((LARGE // 15, 3)), 15, axis=0)
    assert_exact(copies, 20)
    assert search(copies.astype(np.float32), 14)[1].max() == 0.0


def test_nearest_neighbors_of_one_place_are_the_lowest_indices():
    indices, distances = search(np.full((LARGE, 3), 3.5, np.float32), 4)
    assert distances.max() == 0.0
    np.testing.assert_array_equal(indices[0], [1, 2, 3, 4])
    np.testing.assert_array_equal(indices[-1], [0, 1, 2, 3])


@pytest.mark.parametrize("device", DEVICES)
def test_nearest_neighbors_of_a_large_cloud_match_a_tree(device):
    rng = np.random.default_rng(10)
    surface = rng.random((14000, 3)) * [3.0, 3.0, 0.0]
    body = rng.normal(size=(6000, 3)) * 0.05
    points = np.concatenate([surface, body]).astype(np.float32)
    indices, distances = search(points, 20, device)
    expected, _ = cKDTree(points.astype(np.float64)).query(points.astype(np.float64), 21)
    np.testing.assert_array_equal(distances, expected[:, 1:].astype(np.float32))
    assert np.all(np.diff(distances, axis=1) >= 0.0)
    assert not np.any(indices == np.arange(len(points))[:, None])


def test_nearest_neighbors_return_the_same_bits_twice():
    points = two_densities(np.random.default_rng(11), 1e-3).astype(np.float32)
    first, second = search(points, 20), search(points, 20)
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()


@pytest.mark.parametrize("n", [0, 1, 20])
def test_nearest_neighbors_refuses_too_few_points(n):
    with pytest.raises(ValueError, match=rf"points: expected more than 20 to find 20 neighbors of each, got {n}; ask"):
        search(np.zeros((n, 3), np.float32), 20)


def test_nearest_neighbors_refuses_a_count_below_one():
    with pytest.raises(ValueError, match="neighbor count: expected at least 1, got 0"):
        search(np.zeros((5, 3), np.float32), 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nearest_neighbors_refuses_broken_points(bad):
    points = np.zeros((50, 3), np.float32)
    points[17, 1] = bad
    with pytest.raises(ValueError, match=r"points: expected finite numbers, got (nan|inf) at \[17, 1\]"):
        search(points, 3)


def test_nearest_neighbors_refuses_another_dtype():
    with pytest.raises(TypeError, match=r"points: expected a wp\.array of vec3f"):
        nearest_neighbors(wp.zeros(30, dtype=float, device="cpu"), 3)
