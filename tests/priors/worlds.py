"""Small random particle systems in NumPy, and their priors evaluated on a device."""

from dataclasses import dataclass, replace

import numpy as np
import warp as wp
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from tests.reference.priors import Poses, RestOracle
from warpgs.priors import Prior, Rest, State


@dataclass
class World:
    """A state and what its priors remember, in float64."""

    poses: Poses
    rest: RestOracle


@dataclass
class Result:
    """Value and gradient of priors."""

    value: float
    adj_means: np.ndarray
    adj_rotations: np.ndarray


def random_world(n=24, k=5, seed=0) -> World:
    """Three unrelated poses, far from every kink: above z = 0 at rest, partly below now; quaternions of any length."""
    rng = np.random.default_rng(seed)
    first = Poses(rng.uniform([-1, -1, 0.5], [1, 1, 2.0], (n, 3)), rng.normal(size=(n, 4)))
    _, neighbors = cKDTree(first.means).query(first.means, k + 1)

    def disturbed(poses, size):
        means = poses.means + size * rng.normal(size=(n, 3))
        turned = Rotation.from_rotvec(size * rng.normal(size=(n, 3))) * Rotation.from_quat(poses.rotations)
        return Poses(means, turned.as_quat() * rng.uniform(0.5, 2.0, (n, 1)))

    reference = disturbed(first, 0.3)
    return World(disturbed(reference, 0.7), RestOracle(first, reference, neighbors[:, 1:], 0.8, 1.7))


def at_rest(world: World) -> World:
    """The same with every particle in its first pose, which is the reference too."""
    first = world.rest.first
    return World(first, replace(world.rest, reference=first))


def moved(poses: Poses, turn: Rotation, shift: np.ndarray) -> Poses:
    """A rigid motion of the whole world."""
    lengths = np.linalg.norm(poses.rotations, axis=1, keepdims=True)
    rotations = (turn * Rotation.from_quat(poses.rotations)).as_quat() * lengths
    return Poses(turn.apply(poses.means) + shift, rotations)


def upload(world: World, device, dtype=wp.float64) -> tuple[State, Rest]:
    """Copy to a device."""
    vec3, quat = wp.types.vector(3, dtype), wp.types.quaternion(dtype)

    def arrays(poses):
        return wp.array(poses.means, dtype=vec3, device=device), wp.array(poses.rotations, dtype=quat, device=device)

    rest = Rest.build(
        *arrays(world.rest.first),
        wp.array(world.rest.neighbors, dtype=wp.int32, device=device),
        weight_sigma=world.rest.weight_sigma,
        length_unit=world.rest.length_unit,
    )
    rest.set_reference(*arrays(world.rest.reference))
    means, rotations = arrays(world.poses)
    return State(means, rotations, wp.zeros_like(means), wp.zeros_like(rotations)), rest


def evaluate(prior: Prior, world: World, device, dtype=wp.float64) -> Result:
    """Value and gradient of one prior."""
    state, rest = upload(world, device, dtype)
    loss = wp.zeros(1, dtype=wp.float64, device=device)
    prior.accumulate(state, rest, loss)
    return Result(float(loss.numpy()[0]), state.adj_means.numpy(), state.adj_rotations.numpy())


def assert_same(a: Result, b: Result, rtol: float) -> None:
    """Equal relative to the largest number."""
    np.testing.assert_allclose(a.value, b.value, rtol=rtol)
    for x, y in ((a.adj_means, b.adj_means), (a.adj_rotations, b.adj_rotations)):
        np.testing.assert_allclose(x, y, rtol=0, atol=rtol * max(np.abs(y).max(initial=0.0), 1e-300))
