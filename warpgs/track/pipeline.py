"""A whole run: scene in, one state per timestep out, stored as it goes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import warp as wp

from warpgs.checks import check_frame, check_masks_not_empty, check_point_cloud, refuse
from warpgs.devices import RECORDING, make_executor, pick_device
from warpgs.reconstruct.config import ReconstructConfig
from warpgs.reconstruct.fit import Progress, reconstruct
from warpgs.reconstruct.motion import MotionMasks
from warpgs.reconstruct.objective import Objective
from warpgs.reconstruct.seed import seed_from_cloud, seed_without_cloud
from warpgs.run import Run
from warpgs.track.config import FollowConfig, TrackConfig
from warpgs.track.predict import Poses
from warpgs.track.tracker import Tracker
from warpgs.track.working import WorkingFrame
from warpgs.types import Frame, Gaussians, Scene

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TimestepState:
    """What ``track`` yields."""

    timestep: int
    """The scene's index of the instant."""
    gaussians: Gaussians
    """All particles at this instant."""
    psnr: float
    """Mean PSNR over training views in the last steps [dB]."""
    seconds: float
    """Time this timestep took [s]."""


def track(
    scene: Scene,
    config: TrackConfig,
    *,
    run: Run | None = None,
    timesteps: range | None = None,
    progress: Progress | None = None,
) -> Iterator[TimestepState]:
    """Reconstruct the first timestep and track the later ones.

    Args:
        scene: Where the pictures come from; one timestep is in memory at a time, and the next one is read meanwhile.
        config: All settings.
        run: Stores every timestep before it is yielded. What it holds already is not computed again, and not yielded.
        timesteps: Which to track, in order; by default those of ``run``, or all of the scene.
        progress: Called now and then within a timestep.

    Yields:
        The state of each timestep.

    Raises:
        ValueError: broken calibration, pictures or cloud, or timesteps that differ from those of ``run``.
    """
    wanted = _wanted(scene, run, timesteps)
    _check_cameras(scene, wanted)
    done = len(run.completed) if run is not None else 0
    device = pick_device(config.device)
    working = WorkingFrame.of(scene.cameras("train", wanted[0]), keep_axes=config.reconstruct.harmonics_degree > 0)
    engine = _Engine(config, device, make_executor(device, config.threads), working)
    tracker = None
    for seen in engine.with_masks(scene, _frames(scene, wanted[done:])):
        begin = time.perf_counter()
        check_frame(f"{scene.name}: timestep {seen.timestep}", seen)
        frame = working.frame_in(seen)
        if frame.timestep == wanted[0]:
            first, psnr = engine.reconstruct(scene, frame, progress)
            poses = first.gaussians.means, first.gaussians.rotations_wxyz
            tracker = engine.tracker(first)
            if run is not None:
                names = [camera.name for camera in frame.cameras]
                run.write_gaussians(
                    first.gaussians,
                    camera_names=names,
                    camera_log_gains=first.corrections[0],
                    camera_offsets=first.corrections[1],
                )
        else:
            if tracker is None:
                first = _stored_first(run)
                tracker = engine.tracker(first)
                poses = _stored_poses(run, wanted[done - 1])
                tracker.restore(
                    working.poses_in(poses),
                    working.poses_in(_stored_poses(run, wanted[done - 2])) if done > 1 else None,
                )
            poses, psnr = engine.step(tracker, frame, poses, progress)
        seconds = time.perf_counter() - begin
        if run is not None:
            run.write_pose(frame.timestep, *poses, metrics={"psnr": psnr, "seconds": seconds})
        gaussians = replace(first.gaussians, means=poses[0], rotations_wxyz=poses[1])
        yield TimestepState(frame.timestep, gaussians, psnr, seconds)


@dataclass(frozen=True, eq=False)
class _First:
    """The reconstructed first timestep."""

    gaussians: Gaussians
    corrections: tuple[np.ndarray, np.ndarray]
    """Log gains and offsets of the training cameras, shape [c, 3] each."""


