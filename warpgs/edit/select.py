"""Which particles: masks [n], bool, that combine by ``&``, ``|`` and ``~``.

Where a place decides, it is the center of a particle at one instant, ``at``, an index into the timesteps. What is not
born yet is looked for where it will be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import trimesh

from warpgs.bodies import BACKGROUND, DEFORMABLE, Parts
from warpgs.checks import check_shape, refuse
from warpgs.query.geometry import inside, project
from warpgs.query.visibility import visible
from warpgs.types import Camera, Gaussians, Tracks

NO_PARTS = {"background": BACKGROUND, "deformable": DEFORMABLE}
"""Names of what belongs to no part."""

MEASURES: dict[str, Callable[[Gaussians], np.ndarray]] = {
    "x": lambda g: g.means[:, 0],
    "y": lambda g: g.means[:, 1],
    "z": lambda g: g.means[:, 2],
    "red": lambda g: g.colors[:, 0],
    "green": lambda g: g.colors[:, 1],
    "blue": lambda g: g.colors[:, 2],
    "opacity": lambda g: 0.5 + 0.5 * np.tanh(0.5 * g.opacity_logits.astype(np.float64)),
    "size": lambda g: np.exp(g.log_scales.max(axis=1)),
    "foreground": lambda g: g.foreground,
}
"""What ``in_ranges`` can ask of each particle: center [m], color and opacity 0..1, largest standard deviation [m],
probability of being foreground."""


def by_part(parts: Parts, name: str) -> np.ndarray:
    """The particles of a rigid part; of none: "background" (stands still), "deformable".

    Raises:
        ValueError: no such part; names those there are.
    """
    names = {**NO_PARTS, **{part: index for index, part in enumerate(parts.names)}}
    if name not in names:
        refuse(f"part {name!r}", "one of " + ", ".join(names), "none of that name", "warpgs parts lists them")
    return parts.part_index == names[name]


def in_box(
    tracks: Tracks, low: np.ndarray, high: np.ndarray, at: int = 0, world_from_box: np.ndarray | None = None
) -> np.ndarray:
    """What is in a box.

    Args:
        tracks: Of n particles.
        low: Least corner [m], the box's frame, shape [3].
        high: Greatest corner [m], shape [3].
        at: Index of the instant.
        world_from_box: Rigid transform, shape [4, 4]; the world's frame when None.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    check_shape("box: low", low, (3,))
    check_shape("box: high", high, (3,))
    if not (low < high).all():
        refuse("box", "a least corner below the greatest", f"{low.tolist()} and {high.tolist()}")
    points = tracks.means[at].astype(np.float64)
    if world_from_box is not None:
        points = (points - world_from_box[:3, 3]) @ world_from_box[:3, :3]
    return ((points >= low) & (points <= high)).all(axis=1)


def in_mesh(tracks: Tracks, mesh: trimesh.Trimesh, at: int = 0) -> np.ndarray:
    """What is inside of a closed mesh [m], world frame (``trimesh`` decides by rays).

    Raises:
        ValueError: the mesh has holes.
    """
    if not mesh.is_watertight:
        refuse("mesh", "a closed surface", "one with holes", "fill them, or take its convex hull")
    points = tracks.means[at].astype(np.float64)
    chosen = ((points >= mesh.bounds[0]) & (points <= mesh.bounds[1])).all(axis=1)
    if chosen.any():
        chosen[chosen] = mesh.contains(points[chosen])
    return chosen


def in_picture(tracks: Tracks, mask: np.ndarray, camera: Camera, at: int = 0, *, seen: bool = False) -> np.ndarray:
    """What a camera sees within a mask, however deep; ``seen``: only what nothing hides.

    Args:
        tracks: Of n particles.
        mask: Pixels that count, shape [height, width], bool.
        camera: Whose picture it is.
        at: Index of the instant.
        seen: Leave out what is hidden, see ``warpgs.query``.
    """
    check_shape("mask", mask, (camera.height, camera.width))
    points = tracks.means[at].astype(np.float64)
    points_px, _ = project(points, camera)
    chosen = inside(points_px, camera)
    x, y = np.floor(points_px[chosen]).astype(int).T
    chosen[chosen] = mask[y, x] > 0
    if seen and chosen.any():
        chosen[chosen] = visible(points[chosen], tracks.at(at), camera)
    return chosen


def in_ranges(tracks: Tracks, ranges: Mapping[str, tuple[float, float]], at: int = 0) -> np.ndarray:
    """What lies within all of some ranges, ends included, each of one of MEASURES.

    Raises:
        ValueError: something else than MEASURES.
    """
    gaussians = tracks.all_at(at)
    chosen = np.ones(len(gaussians), bool)
    for name, (low, high) in ranges.items():
        if name not in MEASURES:
            refuse(f"range {name!r}", "one of " + ", ".join(MEASURES), "something else")
        values = MEASURES[name](gaussians)
        chosen &= (values >= low) & (values <= high)
    return chosen


def satisfying(tracks: Tracks, predicate: Callable[[Gaussians], np.ndarray], at: int = 0) -> np.ndarray:
    """What a function of your own chooses: Gaussians of n particles to a mask [n].

    Raises:
        ValueError, TypeError: it returns something else.
    """
    chosen = np.asarray(predicate(tracks.all_at(at)))
    check_shape("predicate", chosen, tracks.foreground.shape)
    if chosen.dtype != np.bool_:
        raise TypeError(f"predicate: expected a mask of bool, got {chosen.dtype}")
    return chosen
