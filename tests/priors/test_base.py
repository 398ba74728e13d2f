from dataclasses import replace

import numpy as np
import pytest
import warp as wp
from scipy.spatial.transform import Rotation

from tests.priors.worlds import World, at_rest, evaluate, moved, random_world, upload
from tests.reference.priors import Poses
from warpgs.particles import Particles
from warpgs.priors import IsometryPrior, Rest, RigidityPrior, RotationPrior, State, weight_sigma


def some(n):
    """Centers and identity quaternions."""
    points = np.random.default_rng(0).normal(size=(n, 3))
    return wp.array(points, dtype=wp.vec3, device="cpu"), wp.full(n, wp.quat_identity(), dtype=wp.quat, device="cpu")


def test_weight_sigma_gives_both_readings_of_the_paper():
    assert weight_sigma(2000.0, square_root=True) == pytest.approx(0.02236, abs=1e-5)
    assert weight_sigma(2000.0, square_root=False) == pytest.approx(0.01581, abs=1e-5)
    with pytest.raises(ValueError, match="lambda > 0"):
        weight_sigma(0.0, square_root=True)


@pytest.mark.parametrize(("square_root", "power"), [(False, 1.0), (True, 0.5)])
def test_rest_weights_are_those_of_the_paper(square_root, power):
    means = wp.array([[0, 0, 0], [0.01, 0, 0], [0, 0.03, 0]], dtype=wp.vec3d, device="cpu")
    rotations = wp.full(3, wp.quatd(0.0, 0.0, 0.0, 1.0), dtype=wp.quatd, device="cpu")
    neighbors = wp.array([[1, 2], [0, 2], [1, 0]], dtype=int, device="cpu")
    rest = Rest.build(means, rotations, neighbors, weight_sigma=weight_sigma(2000.0, square_root=square_root))
    squares = np.array([[1.0, 9.0], [1.0, 10.0], [10.0, 9.0]]) * 1e-4
    np.testing.assert_allclose(rest.lengths.numpy() ** 2, squares, rtol=1e-12)
    np.testing.assert_allclose(rest.weights.numpy(), np.exp(-2000.0 * squares) ** power, rtol=1e-12)


def test_rest_does_not_follow_the_arrays_it_was_built_from():
    means, rotations = some(4)
    rest = Rest.build(means, rotations, wp.array([[1], [2], [3], [0]], dtype=int, device="cpu"))
    before = [array.numpy().copy() for array in (rest.means, rest.rotations, rest.reference_offsets, rest.lengths)]
    means.zero_()
    rotations.zero_()
    rest.set_reference(*some(4))
    after = [array.numpy() for array in (rest.means, rest.rotations, rest.reference_offsets, rest.lengths)]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_set_reference_forgets_bending_but_not_stretch(device):
    world = random_world()
    world = World(world.poses, replace(world.rest, reference=world.poses))
    assert evaluate(RigidityPrior(), world, device).value < 1e-13
    assert evaluate(RotationPrior(), world, device).value < 1e-13
    assert evaluate(IsometryPrior(), world, device).value > 0.1


@pytest.mark.parametrize("prior", [RigidityPrior(), RotationPrior(), IsometryPrior()])
def test_neighbor_priors_do_not_resist_a_rigid_motion_of_the_state_alone(prior, device):
    rest = at_rest(random_world()).rest
    for angle in (1e-3, 1.0, 3.1, 5.0):
        turn = Rotation.from_rotvec(angle * np.array([0.6, 0.0, -0.8]))
        poses = moved(rest.first, turn, np.array([5.0, -3.0, 0.1]))
        assert evaluate(prior, World(poses, rest), device).value < 1e-13


def test_rotation_prior_measures_half_the_angle_between_neighbors(device):
    first = Poses(np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]]), np.tile([0.0, 0.0, 0.0, 1.0], (2, 1)))
    rest = replace(random_world().rest, first=first, reference=first, neighbors=np.array([[1], [0]]), weight_sigma=1e3)
    for degrees in (1.0, 90.0, 179.0, 181.0, 300.0):
        turned = Poses(first.means, Rotation.from_euler("z", [[0.0], [degrees]], degrees=True).as_quat())
        angle = np.radians(min(degrees, 360.0 - degrees))
        value = evaluate(RotationPrior(1.0), World(turned, rest), device).value
        np.testing.assert_allclose(value, 2.0 * np.sin(angle / 4.0), rtol=1e-7)


