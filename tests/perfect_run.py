"""A run whose particles sit on the true surface points and move with them, over the static part of the cloud."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from warpgs.run import Run
from warpgs.types import Gaussians, Scene

SIGMA_M = 0.02


@dataclass(frozen=True)
class NoSettings:
    """A run needs settings; a perfect one has none."""

    seed: int = 0


def write_perfect_run(path: Path, scene: Scene, timesteps: range, lost_body: int | None = None) -> None:
    """Store every instant of ``timesteps``; the particles of ``lost_body`` stay where they were at the first."""
    truth, cloud = scene.ground_truth(), scene.point_cloud()
    assert truth is not None and cloud is not None and cloud.foreground is not None
    still = cloud.points[~cloud.foreground]
    moving, count = truth.points.shape[1], truth.points.shape[1] + len(still)
    identity = np.tile(np.array([1, 0, 0, 0], np.float32), (len(still), 1))
    colors = np.concatenate([np.full((moving, 3), 0.5, np.float32), cloud.colors[~cloud.foreground]])
    camera_names = [camera.name for camera in scene.cameras("train")]
    with Run.create(path, scene, NoSettings(), timesteps=timesteps) as run:
        for timestep in timesteps:
            points, rotations = truth.points[timestep].copy(), truth.rotations_wxyz[timestep].copy()
            lost = np.zeros(moving, bool) if lost_body is None else truth.body_index == lost_body
            points[lost], rotations[lost] = truth.points[timesteps[0]][lost], truth.rotations_wxyz[timesteps[0]][lost]
            means = np.concatenate([points, still]).astype(np.float32)
            turns = np.concatenate([rotations, identity]).astype(np.float32)
            if timestep == timesteps[0]:
                gaussians = Gaussians(
                    means=means,
                    rotations_wxyz=turns,
                    log_scales=np.full((count, 3), np.log(SIGMA_M), np.float32),
                    colors=colors.astype(np.float32),
                    opacity_logits=np.concatenate([np.full(moving, 4.0), np.full(len(still), 2.0)]).astype(np.float32),
                    foreground=(np.arange(count) < moving).astype(np.float32),
                )
                zeros = np.zeros((len(camera_names), 3), np.float32)
                run.write_gaussians(gaussians, camera_names=camera_names, camera_log_gains=zeros, camera_offsets=zeros)
            run.write_pose(timestep, means, turns, metrics={"seconds": 10.0 if timestep == timesteps[0] else 2.0})
