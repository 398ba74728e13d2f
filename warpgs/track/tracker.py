"""Every timestep after the first: predict, align clusters, let particles move freely under the priors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import warp as wp

from warpgs.optimize.adam import Adam
from warpgs.particles import Particles
from warpgs.priors import (
    BackgroundPrior,
    GroundPrior,
    IsometryPrior,
    MomentumPrior,
    Plane,
    Prior,
    Rest,
    RigidityPrior,
    RotationPrior,
    State,
    accumulate_priors,
    find_ground,
    fit_local_rotations,
)
from warpgs.reconstruct.fit import PROGRESS_EVERY, Progress
from warpgs.reconstruct.iteration import Iteration
from warpgs.reconstruct.objective import Objective
from warpgs.reconstruct.order import ViewOrder
from warpgs.similarity import Similarity
from warpgs.track.config import FollowConfig, PriorConfig
from warpgs.track.evidence import Evidence, Witness, evidence
from warpgs.track.generations import Generations
from warpgs.track.history import make_motion, remember
from warpgs.track.memory import Memory
from warpgs.track.neighborhood import Neighborhood
from warpgs.track.predict import Poses, predict_linear, predict_rigid
from warpgs.track.rigid import Clusters
from warpgs.track.search import Search, bodies_of
from warpgs.types import Frame, Gaussians

REPORTED_STEPS = 10
"""A timestep's PSNR is the mean over so many last steps."""
WIDE = 2.0
"""Bodies are looked for so much farther away where no velocity is known."""


