"""Clusters: the gradient of a rigid motion, the motion itself, and how particles are divided."""

import warnings

import numpy as np
import pytest
import warp as wp
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from warpgs.math.rigid import fit_rigid
from warpgs.particles import Particles
from warpgs.track.config import RigidConfig
from warpgs.track.rigid import Clusters, gather_wrench_kernel

COUNT, CLUSTERS = 24, 3
LABELS = np.arange(COUNT) % CLUSTERS


def poses(seed: int = 0, count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    """Centers [m] and unit quaternions x, y, z, w."""
    rng = np.random.default_rng(seed)
    rotations = rng.normal(size=(count, 4))
    return rng.normal(size=(count, 3)), rotations / np.linalg.norm(rotations, axis=1, keepdims=True)


def particles_at(means: np.ndarray, rotations_xyzw: np.ndarray, device: str) -> Particles:
    particles = Particles.zeros(len(means), device)
    particles.means.assign(means)
    particles.rotations.assign(rotations_xyzw)
    return particles


def make_clusters(means: np.ndarray, count: int, *, seed: int = 0, device: str = "cpu", **rates: float) -> Clusters:
    return Clusters([means], RigidConfig(clusters=count, **rates), device=wp.get_device(device), seed=seed)


class Energy:
    """Some smooth function of poses: springs to fixed points, and two marks on each particle that want to be
    somewhere."""

    def __init__(self):
        rng = np.random.default_rng(5)
        self.targets, self.marks, self.wants = rng.normal(size=(3, COUNT, 3))

    def value(self, means: np.ndarray, rotations_xyzw: np.ndarray) -> float:
        turned = Rotation.from_quat(rotations_xyzw).apply(self.marks)  # normalizes, as rendering does
        return float(0.5 * ((means - self.targets) ** 2).sum() + (turned * self.wants).sum() + np.sin(means).sum())

    def gradients(self, means: np.ndarray, rotations_xyzw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By central differences in float64, parameter by parameter."""
        results = []
        for which, array in enumerate((means, rotations_xyzw)):
            gradient = np.zeros_like(array)
            for index in np.ndindex(array.shape):
                step = np.zeros_like(array)
                step[index] = 1e-6
                ends = [[means, rotations_xyzw], [means, rotations_xyzw]]
                ends[0][which], ends[1][which] = array + step, array - step
                gradient[index] = (self.value(*ends[0]) - self.value(*ends[1])) / 2e-6
            results.append(gradient)
        return results[0], results[1]


def move(means, rotations_xyzw, centers, shifts, turns):
    """x' = c + exp(turn) (x - c) + shift, q' = exp(turn) q, by scipy."""
    turn = Rotation.from_rotvec(turns[LABELS])
    around = centers[LABELS]
    return (
        turn.apply(means - around) + around + shifts[LABELS],
        (turn * Rotation.from_quat(rotations_xyzw)).as_quat(),
    )


def test_gather_wrench_is_the_gradient_of_a_rigid_motion(device):
    energy, (means, rotations) = Energy(), poses()
    centers = np.random.default_rng(6).normal(size=(CLUSTERS, 3))
    adj_means, adj_rotations = energy.gradients(means, rotations)
    inputs = [
        wp.array(means, dtype=wp.vec3, device=device),
        wp.array(rotations, dtype=wp.quat, device=device),
        wp.array(adj_means, dtype=wp.vec3, device=device),
        wp.array(adj_rotations, dtype=wp.quat, device=device),
        wp.array(LABELS, dtype=int, device=device),
        wp.array(centers, dtype=wp.vec3, device=device),
    ]
    outputs = [wp.zeros(CLUSTERS, dtype=wp.vec3, device=device) for _ in range(2)]
    wp.launch(gather_wrench_kernel, COUNT, inputs, outputs, device=device)
    gathered = np.concatenate([array.numpy() for array in outputs])

    expected = np.zeros((2 * CLUSTERS, 3))
    for index in np.ndindex(expected.shape):
        step = np.zeros_like(expected)
        step[index] = 1e-5
        ends = [
            energy.value(*move(means, rotations, centers, sign * step[:CLUSTERS], sign * step[CLUSTERS:]))
            for sign in (1.0, -1.0)
        ]
        expected[index] = (ends[0] - ends[1]) / 2e-5
    np.testing.assert_allclose(gathered, expected, rtol=0.0, atol=2e-6 * np.abs(expected).max())


def test_step_moves_every_cluster_rigidly_and_particles_turn_with_it(device):
    means, rotations = poses()
    clusters = make_clusters(means, CLUSTERS, device=device, shift_rate=0.03, turn_rate=0.05)
    foreground, gradients = particles_at(means, rotations, device), Particles.zeros(COUNT, device)
    clusters.begin(means, 20)
    rng = np.random.default_rng(7)
    for _ in range(20):
        gradients.means.assign(rng.normal(size=(COUNT, 3)) + 1.0)
        gradients.rotations.assign(rng.normal(size=(COUNT, 4)) + 1.0)
        clusters.step(foreground, gradients)
    means_after = foreground.means.numpy()
    since = Rotation.from_quat(foreground.rotations.numpy()) * Rotation.from_quat(rotations).inv()
    for cluster in range(clusters.count):
        rows = np.flatnonzero(clusters.labels == cluster)
        np.testing.assert_allclose(pdist(means_after[rows]), pdist(means[rows]), rtol=0.0, atol=1e-5)
        motion = fit_rigid(means[rows], means_after[rows])
        assert np.linalg.norm(motion[:3, 3]) > 0.1 and Rotation.from_matrix(motion[:3, :3]).magnitude() > 0.1
        apart = (since[rows] * Rotation.from_matrix(motion[:3, :3]).inv()).magnitude()
        assert apart.max() < 1e-4


def test_step_goes_against_the_force_and_clears_it(device):
    """The first step of Adam has the length of the rate, whatever the size of the gradient."""
    means = np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    identity = np.tile([0.0, 0.0, 0.0, 1.0], (2, 1))
    clusters = make_clusters(means, 1, device=device, shift_rate=0.01, turn_rate=0.1)
    foreground, gradients = particles_at(means, identity, device), Particles.zeros(2, device)
    clusters.begin(means, 20)
    gradients.means.assign([[5.0, 0.0, 0.0], [-2.0, 0.0, 0.0]])  # net force along x, torque about -z
    clusters.step(foreground, gradients)
    expected = Rotation.from_rotvec([0.0, 0.0, 0.1]).apply(means) - np.array([0.01, 0.0, 0.0])
    np.testing.assert_allclose(foreground.means.numpy(), expected, rtol=0.0, atol=1e-6)
    assert all(not array.numpy().any() for array in gradients.named().values())


def test_step_clears_the_gradients_of_particles_that_follow(device):
    """An unfrozen background must not carry those of the rigid steps into its first free one."""
    means, rotations = poses()
    clusters = make_clusters(means, CLUSTERS, device=device)
    foreground, gradients = particles_at(means, rotations, device), Particles.zeros(COUNT + 5, device)
    clusters.begin(means, 20)
    gradients.means.fill_(wp.vec3(1.0, 1.0, 1.0))
    clusters.step(foreground, gradients)
    assert not gradients.means.numpy().any()


def test_steps_shrink_to_the_final_rate(device):
    means = np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    clusters = make_clusters(means, 1, device=device, shift_rate=0.01, final_rate=0.25)
    foreground = particles_at(means, np.tile([0.0, 0.0, 0.0, 1.0], (2, 1)), device)
    gradients = Particles.zeros(2, device)
    for _ in range(2):
        x = [float(foreground.means.numpy()[0, 0])]
        clusters.begin(foreground.means.numpy(), 3)
        for _ in range(3):
            gradients.means.fill_(wp.vec3(-1.0, 0.0, 0.0))
            clusters.step(foreground, gradients)
            x.append(float(foreground.means.numpy()[0, 0]))
        np.testing.assert_allclose(np.diff(x), [0.01, 0.005, 0.0025], rtol=1e-4)


def test_begin_forgets_the_last_timestep(device):
    means, rotations = poses()
    clusters = make_clusters(means, CLUSTERS, device=device)
    results = []
    for _ in range(2):
        foreground, gradients = particles_at(means, rotations, device), Particles.zeros(COUNT, device)
        clusters.begin(means, 20)
        for _ in range(3):
            gradients.means.fill_(wp.vec3(1.0, -2.0, 0.5))
            clusters.step(foreground, gradients)
        results.append(foreground.means.numpy())
    np.testing.assert_array_equal(results[0], results[1])


def test_motions_are_those_between_the_timesteps():
    means, _ = poses()
    clusters = make_clusters(means, CLUSTERS)
    turn, shift = Rotation.from_rotvec([0.3, 0.1, -0.2]), np.array([1.0, 2.0, 3.0])
    motions = clusters.motions(means, turn.apply(means) + shift)
    expected = np.eye(4)
    expected[:3, :3], expected[:3, 3] = turn.as_matrix(), shift
    np.testing.assert_allclose(motions, np.tile(expected, (clusters.count, 1, 1)), rtol=0.0, atol=1e-9)


def test_clusters_depend_on_the_seed_alone():
    means = np.random.default_rng(1).uniform(size=(300, 3))
    first, again, other = (make_clusters(means, 12, seed=seed).labels for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_clusters_are_compact():
    """Bodies far apart never share a cluster."""
    rng = np.random.default_rng(2)
    body = np.repeat(np.arange(4), 50)
    means = rng.normal(size=(200, 3)) * 0.05 + 10.0 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])[body]
    labels = make_clusters(means, 12).labels
    assert all(len(np.unique(body[labels == label])) == 1 for label in np.unique(labels))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_fewer_particles_than_clusters_still_move(count, device):
    means, rotations = poses(count=count)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clusters = make_clusters(means, 40, device=device, shift_rate=0.01)
    assert len(clusters.labels) == count and set(clusters.labels) == set(range(clusters.labels.max() + 1))
    foreground, gradients = particles_at(means, rotations, device), Particles.zeros(count, device)
    clusters.begin(means, 20)
    gradients.means.fill_(wp.vec3(1.0, 0.0, 0.0))
    clusters.step(foreground, gradients)
    assert (foreground.means.numpy()[:, 0] < means[:, 0]).all()


def test_coincident_particles_make_one_cluster():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clusters = make_clusters(np.ones((10, 3)), 4)
    assert not clusters.labels.any()


def test_clusters_do_not_span_bodies_that_have_parted():
    rng = np.random.default_rng(3)
    body = rng.permutation(np.repeat([0, 1], 150))
    rest = rng.uniform(size=(300, 3)) + np.array([[0.0, 0, 0], [1.0, 0, 0]])[body]
    clusters = make_clusters(rest, 10)
    spans = [len(np.unique(body[clusters.labels == label])) for label in np.unique(clusters.labels)]
    assert max(spans) == 2, "they touch at rest"
    parted = rest + np.array([[0.0, 0, 0], [0.0, 0.0, 3.0]])[body]
    clusters.regroup(parted)
    assert all(len(np.unique(body[clusters.labels == label])) == 1 for label in np.unique(clusters.labels))
    clusters.regroup(rest + 5.0)
    assert max(len(np.unique(body[clusters.labels == label])) for label in np.unique(clusters.labels)) == 2


def test_empty_clusters_stay_where_they_are(device):
    clusters = make_clusters(np.ones((10, 3)), 4, device=device)
    shift = np.array([0.1, 0.2, 0.3])
    motions = clusters.motions(np.ones((10, 3)), np.ones((10, 3)) + shift)
    np.testing.assert_allclose(motions[0, :3, 3], shift)
    np.testing.assert_array_equal(motions[1:], np.tile(np.eye(4), (3, 1, 1)))
    clusters.begin(np.ones((10, 3)), 5)
    assert np.isfinite(clusters._centers.numpy()).all()
