"""A recording in pictures: cameras in space, masks and cloud over what they see, matches against the calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.axes3d import Axes3D
from PIL import Image

from warpgs.diagnose.faults import brightness
from warpgs.diagnose.features import PairMatches
from warpgs.types import Camera, Frame
from warpgs.view import Section, masked_picture, strip
from warpgs.view.page import rasterize

MOST_CAMERAS = 12
"""Pictures shown of a rig, spread over all cameras."""
MOST_POINTS = 3000
TEXELS = 24
"""Pixels along the longer side of a picture in space."""
DOT = 1
"""Points over pictures are squares of 2 x this + 1 px."""


def sections(frame: Frame, pairs: Sequence[PairMatches], points_world: np.ndarray | None) -> list[Section]:
    """Everything there is to see of one instant."""
    masks = frame.masks or (None,) * len(frame.cameras)
    shown = [masked_picture(image, mask) for image, mask in zip(frame.images, masks, strict=True)]
    note = "Gray is background, the red line the mask's edge." if frame.masks else "There are no masks."
    result = [
        Section("Cameras", rasterize(_in_space(frame, points_world)), "Pictures where they were taken; points."),
        Section("Pictures and masks", _rows([shown[i] for i in _chosen(len(shown))]), note),
    ]
    if points_world is not None:
        dotted = [_dotted(frame.images[i], frame.cameras[i], points_world) for i in _chosen(len(shown))]
        note = "Points of the scene as the calibration projects them, near ones red: they must lie on what they show."
        result.append(Section("Cloud over the pictures", _rows(dotted), note))
    if pairs:
        note = "Median distance of matched features from their epipolar lines [px]. A dark row and column: that camera."
        result.append(Section("Matches", rasterize(_matrix(frame.cameras, pairs)), note))
    result.append(Section("Brightness", rasterize(_bars(frame)), "Mean of each picture, 0..1."))
    return result


def _chosen(count: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(count, MOST_CAMERAS)).round().astype(int)).tolist()


def _rows(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of any sizes, four to a row."""
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    full = [np.full((height, width, 3), 255, np.uint8) for _ in range(-len(pictures) % 4 + len(pictures))]
    for page, picture in zip(full, pictures, strict=False):
        page[: picture.shape[0], : picture.shape[1]] = picture
    return strip([full[i : i + 4] for i in range(0, len(full), 4)])


def _in_space(frame: Frame, points_world: np.ndarray | None) -> Figure:
    figure = Figure(figsize=(11, 8), layout="constrained")
    # By depth, Matplotlib hides a camera that is seen from behind under its own picture.
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    assert isinstance(axes, Axes3D)
    centers = np.stack([camera.center_world for camera in frame.cameras])
    depth = 0.2 * max(float(np.linalg.norm(centers - centers.mean(axis=0), axis=1).max()), 1e-6)
    for camera, image in zip(frame.cameras, frame.images, strict=True):
        small = Image.fromarray(image)
        small.thumbnail((TEXELS, TEXELS), Image.Resampling.BOX)
        columns, rows = (np.linspace(0.0, side, n + 1) for side, n in zip(_size(camera), small.size, strict=True))
        u, v = np.meshgrid(columns, rows)
        rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
        plane = depth * rays @ camera.world_from_camera[:3, :3].T + camera.center_world
        colors = np.asarray(small) / 255.0
        axes.plot_surface(*np.moveaxis(plane, 2, 0), facecolors=colors, rstride=1, cstride=1, shade=False, zorder=1)
        for corner in plane[[0, 0, -1, -1], [0, -1, 0, -1]]:
            axes.plot(*np.stack([camera.center_world, corner]).T, color="tab:blue", linewidth=0.7, zorder=2)
        axes.text(*camera.center_world, camera.name, fontsize=7, zorder=3)
    if points_world is not None:
        inner = points_world[np.linalg.norm(points_world - centers.mean(axis=0), axis=1) < 8.0 * depth]
        inner = inner[:: max(1, len(inner) // MOST_POINTS)]
        axes.scatter(*inner.T, s=0.4, color="0.6")
    axes.set(xlabel="x", ylabel="y", zlabel="z")
    axes.set_aspect("equal")
    return figure


def _size(camera: Camera) -> tuple[int, int]:
    return camera.width, camera.height


def _dotted(image: np.ndarray, camera: Camera, points_world: np.ndarray) -> np.ndarray:
    """A small, pale picture with points over it, from blue (far) to red (near)."""
    small = masked_picture(image, None)
    camera = camera.resized(small.shape[1], small.shape[0])
    points = points_world[:: max(1, len(points_world) // MOST_POINTS)]
    local = (points - camera.center_world) @ camera.world_from_camera[:3, :3]
    local = local[local[:, 2] > 0.0]
    pixels = local @ camera.intrinsics.T / local[:, 2:]
    inside = (pixels[:, :2] >= 0.0).all(axis=1) & (pixels[:, :2] < _size(camera)).all(axis=1)
    pixels, depth = pixels[inside].astype(int), local[inside, 2]
    shown = (160 + 0.37 * small).astype(np.uint8)
    near = 1.0 - np.argsort(np.argsort(depth)) / max(len(depth), 1)
    for i in np.argsort(-depth):
        column, row = pixels[i, :2]
        color = (int(255 * near[i]), 40, int(255 * (1.0 - near[i])))
        shown[max(row - DOT, 0) : row + DOT + 1, max(column - DOT, 0) : column + DOT + 1] = color
    return shown


def _matrix(cameras: Sequence[Camera], pairs: Sequence[PairMatches]) -> Figure:
    values = np.full((len(cameras), len(cameras)), np.nan)
    for pair in pairs:
        values[pair.first, pair.second] = values[pair.second, pair.first] = np.median(pair.error_px)
    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(values, cmap="viridis_r", vmin=0.0)
    names = [camera.name for camera in cameras]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    figure.colorbar(shown, label="[px]")
    return figure


def _bars(frame: Frame) -> Figure:
    figure = Figure(figsize=(10, 2.5), layout="constrained")
    axes = figure.add_subplot()
    axes.bar([camera.name for camera in frame.cameras], brightness(frame).tolist())
    axes.tick_params(axis="x", labelrotation=90, labelsize=7)
    return figure
