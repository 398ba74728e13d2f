"""A whole run: scene in, one state per timestep out, stored as it goes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import warp as wp

from warpgs.checks import check_frame, check_masks_not_empty, check_point_cloud, refuse
from warpgs.devices import RECORDING, make_executor, pick_device
from warpgs.particles import Particles
from warpgs.priors import Prior
from warpgs.priors.trial import check_usable
from warpgs.reconstruct.align import common_turns
from warpgs.reconstruct.config import ReconstructConfig
from warpgs.reconstruct.fit import Progress, middle, reconstruct
from warpgs.reconstruct.motion import MotionMasks
from warpgs.reconstruct.objective import Objective
from warpgs.reconstruct.refine import joined_turns, turned_cameras
from warpgs.reconstruct.seed import seed_from_cloud, seed_without_cloud
from warpgs.run import Pose, Run
from warpgs.track.births import Newcomers, fit_newcomers
from warpgs.track.confidence import TOLERANCE_RADII
from warpgs.track.config import FollowConfig, TrackConfig
from warpgs.track.evidence import Evidence
from warpgs.track.generations import Generations
from warpgs.track.memory import Memory
from warpgs.track.predict import Poses
from warpgs.track.tracker import Tracker
from warpgs.track.unexplained import Unexplained
from warpgs.track.working import WorkingFrame
from warpgs.types import Frame, Gaussians, Judgment, PointCloud, Scene

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TimestepState:
    """What ``track`` yields."""

    timestep: int
    """The scene's index of the instant."""
    gaussians: Gaussians
    """All particles at this instant."""
    judgment: Judgment
    """How far they can be trusted."""
    evidence: Evidence
    """What that rests on: of the foreground of the first timestep, then of what entered later."""
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
    priors: Sequence[Prior] = (),
) -> Iterator[TimestepState]:
    """Reconstruct the first timestep and track the later ones.

    Args:
        scene: Where the pictures come from; one timestep is in memory at a time, and the next one is read meanwhile.
        config: All settings.
        run: Stores every timestep before it is yielded. What it holds already is not computed again, and not yielded.
        timesteps: Which to track, in order; by default those of ``run``, or all of the scene.
        progress: Called now and then within a timestep.
        priors: Terms on what moves, beside those of ``config.follow.priors``; see ``warpgs.priors.base``. A run that is
            resumed needs the same ones.

    Yields:
        The state of each timestep.

    Raises:
        ValueError: broken calibration, pictures or cloud, or timesteps that differ from those of ``run``.
    """
    wanted = _wanted(scene, run, timesteps)
    _check_cameras(scene, wanted)
    done = len(run.completed) if run is not None else 0
    device = pick_device(config.device)
    check_usable(priors, device)
    working = WorkingFrame.of(scene.cameras("train", wanted[0]), keep_axes=config.reconstruct.harmonics_degree > 0)
    step_s = (wanted[1] - wanted[0] if len(wanted) > 1 else 1) / scene.fps
    executor, still = make_executor(device, config.threads), len(wanted) == 1
    engine = _Engine(config, device, executor, working, still, tuple(priors), step_s)
    follower = None
    for seen in engine.with_masks(scene, _frames(scene, wanted[done:])):
        begin = time.perf_counter()
        check_frame(f"{scene.name}: timestep {seen.timestep}", seen)
        frame = working.frame_in(seen)
        if frame.timestep == wanted[0]:
            first, match = engine.reconstruct(scene, frame, progress)
            frame = turned_cameras(frame, first.turns)
            follower = _Follower(engine, first)
            if run is not None:
                names = [camera.name for camera in frame.cameras]
                run.write_gaussians(
                    first.gaussians,
                    camera_names=names,
                    camera_log_gains=first.corrections[0],
                    camera_offsets=first.corrections[1],
                    camera_turns=first.turns,
                    world_from_run=working.world_from_work,
                )
        else:
            if follower is None:
                follower = _resumed(engine, run, wanted[:done])
            frame = turned_cameras(frame, follower.turns)
            match, born = follower.step(frame, progress)
            if run is not None and born is not None:
                run.write_births(frame.timestep, born)
        judgment, evidence = follower.judge(frame)
        seconds = time.perf_counter() - begin
        if run is not None:
            metrics = match | {"seconds": seconds}
            run.write_pose(frame.timestep, *follower.poses, metrics=metrics, judgment=judgment, extra=follower.extra)
        gaussians = working.world_from_work.gaussians(follower.gaussians)
        yield TimestepState(frame.timestep, gaussians, judgment, evidence, match["psnr"], seconds)


