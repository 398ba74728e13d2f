"""What the first timestep starts from: Gaussians on a point cloud, and a cloud where the source has none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from warpgs.checks import check_frame, check_masks_not_empty, check_point_cloud, refuse
from warpgs.neighbors import nearest_neighbors
from warpgs.particles import logit
from warpgs.reconstruct.background import ColoredPoints, background_points, complete_depths, shell_points
from warpgs.reconstruct.hull import HullVotes, visual_hull
from warpgs.reconstruct.sweep import DepthMaps, SweepRange, rank_neighbors, sweep_depths
from warpgs.reconstruct.views import Rig, Views, fitted_size, pixels_of
from warpgs.types import Frame, Gaussians, PointCloud

SPACING_NEIGHBORS = 3
"""A Gaussian's size is the mean distance to this many neighbors, as in 3D Gaussian splatting."""

LEAST_COUNTS = {
    "hull_point_limit": 100,
    "sweep_cells": 8,
    "sweep_hypotheses": 8,
    "sweep_views": 1,
    "background_point_limit": 100,
    "shell_points": 0,
}
"""Counts of the configuration and the least that each makes sense with."""

HULL_PIXELS = 640
"""The hull is carved from masks of at most this many pixels along the longer side."""

LEAST_HULL_VIEWS = 4
"""A voxel must be seen by so many cameras (all but one, where there are fewer): cones of two or three reach far out.
With eight cameras, a tenth of the hull's points lay a metre off; now 4 cm."""

CELL_PIXELS = 2
"""Edge of a cell in the pictures of the sweep [px]."""

REFINEMENT = 4
"""Hypotheses of the second sweep per hypothesis of the first."""

REFINEMENT_REACH = 2
"""Hypotheses of the first sweep by which the second may move a depth, up or down."""

AGREEMENT_STEPS = 1.5
"""Cameras agree on a depth within this many hypotheses of the first sweep; half as many after the second."""

MASKED_SHARE = 0.02
"""A cell with more foreground than this is not background."""


@dataclass(frozen=True)
class SeedConfig:
    """How the first timestep starts.

    Lengths are relative to the rig of cameras: its radius is 1.1 x the largest distance of a camera from their mean.
    """

    opacity: float = 0.5
    """Opacity of every Gaussian, 0..1 exclusive. 0.1, as in 3D Gaussian splatting, costs 0.6 dB in the few steps of
    preset ``fast``."""
    scale_limits: tuple[float, float] = (0.1, 10.0)
    """Least and largest standard deviation of a Gaussian, median spacings of its layer (foreground or background)."""
    foreground_certainty: float = 0.98
    """Probability given to what is known to be foreground; its complement to what is known to be background."""
    vote_share: float = 0.5
    """A point of unknown layer is foreground where its share of masks among the views that see it is larger."""
    hull_dissent: float = 0.1
    """Share of the views of a voxel that may call it background and be outvoted."""
    hull_view_share: float = 0.2
    """Share of all cameras that must see a voxel."""
    hull_extent: float = 16.0
    """Half the edge of the cube searched for foreground, rig radii."""
    hull_pixel_share: float = 1.0 / 213.0
    """Edge of a voxel as seen from the cameras, share of the picture's longer side: 3 px of 640."""
    hull_point_limit: int = 20_000
    """Voxels grow until the hull's surface has no more points."""
    sweep_cells: int = 80
    """Cells along the longer side of a picture; the background gets about a point per cell."""
    sweep_hypotheses: int = 96
    """Depths tried per cell."""
    sweep_depths: tuple[float, float] = (0.25, 100.0)
    """Least and largest depth tried, rig radii."""
    sweep_views: int = 4
    """Cameras that each picture is compared with."""
    clearance: float = 0.05
    """No background point starts this near to a camera, rig radii: it would hide everything else."""
    background_point_limit: int = 50_000
    """Background points are merged until there are no more."""
    shell_points: int = 2000
    """Points on a sphere behind everything."""

    def __post_init__(self) -> None:
        if not 0.0 < self.opacity < 1.0:
            refuse("opacity", "a number between 0 and 1", self.opacity)
        if not 0.0 < self.scale_limits[0] <= self.scale_limits[1]:
            refuse("scale_limits", "0 < least <= largest", self.scale_limits)
        if not 0.5 < self.foreground_certainty < 1.0:
            refuse("foreground_certainty", "a number between 0.5 and 1", self.foreground_certainty)
        for name in ("vote_share", "hull_dissent", "hull_view_share"):
            if not 0.0 <= getattr(self, name) < 1.0:
                refuse(name, "a share from 0 to below 1", getattr(self, name))
        if not 0.0 < self.sweep_depths[0] < self.sweep_depths[1]:
            refuse("sweep_depths", "0 < least < largest", self.sweep_depths)
        for name, least in LEAST_COUNTS.items():
            if getattr(self, name) < least:
                refuse(name, f"at least {least}", getattr(self, name))
        if self.clearance < 0.0:
            refuse("clearance", "0 or more", self.clearance)
        for name in ("hull_extent", "hull_pixel_share"):
            if getattr(self, name) <= 0.0:
                refuse(name, "more than 0", getattr(self, name))


