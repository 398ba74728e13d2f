"""The priors of tracking in simulations: forces on particles and on rigid bodies, their stiffness, their gradients."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import warp as wp
from scipy.spatial.transform import Rotation

from tests.simulate.test_forward import BALL, FREE, TIMES, loose, no_parts, thrown, tracks_of
from tests.simulate.worlds import energies, free_model, lattice, let_go
from warpgs.priors import (
    ArapPrior,
    ElasticPrior,
    Prior,
    RotationPrior,
    ShapeMatchingPrior,
    SpringPrior,
    State,
    VolumePrior,
    accumulate_energy,
)
from warpgs.priors.rest import Rest
from warpgs.simulate import BackInTime, Material, Model, PriorEnergy, World, plane, set_up, simulate
from warpgs.simulate import State as Bodies
from warpgs.simulate.forces import ParticleScratch, find_forces
from warpgs.simulate.stability import fastest_rate, stable_substeps

POISSON = 0.25
HOLDING: dict[str, tuple[Prior, ...]] = {
    "elastic": (ElasticPrior(poisson=POISSON), ArapPrior(0.05)),
    "arap": (ArapPrior(1.0),),
    "springs": (SpringPrior(1.0),),
    "shape_matching": (ShapeMatchingPrior(1.0),),
    "volume": (VolumePrior(1.0), ArapPrior(0.2)),
}
SOFT = Material(ground=False, springs=False, stiffness=2e4, density=500.0)
SPACING = 0.05


@wp.kernel
def pull_kernel(means: wp.array(dtype=Any), first: wp.array(dtype=Any), scale: Any, loss: wp.array(dtype=wp.float64)):
    i = wp.tid()
    away = means[i] - first[i]
    wp.atomic_add(loss, 0, wp.float64(scale * wp.dot(away, away)))


@dataclass(frozen=True)
class LeashPrior(Prior):
    """A user's own: mean square distance from the place at rest, in spacings."""

    weight: float = 1.0

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        scale = rest.dtype(self.weight / (max(rest.means.size, 1) * rest.spacing**2))
        accumulate_energy(pull_kernel, rest.means.size, [state.means, rest.means, scale], state, rest, loss)


def around(points: np.ndarray, count: int = 20) -> np.ndarray:
    """The nearest others of each point."""
    return np.argsort(np.linalg.norm(points[:, None] - points[None], axis=2), axis=1)[:, 1 : count + 1].astype(np.int32)


def energy_of(points: np.ndarray, priors: Sequence[Prior], volume: float, neighbors: np.ndarray | None = None):
    """Priors on points that are their own rest shape."""
    neighbors = around(points) if neighbors is None else neighbors
    turns = np.tile([1.0, 0, 0, 0], (len(points), 1))
    return PriorEnergy(
        priors=priors, means=points, rotations_wxyz=turns, turns_wxyz=turns, scales=np.full((len(points), 3), 0.01),
        parts=np.zeros(len(points), int), neighbors=neighbors, weights=np.ones(neighbors.shape), volume=volume,
    )  # fmt: skip


POINTS = lattice((4, 3, 3), SPACING)
LIFT = np.array([0, 0, 0.003])


def jelly(priors: Sequence[Prior], **others) -> Model:
    """A block of oriented particles that priors hold."""
    mass = 500.0 * SPACING**3
    count = len(POINTS)
    model = free_model(
        POINTS, mass, energy=energy_of(POINTS, priors, count * SPACING**3), feeler_bodies=np.arange(count),
        feeler_offsets=np.zeros((count, 3)), feeler_radii=np.zeros(count), **({"stiffness": 2e4} | others),
    )  # fmt: skip
    return replace(model, inertias=np.tile(mass * SPACING**2 / 6.0 * np.eye(3), (len(POINTS), 1, 1)))


@pytest.mark.parametrize("name", HOLDING)
def test_jelly_of_any_prior_falls_lands_and_keeps_together(name):
    tracks = loose()
    tracks = replace(tracks, means=tracks.means - np.array([0, 0, 0.45], np.float32))
    material = replace(SOFT, stiffness=1e5, colliders=(plane(),), drag=8.0)
    *_, last = simulate(tracks, material, parts=no_parts(tracks), start=0, instants=30, priors=HOLDING[name])
    assert last.means[:, 2].min() == pytest.approx(0.0, abs=5e-3)
    assert np.ptp(last.means, axis=0) == pytest.approx(np.ptp(tracks.means[0], axis=0), rel=0.15)