class Tracker:
    """Follows the particles of a reconstructed first timestep through later ones, one frame at a time.

    Its state is the poses of the last two timesteps and its ``memory``: a run can be resumed from what it stored. When
    something enters, a new tracker of one more generation takes its place.
    """

    def __init__(
        self,
        generations: Generations,
        objective: Objective,
        config: FollowConfig,
        *,
        seed: int,
        priors: Sequence[Prior] = (),
        world_from_work: Similarity | None = None,
        step_s: float = 1.0,
    ) -> None:
        """Remember the first timestep, and what entered later.

        Args:
            generations: The first timestep, foreground first, as ``reconstruct`` returns it, and later births; in the
                working frame, whose unit is the scene radius.
            objective: Image loss, with the color corrections of the first timestep; in the working frame.
            config: Stages, priors; lengths in the working frame.
            seed: Decides clusters and the order of views.
            priors: On what moves, beside those of ``config``.
            world_from_work: Frame and unit that places and ``_m`` lengths of ``priors`` are in; the same when None.
            step_s: Time between timesteps [s].
        """
        gaussians = generations.all.select(generations.order)
        count, device = len(gaussians), objective.device
        self._generations = generations
        self._objective, self._config, self._seed = objective, config, seed
        self._particles = Particles.upload(gaussians, device)
        self._moving = generations.moving
        self._foreground = self._particles.rows(0, self._moving)
        self._active = self._foreground if config.freeze_background else self._particles
        self._drawn = self._particles
        if config.freeze_background and device.is_cpu:
            objective.hold(self._particles.rows(self._moving, count))
            self._drawn = self._foreground
        self._gradients = self._active.zeros_like()
        self._last: Poses = (gaussians.means, gaussians.rotations_wxyz)
        self._before: Poses | None = None
        self._unpredicted = True
        self.memory = Memory.none(self._moving)
        self._missed: np.ndarray | None = None
        self._search = None
        if config.search.draws and self._moving:
            moving, still = (gaussians.select(rows) for rows in np.split(np.arange(count), [self._moving]))
            self._search = Search(objective, moving.colors, still, config.search, seed)
        self._witness, self._shown = Witness(objective), -1
        self._loss = wp.zeros(1, dtype=wp.float64, device=device)
        self._neighborhood, self._rest = self._make_rest(config.priors, world_from_work)
        self._priors = [*_foreground_priors(generations.parts[0], config.priors), *priors]
        remembers = bool(priors) or config.priors.momentum > 0.0
        self._motion = make_motion(self._moving, step_s, device) if remembers else None
        self._known = np.zeros(self._moving, bool)
        self._background_rest = None
        if not config.freeze_background and self._moving < count:
            background = self._particles.rows(self._moving, count)
            unit = config.priors.length_unit_m or 1.0
            self._background_rest = Rest.build(background.means, background.rotations, length_unit=unit)
        rates = {"means": config.free.means_rate, "rotations": config.free.rotations_rate}
        self._adam = Adam({name: getattr(self._active, name) for name in rates}, rates)
        self._adam.decay(config.free.steps, config.free.final_rate)
        self._free = self._iteration(lambda: self._adam.step(self._gradients.named()))
        self._clusters = None
        if config.rigid.clusters and self._moving:
            parts = [gaussians.means[rows] for rows in generations.slices()]
            self._clusters = clusters = Clusters(parts, config.rigid, device=device, seed=seed)
            self._rigid = self._iteration(lambda: clusters.step(self._foreground, self._gradients))

    def _iteration(self, update: Callable[[], None]) -> Iteration:
        return Iteration(self._objective, self._drawn, self._gradients, update, beside=self._accumulate_priors)

    def _make_rest(
        self, config: PriorConfig, world_from_work: Similarity | None
    ) -> tuple[Neighborhood, Rest] | tuple[None, None]:
        parts = self._generations.slices()
        count = min([config.neighbors, *(rows.stop - rows.start - 1 for rows in parts)]) if parts else 0
        if count < 1:
            return None, None
        means, rotations, unit = self._foreground.means, self._foreground.rotations, config.length_unit_m or 1.0
        around = Neighborhood.of(means, parts, count, config.sigma_m, config.sigma_neighbors)
        neighbors = wp.array(around.nearest(), dtype=wp.int32, device=means.device)
        rest = Rest.build(
            means,
            rotations,
            neighbors,
            weight_sigma=around.sigma,
            length_unit=unit,
            parts=np.repeat(np.arange(len(parts)), [rows.stop - rows.start for rows in parts]),
            scales=np.exp(self._foreground.log_scales.numpy()),
            world_from_rest=world_from_work,
        )
        return around, rest

    @property
    def foreground(self) -> Particles:
        """The particles of moving objects, where they were tracked to."""
        return self._foreground

    def restore(self, last: Poses, before: Poses | None, memory: Memory) -> None:
        """Go on from the poses of the last stored timestep and the one before it, None after the first.

        Rows that ``before`` and ``memory`` lack were born at the last timestep: their velocity is not known yet.
        """
        self.memory = memory.grown(self._moving)
        order = self._generations.order
        self._last = last[0][order], last[1][order]
        self._unpredicted = before is None or len(before[0]) < len(last[0])
        if before is None:
            self._before = None
        else:
            held = [np.concatenate([earlier, now[len(earlier) :]]) for earlier, now in zip(before, last, strict=True)]
            self._before = held[0][order], held[1][order]
            self._known = order[: self._moving] < len(before[0])
        self._upload(self._last)

    def step(
        self,
        frame: Frame,
        progress: Progress | None = None,
        *,
        missed: Callable[[Particles], bool] = lambda predicted: False,
    ) -> tuple[Poses, dict[str, float]]:
        """Track one more timestep.

        Args:
            frame: The pictures.
            progress: Called now and then.
            missed: Whether moving particles, at their predicted poses, are far from what the pictures show.

        Returns:
            The poses of all particles in the order of storage, and how they match the last training views: their mean
            ``psnr`` [dB], and the image ``loss``.
        """
        self._show(frame)
        bodies = self._regroup()
        unseen = self.memory.unseen(self._clusters.labels) if self._clusters is not None else 0.0
        if self._motion is not None:
            remember(self._motion, self._last, self._before, self._known, unseen)
        predicted, expected = self._predicted(bodies, unseen)
        predicted = self._searched(predicted, bodies, frame)
        self._upload(predicted)
        self._unpredicted = self._unpredicted or missed(self._foreground)
        match = self._optimize(frame.timestep, progress)
        while self._objective.overflowed():  # in one graph nobody looks before the end
            self._objective.grow()
            self._upload(predicted)
            match = self._optimize(frame.timestep, progress)
        if self._rest is not None and self._config.priors.tracked_rotation < 1.0:
            means, rotations = self._foreground.means, self._foreground.rotations
            share = self._config.priors.tracked_rotation
            fit_local_rotations(means, rotations, self._rest, rotations, tracked_share=share)
        poses = self._download()
        if expected is not None:
            self._missed = np.where(self._known[:, None], poses[0][: self._moving] - expected, np.nan)
        self._before, self._last, self._unpredicted = self._last, poses, False
        self._known[:] = True
        stored = np.argsort(self._generations.order)
        return (poses[0][stored], poses[1][stored]), match

    def evidence(self, frame: Frame) -> Evidence:
        """What speaks for and against the particles that move, in their order in memory, at the poses it goes on from.

        Args:
            frame: Of their timestep.
        """
        if self._shown != frame.timestep:
            self._show(frame)
        found = evidence(self._witness.look(self._drawn, self._moving), self._foreground, self._rest)
        self.memory, self._missed = self.memory.learnt(self._missed, found), None
        return found

    def _show(self, frame: Frame) -> None:
        self._objective.load(frame)
        self._shown = frame.timestep

    def _regroup(self) -> list[np.ndarray]:
        """Decide from the last poses who holds together, and what the priors refer to; returns the bodies, the largest
        first."""
        means = self._last[0][: self._moving]
        if self._rest is not None:
            if self._config.regroup:
                self._rest.set_neighbors(*self._neighborhood.at(means))
            if self._config.priors.reference == "previous":
                self._upload(self._last)
                self._rest.set_reference(self._foreground.means, self._foreground.rotations)
        if self._clusters is not None and self._config.regroup:
            self._clusters.regroup(means)
        return [np.arange(self._moving)] if self._rest is None else bodies_of(self._rest)

    def _predicted(self, bodies: Sequence[np.ndarray], unseen: np.ndarray | float) -> tuple[Poses, np.ndarray | None]:
        """Where particles are expected, those out of sight by their acceleration ``unseen`` too; and where the centers
        of what moves would be without it, None where no velocity is known."""
        prediction, moving = self._config.prediction, self._moving
        if self._before is None or prediction == "none" or not moving:
            return self._last, None
        # frozen particles stay bit for bit: renormalizing a quaternion may change its last digit
        count = moving if prediction == "rigid" else len(self._active)
        before, last = ((poses[0][:count], poses[1][:count]) for poses in (self._before, self._last))
        if prediction == "linear":
            means, rotations = predict_linear(before, last)
        else:
            means, rotations = predict_rigid(before, last, self._clusters, bodies)
        expected = means[:moving].copy()
        means[:moving] += unseen
        predicted = tuple(
            np.concatenate([moved, held[count:]]).astype(np.float32)
            for moved, held in zip((means, rotations), self._last, strict=True)
        )
        return predicted, expected

    def _searched(self, predicted: Poses, bodies: Sequence[np.ndarray], frame: Frame) -> Poses:
        """``predicted``, with bodies that it misses where they were found."""
        if self._search is None:
            return predicted
        moving = self._moving
        found = self._search.improve(
            self._last[0][:moving],
            (predicted[0][:moving], predicted[1][:moving]),
            bodies,
            masked=frame.masks is not None,
            wide=WIDE if self._before is None else 1.0,
            timestep=frame.timestep,
        )
        return tuple(np.concatenate([new, old[moving:]]) for new, old in zip(found, predicted, strict=True))

    def _optimize(self, timestep: int, progress: Progress | None) -> dict[str, float]:
        """Both stages; returns the mean PSNR of the last steps, and the image loss of the very last."""
        config, objective = self._config, self._objective
        rigid_steps = 0
        if self._clusters is not None:
            rigid_steps = config.rigid.first_steps if self._unpredicted else config.rigid.steps
            self._clusters.begin(self._foreground.means.numpy(), rigid_steps)
        step_count = rigid_steps + config.free.steps
        views = ViewOrder(len(objective.cameras), objective.views_per_step, self._seed, timestep)
        order = [views.take() for _ in range(step_count)]
        if rigid_steps:
            self._rigid.begin(order[:rigid_steps])
        self._free.begin(order[rigid_steps:])
        self._gradients.zero_()
        self._adam.reset()
        if self._rest is not None:
            self._rest.step.zero_()
        recent: list[float] = []
        for step in range(step_count):
            (self._rigid if step < rigid_steps else self._free).run()
            done = step + 1
            if done > step_count - REPORTED_STEPS:
                recent.append(objective.psnr())
            if progress is not None and done % PROGRESS_EVERY == 0:
                progress(timestep, done, step_count, objective.psnr())
        return {"psnr": float(np.mean(recent)), "loss": objective.value()}

    def _accumulate_priors(self) -> None:
        moving, count = self._moving, len(self._active)
        if self._rest is not None:
            state = State.of(self._foreground, self._gradients.rows(0, moving), self._motion)
            accumulate_priors(self._priors, state, self._rest, self._loss)
            if self._motion is not None:  # the published priors do without
                self._rest.advance()
        if self._background_rest is not None:
            state = State.of(self._particles.rows(moving, count), self._gradients.rows(moving, count))
            prior = BackgroundPrior(self._config.priors.background)
            accumulate_priors([prior], state, self._background_rest, self._loss)

    def _upload(self, poses: Poses) -> None:
        self._particles.means.assign(poses[0])
        self._particles.rotations.assign(np.roll(poses[1], -1, axis=1))

    def _download(self) -> Poses:
        """Poses of all particles, quaternions normalized; those of frozen particles stay bit for bit."""
        count = len(self._active)
        rotations = np.roll(self._active.rotations.numpy(), 1, axis=1)
        rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
        return (
            np.concatenate([self._active.means.numpy(), self._last[0][count:]]),
            np.concatenate([rotations, self._last[1][count:]]),
        )


def _foreground_priors(gaussians: Gaussians, config: PriorConfig) -> list[Prior]:
    priors: list[Prior] = [
        RigidityPrior(config.rigidity),
        RotationPrior(config.rotation),
        IsometryPrior(config.isometry),
    ]
    if config.momentum > 0.0:
        priors.append(MomentumPrior(config.momentum, limit=1.0))
    if config.floor is not None:
        floor = Plane(config.floor[:3], config.floor[3])
    else:
        floor = find_ground(gaussians.means) if config.ground > 0.0 else None
    return priors if floor is None else [*priors, GroundPrior(config.ground, floor)]
