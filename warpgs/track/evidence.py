"""What speaks for and against each moving particle once a timestep is tracked: how much of it the cameras see, how well
the pictures fit there, and how well its neighbors agree.

A separate look at a few views, after the optimization: tracks do not change by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import warp as wp

from warpgs.particles import Particles
from warpgs.priors import Rest
from warpgs.reconstruct.objective import Objective
from warpgs.render import Rasterizer
from warpgs.render.shade import GRADIENT
from warpgs.types import Camera

MOST_VIEWS = 8
"""Views looked at in each timestep: 4 % of its time where it takes 120 steps of two views."""
DESKS = 2
"""Views looked at side by side."""
SUMS = 4
"""Numbers gathered for each particle: alpha, light, and the light times what ``signals_kernel`` writes."""
ROUNDS = 4
"""How often evidence is averaged over each particle and its neighbors: one particle alone shows little."""
UNSEEN = 1e-4
"""Weight of a particle that no view sees, where weights are visibilities."""
TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of m moving particles at one timestep, float32, shape [m] each. All but ``visibility`` are means over the
    surroundings of a particle; what pictures show is weighted by visibility."""

    visibility: np.ndarray
    """Share of the light of the particle that reaches the views, 0..1: sum of T alpha over sum of alpha."""
    seen: np.ndarray
    """The same of its surroundings."""
    residual: np.ndarray
    """Absolute difference of picture and rendering, 0..1."""
    contrast: np.ndarray
    """Gradient of the picture [1/px]: without any, sliding goes unnoticed."""
    strain: np.ndarray
    """How far neighbors are from where the particle's rotation puts them, relative to its first timestep [radii]."""
    twist: np.ndarray
    """Angle between the rotations of neighbors since their first timestep [rad]."""


@wp.kernel(enable_backward=False)
def signals_kernel(
    # inputs
    image: wp.array3d[float],
    pictures: wp.array4d[float],
    picture_index: wp.array[wp.int32],
    log_gains: wp.array2d[float],
    offsets: wp.array2d[float],
    view_index: wp.array[wp.int32],
    # outputs
    signals: wp.array3d[float],
):
    """What is gathered under each particle, a channel each: absolute residual and contrast, means over the colors."""
    y, x = wp.tid()
    picture = picture_index[0]
    view = view_index[0]
    left, right = wp.max(x - 1, 0), wp.min(x + 1, image.shape[2] - 1)
    above, below = wp.max(y - 1, 0), wp.min(y + 1, image.shape[1] - 1)
    residual = float(0.0)
    contrast = float(0.0)
    for c in range(3):
        shown = wp.exp(log_gains[view, c]) * image[c, y, x] + offsets[view, c]
        residual += wp.abs(shown - pictures[picture, c, y, x])
        across = pictures[picture, c, y, right] - pictures[picture, c, y, left]
        down = pictures[picture, c, below, x] - pictures[picture, c, above, x]
        contrast += 0.5 * wp.sqrt(across * across + down * down)
    signals[0, y, x] = residual / 3.0
    signals[1, y, x] = contrast / 3.0


@wp.kernel(enable_backward=False)
def gather_kernel(
    # inputs
    seen: wp.array2d[float],
    adj_records: wp.array2d[float],
    # outputs, accumulated
    sums: wp.array2d[float],
):
    """Add what one view says of each particle."""
    i = wp.tid()
    sums[i, 0] += seen[i, 0]
    sums[i, 1] += seen[i, 1]
    for c in range(2):
        sums[i, 2 + c] += adj_records[i, wp.static(GRADIENT) + c]


