"""Steps that are longer than what rings in them: stable, momenta kept, gradients of the step as it is solved."""

from dataclasses import replace

import numpy as np
import pytest
import warp as wp

from tests.simulate.test_forward import loose, no_parts
from tests.simulate.test_priors import HOLDING, LIFT, POINTS, SPACING, jelly, stored
from tests.simulate.worlds import box_points, energies, free_model, lattice_springs, let_go, solid_model
from warpgs.simulate import BackInTime, Implicit, Material, Model, Solid, Springs, World, plane, simulate
from warpgs.simulate import State as Bodies
from warpgs.simulate.stride import Stride

WOBBLE = (
    np.random.default_rng(0).normal(0.0, 0.05, POINTS.shape) + np.cross([0, 0, 1.0], POINTS) + np.array([1.0, 0, 0])
)


def on_springs(**others) -> Model:
    count = len(POINTS)
    return free_model(
        POINTS, 500.0 * SPACING**3, springs=lattice_springs(POINTS, SPACING), feeler_bodies=np.arange(count),
        feeler_offsets=np.zeros((count, 3)), feeler_radii=np.zeros(count), **({"gravity": (0.0, 0.0, 0.0)} | others),
    )  # fmt: skip


def momenta(model: Model, states: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Linear and angular, of free particles."""
    linear = (model.masses[:, None] * states["velocities"]).sum(axis=1)
    angular = np.cross(states["centers"], model.masses[:, None] * states["velocities"]).sum(axis=1)
    return linear, angular + states["momenta"].sum(axis=1)


def tension(model: Model, states: dict[str, np.ndarray]) -> np.ndarray:
    """Energy of the springs [J]."""
    ends = states["centers"][:, model.springs.pairs]
    stretch = np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=2) - model.springs.lengths
    return 0.5 * model.stiffness * (model.springs.areas / model.springs.lengths * stretch**2).sum(axis=1)


def test_midpoint_keeps_energy_and_momenta(device):
    model = on_springs(stiffness=2e4)
    world = World(model, device)
    states = let_go(world, world.start(POINTS, None, WOBBLE), 0.5, 1 / 240, every=12, solver=Implicit(place=0.5))
    energy = energies(model, states) + tension(model, states)
    assert tension(model, states).max() > 1e-3 * energy[0]
    assert np.ptp(energy) < 1e-3 * energy[0]
    for momentum in momenta(model, states):
        assert np.linalg.norm(momentum - momentum[0], axis=1).max() < 1e-4 * np.linalg.norm(momentum[0])


@pytest.mark.parametrize("place", [0.6, 1.0])
@pytest.mark.parametrize("stiffness", [1e7, 1e9])
def test_stiff_springs_hold_at_long_steps(device, stiffness, place):
    """The explicit step could be a 240th as long at most; energy does not grow, momenta stay, nothing stretches."""
    model = on_springs(stiffness=stiffness)
    world = World(model, device)
    states = let_go(world, world.start(POINTS, None, WOBBLE), 0.5, 1 / 240, every=12, solver=Implicit(place=place))
    energy, (linear, angular) = energies(model, states) + tension(model, states), momenta(model, states)
    assert 0.98 * energy[0] < energy.min() and energy.max() < 1.001 * energy[0]
    assert np.linalg.norm(linear - linear[0], axis=1).max() < 1e-5 * np.linalg.norm(linear[0])
    assert np.linalg.norm(angular - angular[0], axis=1).max() < 0.01 * np.linalg.norm(angular[0])
    ends = states["centers"][-1][model.springs.pairs]
    assert np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1) == pytest.approx(model.springs.lengths, rel=5e-3)


@pytest.mark.parametrize("name", ["elastic", "shape_matching", "volume"])
def test_priors_hold_at_long_steps(device, name):
    model = jelly(HOLDING[name], stiffness=1e7, gravity=(0.0, 0.0, 0.0))
    world = World(model, device)
    start = world.start(POINTS, None, WOBBLE, np.tile([0, 0, 1.0], (len(POINTS), 1)))
    states = let_go(world, start, 0.25, 1 / 240, every=10, solver=Implicit())
    energy = energies(model, states) + [stored(world, states, at) for at in range(len(states["centers"]))]
    assert 0.98 * energy[0] < energy.min() and energy.max() < 1.001 * energy[0]
    linear, angular = momenta(model, states)
    assert np.linalg.norm(linear - linear[0], axis=1).max() < 2e-3 * np.linalg.norm(linear[0])
    assert np.linalg.norm(angular - angular[0], axis=1).max() < 0.01 * np.linalg.norm(angular[0])


def test_chain_of_springs_rings_at_its_closed_form(device):
    """As the explicit step does; the midpoint rule slows it by (omega h)^2 / 12."""
    count, mass = 7, 0.02
    points = 0.1 * np.arange(count + 2)[:, None] * [1.0, 0.0, 0.0]
    pairs = np.stack([np.arange(count + 1), np.arange(1, count + 2)], axis=1)
    springs = Springs(pairs, np.full(count + 1, 0.1), np.full(count + 1, 1e-4))
    model = free_model(points, mass, springs=springs, stiffness=2e4, gravity=(0.0, 0.0, 0.0))
    masses = model.masses.copy()
    masses[[0, -1]] = np.inf
    model = replace(model, masses=masses)
    world = World(model, device)
    mode = 0.005 * np.sin(2 * np.pi * np.arange(count + 2) / (count + 1))
    start = world.start(points + mode[:, None] * [1.0, 0, 0])
    states = let_go(world, start, 0.5, 1 / 480, every=8, solver=Implicit(iterations=8, place=0.5))
    omega = 2.0 * np.sqrt(2e4 * 1e-4 / 0.1 / mass) * np.sin(2 * np.pi / (2 * (count + 1)))
    omega *= 1.0 - (omega / 480) ** 2 / 12.0
    times = np.arange(len(states["centers"]))[:, None] * 8 / 480
    np.testing.assert_allclose(states["centers"][..., 0] - points[:, 0], mode * np.cos(omega * times), atol=5e-5)


def test_rigid_bodies_on_stiff_springs_keep_their_momenta(device):
    """Two cubes whose corners are tied: their turning is part of the equations."""
    cube = Solid.of(box_points((0.2, 0.2, 0.2), 0.2), 300.0)
    count = len(cube.feelers)
    pairs = np.stack([np.arange(count), count + np.arange(count)], axis=1)
    springs = Springs.of(pairs, np.full(count, 0.3), np.full(2 * count, 1e-3))
    model = replace(solid_model([cube, cube], gravity=(0.0, 0.0, 0.0)), springs=springs, stiffness=1e6)
    world = World(model, device)
    start = world.start([[0, 0, 0], [0.3, 0, 0]], None, [[0, 0.1, 0], [0, 0, 0.2]], [[1, 2, 0], [0, 1, -1]])
    states = let_go(world, start, 0.5, 1 / 240, every=12, solver=Implicit(iterations=20))
    for momentum in momenta(model, states):
        assert np.linalg.norm(momentum - momentum[0], axis=1).max() < 0.01 * np.linalg.norm(momentum[0])
    assert energies(model, states).max() < 1.001 * energies(model, states)[0]
    assert np.linalg.norm(states["centers"][:, 1] - states["centers"][:, 0], axis=1) == pytest.approx(0.3, abs=0.02)


def test_stiff_jelly_lands_on_the_floor_and_rests():
    tracks = loose()
    tracks = replace(tracks, means=tracks.means - np.array([0, 0, 0.45], np.float32))
    material = Material(ground=False, stiffness=1e7, restitution=0.0, colliders=(plane(),))
    *_, last, end = simulate(tracks, material, parts=no_parts(tracks), start=0, instants=20, solver=Implicit())
    assert end.means[:, 2].min() == pytest.approx(0.0, abs=5e-3)
    assert np.ptp(end.means, axis=0) == pytest.approx(np.ptp(tracks.means[0], axis=0), rel=0.01)
    assert np.abs(end.means - last.means).max() < 1e-3


@pytest.mark.parametrize(
    ("held", "dtype", "tolerance"),
    [("springs", wp.float64, 1e-6), ("springs", wp.float32, 1e-3), ("elastic", wp.float64, 1e-6)],
)
def test_gradients_match_finite_differences(held, dtype, tolerance):
    """Sixty steps, with contact, friction and drag; by velocities, stiffness, gravity."""
    others = {"stiffness": 2e4, "colliders": (plane(),), "drag": 0.3, "friction": 0.3, "gravity": (0.0, 0.0, -9.81)}
    model = on_springs(**others) if held == "springs" else jelly(HOLDING[held], **others)
    steps, dt, solver = 60, 1.0 / 480, Implicit(3, 7)
    rng = np.random.default_rng(1)
    weights = rng.normal(size=POINTS.shape)
    along = weights if dtype == wp.float32 else rng.normal(size=POINTS.shape)  # where less of it cancels
    velocities = WOBBLE - np.array([0, 0, 0.3])

    twin = World(model, "cpu", wp.float64)
    stride = Stride(twin, solver, steps, dt)  # recorded, then replayed

    def final(velocities: np.ndarray, stiffness: float = 2e4, gravity: float = -9.81) -> float:
        twin.parameters.stiffness.fill_(stiffness)
        twin.parameters.gravity.assign([[0.0, 0.0, gravity]])
        stride.state.assign(twin.start(POINTS + LIFT, None, velocities))
        stride.run(0)
        return float((stride.state.centers.numpy() * weights).sum())

    def loss(step: int, state: Bodies) -> float:
        if step == steps:
            state.centers.grad.assign(weights)
        return 0.0

    world = World(model, "cpu", dtype)
    found = BackInTime(world, steps, dt, solver).run(world.start(POINTS + LIFT, None, velocities), loss)

    def slope(value, eps: float) -> float:
        return (value(eps) - value(-eps)) / (2 * eps)

    expected = slope(lambda eps: final(velocities + eps * along), 1e-6)
    assert (found.start["velocities"] * along).sum() == pytest.approx(expected, rel=tolerance)
    expected = slope(lambda eps: final(velocities, stiffness=2e4 * (1 + eps)), 1e-5)
    assert 2e4 * found.parameters["stiffness"].sum() == pytest.approx(expected, rel=tolerance)
    expected = slope(lambda eps: final(velocities, gravity=eps - 9.81), 1e-5)
    assert found.parameters["gravity"][0, 2] == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"iterations": 0}, {"place": 0.4}, {"sweeps": 0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=f"Implicit: {next(iter(wrong))}"):
        Implicit(**wrong)
