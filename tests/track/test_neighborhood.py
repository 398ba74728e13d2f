"""Neighbors chosen anew: those that have kept their distance."""

import numpy as np
import pytest
import warp as wp
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from warpgs.track.neighborhood import Neighborhood

COUNT = 8
SIGMA = 0.2


def of(points: np.ndarray, parts: list[slice] | None = None, count: int = COUNT, **sigma: float) -> Neighborhood:
    means = wp.array(points, dtype=wp.vec3, device="cpu")
    sigma = {"sigma": None, "sigma_neighbors": 1.0} | sigma
    return Neighborhood.of(means, parts or [slice(0, len(points))], count, **sigma)


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(300, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def body() -> np.ndarray:
    """Two bodies that touch."""
    return np.repeat([0, 1], 150)


@pytest.fixture(scope="module")
def touching(points, body) -> np.ndarray:
    return (points * [1.0, 1.0, 0.5] + np.array([[0.0, 0, 0], [0, 0, 0.5]])[body]).astype(np.float32)


def test_nearest_are_the_nearest_at_rest(points):
    distances, expected = cKDTree(points).query(points, COUNT + 1)
    around = of(points)
    np.testing.assert_array_equal(around.nearest(), expected[:, 1:])
    assert around.sigma == pytest.approx(np.median(distances[:, -1]), rel=1e-6)
    assert of(points, sigma=SIGMA).sigma == SIGMA


def test_nothing_changes_while_everything_moves_rigidly(points):
    around = of(points)
    moved = Rotation.from_rotvec([0.3, 2.0, -0.7]).apply(points) + np.array([0.2, -0.1, 0.4])
    for now in (points, moved):
        neighbors, weights = around.at(now)
        np.testing.assert_array_equal(neighbors, around.nearest())
        lengths = np.linalg.norm(points[neighbors].astype(np.float64) - points[:, None], axis=2)
        np.testing.assert_allclose(weights, np.exp(-0.5 * (lengths / around.sigma) ** 2), atol=1e-6)


def test_bodies_that_part_let_go_of_each_other(touching, body):
    around = of(touching)
    other = body[around.nearest()] != body[:, None]
    assert other.any(axis=1).sum() > 60 and other.sum(axis=1).max() >= 4
    parted = touching + np.array([[0.0, 0, 0], [0.5, 0.0, 0.6]])[body]
    neighbors, weights = around.at(parted)
    held = weights * (body[neighbors] != body[:, None])
    # who has fewer than a quarter of its candidates within its own body cannot tell which body that is
    own = (body[around.candidates] == body[:, None]).mean(axis=1)
    assert held[own > 0.3].max() < 1e-3
    assert (body[neighbors[own > 0.5]] == body[own > 0.5][:, None]).all()


def test_one_that_strays_alone_keeps_its_neighbors(points):
    around, strayed = of(points), points.copy()
    strayed[7] += [0.5, 0.3, -0.4]
    neighbors, weights = around.at(strayed)
    assert weights[7].max() > 0.5 and set(neighbors[7]) <= set(around.candidates[7])
    far = ~(around.candidates == 7).any(axis=1)
    far[7] = False
    np.testing.assert_array_equal(neighbors[far], around.nearest()[far])
    assert weights[neighbors == 7].max(initial=0.0) < 1e-6, "nobody follows it"


def test_neighbors_are_of_one_generation(points):
    parts = [slice(0, 280), slice(280, 300)]
    neighbors, _ = of(points, parts).at(points + 0.1)
    assert (neighbors[:280] < 280).all() and (neighbors[280:] >= 280).all()


@pytest.mark.parametrize("count", [2, 5])
def test_few_particles_have_fewer_candidates(points, count):
    neighbors, weights = of(points[: count + 1], count=count).at(points[: count + 1] * 2.0)
    assert neighbors.shape == weights.shape == (count + 1, count)
    assert [sorted(row) for row in neighbors] == [[j for j in range(count + 1) if j != i] for i in range(count + 1)]