def seed_from_cloud(
    cloud: PointCloud, frame: Frame, config: SeedConfig = SeedConfig(), *, device: wp.DeviceLike = "cpu"
) -> Gaussians:
    """Gaussians that start the first timestep: round, as large as the points are apart, half opaque.

    Args:
        cloud: Starting points. Where ``foreground`` is None the masks vote; without masks nothing is known to stand
            still, so all are foreground.
        frame: The first timestep; its masks are used only for the vote.
        config: Opacity, size limits, votes.
        device: Where the neighbors are searched.

    Raises:
        ValueError: a broken cloud or frame, or fewer than 4 points.
    """
    check_point_cloud("starting cloud", cloud)
    check_frame(f"timestep {frame.timestep}", frame)
    count = len(cloud.points)
    if count <= SPACING_NEIGHBORS:
        refuse("starting cloud", f"at least {SPACING_NEIGHBORS + 1} points", count, "start without a cloud")
    points = np.ascontiguousarray(cloud.points, np.float32)
    foreground = cloud.foreground if cloud.foreground is not None else vote_foreground(points, frame, config.vote_share)
    _, distances = nearest_neighbors(wp.array(points, dtype=wp.vec3, device=device), SPACING_NEIGHBORS)
    spacing = _limited(distances.numpy().mean(axis=1), np.asarray(foreground, bool), config.scale_limits)
    certainty = np.float32(config.foreground_certainty)
    return Gaussians(
        means=points,
        rotations_wxyz=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        log_scales=np.repeat(np.log(spacing)[:, None], 3, axis=1).astype(np.float32),
        colors=np.clip(cloud.colors, 0.0, 1.0).astype(np.float32),
        opacity_logits=np.full(count, logit(np.array(config.opacity)), np.float32),
        foreground=np.where(foreground, certainty, 1.0 - certainty).astype(np.float32),
    )


def seed_without_cloud(frame: Frame, config: SeedConfig = SeedConfig(), *, device: wp.DeviceLike = "cpu") -> PointCloud:
    """A starting cloud from the pictures alone: hull of the masks, photo-consistent background, a shell behind both.

    Lengths come from the cameras only, so any scale and any world frame will do. The same pictures give the same bits.

    Args:
        frame: The first timestep of at least 2 calibrated cameras. Without masks everything comes from the sweep, and
            ``foreground`` is None.
        config: Resolution, ranges, limits.
        device: Where masks are carved and pictures compared.

    Raises:
        ValueError: a broken frame, fewer than 2 cameras or all at one place, masks empty or without a common volume.
    """
    what = f"timestep {frame.timestep}"
    check_frame(what, frame)
    check_masks_not_empty(f"{what}: masks", frame)
    rig = Rig.of(frame.cameras)
    views = Views.of(frame, rig, *fitted_size(frame, HULL_PIXELS))
    if views.masks is None:
        background = _background(frame, rig, config, device)
        return PointCloud(rig.to_world(background.points), background.colors, None)
    least = min(LEAST_HULL_VIEWS, max(len(views) - 1, 2))
    votes = HullVotes(config.hull_dissent, max(config.hull_view_share, least / len(views)), config.hull_extent)
    voxel_px = config.hull_pixel_share * max(views.width, views.height)
    points, colors = visual_hull(views, views.masks, votes, voxel_px, config.hull_point_limit, device)
    if len(points) == 0:
        rule = "masks that agree on some volume"
        refuse(f"{what}: masks", rule, "none in common", "check that masks and calibration belong together")
    background = _background(frame, rig, config, device, points)
    foreground = np.repeat([True, False], [len(points), len(background.points)])
    return PointCloud(
        points=rig.to_world(np.concatenate([points, background.points])),
        colors=np.concatenate([colors, background.colors]),
        foreground=foreground,
    )


