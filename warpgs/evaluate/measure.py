"""Measures a run: joins pictures, tracks and costs into one report."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import warp as wp

from warpgs.checks import refuse
from warpgs.evaluate.bodies import body_poses
from warpgs.evaluate.pictures import compare_pictures
from warpgs.evaluate.reliability import Reliability, reliability
from warpgs.evaluate.report import BodyReport, Figures, Report
from warpgs.evaluate.scores import (
    SURVIVAL_M,
    SURVIVAL_PX,
    THRESHOLDS_M,
    THRESHOLDS_PX,
    TrackErrors,
    score,
    score_over_time,
)
from warpgs.evaluate.trajectories import PictureTracks, SpaceTracks, follow_in_picture, follow_in_space
from warpgs.query import rays
from warpgs.run.directory import pose_name
from warpgs.types import GroundTruth, Scene, Split, Tracks

if TYPE_CHECKING:
    from warpgs.render import Renderer
    from warpgs.run import Run


def evaluate(
    run: Run,
    scene: Scene,
    renderer: Renderer,
    *,
    image_scale: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Measure what a run has tracked so far.

    Pictures are compared on the held-out cameras at the source's size. Without held-out cameras the training cameras
    are compared, each with its color correction, and the report says so.

    Args:
        run: The run; only read.
        scene: The scene it was tracked from.
        renderer: Draws the particles.
        image_scale: Compare pictures of this size relative to the source's, 0..1.
        progress: Called as ``progress(done, total)`` after each instant.

    Raises:
        ValueError: nothing is tracked yet, or the scene is not the run's.
        OSError: a picture or a pose cannot be read.
    """
    if not 0.0 < image_scale <= 1.0:
        refuse("image_scale", "a number in (0, 1]", image_scale)
    if not run.completed:
        refuse(run.path, "at least one tracked timestep", "none", "track the scene first (warpgs track ... --resume)")
    tracks = run.tracks()
    if tracks.timesteps[-1] >= scene.timestep_count:
        needed = f"at least {tracks.timesteps[-1] + 1} timesteps"
        refuse(scene.name, needed, scene.timestep_count, "name the scene that the run was tracked from")
    split: Split = "test" if scene.cameras("test", tracks.timesteps[0]) else "train"
    truth = scene.ground_truth()
    followed = _follow_in_pictures(tracks, scene, truth) if split == "test" and truth is not None else ()
    in_space = None if truth is None else follow_in_space(tracks, truth)
    space, plane, bodies = _track_figures(in_space, truth, followed)
    return Report(
        scene=scene.name,
        timesteps=tracks.timesteps,
        held_out=split == "test",
        image_scale=image_scale,
        gaussian_count=len(tracks.log_scales),
        foreground_count=int((tracks.foreground > 0.5).sum()),
        pictures=compare_pictures(tracks, scene, split, renderer, image_scale=image_scale, progress=progress),
        in_space=space,
        in_pictures=plane,
        body_reports=bodies,
        reliability=None if in_space is None else _reliability(tracks, in_space),
        picture_tracks=followed,
        body_of_track=() if truth is None else tuple(truth.body_names[i] for i in truth.body_index),
        seconds=tuple(run.read_pose(t).metrics.get("seconds", float("nan")) for t in tracks.timesteps),
        bytes=tuple((run.path / "poses" / pose_name(t)).stat().st_size for t in tracks.timesteps),
    )


def _follow_in_pictures(tracks: Tracks, scene: Scene, truth: GroundTruth) -> tuple[PictureTracks, ...]:
    """Tracks of every held-out camera; none where the scene does not know what is visible."""
    cameras, seen = scene.cameras("test", tracks.timesteps[0]), []
    for camera in cameras:
        flags = [scene.visible(timestep, camera) for timestep in tracks.timesteps]
        known = [each for each in flags if each is not None]
        if len(known) < len(flags):
            return ()
        seen.append(np.stack(known))
    wp.load_module(rays, device="cpu")  # Warp must not do that from two threads at once
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # NumPy and kernels compute without the interpreter's lock
        return tuple(pool.map(lambda camera, flags: follow_in_picture(tracks, camera, truth, flags), cameras, seen))


def _track_figures(
    in_space: SpaceTracks | None, truth: GroundTruth | None, followed: tuple[PictureTracks, ...]
) -> tuple[Figures | None, Figures | None, dict[str, BodyReport]]:
    """In space, in pictures, and of each body."""
    if in_space is None or truth is None:
        return None, None, {}
    space, plane = in_space.errors(), [each.errors() for each in followed]
    bodies = {}
    for name, pose in body_poses(in_space, truth).items():
        of_body = truth.body_index == truth.body_names.index(name)
        bodies[name] = BodyReport(
            space=_in_space(space.select(of_body)),
            plane=_in_pictures([errors.select(of_body[errors.track]) for errors in plane]) if plane else None,
            pose=pose,
        )
    return _in_space(space), _in_pictures(plane) if plane else None, bodies


def _reliability(tracks: Tracks, in_space: SpaceTracks) -> Reliability | None:
    """None where the run does not say how far it can be trusted, or has one instant only."""
    if tracks.confidence is None or tracks.tolerance is None or len(tracks) < 2:
        return None
    confidence = tracks.confidence[1:, in_space.particle]
    return reliability(confidence, in_space.errors().distance, tracks.tolerance)


def _in_space(errors: TrackErrors) -> Figures:
    return Figures(score([errors], THRESHOLDS_M, SURVIVAL_M), score_over_time([errors], THRESHOLDS_M, SURVIVAL_M))


def _in_pictures(errors: list[TrackErrors]) -> Figures:
    return Figures(score(errors, THRESHOLDS_PX, SURVIVAL_PX), score_over_time(errors, THRESHOLDS_PX, SURVIVAL_PX))