@dataclass(frozen=True, eq=False)
class _First:
    """The reconstructed first timestep."""

    gaussians: Gaussians
    corrections: tuple[np.ndarray, np.ndarray]
    """Log gains and offsets of the training cameras, shape [c, 3] each."""
    turns: np.ndarray | None
    """Of the training cameras from their calibration, shape [c, 3]; see ``CameraRefinement``."""


@dataclass(frozen=True, eq=False)
class _Engine:
    """What both stages of a run share."""

    config: TrackConfig
    device: wp.Device
    executor: Executor | None
    working: WorkingFrame
    still: bool
    """There is one timestep: what no mask tells to move is background then, whose Gaussians may multiply."""
    priors: tuple[Prior, ...]
    """Those of the caller."""
    step_s: float
    """Time between timesteps [s]."""

    def with_masks(self, scene: Scene, frames: Iterator[Frame]) -> Iterator[Frame]:
        """``frames``; where they have no masks, with those of what moves."""
        motion = None
        learned = not self.config.motion_masks
        over = map if self.executor is None else self.executor.map
        for frame in frames:
            if frame.masks is None and not learned:
                motion, learned = MotionMasks.learn(scene, over, device=self.device), True
                if motion is None and not self.still:
                    _log.warning(
                        "%s: no masks, and motion does not tell what is foreground; everything is tracked as if it "
                        "moved, which is slow and less accurate",
                        scene.name,
                    )
            yield frame if motion is None or frame.masks is not None else motion.add_to(frame, over)

    def objective(
        self, stage: ReconstructConfig | FollowConfig, corrections: tuple | None = None, *, refines_poses: bool = False
    ) -> Objective:
        return Objective(
            (stage.image_weight, stage.mask_weight),
            views_per_step=stage.views_per_step,
            device=self.device,
            executor=self.executor,
            image_scale=self.config.image_scale,
            with_background=stage.background_channel,
            corrections=corrections,
            refines_poses=refines_poses,
        )

    def reconstruct(self, scene: Scene, frame: Frame, progress: Progress | None) -> tuple[_First, dict[str, float]]:
        """The first timestep, and how the last training views match: ``psnr`` [dB] and image ``loss``."""
        check_masks_not_empty(f"{scene.name}: timestep {frame.timestep}", frame)
        stage = self.config.reconstruct
        # a scene's cloud shows its first instant: later, moving points would start in the wrong place
        given = scene.point_cloud() if self.config.use_cloud and frame.timestep == 0 else None
        if given is None:
            stage = replace(stage, steps=round(stage.without_cloud * stage.steps))
            cloud = seed_without_cloud(frame, stage.seed, device=self.device)
        else:
            check_point_cloud("starting cloud", given)
            cloud = self.working.cloud_in(given)
        if frame.masks is None and cloud.foreground is None and self.still:
            cloud = replace(cloud, foreground=np.zeros(len(cloud.points), bool))
        seed = seed_from_cloud(cloud, frame, stage.seed, device=self.device)
        common = None
        if given is not None and stage.refine_cameras:
            common = common_turns(frame, cloud, middle(seed))
        objective = self.objective(stage, refines_poses=stage.refine_cameras)
        objective.load(turned_cameras(frame, common))
        gaussians, turns = reconstruct(seed, objective, stage, seed=self.config.seed, progress=progress)
        if common is not None:
            turns = joined_turns(common, turns)
        corrections = objective.log_gains.numpy().copy(), objective.offsets.numpy().copy()
        match = {"psnr": objective.psnr(), "loss": objective.value()}
        return _First(gaussians, corrections, turns), match

    def tracker(self, generations: Generations, corrections: tuple) -> Tracker:
        """A tracker that stands where each particle was born."""
        stage = self.working.settings_in(self.config.follow)
        return Tracker(
            generations,
            self.objective(stage, corrections),
            stage,
            seed=self.config.seed,
            priors=self.priors,
            world_from_work=self.working.world_from_work,
            step_s=self.step_s,
        )

    def fit(self, cloud: PointCloud, surroundings: Gaussians, frame: Frame, corrections: tuple) -> Gaussians:
        """Particles for what entered, among others that stand still."""
        objective, steps = self.objective(self.config.follow, corrections), self.config.follow.births.steps
        config, seed = self.config.reconstruct, self.config.seed
        return fit_newcomers(cloud, surroundings, frame, objective, config, steps=steps, seed=seed)


