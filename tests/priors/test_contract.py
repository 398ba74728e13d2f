"""What every prior promises; a new entry of PRIORS is tested without a new test once it has an oracle."""

from dataclasses import replace

import numpy as np
import pytest
import warp as wp
from scipy.spatial.transform import Rotation

from tests.priors.worlds import Result, World, assert_same, at_rest, evaluate, moved, random_world, upload
from tests.reference.priors import ORACLES, Poses
from warpgs.priors import PRIORS

ANY_TURN = Rotation.from_rotvec([1.0, -2.0, 0.7])
ANY_SHIFT = np.array([0.4, -3.0, 1.3])
MOTIONS = {
    "background": (Rotation.identity(), ANY_SHIFT),  # sums of absolute coordinates depend on the axes
    "ground": (Rotation.from_rotvec([0.0, 0.0, 2.0]), ANY_SHIFT * [1.0, 1.0, 0.0]),
}
"""The rigid motions of the whole world that leave a prior unchanged, where these are not all."""

pytestmark = pytest.mark.parametrize("name", PRIORS)


def test_prior_matches_oracle(name, device):
    for seed in range(3):
        world = random_world(seed=seed)
        expected = ORACLES[name](world.poses, world.rest)
        assert expected > 1e-3
        np.testing.assert_allclose(evaluate(PRIORS[name](weight=2.5), world, device).value, 2.5 * expected, rtol=1e-12)


def test_prior_gradient_matches_finite_differences(name, device):
    world, prior, step = random_world(n=16), PRIORS[name](weight=3.0), 1e-6
    result = evaluate(prior, world, device)
    for attribute, gradient in (("means", result.adj_means), ("rotations", result.adj_rotations)):
        differences = np.zeros_like(gradient)
        for index in np.ndindex(gradient.shape):
            values = []
            for sign in (1.0, -1.0):
                array = getattr(world.poses, attribute).copy()
                array[index] += sign * step
                nudged = World(replace(world.poses, **{attribute: array}), world.rest)
                values.append(evaluate(prior, nudged, device).value)
            differences[index] = (values[0] - values[1]) / (2.0 * step)
        np.testing.assert_allclose(gradient, differences, rtol=0, atol=1e-8 * max(np.abs(differences).max(), 1.0))
    assert max(np.abs(result.adj_means).max(), np.abs(result.adj_rotations).max()) > 1e-3


def test_prior_is_zero_at_rest(name, device):
    result = evaluate(PRIORS[name](), at_rest(random_world()), device)
    assert 0.0 <= result.value < 1e-13
    assert evaluate(PRIORS[name](), at_rest(random_world()), device, wp.float32).value < 1e-5


def test_prior_is_unchanged_by_a_rigid_motion(name, device):
    world, (turn, shift) = random_world(), MOTIONS.get(name, (ANY_TURN, ANY_SHIFT))
    first, reference = (moved(poses, turn, shift) for poses in (world.rest.first, world.rest.reference))
    rest = replace(world.rest, first=first, reference=reference)
    result = evaluate(PRIORS[name](), World(moved(world.poses, turn, shift), rest), device)
    expected = evaluate(PRIORS[name](), world, device)
    np.testing.assert_allclose(result.value, expected.value, rtol=1e-12)
    np.testing.assert_allclose(result.adj_means, turn.apply(expected.adj_means), rtol=0, atol=1e-12)


def test_prior_is_unchanged_by_the_unit_of_length(name, device):
    world, factor = random_world(), 250.0

    def scaled(poses):
        return Poses(factor * poses.means, poses.rotations)

    rest = replace(
        world.rest,
        first=scaled(world.rest.first),
        reference=scaled(world.rest.reference),
        weight_sigma=factor * world.rest.weight_sigma,
        length_unit=factor * world.rest.length_unit,
    )
    result, expected = (
        evaluate(PRIORS[name](), World(scaled(world.poses), rest), device),
        evaluate(PRIORS[name](), world, device),
    )
    assert_same(replace(result, adj_means=factor * result.adj_means), expected, rtol=1e-12)