def _background(
    frame: Frame, rig: Rig, config: SeedConfig, device: wp.DeviceLike, moving: np.ndarray | None = None
) -> ColoredPoints:
    """Points of everything that is not foreground, rig frame; ``moving`` are points of what is."""
    views = Views.of(frame, rig, *fitted_size(frame, CELL_PIXELS * config.sweep_cells, CELL_PIXELS))
    shape = (len(views), views.height // CELL_PIXELS, views.width // CELL_PIXELS)
    excluded = np.zeros(shape, bool)
    if views.masks is not None:
        blocks = views.masks.reshape(shape[0], shape[1], CELL_PIXELS, shape[2], CELL_PIXELS)
        excluded = blocks.max(axis=(2, 4)) > MASKED_SHARE
    maps = _depth_maps(frame, rig, views, excluded, config, device)
    cells = background_points(views, maps, config.background_point_limit, config.clearance, moving)
    shell = shell_points(views, cells.points, config.shell_points)
    return ColoredPoints(np.concatenate([cells.points, shell.points]), np.concatenate([cells.colors, shell.colors]))


def _depth_maps(
    frame: Frame, rig: Rig, views: Views, excluded: np.ndarray, config: SeedConfig, device: wp.DeviceLike
) -> DepthMaps:
    """Two sweeps: over all depths, then on pictures twice as sharp over the few depths around those of the first."""
    sweep = SweepRange(*config.sweep_depths, config.sweep_hypotheses)
    neighbors = np.stack([rank_neighbors(views, c, sweep)[: config.sweep_views] for c in range(len(views))])
    first = np.full(excluded.shape, sweep.first)
    depths = sweep_depths(views, excluded, neighbors, first, sweep.step, sweep.count, device=device)
    tolerance = AGREEMENT_STEPS * sweep.step
    maps = complete_depths(views, depths, excluded, tolerance, device)
    sharp = Views.of(frame, rig, 2 * views.width, 2 * views.height)
    first = maps.inverse_depths - REFINEMENT_REACH * sweep.step
    count = 2 * REFINEMENT_REACH * REFINEMENT + 1
    depths = sweep_depths(sharp, excluded, neighbors, first, sweep.step / REFINEMENT, count, device=device)
    return complete_depths(sharp, depths, excluded, 0.5 * tolerance, device)


def vote_foreground(points: np.ndarray, frame: Frame, share: float) -> np.ndarray:
    """True where a point lies in more than ``share`` of the masks of the cameras that see it.

    Args:
        points: Positions [m], world frame, shape [n, 3].
        frame: Pictures with or without masks; without, every point counts as foreground.
        share: Threshold, 0..1.

    Returns:
        Shape [n], bool; False where no camera sees the point.
    """
    if frame.masks is None:
        return np.ones(len(points), bool)
    seen = np.zeros(len(points))
    inside = np.zeros(len(points))
    for camera, mask in zip(frame.cameras, frame.masks, strict=True):
        index, column, row, _ = pixels_of(camera, points)
        seen[index] += 1.0
        inside[index] += mask[row, column] / 255.0
    return inside > share * np.maximum(seen, 1.0)


def _limited(spacing: np.ndarray, foreground: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """``spacing`` clipped to ``limits`` x the median of its layer; coincident points take the least size."""
    result = spacing.astype(np.float64)
    overall = np.median(spacing[spacing > 0.0]) if (spacing > 0.0).any() else 1.0
    for layer in (foreground, ~foreground):
        positive = spacing[layer & (spacing > 0.0)]
        median = float(np.median(positive)) if len(positive) else float(overall)
        result[layer] = np.clip(result[layer], limits[0] * median, limits[1] * median)
    return result