@dataclass(frozen=True, eq=False)
class _Engine:
    """What both stages of a run share."""

    config: TrackConfig
    device: wp.Device
    executor: Executor | None
    working: WorkingFrame

    def with_masks(self, scene: Scene, frames: Iterator[Frame]) -> Iterator[Frame]:
        """``frames``; where they have no masks, with those of what moves."""
        motion = None
        learned = not self.config.motion_masks
        over = map if self.executor is None else self.executor.map
        for frame in frames:
            if frame.masks is None and not learned:
                motion, learned = MotionMasks.learn(scene, over, device=self.device), True
                if motion is None:
                    _log.warning(
                        "%s: no masks, and motion does not tell what is foreground; everything is tracked as if it "
                        "moved, which is slow and less accurate",
                        scene.name,
                    )
            yield frame if motion is None or frame.masks is not None else motion.add_to(frame, over)

    def objective(self, stage: ReconstructConfig | FollowConfig, corrections: tuple | None = None) -> Objective:
        return Objective(
            (stage.image_weight, stage.mask_weight),
            views_per_step=stage.views_per_step,
            device=self.device,
            executor=self.executor,
            image_scale=self.config.image_scale,
            with_background=stage.background_channel,
            corrections=corrections,
        )

    def reconstruct(self, scene: Scene, frame: Frame, progress: Progress | None) -> tuple[_First, float]:
        """The first timestep and its PSNR [dB] over the last training views."""
        check_masks_not_empty(f"{scene.name}: timestep {frame.timestep}", frame)
        stage = self.config.reconstruct
        # a scene's cloud shows its first instant: later, moving points would start in the wrong place
        given = scene.point_cloud() if self.config.use_cloud and frame.timestep == 0 else None
        if given is None:
            cloud = seed_without_cloud(frame, stage.seed, device=self.device)
        else:
            check_point_cloud("starting cloud", given)
            cloud = self.working.cloud_in(given)
        seed = seed_from_cloud(cloud, frame, stage.seed, device=self.device)
        objective = self.objective(stage)
        objective.load(frame)
        gaussians = reconstruct(seed, objective, stage, seed=self.config.seed, progress=progress)
        corrections = objective.log_gains.numpy().copy(), objective.offsets.numpy().copy()
        return _First(self.working.gaussians_out(gaussians), corrections), objective.psnr()

    def tracker(self, first: _First) -> Tracker:
        """A tracker that stands at the first timestep."""
        stage = self.working.settings_in(self.config.follow)
        objective = self.objective(stage, first.corrections)
        return Tracker(self.working.gaussians_in(first.gaussians), objective, stage, seed=self.config.seed)

    def step(self, tracker: Tracker, frame: Frame, last: Poses, progress: Progress | None) -> tuple[Poses, float]:
        """One more timestep after the stored poses ``last``; the tracker goes on from what will be stored, as a resumed
        run would."""
        tracked, psnr = tracker.step(frame, progress)
        count = tracker.active_count
        poses = tuple(
            np.concatenate([moved[:count], held[count:]])
            for moved, held in zip(self.working.poses_out(tracked), last, strict=True)
        )
        tracker.restore(self.working.poses_in(poses), self.working.poses_in(last))
        return poses, psnr


def _wanted(scene: Scene, run: Run | None, timesteps: range | None) -> tuple[int, ...]:
    """The timesteps to track, checked."""
    stored = run.timesteps if run is not None else None
    wanted = tuple(timesteps) if timesteps is not None else stored or tuple(range(scene.timestep_count))
    if stored is not None and wanted != tuple(stored):
        refuse("timesteps", f"those of the run, {list(stored)}", list(wanted), "create the run with the same timesteps")
    if not wanted:
        refuse("timesteps", "at least one", "none")
    return wanted


def _check_cameras(scene: Scene, timesteps: Sequence[int]) -> None:
    """Refuse training cameras that come and go: color corrections belong to those of the first timestep."""
    first, *later = ([camera.name for camera in scene.cameras("train", timestep)] for timestep in timesteps)
    for timestep, names in zip(timesteps[1:], later, strict=True):
        if names != first:
            what = f"{scene.name}: training cameras of timestep {timestep}"
            refuse(what, f"those of timestep {timesteps[0]}, {first}", names, "leave out those that come and go")


def _frames(scene: Scene, timesteps: Sequence[int]) -> Iterator[Frame]:
    """Training frames; while one is worked on, the next is read."""
    with ThreadPoolExecutor(1, "warpgs-read") as reader:
        coming = [reader.submit(_read, scene, timestep) for timestep in timesteps[:1]]
        for following in (*timesteps[1:], None):
            if not coming:
                return
            frame = coming.pop().result()
            if following is not None:
                coming.append(reader.submit(_read, scene, following))
            yield frame


def _read(scene: Scene, timestep: int) -> Frame:
    with RECORDING:  # a scene may launch kernels, to cast rays for example
        return scene.frame(timestep)


def _stored_first(run: Run) -> _First:
    first = run.timesteps[0]
    tracks = run.tracks(range(first, first + 1))
    return _First(run.gaussians(), (tracks.camera_log_gains, tracks.camera_offsets))


def _stored_poses(run: Run, timestep: int) -> Poses:
    pose = run.read_pose(timestep)
    return pose.means, pose.rotations_wxyz
