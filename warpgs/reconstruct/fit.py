"""The first timestep: everything is optimized, one or a few random views at a time, with densification."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import warp as wp

from warpgs.math.harmonics import HARMONICS
from warpgs.math.order import morton_codes
from warpgs.optimize.adam import Adam
from warpgs.particles import Particles, logit
from warpgs.reconstruct.config import ReconstructConfig
from warpgs.reconstruct.densify import RESET_OPACITY, ScreenGradients, densify
from warpgs.reconstruct.iteration import Iteration
from warpgs.reconstruct.objective import Objective, scene_radius
from warpgs.reconstruct.order import ViewOrder
from warpgs.reconstruct.refine import CameraRefinement
from warpgs.reconstruct.snapshot import Snapshot
from warpgs.types import Gaussians

PROGRESS_EVERY = 20
"""Steps; as often the host looks whether all lists of splats had room."""

Progress = Callable[[int, int, int, float], None]
"""progress(timestep, step, step_count, psnr)"""


@dataclass(eq=False)
class _Fit:
    """What changes size together when Gaussians are added and removed."""

    particles: Particles
    gradients: Particles
    adam: Adam
    screen_gradients: ScreenGradients


def reconstruct(
    gaussians: Gaussians,
    objective: Objective,
    config: ReconstructConfig,
    *,
    seed: int,
    progress: Progress | None = None,
) -> tuple[Gaussians, np.ndarray | None]:
    """Fit ``gaussians`` to the pictures that ``objective`` holds, and its color corrections along.

    Args:
        gaussians: The start, from seed.py.
        objective: Image loss of the first timestep.
        config: Steps, rates, densification.
        seed: Decides the order of views and the places of new Gaussians.
        progress: Called now and then.

    Returns:
        The fitted Gaussians, those of the foreground first, and the turns of the cameras where they are refined; see
        ``CameraRefinement``.
    """
    radius = scene_radius(objective.cameras)
    rates = asdict(config.rates)
    correction_rate = rates.pop("corrections")
    turn_rate = rates.pop("turns")
    refinement = None
    if objective.adj_poses.size:
        refinement = CameraRefinement(objective, middle(gaussians), turn_rate, config.steps)
    rates["means"] *= radius
    particles = Particles.upload(_with_harmonics(gaussians, config.harmonics_degree), objective.device)
    adam = Adam(particles.named(), {name: rates[name] for name in particles.named()})
    adam.decay(max(config.steps, 1), {"means": config.final_means_rate})
    fit = _Fit(particles, particles.zeros_like(), adam, ScreenGradients(len(particles), objective.device))
    corrections = {"log_gains": objective.log_gains, "offsets": objective.offsets}
    adj_corrections = {name: wp.zeros_like(array) for name, array in corrections.items()}
    correction_adam = Adam(corrections, dict.fromkeys(corrections, correction_rate))

    def update() -> None:
        fit.adam.step(fit.gradients.named())
        correction_adam.step(adj_corrections)
        if refinement is not None:
            refinement.step()

    def prepared() -> tuple[Iteration, Snapshot]:
        if objective.one_graph:
            objective.reserve(fit.particles, len(fit.gradients))
        arrays = [*fit.particles.named().values(), *fit.adam.state(), *fit.screen_gradients.state()]
        arrays += [*corrections.values(), *correction_adam.state()]
        if refinement is not None:
            arrays += refinement.state()
        adj = list(adj_corrections.values())
        return Iteration(objective, fit.particles, fit.gradients, update, adj_corrections=adj), Snapshot(arrays)

    iteration, snapshot = prepared()
    views = ViewOrder(len(objective.cameras), objective.views_per_step, seed, 0)
    random = np.random.default_rng([seed, 0, 1])
    done = 0
    for step in _halts(config):
        order = [views.take() for _ in range(done, step)]
        done = step
        _advance(iteration, order, snapshot, objective, lambda step=step: _count(fit, objective, config, step))
        if _densify(fit, objective, config, step, radius, random):
            iteration, snapshot = prepared()
        if progress is not None and (step % PROGRESS_EVERY == 0 or step == config.steps):
            progress(0, step, config.steps, objective.psnr())

    fitted = fit.particles.download()
    if config.neutral_corrections:
        fitted = _neutralized(fitted, objective)
    return _foreground_first(fitted), None if refinement is None else refinement.turns()


def middle(gaussians: Gaussians) -> np.ndarray:
    """Of what moves, or of everything where nothing does [m], shape [3]."""
    moves = gaussians.foreground >= 0.5
    return np.median(gaussians.means[moves] if moves.any() else gaussians.means, axis=0)


def _halts(config: ReconstructConfig) -> list[int]:
    """After which steps the host has something to do: look whether there was room, report, densify."""
    plan, last = config.densify, config.steps
    halts = {*range(PROGRESS_EVERY, last, PROGRESS_EVERY), last}
    if plan.every:
        halts |= {*range(plan.every, min(plan.stop, last) + 1, plan.every), plan.stop, plan.reset_opacity_at}
    return sorted(halt for halt in halts if 0 < halt <= last)


def _advance(
    iteration: Iteration,
    order: Sequence[Sequence[int]],
    snapshot: Snapshot,
    objective: Objective,
    after_step: Callable[[], None],
) -> None:
    """Take steps, of which none waits for the device. Where one of them had no room for its lists of splats, make some
    and take all of them again from where they started, so that results do not depend on it."""
    snapshot.take()
    while True:
        iteration.begin(order)
        for _ in order:
            iteration.run()
            after_step()
        if not objective.overflowed():
            return
        objective.grow()
        snapshot.restore()


def _count(fit: _Fit, objective: Objective, config: ReconstructConfig, step: int) -> None:
    """Take in the screen-space gradients of the last step, if there will be densification."""
    if not config.densify.every or step > config.densify.stop:
        return
    # the published threshold is meant for a color loss of weight 1 and one view
    scale = objective.views_per_step / config.image_weight
    for rasterizer in objective.rasterizers():
        fit.screen_gradients.add(rasterizer, scale)


def _densify(
    fit: _Fit, objective: Objective, config: ReconstructConfig, step: int, radius: float, random: np.random.Generator
) -> bool:
    """Add and remove Gaussians, or let all grow faint, when it is time; whether there are others now."""
    plan = config.densify
    if not plan.every or step > plan.stop or step == config.steps:  # what is new after the last step is never fitted
        return False
    if step == plan.reset_opacity_at:
        low = np.minimum(fit.particles.opacity_logits.numpy(), logit(np.array(RESET_OPACITY)))
        fit.particles.opacity_logits.assign(low)
        fit.adam.reset_moments("opacity_logits")
    if step < plan.start or step % plan.every:
        return False
    gaussians, source = densify(
        fit.particles.download(), fit.screen_gradients.mean(), plan, step=step, radius=radius, random=random
    )
    fit.particles = Particles.upload(gaussians, objective.device)
    fit.gradients = fit.particles.zeros_like()
    fit.adam.gather(fit.particles.named(), source)
    fit.screen_gradients = ScreenGradients(len(gaussians), objective.device)
    return True


def _neutralized(gaussians: Gaussians, objective: Objective) -> Gaussians:
    """Move the mean correction of all cameras into the colors, so that pictures without correction look right.

    With g = mean g_c and o = mean o_c, picture_c = exp(g_c) C + o_c stays the same where particles cover the pixel when
    C -> exp(g) C + o, g_c -> g_c - g, o_c -> o_c - exp(g_c - g) o.
    """
    log_gains, offsets = objective.log_gains.numpy(), objective.offsets.numpy()
    mean_log_gain, mean_offset = log_gains.mean(axis=0), offsets.mean(axis=0)
    log_gains = log_gains - mean_log_gain
    objective.log_gains.assign(log_gains)
    objective.offsets.assign(offsets - np.exp(log_gains) * mean_offset)
    colors = gaussians.colors * np.exp(mean_log_gain) + mean_offset
    harmonics = None if gaussians.harmonics is None else gaussians.harmonics * np.exp(mean_log_gain)
    return replace(gaussians, colors=colors, harmonics=harmonics)


def _with_harmonics(gaussians: Gaussians, degree: int) -> Gaussians:
    """With room for harmonics up to ``degree``, zero at first."""
    if degree == 0 or gaussians.harmonics is not None:
        return gaussians
    return replace(gaussians, harmonics=np.zeros((len(gaussians), HARMONICS[degree], 3), np.float32))


def _foreground_first(gaussians: Gaussians) -> Gaussians:
    """Sorted into foreground, then background, and so that neighbors in space are neighbors in memory."""
    order = np.lexsort((morton_codes(gaussians.means), gaussians.foreground < 0.5))
    return gaussians.select(order)
