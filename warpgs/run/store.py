"""Whole tracks to a run directory, as if they had been tracked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from warpgs.checks import refuse
from warpgs.run.run import Run
from warpgs.types import Judgment, Scene, Tracks


def write_run(
    path: str | Path,
    tracks: Tracks,
    scene: Scene,
    config: Any,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Write tracks as a run of a scene, which gives the cameras.

    Args:
        path: The directory; made with its parents.
        tracks: At timesteps of the scene, evenly spaced.
        scene: As for ``Run.create``.
        config: What made the tracks, as for ``Run.create``.
        overwrite: Replace an existing run.
        progress: Called as ``progress(done, total)`` after each timestep.

    Returns:
        The run, closed for writing.

    Raises:
        ValueError, TypeError: tracks that a run of this scene cannot hold.
        FileExistsError, BlockingIOError, OSError: as ``Run.create``.
    """
    timesteps = _check_storable(path, tracks, scene)
    first = tracks.at(0)
    with Run.create(path, scene, config, timesteps=timesteps, overwrite=overwrite) as run:
        run.write_gaussians(
            first,
            camera_names=tracks.camera_names,
            camera_log_gains=tracks.camera_log_gains,
            camera_offsets=tracks.camera_offsets,
            camera_turns=tracks.camera_turns,
        )
        count = len(first)
        for index, timestep in enumerate(timesteps):
            gaussians = tracks.at(index)
            if len(gaussians) > count:
                run.write_births(timestep, gaussians.select(slice(count, None)))
                count = len(gaussians)
            judgment = _judgment(tracks, index, count)
            run.write_pose(timestep, gaussians.means, gaussians.rotations_wxyz, metrics={}, judgment=judgment)
            if progress is not None:
                progress(index + 1, len(timesteps))
    return run


def _check_storable(path: str | Path, tracks: Tracks, scene: Scene) -> range:
    """The timesteps as a range; refuse tracks of another time than the scene's."""
    strides = np.unique(np.diff(tracks.timesteps))
    if len(strides) > 1:
        remedy = "write a file instead, such as a .usdc"
        refuse(f"{path}: timesteps", "an even spacing for a run", tracks.timesteps, remedy)
    timesteps = range(tracks.timesteps[0], tracks.timesteps[-1] + 1, int(strides[0]) if len(strides) else 1)
    if timesteps[0] < 0 or timesteps[-1] >= scene.timestep_count:
        rule = f"timesteps within 0 to {scene.timestep_count - 1}, what {scene.name} has cameras for"
        refuse(path, rule, f"{timesteps[0]} to {timesteps[-1]}", "write a file instead, such as a .usdc")
    if not np.isclose(tracks.fps, scene.fps):
        refuse(f"{path}: fps", f"{scene.fps:g}, as {scene.name} has", tracks.fps, "name the scene of these tracks")
    if tracks.count_at(0) == 0:
        refuse(path, "something at the first timestep", "nothing", "let it appear earlier")
    return timesteps


def _judgment(tracks: Tracks, index: int, count: int) -> Judgment | None:
    if tracks.confidence is None or tracks.visibility is None or tracks.tolerance is None:
        return None
    return Judgment(tracks.confidence[index, :count], tracks.visibility[index, :count], tracks.tolerance)
