"""Plots: where the cameras of a scene stand, and figures over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from warpgs.bodies import DEFORMABLE, Parts
from warpgs.files import whole_file
from warpgs.types import Camera, PointCloud, Tracks

TRAIN_COLOR, TEST_COLOR, CLOUD_COLOR = "tab:blue", "tab:orange", "0.7"
MOST_POINTS = 4000
DPI = 100
VIEWS = (("from above", 0, 1), ("from the side", 0, 2))


def plot_cameras(
    path: Path, train: Sequence[Camera], test: Sequence[Camera], cloud: PointCloud | None, title: str
) -> None:
    """Write a PNG of camera centers, viewing directions and the starting cloud, from above and from the side [m]."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for number, (name, horizontal, vertical) in enumerate(VIEWS, start=1):
        axes = figure.add_subplot(1, len(VIEWS), number)
        axes.set(title=name, xlabel=f"{'xyz'[horizontal]} [m]", ylabel=f"{'xyz'[vertical]} [m]", aspect="equal")
        if cloud is not None:
            points = cloud.points[:: max(1, len(cloud.points) // MOST_POINTS)]
            axes.scatter(points[:, horizontal], points[:, vertical], s=0.3, color=CLOUD_COLOR, label="point cloud")
        _draw_cameras(axes, train, (horizontal, vertical), TRAIN_COLOR, f"{len(train)} train")
        _draw_cameras(axes, test, (horizontal, vertical), TEST_COLOR, f"{len(test)} test")
        if number == 1:
            axes.legend(loc="upper right")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


def plot_parts(path: Path, tracks: Tracks, parts: Parts, title: str) -> None:
    """Write a PNG of the foreground at the first and the last instant, colored by part; what is deformable is gray."""
    figure = Figure(figsize=(12, 10), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for row, index in enumerate((0, len(tracks) - 1)):
        here = np.arange(len(parts.part_index)) < tracks.count_at(index)
        for column, (name, horizontal, vertical) in enumerate(VIEWS):
            axes = figure.add_subplot(2, len(VIEWS), 1 + 2 * row + column)
            axes.set(title=f"timestep {tracks.timesteps[index]}, {name}", aspect="equal")
            axes.set(xlabel=f"{'xyz'[horizontal]} [m]", ylabel=f"{'xyz'[vertical]} [m]")
            for part, label in ((DEFORMABLE, "deformable"), *enumerate(parts.names)):
                points = tracks.means[index, (parts.part_index == part) & here]
                color = CLOUD_COLOR if part == DEFORMABLE else f"C{part % 10}"
                axes.scatter(points[:, horizontal], points[:, vertical], s=1.0, color=color, label=label)
            if row == 0 and column == 1:
                axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, markerscale=6.0)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


@dataclass(frozen=True)
class Panel:
    """One set of axes of ``plot_over_time``."""

    label: str
    """What is drawn, with its unit."""
    lines: Mapping[str, Sequence[float]]
    """Values at each timestep by name; NaN and infinity leave a gap."""


def plot_over_time(path: Path, timesteps: Sequence[int], panels: Sequence[Panel], title: str) -> None:
    """Write a PNG of panels one above the other, all over the same timesteps; a panel of several lines has a legend."""
    with whole_file(path) as temporary:
        draw_over_time(timesteps, panels, title).savefig(temporary, dpi=DPI)


def draw_over_time(timesteps: Sequence[int], panels: Sequence[Panel], title: str) -> Figure:
    """The figure that ``plot_over_time`` writes."""
    figure = Figure(figsize=(10, 1.0 + 2.2 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(len(panels), 1, number)
        axes.set(ylabel=panel.label, xlabel="timestep" if number == len(panels) else "")
        axes.grid(alpha=0.3)
        for name, values in panel.lines.items():
            drawn = np.where(np.isfinite(values), values, np.nan)
            axes.plot(timesteps, drawn, marker=".", linewidth=1.0, label=name)
        if len(panel.lines) > 1:
            axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def plot_reliability(
    path: Path, expected: Sequence[float], observed: Sequence[float], shares: Sequence[float], title: str
) -> None:
    """Write a PNG of what was observed against what was expected, 0..1; the area of a dot is its share of all.

    Args:
        path: Where to write.
        expected: Of each bin; NaN leaves it out.
        observed: The same.
        shares: Of all in each bin, 0..1.
        title: Above the plot.
    """
    figure = Figure(figsize=(6, 6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = figure.add_subplot(1, 1, 1)
    axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.grid(alpha=0.3)
    axes.plot([0, 1], [0, 1], color="0.5", linewidth=1.0, label="as it should be")
    axes.plot(expected, observed, color=TRAIN_COLOR, linewidth=1.0)
    axes.scatter(expected, observed, s=20.0 + 600.0 * np.asarray(shares), color=TRAIN_COLOR, alpha=0.6, clip_on=False)
    axes.legend(loc="upper left")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


def _draw_cameras(axes: Axes, cameras: Sequence[Camera], plane: tuple[int, int], color: str, label: str) -> None:
    if not cameras:
        return
    centers = np.stack([camera.center_world for camera in cameras])
    forward = np.stack([camera.world_from_camera[:3, 2] for camera in cameras])
    length = 0.15 * max(float(np.ptp(centers, axis=0).max()), 1e-3)
    a, b = plane
    axes.scatter(centers[:, a], centers[:, b], s=14, color=color, label=label)
    for center, direction, camera in zip(centers, forward, cameras, strict=True):
        tip = center + length * direction
        axes.plot([center[a], tip[a]], [center[b], tip[b]], color=color, linewidth=1.0)
        axes.annotate(camera.name, (center[a], center[b]), fontsize=6, textcoords="offset points", xytext=(3, 3))