@wp.kernel(enable_backward=False)
def disagreement_kernel(
    # inputs
    means: wp.array[wp.vec3],
    rotations: wp.array[wp.quat],
    first_means: wp.array[wp.vec3],
    first_rotations: wp.array[wp.quat],
    neighbors: wp.array2d[wp.int32],
    weights: wp.array2d[float],
    # outputs
    strain: wp.array2d[float],
    twist: wp.array2d[float],
):
    """Weighted means over the neighbors of a particle, see Evidence."""
    i = wp.tid()
    turn = wp.normalize(rotations[i]) * wp.quat_inverse(first_rotations[i])
    total = float(1e-12)
    strains = float(0.0)
    twists = float(0.0)
    for j in range(neighbors.shape[1]):
        neighbor = neighbors[i, j]
        weight = weights[i, j]
        expected = wp.quat_rotate(turn, first_means[neighbor] - first_means[i])
        strains += weight * wp.length(means[neighbor] - means[i] - expected)
        other = wp.normalize(rotations[neighbor]) * wp.quat_inverse(first_rotations[neighbor])
        twists += weight * 2.0 * wp.acos(wp.min(wp.abs(wp.dot(turn, other)), 1.0))
        total += weight
    strain[i, 0] = strains / total
    twist[i, 0] = twists / total


@wp.kernel(enable_backward=False)
def average_kernel(
    # inputs
    columns: wp.array2d[float],
    neighbors: wp.array2d[wp.int32],
    # outputs
    averaged: wp.array2d[float],
):
    """Mean of each column over a particle and its neighbors."""
    i = wp.tid()
    count = neighbors.shape[1]
    for c in range(columns.shape[1]):
        total = columns[i, c]
        for j in range(count):
            total += columns[neighbors[i, j], c]
        averaged[i, c] = total / float(count + 1)


class Witness:
    """Looks at every timestep. Owns its buffers: nothing that the tracker works with is touched."""

    def __init__(self, objective: Objective) -> None:
        """Look through the cameras of ``objective``, at the pictures that it holds then."""
        self._objective = objective
        self._desks: list[dict[tuple[int, ...], _Desk]] = [{} for _ in range(DESKS)]
        self._met = False

    def look(self, particles: Particles, moving: int) -> np.ndarray:
        """Add up what some views say about the first ``moving`` particles, shape [moving, SUMS].

        Args:
            particles: All particles but those that the objective holds.
            moving: How many of them to judge.
        """
        if not moving:
            return np.zeros((0, SUMS), np.float32)
        views = spread(self._objective.cameras, MOST_VIEWS)
        sums = wp.zeros((DESKS, moving, SUMS), dtype=float, device=self._objective.device)

        def work(desk: int) -> None:
            for view in views[desk::DESKS]:
                self._desk(desk, view, particles, moving).take_in(self._objective, particles, view, sums[desk])

        # each desk has its views and its sums, so that results do not depend on the number of threads; the first time
        # kernels are loaded, which Warp must not do from two threads at once
        list((self._objective.map if self._met else map)(work, range(DESKS)))
        self._met = True
        return sums.numpy().sum(axis=0)

    def _desk(self, desk: int, view: int, particles: Particles, moving: int) -> _Desk:
        camera = self._objective.cameras[view]
        key = camera.width, camera.height, len(particles), moving
        desks = self._desks[desk]
        if key not in desks:
            desks[key] = _Desk.make(self._objective, particles, moving, camera)
        return desks[key]


