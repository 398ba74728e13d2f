"""A prior of your own, in 20 lines outside the package: what slides on a table stays at its height.

It is tested with the contract that every prior keeps, and used for tracking and for simulation, from Python here; from
the command line:

    warpgs track SCENE --run runs/mine --prior examples/13_your_own_prior.py:HeightPrior,weight=0.1
    warpgs simulate runs/mine --prior examples/13_your_own_prior.py:HeightPrior --run runs/forecast
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tyro
import warp as wp
from scipy.spatial.transform import Rotation

from scenes.synthetic import Pattern, SyntheticOptions, SyntheticScene, Texture, box, perfect_tracks
from warpgs.priors import Prior, Rest, State, accumulate_energy
from warpgs.priors.contract import ON_THE_FLOOR, check
from warpgs.simulate import Material, simulate
from warpgs.track import PRESETS, track


@wp.kernel
def height_kernel(
    means: wp.array(dtype=Any), first: wp.array(dtype=Any), up: Any, scale: Any, loss: wp.array(dtype=wp.float64)
):
    i = wp.tid()
    rise = wp.dot(up, means[i] - first[i])
    wp.atomic_add(loss, 0, wp.float64(scale * rise * rise))


@dataclass(frozen=True)
class HeightPrior(Prior):
    """Mean square of the change of height, in median distances between neighbors."""

    weight: float = 1.0
    """Multiplier on the mean."""

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        up = wp.types.vector(3, rest.dtype)(*rest.world_from_rest.rotation[2])  # of the scene, as particles see it
        scale = rest.dtype(self.weight / (max(rest.means.size, 1) * rest.spacing**2))
        inputs = [state.means, rest.means, up, scale]
        accumulate_energy(height_kernel, rest.means.size, inputs, state, rest, loss)


def make_scene(timesteps: int) -> SyntheticScene:
    """A box that slides and turns on the floor, seen by four cameras."""
    paint = Texture(Pattern.CHECKER, 0.06, ((0.9, 0.2, 0.1), (0.95, 0.9, 0.3), (0.1, 0.2, 0.7)))
    poses = np.tile(np.eye(4), (timesteps, 1, 1, 1))
    for timestep in range(timesteps):
        poses[timestep, 0, :3, :3] = Rotation.from_euler("z", 6.0 * timestep, degrees=True).as_matrix()
        poses[timestep, 0, :3, 3] = [0.05 * timestep - 0.1, 0.0, 0.16]
    options = SyntheticOptions(
        width=160, height=90, timesteps=timesteps, train_cameras=4, test_cameras=0, cloud_background=3000
    )
    return SyntheticScene("slide", (box("box", (0.4, 0.3, 0.3), paint),), poses, options)


def main(timesteps: int = 3) -> None:
    """Track a sliding box with the prior and without, and let it slide on, over the edge of its table.

    Args:
        timesteps: How many.
    """
    check(HeightPrior, motion=ON_THE_FLOOR)
    print("HeightPrior keeps the contract")

    scene = make_scene(timesteps)
    fast = PRESETS["fast"]
    config = replace(fast, reconstruct=replace(fast.reconstruct, steps=150))
    rises_cm = {}
    for name, priors in (("without", []), ("with", [HeightPrior(0.1)])):
        first, *_, last = track(scene, config, priors=priors)
        moving = first.gaussians.foreground >= 0.5
        rises_cm[name] = 100.0 * np.abs(last.gaussians.means - first.gaussians.means)[moving, 2]
        print(f"{name} the prior, particles leave their height by {np.sqrt((rises_cm[name] ** 2).mean()):.3f} cm (rms)")
    assert np.square(rises_cm["with"]).mean() < 0.25 * np.square(rises_cm["without"]).mean()

    tracks, no_floor = perfect_tracks(scene), Material(ground=False)
    falls_cm = {}
    for name, priors in (("without", []), ("with", [HeightPrior()])):
        *_, end = simulate(tracks, no_floor, instants=10, priors=priors)
        falls_cm[name] = 100.0 * (tracks.means[-1] - end.means)[tracks.foreground >= 0.5, 2].mean()
        print(f"{name} the prior, the box falls by {falls_cm[name]:.2f} cm in a third of a second")
    assert falls_cm["without"] > 30.0 and abs(falls_cm["with"]) < 1.0


if __name__ == "__main__":
    tyro.cli(main)
