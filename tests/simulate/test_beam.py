"""Elasticity of particles against that of the continuum, and a beam whose motion is that of Euler and Bernoulli."""

from dataclasses import replace

import numpy as np
import pytest
import warp as wp

from tests.simulate.test_priors import energy_of, stored
from tests.simulate.worlds import free_model, lattice
from tests.tracks_by_hand import make_tracks
from warpgs.bodies import DEFORMABLE, Parts, fit_parts
from warpgs.priors import ElasticPrior
from warpgs.simulate import Material, World, identify
from warpgs.types import Tracks

POISSON = 0.25
DENSITY = 500.0
YOUNG = 3e6
SPACING = 0.025
ROOT = 1.8751040687119611
"""Smallest root of cos x cosh x = -1."""


def fields(points: np.ndarray) -> dict[str, np.ndarray]:
    """Displacements of a long block by Saint-Venant, per unit of strain, or of curvature [1/m]."""
    x, y, z = points.T
    return {
        "stretch": np.stack([x, -POISSON * y, -POISSON * z], axis=1),
        "shear": np.stack([z, 0 * y, 0 * z], axis=1),
        "bending": np.stack([x * z, -POISSON * y * z, -0.5 * x**2 - 0.5 * POISSON * (z**2 - y**2)], axis=1),
    }


@pytest.mark.parametrize("jitter", [0.0, 0.25])
@pytest.mark.parametrize("thick", [6, 8])
def test_energy_of_a_block_is_that_of_its_continuum(thick, jitter, device):
    """E e^2 V / 2 of a stretch, E e^2 V / 4 (1 + nu) of a shear, E k^2 V h^2 / 24 of bending."""
    points = lattice((30, thick, thick), SPACING)
    points += np.random.default_rng(0).uniform(-jitter, jitter, points.shape) * SPACING
    points -= points.mean(axis=0)
    volume, height = len(points) * SPACING**3, thick * SPACING
    energy = energy_of(points, [ElasticPrior(poisson=POISSON)], volume)
    lengths = np.linalg.norm(points[energy.neighbors] - points[:, None], axis=2)
    energy = replace(energy, weights=np.exp(-0.5 * (lengths / np.median(lengths[:, -1])) ** 2))  # as set_up does
    model = free_model(points, 1.0, energy=energy, stiffness=YOUNG)
    world = World(model, device, wp.float64)
    expected = {"stretch": 1.0, "shear": 0.5 / (1.0 + POISSON), "bending": height**2 / 12.0}
    for name, field in fields(points).items():
        size = 1e-4 if name != "bending" else 1e-4 / height
        turns = np.tile([0.0, 0, 0, 1], (len(points), 1))
        states = {"centers": (points + size * field)[None], "rotations": turns[None]}
        whole = 0.5 * YOUNG * size**2 * volume * expected[name]
        assert stored(world, states, 0) == pytest.approx(whole, rel=0.06 if name == "bending" else 2e-3), name


def cantilever(phase: float, noise_m: float = 0.0) -> tuple[Tracks, Parts]:
    """A beam of 20 x 3 x 4 particles beyond two layers in a clamp, in its first mode: Euler-Bernoulli, which knows no
    Young's modulus but by its frequency."""
    points = lattice((22, 3, 4), SPACING)
    points -= [SPACING, points[:, 1].max() / 2.0, points[:, 2].max() / 2.0]
    x, y, z = points.T
    free = x > 1e-9
    height, length = 4 * SPACING, 20.5 * SPACING
    k, share = ROOT / length, (np.cosh(ROOT) + np.cos(ROOT)) / (np.sinh(ROOT) + np.sin(ROOT))
    s = k * np.where(free, x, 0.0)
    bent = 0.5 * (np.cosh(s) - np.cos(s) - share * (np.sinh(s) - np.sin(s)))
    slope = 0.5 * k * (np.sinh(s) + np.sin(s) - share * (np.cosh(s) - np.cos(s)))
    curvature = 0.5 * k**2 * (np.cosh(s) + np.cos(s) - share * (np.sinh(s) + np.sin(s)))
    across = POISSON * curvature * np.where(free, 1.0, 0.0)
    mode = np.stack([-z * slope, across * y * z, bent + 0.5 * across * (z**2 - y**2)], axis=1)
    omega = k**2 * np.sqrt(YOUNG * height**2 / 12.0 / DENSITY)
    swing = 0.02 * np.sin(omega * np.arange(9) / 240.0 + phase)
    means = points + swing[:, None, None] * mode
    means += np.random.default_rng(0).normal(0.0, noise_m, means.shape)
    tracks = replace(make_tracks(means, sigma=0.01), fps=240.0)
    return tracks, fit_parts(tracks, np.where(free, DEFORMABLE, 0), ["clamp"])


@pytest.mark.parametrize(("begins", "rest"), [("straight", None), ("bent", 0)])
def test_stiffness_of_a_beam_is_found_within_10_percent(begins, rest):
    tracks, parts = cantilever(0.0)
    if begins == "bent":  # the same swing back in time: it begins where it is bent most, and is straight at its end
        tracks, rest = replace(tracks, means=tracks.means[::-1].copy()), len(tracks) - 1
    material = Material(
        ground=False, springs=False, density=DENSITY, gravity=(0.0, 0.0, 0.0), damping_s=0.0, stiffness=1e5
    )  # fmt: skip
    found = identify(
        tracks, ["stiffness"], material, parts=parts, hold=["clamp"], priors=[ElasticPrior(poisson=POISSON)],
        rest=rest, fitted=len(tracks),
    )  # fmt: skip
    assert found.values["stiffness"] == pytest.approx(YOUNG, rel=0.1)
    assert found.error_m < 0.3 * found.error_before_m
