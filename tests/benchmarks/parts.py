"""How well the rigid parts of a tracked synthetic scene agree with its truth: ``python -m tests.benchmarks.parts RUN``.

A particle belongs to the body on whose surface it starts. Poses are compared by where they take a body's own frame from
its first instant on: the middle of the body [cm], and the angle [degrees].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from tyro.conf import Positional

from scenes import open_scene
from warpgs.bodies import Parts, find_parts
from warpgs.run import Run
from warpgs.types import GroundTruth, Tracks

NEAR_M = 0.03
"""A particle that starts further from every body than this belongs to none."""


@dataclass(frozen=True)
class Row:
    """A body and the part that holds most of its particles."""

    body: str
    part: str
    particles: int
    center_cm: tuple[float, float]
    """Error of the middle of the body: median and largest over time."""
    angle_deg: tuple[float, float]
    """Error of its rotation: median and largest over time."""


def bodies_of(tracks: Tracks, truth: GroundTruth) -> np.ndarray:
    """Body on whose surface each particle is at first, shape [n]; -1 for the background and what floats."""
    points = truth.points[tracks.timesteps[0]]
    known = np.isfinite(points).all(axis=1)
    distance, nearest = cKDTree(points[known]).query(tracks.means[0])
    body = truth.body_index[np.flatnonzero(known)[nearest]]
    return np.where((distance < NEAR_M) & (tracks.foreground >= 0.5), body, -1)


def adjusted_rand(one: np.ndarray, other: np.ndarray) -> float:
    """Agreement of two labellings, 1 where they are the same but for names (Hubert and Arabie 1985)."""
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one, other), 1)

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    together, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    chance = rows * columns / pairs(np.array([len(one)]))
    return (together - chance) / ((rows + columns) / 2 - chance)


def compare(tracks: Tracks, parts: Parts, truth: GroundTruth) -> Iterator[Row]:
    """A row for each body that has particles."""
    body_of = bodies_of(tracks, truth)
    times = list(tracks.timesteps)
    for body, name in enumerate(truth.body_names):
        held = parts.part_index[(body_of == body) & (parts.part_index >= 0)]
        if len(held) == 0:
            yield Row(name, "none", int((body_of == body).sum()), (np.nan, np.nan), (np.nan, np.nan))
            continue
        part = int(np.bincount(held).argmax())
        pose, true = parts.world_from_part[:, part], truth.world_from_body[times, body]
        # What the tracks say of the body's frame, from where it was at first.
        found = pose @ np.linalg.inv(pose[0]) @ true[0]
        points = truth.points[times[0], truth.body_index == body]
        middle = np.append(np.linalg.inv(true[0])[:3] @ np.append(points.mean(axis=0), 1.0), 1.0)
        center = 100.0 * np.linalg.norm(((found - true) @ middle)[:, :3], axis=1)
        turn = np.swapaxes(true[:, :3, :3], 1, 2) @ found[:, :3, :3]
        angle = np.rad2deg(Rotation.from_matrix(turn).magnitude())
        values = [(float(np.median(error)), float(error.max())) for error in (center, angle)]
        yield Row(name, parts.names[part], int((body_of == body).sum()), *values)


def main(run: Positional[Path], scene: str | None = None) -> None:
    """Compare the parts of a run with the truth of its scene.

    Args:
        run: The run directory.
        scene: The scene, where it is not the one that the run names.
    """
    opened = Run.open(run)
    tracks, truth = opened.tracks(), open_scene(scene or opened.scene_name).ground_truth()
    assert truth is not None, "the scene has no ground truth"
    parts = find_parts(tracks)
    body_of = bodies_of(tracks, truth)
    on_body = body_of >= 0
    labels = np.where(parts.part_index < 0, len(parts), parts.part_index)[on_body]
    rand = adjusted_rand(labels, body_of[on_body])
    print(f"{len(parts)} parts, {len(truth.body_names)} bodies, adjusted Rand index {rand:.4f}\n")
    print("| body | part | particles | center [cm]: median | max | rotation [degrees]: median | max |")
    print("|---|---|---|---|---|---|---|")
    for row in compare(tracks, parts, truth):
        (center, far), (angle, most) = row.center_cm, row.angle_deg
        print(f"| {row.body} | {row.part} | {row.particles} | {center:.2f} | {far:.2f} | {angle:.2f} | {most:.2f} |")


if __name__ == "__main__":
    tyro.cli(main)
