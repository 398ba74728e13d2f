"""Clusters of particles that move as rigid bodies: prediction from their last motion, and alignment to the pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import scipy.cluster.vq
import warp as wp

from warpgs.math.rigid import fit_rigid
from warpgs.math.rotation import rotation_funcs
from warpgs.optimize.adam import Adam
from warpgs.particles import Particles
from warpgs.track.config import RigidConfig

REWEIGHTINGS = 4
"""How often particles are weighed by how well they move with the others."""
CAUCHY = 2.0
"""One that errs by so many medians weighs half."""
TINY = 1e-7
"""Error that is none [scene radii]."""
exp_map = rotation_funcs(wp.float32).exp_map


@wp.kernel(enable_backward=False)
def gather_wrench_kernel(
    # inputs
    means: wp.array[wp.vec3],
    rotations: wp.array[wp.quat],
    adj_means: wp.array[wp.vec3],
    adj_rotations: wp.array[wp.quat],
    labels: wp.array[int],
    centers: wp.array[wp.vec3],
    # outputs, accumulated
    adj_shifts: wp.array[wp.vec3],
    adj_turns: wp.array[wp.vec3],
):
    """Gradient of the loss by a small motion of each cluster: x' = c + exp(turn) (x - c) + shift, q' = exp(turn) q."""
    i = wp.tid()
    cluster = labels[i]
    force = adj_means[i]
    twist = adj_rotations[i] * wp.quat_inverse(rotations[i])
    torque = wp.cross(means[i] - centers[cluster], force) + 0.5 * wp.vec3(twist[0], twist[1], twist[2])
    wp.atomic_add(adj_shifts, cluster, force)
    wp.atomic_add(adj_turns, cluster, torque)


@wp.kernel(enable_backward=False)
def move_particles_kernel(
    # inputs
    labels: wp.array[int],
    centers: wp.array[wp.vec3],
    shifts: wp.array[wp.vec3],
    turns: wp.array[wp.vec3],
    # outputs, updated
    means: wp.array[wp.vec3],
    rotations: wp.array[wp.quat],
):
    i = wp.tid()
    cluster = labels[i]
    rotation = exp_map(turns[cluster])
    center = centers[cluster]
    means[i] = center + wp.quat_rotate(rotation, means[i] - center) + shifts[cluster]
    rotations[i] = wp.normalize(rotation * rotations[i])


@wp.kernel(enable_backward=False)
def move_centers_kernel(
    # outputs, updated
    centers: wp.array[wp.vec3],
    shifts: wp.array[wp.vec3],
    turns: wp.array[wp.vec3],
):
    cluster = wp.tid()
    centers[cluster] += shifts[cluster]
    shifts[cluster] = wp.vec3()
    turns[cluster] = wp.vec3()


class Clusters:
    """k-means clusters of the foreground, and of what entered later."""

    def __init__(self, parts: Sequence[np.ndarray], config: RigidConfig, *, device: wp.Device, seed: int) -> None:
        """Cluster particles by where they are at rest.

        Args:
            parts: Foreground centers of the first timestep, then of each later generation at its birth [scene radii],
                shape [n, 3] each. As many clusters per particle in all of them, at least one each.
            config: Number of clusters, rates.
            device: Where the particles live.
            seed: Of the clustering.
        """
        self._parts, self._seed = [part.astype(np.float64) for part in parts], seed
        self._wanted = [max(1, round(config.clusters * len(part) / len(parts[0]))) for part in parts]
        self.count = sum(self._wanted)
        self.device = device
        self._device_labels = wp.zeros(sum(map(len, parts)), dtype=int, device=device)
        self._centers = wp.zeros(self.count, dtype=wp.vec3, device=device)
        self._motion = {name: wp.zeros(self.count, dtype=wp.vec3, device=device) for name in ("shifts", "turns")}
        self._adj_motion = {name: wp.zeros_like(array) for name, array in self._motion.items()}
        rates = {"shifts": config.shift_rate, "turns": config.turn_rate}
        self._adam = Adam(self._motion, rates)
        self._final_rate = config.final_rate
        self._label(self._parts)

    def regroup(self, means: np.ndarray) -> None:
        """Cluster anew: together is what was near at rest and is near now.

        Args:
            means: Centers of all particles [scene radii], shape [n, 3].
        """
        now = np.split(means.astype(np.float64), np.cumsum([len(part) for part in self._parts])[:-1])
        self._label([np.concatenate(both, axis=1) for both in zip(self._parts, now, strict=True)])

    def _label(self, features: Sequence[np.ndarray]) -> None:
        """Cluster each generation by its features, shape [n, f] each. Some of ``count`` clusters may stay empty."""
        labels = []
        for number, (points, wanted) in enumerate(zip(features, self._wanted, strict=True)):
            random = np.random.default_rng([self._seed, 2, number] if number else [self._seed, 2])
            labels.append(_kmeans(points, wanted, random) + np.int32(sum(self._wanted[:number])))
        self.labels = np.concatenate(labels)
        self._device_labels.assign(self.labels)

    def begin(self, means: np.ndarray, steps: int) -> None:
        """Start aligning from these centers, shape [n, 3], with rates that decay over ``steps``."""
        sums = np.zeros((self.count, 3))
        np.add.at(sums, self.labels, means)
        self._centers.assign(sums / np.maximum(np.bincount(self.labels, minlength=self.count), 1)[:, None])
        self._adam.reset()
        if steps:
            self._adam.decay(steps, self._final_rate)

    def step(self, foreground: Particles, gradients: Particles) -> None:
        """Move every cluster by one Adam step on the summed gradients of its particles.

        Args:
            foreground: The particles that were clustered; updated.
            gradients: Of these, and of others that may follow; all set to zero.
        """
        motion, adj = self._motion, self._adj_motion
        inputs = [foreground.means, foreground.rotations, gradients.means, gradients.rotations]
        inputs += [self._device_labels, self._centers]
        self._launch(gather_wrench_kernel, len(foreground), inputs, [adj["shifts"], adj["turns"]])
        gradients.zero_()
        self._adam.step(adj)
        inputs = [self._device_labels, self._centers, motion["shifts"], motion["turns"]]
        self._launch(move_particles_kernel, len(foreground), inputs, [foreground.means, foreground.rotations])
        self._launch(move_centers_kernel, self.count, [], [self._centers, motion["shifts"], motion["turns"]])

    def _launch(self, kernel: wp.Kernel, dim: int, inputs: list, outputs: list) -> None:
        wp.launch(kernel, dim, inputs, outputs, device=self.device, record_tape=False)

    def motions(self, means_from: np.ndarray, means_to: np.ndarray) -> np.ndarray:
        """The rigid motion of every cluster between two timesteps, shape [count, 4, 4]; empty ones stay."""
        motions = np.tile(np.eye(4), (self.count, 1, 1))
        for cluster in np.unique(self.labels):
            rows = np.flatnonzero(self.labels == cluster)
            motions[cluster], _ = common_motion(means_from[rows], means_to[rows])
        return motions


def common_motion(means_from: np.ndarray, means_to: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rigid motion of most of some particles, shape [4, 4], and how far it misses each, shape [n].

    Those that do not move with the others count little (Cauchy's weights): a tenth that stays on the floor would make
    all a tenth too slow.
    """
    start, end = means_from.astype(np.float64), means_to.astype(np.float64)
    weights = np.ones(len(start))
    for _ in range(REWEIGHTINGS):
        motion = fit_rigid(start, end, weights)
        error = np.linalg.norm(start @ motion[:3, :3].T + motion[:3, 3] - end, axis=1)
        weights = 1.0 / (1.0 + np.square(error / (CAUCHY * np.median(error) + TINY)))
    return motion, error


def _kmeans(points: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Label of each point, shape [n], int32; every label from 0 up is used, and there are at most ``count``."""
    count = min(count, len(np.unique(points, axis=0)))  # coincident points cannot seed different clusters
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")  # its label is closed up below
        _, labels = scipy.cluster.vq.kmeans2(points, count, minit="++", rng=random)
    return np.unique(labels, return_inverse=True)[1].astype(np.int32)