def test_neighbor_priors_exert_neither_force_nor_moment(device):
    world = random_world()
    for prior in (RigidityPrior(), IsometryPrior()):
        result = evaluate(prior, world, device)
        np.testing.assert_allclose(result.adj_means.sum(axis=0), 0.0, atol=1e-13)
    isometry = evaluate(IsometryPrior(), world, device)
    np.testing.assert_allclose(np.cross(world.poses.means, isometry.adj_means).sum(axis=0), 0.0, atol=1e-13)


def test_state_of_shares_memory_with_slices_of_particles():
    particles, gradient = (Particles.zeros(5, "cpu") for _ in range(2))
    state = State.of(particles.rows(0, 3), gradient.rows(0, 3))
    state.adj_means.fill_(wp.vec3(1.0))
    state.adj_rotations.fill_(wp.quat(1.0, 1.0, 1.0, 1.0))
    np.testing.assert_array_equal(gradient.means.numpy()[:, 0], [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(gradient.rotations.numpy()[:, 3], [1, 1, 1, 0, 0])
    assert state.means.ptr == particles.means.ptr and state.rotations.ptr == particles.rotations.ptr


def test_priors_on_the_first_particles_touch_no_others(device):
    world = random_world()
    small, rest = upload(world, device)
    n = small.means.size
    means, rotations, adj_means, adj_rotations = (
        wp.zeros(n + 6, dtype=array.dtype, device=device) for array in (small.means, small.rotations) * 2
    )
    means[:n].assign(small.means)
    rotations[:n].assign(small.rotations)
    view = State(means[:n], rotations[:n], adj_means[:n], adj_rotations[:n])
    RigidityPrior().accumulate(view, rest, wp.zeros(1, dtype=wp.float64, device=device))
    expected = evaluate(RigidityPrior(), world, device)
    np.testing.assert_array_equal(adj_means.numpy(), np.pad(expected.adj_means, ((0, 6), (0, 0))))
    np.testing.assert_array_equal(adj_rotations.numpy(), np.pad(expected.adj_rotations, ((0, 6), (0, 0))))


@pytest.mark.parametrize(
    ("neighbors", "message"),
    [
        ([[1], [2], [3]], "indices 0 to 2"),
        ([[1], [2], [-1]], "indices 0 to 2"),
        ([[1], [1], [0]], "particle 1 as its own neighbor"),
        ([[1], [0]], "shape"),
    ],
)
def test_rest_refuses_neighbors_that_do_not_exist(neighbors, message):
    with pytest.raises(ValueError, match=message):
        Rest.build(*some(3), wp.array(neighbors, dtype=int, device="cpu"))


@pytest.mark.parametrize("lengths", [{"weight_sigma": 0.0}, {"length_unit": -1.0}, {"weight_sigma": float("nan")}])
def test_rest_refuses_lengths_that_are_not_positive(lengths):
    with pytest.raises(ValueError, match="lengths > 0"):
        Rest.build(*some(3), **lengths)


def test_rest_refuses_rotations_of_another_count_or_type():
    means, rotations = some(3)
    with pytest.raises(ValueError, match="Rest: rotations"):
        Rest.build(means, rotations[:2])
    with pytest.raises(TypeError, match="Rest: rotations"):
        Rest.build(means, means)


def test_set_neighbors_is_as_if_built_with_them(device):
    points = np.random.default_rng(3).normal(size=(12, 3))
    means = wp.array(points, dtype=wp.vec3, device=device)
    rotations = wp.array(Rotation.random(12, random_state=4).as_quat(), dtype=wp.quat, device=device)
    first, other = (
        np.array([[(i + step) % 12 for step in steps] for i in range(12)], np.int32) for steps in ((1, 2, 3), (5, 1, 7))
    )
    expected = Rest.build(means, rotations, wp.array(other, device=device), weight_sigma=0.7)
    rest = Rest.build(means, rotations, wp.array(first, device=device), weight_sigma=0.7)
    rest.set_reference(wp.array(2.0 * points, dtype=wp.vec3, device=device), rotations)
    rest.set_neighbors(other, expected.weights.numpy())
    names = ("neighbors", "lengths", "weights", "reference_offsets", "reference_rotations", "lane_neighbors")
    for name in (*names, "lane_constants"):
        np.testing.assert_allclose(
            getattr(rest, name).numpy(), getattr(expected, name).numpy(), rtol=3e-7, err_msg=name
        )


@pytest.mark.parametrize("neighbors", [[[0], [0]], [[1], [2]], [[1, 0], [0, 1]]])
def test_set_neighbors_refuses_what_cannot_be(neighbors):
    rest = Rest.build(*some(2), wp.array([[1], [0]], dtype=int, device="cpu"))
    with pytest.raises(ValueError, match="Rest: "):
        rest.set_neighbors(np.array(neighbors, np.int32), np.ones((2, 1)))