@pytest.mark.parametrize("name", HOLDING)
def test_what_priors_hold_keeps_momenta_and_energy_without_contact(name, device):
    model = jelly(HOLDING[name], gravity=(0.0, 0.0, 0.0))
    world = World(model, device)
    rng = np.random.default_rng(0)
    spin = np.array([0.0, 0.0, 1.0])
    velocities = rng.normal(0.0, 0.05, POINTS.shape) + np.cross(spin, POINTS) + np.array([1.0, 0, 0])
    rate = fastest_rate(model, POINTS)
    steps = stable_substeps(replace(model, energy=replace(model.energy, rate=rate)), 1.0)
    start = world.start(POINTS, None, velocities, np.tile(spin, (len(POINTS), 1)))
    states = let_go(world, start, 1.0, 1.0 / steps, every=steps // 10)
    mass = model.masses[0]
    linear = mass * states["velocities"].sum(axis=1)
    angular = mass * np.cross(states["centers"], states["velocities"]).sum(axis=1) + states["momenta"].sum(axis=1)
    assert np.linalg.norm(linear - linear[0], axis=1).max() < 1e-4 * np.linalg.norm(linear[0])
    assert np.linalg.norm(angular - angular[0], axis=1).max() < 1e-4 * np.linalg.norm(angular[0])
    energy = energies(model, states) + [stored(world, states, at) for at in range(len(states["centers"]))]
    assert np.ptp(energy) < 0.02 * energy[0]


def stored(world: World, states: dict[str, np.ndarray], at: int) -> float:
    """Energy of the priors [J] at one of some states."""
    energy = world.model.energy
    rest = energy.rest(world.device, world.dtype)
    vec3, quat = wp.types.vector(3, world.dtype), wp.types.quaternion(world.dtype)
    poses = wp.array(states["centers"][at], dtype=vec3), wp.array(states["rotations"][at], dtype=quat)
    loss, state = wp.zeros(1, dtype=wp.float64), State(*poses, wp.zeros_like(poses[0]), wp.zeros_like(poses[1]))
    for prior in energy.priors:
        prior.accumulate(state, rest, loss)
    return world.model.stiffness * energy.volume * float(loss.numpy()[0])


def test_stiffness_is_the_modulus_of_an_elastic_prior(device):
    """Stretched by e, and as much narrower as its Poisson ratio says, a volume V stores E e^2 V / 2."""
    stretch = 1e-3
    model = jelly([ElasticPrior(poisson=POISSON)], stiffness=3e4)
    world = World(model, device, wp.float64)
    along = POINTS * [1.0, -POISSON, -POISSON]
    forces, _ = pulled(world, world.start(POINTS + stretch * along))
    expected = -3e4 * stretch * model.energy.volume
    assert (forces * along).sum() == pytest.approx(expected, rel=2e-3)


def pulled(world: World, state: Bodies) -> tuple[np.ndarray, np.ndarray]:
    """Forces and torques on all bodies."""
    scratch, outputs = ParticleScratch(world), [wp.zeros_like(state.centers) for _ in range(2)]
    find_forces(world, state, state, 1.0, scratch, *outputs)
    return outputs[0].numpy(), outputs[1].numpy()


@pytest.mark.parametrize("prior", [LeashPrior(1.0), ShapeMatchingPrior(1.0), RotationPrior(1.0)])
def test_rigid_bodies_feel_the_slope_of_the_energy(prior, device):
    """Two rigid bodies of eight particles: force and torque of one against differences of the energy as it moves."""
    corners = lattice((2, 2, 2), 0.1)
    points = np.concatenate([corners, corners + np.array([0.2, 0.0, 0.0])])
    owners = np.repeat([0, 1], 8)
    model = Model(
        masses=np.ones(2), inertias=np.tile(np.eye(3), (2, 1, 1)), bodies=owners, offsets=points, stiffness=2.0,
        energy=energy_of(points, [prior], 0.5, around(points, 10)),
    )  # fmt: skip
    world = World(model, device, wp.float64)
    rng = np.random.default_rng(0)
    centers, turns = rng.normal(0.0, 0.02, (2, 3)), Rotation.from_rotvec(rng.normal(0.0, 0.3, (2, 3)))
    forces, torques = pulled(world, world.start(centers, np.roll(turns.as_quat(), 1, axis=1)))
    shift, twist = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))

    def energy(eps: float) -> float:
        moved, turned = centers + eps * shift, Rotation.from_rotvec(eps * twist) * turns
        means = turned[owners].apply(points) + moved[owners]
        states = {"centers": means[None], "rotations": turned[owners].as_quat()[None]}
        return stored(world, states, 0)

    slope = (energy(1e-5) - energy(-1e-5)) / 2e-5
    assert abs(slope) > 1e-3
    assert -(forces * shift).sum() - (torques * twist).sum() == pytest.approx(slope, rel=1e-6)