@dataclass(frozen=True, eq=False)
class _Desk:
    """Buffers for one view at a time."""

    rasterizer: Rasterizer
    signals: wp.array3d
    """What is gathered, shape [channels, height, width]; the last channels stay 0."""
    gradients: Particles
    """Written and not read: of the backward pass only the sums under each splat are wanted."""
    seen: wp.array2d
    """See Rasterizer.visibility, shape [particles, 2]."""

    @staticmethod
    def make(objective: Objective, particles: Particles, moving: int, camera: Camera) -> _Desk:
        device, channels = objective.device, objective.channels
        return _Desk(
            Rasterizer(len(particles), camera.width, camera.height, channels=channels, device=device),
            wp.zeros((len(channels), camera.height, camera.width), dtype=float, device=device),
            particles.zeros_like(moving),
            wp.zeros((len(particles), 2), dtype=float, device=device),
        )

    def take_in(self, objective: Objective, particles: Particles, view: int, sums: wp.array2d) -> None:
        """Add what one view says to ``sums``, shape [moving, SUMS].

        The derivative of a picture by the color of a splat is its share of each pixel, T alpha: a backward pass with
        the signals in place of the gradient of a loss gathers them under every splat.
        """
        rasterizer, device = self.rasterizer, objective.device
        objective.draw(rasterizer, particles, view)
        inputs = [rasterizer.image, *objective.comparison(view)]
        shape = self.signals.shape[1:]
        wp.launch(signals_kernel, shape, inputs, [self.signals], device=device, record_tape=False)
        index = objective.view_index(view)
        rasterizer.backward(particles, objective.views, index, self.signals, self.gradients)
        rasterizer.visibility(self.seen)
        inputs = [self.seen, rasterizer.adj_records]
        wp.launch(gather_kernel, len(self.gradients), inputs, [sums], device=device, record_tape=False)


def evidence(sums: np.ndarray, particles: Particles, rest: Rest | None) -> Evidence:
    """Put together what is known of each moving particle.

    Args:
        sums: From ``Witness.look``.
        particles: The moving particles, m of them; lengths in scene radii.
        rest: Their neighbors and where they were at their first timestep; None where there are too few.
    """
    alpha, light = (np.maximum(sums[:, i : i + 1], TINY) for i in range(2))
    visibility = np.clip(sums[:, 1:2] / alpha, 0.0, 1.0)
    weight = visibility + UNSEEN
    shown = weight * np.maximum(sums[:, 2:] / light, 0.0)
    columns = np.concatenate([visibility, weight, shown, *_disagreement(particles, rest)], axis=1)
    seen, total, residual, contrast, strain, twist = _averaged(columns, rest, particles.device).T
    return Evidence(visibility[:, 0], seen, residual / total, contrast / total, strain, twist)


def _disagreement(particles: Particles, rest: Rest | None) -> list[np.ndarray]:
    """Strain and twist of each particle, shape [m, 1] each."""
    device, count = particles.device, len(particles)
    outputs = [wp.zeros((count, 1), dtype=float, device=device) for _ in range(2)]
    if rest is not None:
        inputs = [particles.means, particles.rotations, rest.means, rest.rotations, rest.neighbors, rest.weights]
        wp.launch(disagreement_kernel, count, inputs, outputs, device=device, record_tape=False)
    return [output.numpy() for output in outputs]


def _averaged(columns: np.ndarray, rest: Rest | None, device: wp.Device) -> np.ndarray:
    """Columns averaged over the surroundings of each particle."""
    if rest is None:
        return columns
    averaged, scratch = (wp.array(columns, dtype=float, device=device) for _ in range(2))
    for _ in range(ROUNDS):
        averaged, scratch = scratch, averaged
        inputs = [scratch, rest.neighbors]
        wp.launch(average_kernel, len(columns), inputs, [averaged], device=device, record_tape=False)
    return averaged.numpy()


def spread(cameras: Sequence[Camera], most: int) -> list[int]:
    """At most ``most`` cameras, far from each other: each next one is the farthest from those chosen before.

    It starts from the one farthest from the mean, so that the choice does not depend on the order of the cameras.
    """
    centers = np.array([camera.center_world for camera in cameras])
    distance = np.linalg.norm(centers - centers.mean(axis=0), axis=1)
    chosen: list[int] = []
    for _ in range(min(most, len(cameras))):
        chosen.append(int(distance.argmax()))
        to_last = np.linalg.norm(centers - centers[chosen[-1]], axis=1)
        distance = to_last if len(chosen) == 1 else np.minimum(distance, to_last)
        distance[chosen] = -1.0  # cameras may share a place
    return chosen
