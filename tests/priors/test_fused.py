import numpy as np
import pytest
import warp as wp

from tests.priors.worlds import Result, assert_same, evaluate, random_world, upload
from warpgs.priors import (
    BackgroundPrior,
    GroundPrior,
    IsometryPrior,
    RigidityPrior,
    RotationPrior,
    accumulate_priors,
)

SETS = {
    "rigidity + rotation": [RigidityPrior(3.0), RotationPrior(0.7)],
    "rotation + isometry": [RotationPrior(0.7), IsometryPrior(5.0)],
    "isometry + rigidity": [IsometryPrior(5.0), RigidityPrior(3.0)],
    "all three": [IsometryPrior(5.0), RotationPrior(0.7), RigidityPrior(3.0)],
    "with others": [GroundPrior(), IsometryPrior(5.0), BackgroundPrior(), RotationPrior(0.7), RigidityPrior(3.0)],
    "one kind twice": [RigidityPrior(3.0), RigidityPrior(1.0)],
    "equal ones": [RigidityPrior(3.0), RigidityPrior(3.0), IsometryPrior(1.0)],
    "one": [RotationPrior(0.7)],
    "none": [],
    "one with weight": [RigidityPrior(0.0), IsometryPrior(2.0)],
}


@pytest.fixture(params=[False, True], ids=["lanes", "portable"])
def portable(request):
    """Both ways to go over pairs on the CPU; on CUDA they are the same."""
    return request.param


def evaluate_all(priors, world, device, dtype=wp.float64, calls=1, portable=False):
    """Value and gradient of several priors."""
    state, rest = upload(world, device, dtype)
    loss = wp.zeros(1, dtype=wp.float64, device=device)
    for _ in range(calls):
        accumulate_priors(priors, state, rest, loss, portable=portable)
    return Result(float(loss.numpy()[0]), state.adj_means.numpy(), state.adj_rotations.numpy())


def summed(priors, world, device, dtype=wp.float64, calls=1):
    """The same, one prior at a time."""
    results = [evaluate(prior, world, device, dtype) for prior in priors]
    zero = np.zeros_like(world.poses.means), np.zeros_like(world.poses.rotations)
    return Result(
        calls * sum(result.value for result in results),
        calls * sum((result.adj_means for result in results), zero[0]),
        calls * sum((result.adj_rotations for result in results), zero[1]),
    )


@pytest.mark.parametrize("priors", SETS.values(), ids=SETS)
@pytest.mark.parametrize("k", [1, 6, 8, 17])
def test_accumulate_priors_equals_the_sum_of_single_ones(k, priors, device, portable):
    world = random_world(k=k)
    assert_same(evaluate_all(priors, world, device, portable=portable), summed(priors, world, device), rtol=1e-13)


def test_accumulate_priors_equals_the_sum_in_float32(device, portable):
    world, priors = random_world(n=300, k=20), SETS["all three"]
    assert_same(
        evaluate_all(priors, world, device, wp.float32, portable=portable),
        summed(priors, world, device, wp.float32),
        rtol=1e-5,
    )


def test_accumulate_priors_leaves_no_trace_for_the_next_call(device, portable):
    world, priors = random_world(), SETS["all three"]
    assert_same(
        evaluate_all(priors, world, device, calls=3, portable=portable),
        summed(priors, world, device, calls=3),
        rtol=1e-13,
    )


def test_accumulate_priors_gives_the_same_bits_every_time(portable):
    world, priors = random_world(n=200, k=20), SETS["all three"]
    a, b = (evaluate_all(priors, world, "cpu", wp.float32, portable=portable) for _ in range(2))
    assert a.value == b.value
    assert a.adj_means.tobytes() == b.adj_means.tobytes() and a.adj_rotations.tobytes() == b.adj_rotations.tobytes()


def test_accumulate_priors_of_no_neighbors_is_zero(device, portable):
    world = random_world()
    world.rest.neighbors = np.zeros((24, 0), int)
    result = evaluate_all(SETS["all three"], world, device, portable=portable)
    assert result.value == 0.0 and not result.adj_means.any() and not result.adj_rotations.any()