def test_fastest_oscillation_is_found():
    """Two particles on a spring: omega^2 = k (1 / m + 1 / m); each of the two pairs of the prior has its own spring."""
    points, neighbors = np.array([[0.0, 0, 0], [0.1, 0, 0]]), np.array([[1], [0]], np.int32)
    model = free_model(points, 0.2, energy=energy_of(points, [SpringPrior(3.0)], 0.7, neighbors))
    stiffness = 0.7 * 3.0 / 0.1**2  # two pairs, whose mean counts: together that of one
    assert fastest_rate(model, points) == pytest.approx(stiffness * 2 / 0.2, rel=1e-3)


@pytest.mark.parametrize(("dtype", "tolerance"), [(wp.float64, 1e-6), (wp.float32, 1e-3)])
@pytest.mark.parametrize("name", ["elastic", "shape_matching"])
def test_gradients_through_priors_and_sixty_steps_match_finite_differences(name, dtype, tolerance):
    model, steps, dt = jelly(HOLDING[name], colliders=(plane(),)), 60, 1.0 / 960
    rng = np.random.default_rng(0)
    velocities = rng.normal(0, 0.2, POINTS.shape) + np.array([0.5, 0, -0.3])
    weights, along = rng.normal(size=POINTS.shape), rng.normal(size=POINTS.shape)

    def final(model: Model, velocities: np.ndarray) -> float:
        world = World(model, "cpu", wp.float64)
        states = let_go(world, world.start(POINTS + LIFT, None, velocities), steps * dt, dt, every=steps)
        return float((states["centers"][-1] * weights).sum())

    def loss(step: int, state: Bodies) -> float:
        if step < steps:
            return 0.0
        state.centers.grad.assign(weights)
        return float((state.centers.numpy() * weights).sum())

    world = World(model, "cpu", dtype)
    gradients = BackInTime(world, steps, dt).run(world.start(POINTS + LIFT, None, velocities), loss)
    ahead, behind = (final(model, velocities + eps * along) for eps in (1e-6, -1e-6))
    assert (gradients.start["velocities"] * along).sum() == pytest.approx((ahead - behind) / 2e-6, rel=tolerance)
    ahead, behind = (final(replace(model, stiffness=2e4 * (1 + eps)), velocities) for eps in (1e-5, -1e-5))
    found = 2e4 * gradients.parameters["stiffness"].sum()
    assert found == pytest.approx((ahead - behind) / 2e-5, rel=tolerance)


def test_parts_that_only_lie_beside_each_other_are_not_tied():
    tracks, parts = tracks_of(thrown(BALL, [0, 0, 0], [0, 0, 0]), thrown(BALL, [0, 0, 0], [0, 0, 0], (0.21, 0, 1)))
    energy = set_up(tracks, parts, 5, FREE, priors=[ElasticPrior()]).model.energy
    apart = energy.parts[:, None] != energy.parts[energy.neighbors]
    assert apart.any() and (energy.weights[apart] == 0.0).all() and (energy.weights[~apart] > 0.0).all()
    assert energy.volume == pytest.approx(2 * 4 / 3 * np.pi * 0.1**3, rel=0.05)


def test_leash_of_a_user_pulls_rigid_parts_back():
    """Each particle of volume v hangs on a spring of 2 E v / spacing^2: the body swings as one of all of them."""
    still = np.repeat(BALL[None] + np.array([0, 0, 1]), len(TIMES), axis=0)
    tracks, parts = tracks_of((still, np.tile([1.0, 0, 0, 0], (len(TIMES), len(BALL), 1))))
    material = replace(FREE, stiffness=2.0, density=400.0)
    setup = set_up(tracks, parts, 5, material, priors=[LeashPrior()])
    spacing = setup.model.energy.rest("cpu", wp.float32).spacing
    omega = np.sqrt(2 * 2.0 / (400.0 * spacing**2))
    *_, last = simulate(tracks, material, parts=parts, start=5, instants=9, priors=[LeashPrior()])
    sag = 9.81 / omega**2 * (1 - np.cos(omega * 9 / 30))
    assert last.means[:, 2].mean() == pytest.approx(1.0 - sag, abs=0.01 * sag)


def test_priors_add_to_springs_unless_the_material_has_none():
    tracks = loose()
    tied = set_up(tracks, no_parts(tracks), 0, FREE, priors=[ArapPrior()]).model
    bare = set_up(tracks, no_parts(tracks), 0, SOFT, priors=[ArapPrior()]).model
    assert len(tied.springs.lengths) > 0 and len(bare.springs.lengths) == 0
    assert set_up(tracks, no_parts(tracks), 0, FREE).model.energy is None