class _Follower:
    """Goes from timestep to timestep: a tracker, what is stored of each, and what enters. All in the working frame."""

    def __init__(self, engine: _Engine, first: _First, births: Sequence[Gaussians] = ()) -> None:
        """Stand at the first timestep, or at that of the last birth."""
        self._engine, self._corrections, self.turns = engine, first.corrections, first.turns
        config = engine.config
        self._unexplained = Unexplained(engine.device, engine.executor)
        self._newcomers = Newcomers(config.follow.births, config.reconstruct.seed, engine.device, self._unexplained)
        self._grow(Generations((first.gaussians, *births)))
        self.poses: Poses = self._generations.all.means, self._generations.all.rotations_wxyz

    def _grow(self, generations: Generations) -> None:
        self._generations = generations
        self._tracker = self._engine.tracker(generations, self._corrections)

    @property
    def gaussians(self) -> Gaussians:
        """All particles at this timestep."""
        return replace(self._generations.all, means=self.poses[0], rotations_wxyz=self.poses[1])

    @property
    def extra(self) -> dict[str, np.ndarray]:
        """What a resumed run needs beside poses and births."""
        waited = self._newcomers.waited
        return self._tracker.memory.arrays() | ({"waited": np.array([waited], np.int32)} if waited else {})

    def resume(self, last: Pose, before: Pose | None) -> None:
        """Go on from what a run stored of a timestep and of the one before, None before the first."""
        poses = (pose and (pose.means, pose.rotations_wxyz) for pose in (last, before))
        self._restore(*poses, Memory.read(last.extra))
        self._newcomers.waited = int(last.extra["waited"][0]) if "waited" in last.extra else 0

    def _restore(self, last: Poses, before: Poses | None, memory: Memory) -> None:
        self.poses = last
        self._tracker.restore(last, before, memory)

    def step(self, frame: Frame, progress: Progress | None) -> tuple[dict[str, float], Gaussians | None]:
        """One more timestep: how it matches, as ``Tracker.step`` says, and the particles of what entered."""
        before = self.poses
        missed = partial(self._missed, frame=frame)
        self.poses, match = self._tracker.step(frame, progress, missed=missed)
        cloud = self._newcomers.after(self._tracker.foreground, frame)
        born = None if cloud is None else self._engine.fit(cloud, self.gaussians, frame, self._corrections)
        if born is None or len(born) <= self._engine.config.follow.priors.neighbors:  # all need as many neighbors
            return match, None
        memory = self._tracker.memory
        self._grow(Generations((*self._generations.parts, born)))
        last = np.concatenate([self.poses[0], born.means]), np.concatenate([self.poses[1], born.rotations_wxyz])
        self._restore(last, before, memory)
        return match, born

    def judge(self, frame: Frame) -> tuple[Judgment, Evidence]:
        """How far the poses at this timestep can be trusted, in the order of storage, and what that rests on."""
        evidence = self._tracker.evidence(frame)
        judged = self._generations.order[: len(evidence.visibility)]
        shares = {"confidence": self._tracker.memory.confidence, "visibility": evidence.visibility}
        stored = {name: np.ones(len(self.poses[0]), np.float32) for name in shares}
        for name, of_moving in shares.items():
            stored[name][judged] = of_moving
        return Judgment(**stored, tolerance=TOLERANCE_RADII * self._engine.working.unit_m), evidence

    def _missed(self, predicted: Particles, frame: Frame) -> bool:
        """Whether half of the pictures show much foreground beside what is predicted."""
        config = self._engine.config.follow
        if frame.masks is None or not config.rigid.clusters:
            return False
        _, beside = self._unexplained.find(predicted, frame, config.rigid.miss)
        return bool(beside.any(axis=(1, 2)).mean() >= 0.5)


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


def _resumed(engine: _Engine, run: Run, done: Sequence[int]) -> _Follower:
    """A follower that stands at the last of the timesteps ``done``."""
    tracks = run.tracks(range(done[0], done[0] + 1))
    first = _First(run.gaussians(), (tracks.camera_log_gains, tracks.camera_offsets), tracks.camera_turns)
    follower = _Follower(engine, first, list(run.births().values()))
    last, *before = (run.read_pose(timestep) for timestep in reversed(done[-2:]))
    follower.resume(last, before[0] if before else None)
    return follower