def test_prior_is_linear_in_its_weight(name, device):
    world = random_world()
    once, thrice = (evaluate(PRIORS[name](weight=weight), world, device) for weight in (1.0, 3.0))
    assert_same(thrice, Result(3.0 * once.value, 3.0 * once.adj_means, 3.0 * once.adj_rotations), rtol=1e-13)
    nothing = evaluate(PRIORS[name](weight=0.0), world, device)
    assert nothing.value == 0.0 and not nothing.adj_means.any() and not nothing.adj_rotations.any()


def test_prior_follows_a_permutation_of_the_particles(name, device):
    world = random_world()
    order = np.random.default_rng(5).permutation(len(world.poses.means))
    place = np.argsort(order)  # new index of each old particle

    def permuted(poses):
        return Poses(poses.means[order], poses.rotations[order])

    rest = replace(
        world.rest,
        first=permuted(world.rest.first),
        reference=permuted(world.rest.reference),
        neighbors=place[world.rest.neighbors[order]],
    )
    expected = evaluate(PRIORS[name](), world, device)
    expected = Result(expected.value, expected.adj_means[order], expected.adj_rotations[order])
    assert_same(evaluate(PRIORS[name](), World(permuted(world.poses), rest), device), expected, rtol=1e-12)


def test_prior_sees_rotations_not_quaternions(name, device):
    world = random_world()
    rng = np.random.default_rng(6)
    factors = rng.uniform(0.3, 3.0, (24, 1)) * rng.choice([-1.0, 1.0], (24, 1))
    other = World(Poses(world.poses.means, world.poses.rotations * factors), world.rest)
    result, expected = evaluate(PRIORS[name](), other, device), evaluate(PRIORS[name](), world, device)
    assert_same(replace(result, adj_rotations=result.adj_rotations * factors), expected, rtol=1e-12)


def test_prior_adds_to_what_is_there(name, device):
    world = random_world()
    state, rest = upload(world, device)
    loss = wp.full(1, 7.0, dtype=wp.float64, device=device)
    state.adj_means.fill_(wp.vec3d(1.0, 2.0, 3.0))
    state.adj_rotations.fill_(wp.quatd(4.0, 5.0, 6.0, 7.0))
    PRIORS[name]().accumulate(state, rest, loss)
    expected = evaluate(PRIORS[name](), world, device)
    np.testing.assert_allclose(loss.numpy(), 7.0 + expected.value, rtol=1e-13)
    np.testing.assert_allclose(state.adj_means.numpy() - expected.adj_means, [[1.0, 2.0, 3.0]] * 24, atol=1e-13)
    np.testing.assert_allclose(
        state.adj_rotations.numpy() - expected.adj_rotations, [[4.0, 5.0, 6.0, 7.0]] * 24, atol=1e-13
    )


def test_prior_in_float32_agrees_with_float64(name, device):
    world = random_world(n=200, k=20)
    assert_same(evaluate(PRIORS[name](), world, device, wp.float32), evaluate(PRIORS[name](), world, device), rtol=2e-5)


def test_prior_stays_finite_when_all_particles_coincide(name, device):
    world = random_world()
    one = Poses(np.tile([0.5, 0.5, -0.5], (24, 1)), np.tile([0.0, 0.0, 0.0, 1.0], (24, 1)))
    for first in (world.rest.first, one):
        result = evaluate(
            PRIORS[name](), World(one, replace(world.rest, first=first, reference=first)), device, wp.float32
        )
        assert np.isfinite(result.value)
        assert np.isfinite(result.adj_means).all() and np.isfinite(result.adj_rotations).all()


def test_prior_of_no_particles_is_zero(name, device):
    none = Poses(np.zeros((0, 3)), np.zeros((0, 4)))
    world = random_world()
    rest = replace(world.rest, first=none, reference=none, neighbors=np.zeros((0, 5), int))
    assert evaluate(PRIORS[name](), World(none, rest), device).value == 0.0


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_prior_refuses_a_weight_without_meaning(name, weight):
    with pytest.raises(ValueError, match="weight: expected a finite number >= 0"):
        PRIORS[name](weight=weight)
