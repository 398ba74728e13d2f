"""What enters after the first timestep: foreground that no particle explains, seen alike by several cameras.

A pixel is unexplained where its mask says foreground and the foreground particles cover less than half of it. Rims of
a pixel or two, which ragged masks and slight errors of tracking leave around everything, are no news: the masks of
unexplained pixels are opened. What is left must agree in space: new particles start on the part of the masks' visual
hull in which most views see unexplained pixels. A body that hides another takes nothing away from it: there the masks
say foreground, and the view has no voice.

Once is not enough: what is found must be found again at the next timestep.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import warp as wp

from warpgs.math.order import morton_codes
from warpgs.optimize.adam import Adam
from warpgs.particles import Particles, logit
from warpgs.reconstruct.config import ReconstructConfig
from warpgs.reconstruct.hull import HullClaims, HullVotes, visual_hull
from warpgs.reconstruct.iteration import Iteration
from warpgs.reconstruct.objective import Objective
from warpgs.reconstruct.order import ViewOrder
from warpgs.reconstruct.seed import SeedConfig, seed_from_cloud
from warpgs.reconstruct.views import Rig, Views
from warpgs.track.config import BirthConfig
from warpgs.track.unexplained import Unexplained
from warpgs.types import Frame, Gaussians, PointCloud


class Newcomers:
    """Looks for what no particle explains."""

    def __init__(self, config: BirthConfig, seed: SeedConfig, device: wp.Device, unexplained: Unexplained) -> None:
        self._config, self._seed, self._device, self._unexplained = config, seed, device, unexplained
        self.waited = 0
        """Timesteps in which something was found and waited for, up to now; with what is tracked, all the state."""

    def after(self, foreground: Particles, frame: Frame) -> PointCloud | None:
        """What is to be born at a timestep: something new that was found before.

        Args:
            foreground: The moving particles where they were tracked to.
            frame: The pictures that they were tracked in.

        Returns:
            Points on its surface in the frame of ``foreground``, with colors; None where there is none.
        """
        if frame.masks is None or not self._config.enabled:
            return None
        masks, news = self._unexplained.find(foreground, frame, self._config.rim)
        counts = news.mean(axis=(1, 2)) >= self._config.pixel_share
        cloud = None
        least = min(self._config.views, max(len(masks) - 1, 2))
        if counts.sum() >= least:
            cloud = self._surface(frame, masks, news, least)
        if cloud is None:
            self.waited = 0
            return None
        if self.waited < self._config.wait:
            self.waited += 1
            return None
        self.waited = 0
        return cloud

    def _surface(self, frame: Frame, masks: np.ndarray, news: np.ndarray, least: int) -> PointCloud | None:
        """Points on the surface of what so many cameras agree on; None where they do not."""
        config, seed = self._config, self._seed
        rig = Rig.of(frame.cameras)
        views = Views.of(frame, rig, masks.shape[2], masks.shape[1])
        votes = HullVotes(seed.hull_dissent, least / len(views), seed.hull_extent)
        claims = HullClaims(news.astype(np.float32), least, config.view_share, config.cells)
        voxel_px = seed.hull_pixel_share * max(masks.shape[1:])
        points, colors = visual_hull(views, masks, votes, voxel_px, seed.hull_point_limit, self._device, claims=claims)
        return PointCloud(rig.to_world(points), colors, np.ones(len(points), bool)) if len(points) else None


def fit_newcomers(
    cloud: PointCloud,
    surroundings: Gaussians,
    frame: Frame,
    objective: Objective,
    config: ReconstructConfig,
    *,
    steps: int,
    seed: int,
) -> Gaussians:
    """Particles for what is new, fitted to the pictures while everything else stands still.

    Args:
        cloud: Where they start, from ``Newcomers.after``.
        surroundings: All other particles at this timestep.
        frame: The pictures of this timestep.
        objective: Image loss, with the color corrections of the first timestep; nothing is loaded yet.
        config: Of the first timestep: how particles start, rates, the opacity below which one is left out.
        steps: Optimization steps.
        seed: Decides the order of views.
    """
    device = objective.device
    born = seed_from_cloud(cloud, frame, config.seed, device=device)
    born = born.select(np.argsort(morton_codes(born.means), kind="stable"))
    if surroundings.harmonics is not None:
        born = replace(born, harmonics=np.zeros((len(born), *surroundings.harmonics.shape[1:]), np.float32))
    objective.load(frame)
    if device.is_cpu:
        objective.hold(Particles.upload(surroundings, device))
        particles = drawn = Particles.upload(born, device)
    else:
        drawn = Particles.upload(Gaussians.join([born, surroundings]), device)
        particles = drawn.rows(0, len(born))
    gradients = particles.zeros_like()
    # that they are foreground is known: what else they are is what the pictures say
    rates = {
        name: rate for name, rate in asdict(config.rates).items() if name not in ("corrections", "foreground_logits")
    }
    parameters = {name: array for name, array in particles.named().items() if name in rates}
    adam = Adam(parameters, {name: rates[name] for name in parameters})
    adam.decay(max(steps, 1), {"means": config.final_means_rate})
    iteration = Iteration(objective, drawn, gradients, lambda: adam.step(gradients.named()))
    views = ViewOrder(len(objective.cameras), objective.views_per_step, seed, frame.timestep)
    iteration.begin([views.take() for _ in range(steps)])
    for _ in range(steps):
        iteration.run()
    fitted = particles.download()
    return fitted.select(fitted.opacity_logits >= logit(np.array(config.densify.final_prune_opacity)))
