"""Bodies that are not where they are expected are looked for: what was hit may be anywhere near.

Gradients lead a body back only where it overlaps with its picture. Before a timestep is optimized, poses around the
expected one are tried by the cross-entropy method (Rubinstein 1999): they are drawn from a normal distribution, which
moves to the best of them. A pose is good where single pixels of all views have the colors of the body's particles. What
bends is moved as one: its parts are left to the optimization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from warpgs.math.graph import connected_pieces, members
from warpgs.math.pinhole import view_struct
from warpgs.priors import Rest
from warpgs.query.geometry import inside, project, to_camera
from warpgs.reconstruct.objective import Objective, same_views
from warpgs.render import Renderer
from warpgs.track.config import SearchConfig
from warpgs.track.evidence import spread
from warpgs.track.predict import Poses
from warpgs.types import Camera, Gaussians

SAMPLES = 64
"""Particles that stand for a body; one of fewer than half as many is left where it is expected."""
BODIES = 40
"""The largest ones are looked for, where there are more."""
VIEWS = 10
"""Views that are asked."""
REACHES = (3, 3, 2, 2, 1, 1, 0, 0)
"""How far beside its place a color may lie, in each round [px of PIXELS]: narrow bodies are met from some distance,
too."""
PIXELS = 320
"""Along the longer side of a picture."""
BEST = 20
"""Poses of a round that decide where those of the next are drawn."""
SPREAD = 1.2
"""The next are drawn so much wider than these lie, as few fall short of how wide all that are good do."""
UNLIKE = 0.25
"""Difference of color, root mean square over its channels, that is no likeness at all."""
LEAST_VIEWS = 2
"""One view does not tell how far away a body is."""
PRIOR = 0.01
"""Unlikeness that a pose one standard deviation away from the expected one has to make up for: where pictures do not
tell, as of a ball of one color, nothing moves."""
TIE = 0.1
"""Neighbors of smaller weight do not hold together."""
CELLS = 80
"""A particle hides what is behind it in its cell of the picture, which is so many cells wide."""
SLACK = 0.01
"""What other particles hide is more than this behind them [scene radii]."""
DEEP = 0.05
"""What background hides is more than this behind it [scene radii]: what falls is expected below the floor, when it is
about to bounce, and must be looked for all the same."""

View = view_struct(wp.float32)


@wp.kernel(enable_backward=False)
def unlikeness_kernel(
    # inputs
    places: wp.array2d[wp.vec3],
    colors: wp.array[wp.vec3],
    visible: wp.array[wp.bool],
    views: wp.array[View],
    view_index: wp.array[wp.int32],
    pictures: wp.array4d[float],
    picture_index: wp.array[wp.int32],
    masked: wp.bool,
    reach: int,
    # outputs, accumulated
    sums: wp.array2d[float],
):
    """Add how unlike its picture in one view each sample is at each pose, 0..1: the least within ``reach`` pixels; 1
    outside of the picture."""
    pose, i = wp.tid()
    if not visible[i]:
        return
    view = views[view_index[0]]
    picture = picture_index[0]
    local = view.rotation * places[pose, i] + view.translation
    unlikeness = float(1.0)
    if local[2] > view.near:
        column = int(wp.floor(local[0] / local[2] * view.focal_px[0] + view.center_px[0]))
        row = int(wp.floor(local[1] / local[2] * view.focal_px[1] + view.center_px[1]))
        if column >= 0 and row >= 0 and column < view.width and row < view.height:
            for dy in range(-reach, reach + 1, wp.max(reach, 1)):
                y = wp.clamp(row + dy, 0, view.height - 1)
                for dx in range(-reach, reach + 1, wp.max(reach, 1)):
                    x = wp.clamp(column + dx, 0, view.width - 1)
                    if not masked or pictures[picture, 3, y, x] >= 0.5:
                        seen = wp.vec3(
                            pictures[picture, 0, y, x], pictures[picture, 1, y, x], pictures[picture, 2, y, x]
                        )
                        square = wp.length_sq(colors[i] - seen)
                        unlikeness = wp.min(unlikeness, square / wp.static(3.0 * UNLIKE * UNLIKE))
    sums[pose, i] += unlikeness


def bodies_of(rest: Rest) -> list[np.ndarray]:
    """What holds together: the particles of each connected piece of neighbors, those of the largest first."""
    neighbors, weights = rest.neighbors.numpy(), rest.weights.numpy()
    here, place = np.nonzero(weights > TIE)
    pieces = members(connected_pieces(here, neighbors[here, place], len(neighbors)))
    return sorted(pieces, key=len, reverse=True)


class Search:
    """Looks for bodies in the pictures that the objective holds."""

    def __init__(
        self, objective: Objective, colors: np.ndarray, background: Gaussians, config: SearchConfig, seed: int
    ) -> None:
        """Get ready.

        Args:
            objective: Knows cameras, pictures and color corrections; in the working frame.
            colors: RGB of the m particles that move, shape [m, 3].
            background: What does not move.
            config: How many poses, how far away.
            seed: Decides what is drawn.
        """
        self._objective, self._colors, self._background = objective, colors, background
        self._config, self._seed = config, seed
        self._renderer = Renderer(str(objective.device), 1)
        self._seen_from: list[Camera] = []
        self._depths: list[np.ndarray] = []
        wp.load_module(__name__, device=objective.device)  # Warp must not do that from two threads at once

    def improve(
        self,
        last: np.ndarray,
        expected: Poses,
        bodies: Sequence[np.ndarray],
        *,
        masked: bool,
        wide: float,
        timestep: int,
    ) -> Poses:
        """Where bodies are rather than where they are expected.

        Args:
            last: Centers of the m particles at the timestep before, which tell what views see of them [scene radii],
                shape [m, 3].
            expected: Their poses at this one.
            bodies: Which of them hold together, the largest first.
            masked: Whether the pictures have masks.
            wide: Factor on how far away is looked.
            timestep: Decides, with the seed, what is drawn.
        """
        look = self._look(last, masked)
        found = [rows for rows in bodies[:BODIES] if len(rows) >= SAMPLES // 2]
        means, rotations = (pose.copy() for pose in expected)
        width = wide * np.repeat([self._config.shift, self._config.turn], 3)

        def improve(number: int) -> None:
            rows = found[number]
            random = np.random.default_rng([self._seed, 4, timestep, number])
            move = look.best_move(rows, means[rows], width, self._config, random)
            if move is not None:
                center, turn = means[rows].mean(axis=0), Rotation.from_rotvec(move[3:])
                means[rows] = center + move[:3] + turn.apply(means[rows] - center)
                turned = turn * Rotation.from_quat(rotations[rows], scalar_first=True)
                rotations[rows] = turned.as_quat(scalar_first=True)

        self._objective.map(improve, range(len(found)))
        return means, rotations

    def _look(self, means: np.ndarray, masked: bool) -> _Look:
        """Some views, and what they see of particles at ``means``."""
        views = spread(self._objective.cameras, VIEWS)
        cameras = [self._objective.cameras[view] for view in views]
        if not same_views(cameras, self._seen_from):
            near = self._objective.near
            pictures = [self._renderer.view(self._background, each, near=near, median_depth=True) for each in cameras]
            self._seen_from, self._depths = cameras, [picture.median_depth for picture in pictures]
        points = means.astype(np.float64)
        visible = [_visible(points, each, depth) for each, depth in zip(cameras, self._depths, strict=True)]
        return _Look(self._objective, self._colors, views, self._depths, np.stack(visible), masked)


@dataclass(frozen=True, eq=False)
class _Look:
    """At the pictures of one timestep."""

    objective: Objective
    colors: np.ndarray
    views: list[int]
    depths: list[np.ndarray]
    """Of the background in each of ``views`` [scene radii], 0 where it lets light through, shape [h, w] each."""
    visible: np.ndarray
    """Which particles each view sees, shape [v, m], bool."""
    masked: bool

    def best_move(
        self,
        rows: np.ndarray,
        means: np.ndarray,
        width: np.ndarray,
        config: SearchConfig,
        random: np.random.Generator,
    ) -> np.ndarray | None:
        """Shift and rotation vector about the centroid that bring a body to where it looks like itself, shape [6]; None
        where it does so already, or nowhere.

        Args:
            rows: Its particles.
            means: Where they are expected, shape [len(rows), 3].
            width: Standard deviations of the poses tried first, shape [6].
            config: How many are tried, and what is much.
            random: Draws.
        """
        center, chosen = means.mean(axis=0), random.permutation(len(rows))[:SAMPLES]
        samples, points = rows[chosen], means[chosen] - center
        visible = self.visible[:, samples] & self._sure(means[chosen])
        if visible.any(axis=1).sum() < LEAST_VIEWS or visible.sum() < len(samples):
            return None
        questions = self._questions(samples, visible)

        def unlikeness(moves: np.ndarray, reach: int) -> np.ndarray:
            turned = Rotation.from_rotvec(moves[:, 3:]).as_matrix() @ points.T
            places = center + moves[:, None, :3] + turned.transpose(0, 2, 1)
            mean = self._summed(questions, places, reach) / visible.sum()
            return mean + PRIOR * np.square(moves / width).sum(axis=1)

        middle, deviation = np.zeros(6), width
        moves, costs = np.zeros((1, 6)), np.ones(1)
        camera = self.objective.cameras[self.views[0]]
        scale = max(camera.width, camera.height) / PIXELS
        for reach in REACHES:
            moves = middle + deviation * random.normal(size=(config.draws, 6))
            costs = unlikeness(moves, round(reach * scale))
            best = moves[np.argsort(costs)[:BEST]]
            middle, deviation = best.mean(axis=0), SPREAD * best.std(axis=0)
        least = int(costs.argmin())
        expected = unlikeness(np.zeros((1, 6)), REACHES[-1])[0]
        return moves[least] if costs[least] < expected - config.gain else None

    def _sure(self, points: np.ndarray) -> np.ndarray:
        """Which of some points each view must show where they are, shape [v, s]: none of what reaches over the border
        of its picture, which would be drawn inwards, and nothing that background hides."""
        sure = []
        for view, depth in zip(self.views, self.depths, strict=True):
            camera = self.objective.cameras[view]
            points_px, z = _seen_at(points, camera)
            sure.append(inside(points_px, camera).all() & _unhidden(points_px, z, camera, depth))
        return np.stack(sure)

    def _questions(self, samples: np.ndarray, visible: np.ndarray) -> list[list]:
        """What the kernel is told of each view, after the places and before the reach.

        Args:
            samples: Particles, shape [s].
            visible: Which of them each view sees, shape [v, s], bool.
        """
        objective, colors = self.objective, self.colors[samples]
        device = objective.device
        gains, offsets = np.exp(objective.log_gains.numpy()), objective.offsets.numpy()
        questions = []
        for view, seen in zip(self.views, visible, strict=True):
            if seen.any():
                pictures, picture, _, _, index = objective.comparison(view)
                shown = wp.array(gains[view] * colors + offsets[view], dtype=wp.vec3, device=device)
                there = wp.array(seen, dtype=wp.bool, device=device)
                questions.append([shown, there, objective.views, index, pictures, picture, self.masked])
        return questions

    def _summed(self, questions: list[list], places: np.ndarray, reach: int) -> np.ndarray:
        """Unlikeness at ``places``, shape [n, s, 3], summed over samples and the views that see them; shape [n]."""
        device = self.objective.device
        at = wp.array(places.astype(np.float32), dtype=wp.vec3, device=device)
        sums = wp.zeros(at.shape, dtype=float, device=device)
        for question in questions:
            wp.launch(unlikeness_kernel, at.shape, [at, *question, reach], [sums], device=device, record_tape=False)
        return sums.numpy().sum(axis=1)


def _visible(means: np.ndarray, camera: Camera, background: np.ndarray) -> np.ndarray:
    """Which particles a camera sees: those that neither others nor background of such depths hide, shape [m], bool."""
    points_px, z = _seen_at(means, camera)
    result = _unhidden(points_px, z, camera, background)
    rows = np.flatnonzero(result)
    x, y = np.floor(points_px[rows] * (CELLS / camera.width)).astype(int).T
    cell = y * CELLS + x
    nearest = np.full(cell.max(initial=0) + 1, np.inf)
    np.minimum.at(nearest, cell, z[rows])
    result[rows] = z[rows] < nearest[cell] + SLACK
    return result


def _seen_at(means: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Positions in a camera's picture [px], shape [m, 2], and depths, shape [m]."""
    return project(means, camera)[0], to_camera(means, camera)[:, 2]


def _unhidden(points_px: np.ndarray, z: np.ndarray, camera: Camera, background: np.ndarray) -> np.ndarray:
    """Which particles are in a camera's picture and not behind background of such depths, shape [m], bool."""
    result = inside(points_px, camera)
    x, y = points_px[result].astype(int).T
    depth = np.where(background[y, x] > 0.0, background[y, x], np.inf)
    result[result] = z[result] < depth + DEEP
    return result
