"""Motion without contact against closed forms and an integrator of SciPy's."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.spatial.transform import Rotation

from tests.simulate.worlds import (
    ball_points,
    box_points,
    energies,
    free_model,
    lattice,
    lattice_springs,
    let_go,
    make,
    solid_model,
)
from warpgs.simulate import Model, Path, Solid, Springs

BRICK = Solid.of(box_points((0.4, 0.2, 0.1)), 300.0)


def test_free_fall_is_a_parabola(device):
    world = make(solid_model([BRICK]), device)
    states = let_go(world, world.start([[0, 0, 5]], velocities=[[1.0, -2.0, 3.0]], spins=[[1, 2, 3]]), 1.0, every=48)
    times = np.linspace(0.0, 1.0, 11)[:, None]
    expected = [0, 0, 5] + times * [1.0, -2.0, 3.0] + 0.5 * times**2 * [0, 0, -9.81]
    np.testing.assert_allclose(states["centers"][:, 0], expected, atol=2e-5)


def test_tumbling_brick_keeps_energy_momentum_and_shape_over_ten_seconds(device):
    """About its middle axis, where turning is unstable and flips over and over (Dzhanibekov)."""
    model = solid_model([BRICK], gravity=(0.0, 0.0, 0.0))
    world = make(model, device)
    states = let_go(
        world, world.start([[0, 0, 0]], velocities=[[0.3, 0, 0]], spins=[[0.05, 8.0, 0.02]]), 10.0, every=48
    )
    np.testing.assert_allclose(states["momenta"], states["momenta"][:1].repeat(101, axis=0), rtol=1e-4)
    np.testing.assert_allclose(states["velocities"], states["velocities"][:1].repeat(101, axis=0), rtol=1e-4)
    assert np.abs(energies(model, states) / energies(model, states)[0] - 1.0).max() < 1e-3
    up = Rotation.from_quat(states["rotations"][:, 0]).apply([0.0, 1.0, 0.0])[:, 1]
    assert up.min() < -0.9  # it has flipped
    points = Rotation.from_quat(states["rotations"][-1, 0]).apply(model.offsets) + states["centers"][-1, 0]
    moved = np.linalg.norm(points[:, None] - points[None], axis=2)
    rest = np.linalg.norm(model.offsets[:, None] - model.offsets[None], axis=2)
    assert np.abs(moved - rest).max() < 1e-3 * rest.max()


def test_tumbling_brick_turns_as_euler_says(device):
    world = make(solid_model([BRICK], gravity=(0.0, 0.0, 0.0)), device)
    spin = np.array([1.0, 8.0, 0.5])
    states = let_go(world, world.start([[0, 0, 0]], spins=[spin]), 1.0)
    momentum = BRICK.inertia @ spin

    def turn(_, quat):
        body = Rotation.from_quat(quat)
        omega = body.apply(np.linalg.solve(BRICK.inertia, body.inv().apply(momentum)))
        x, y, z, w = quat
        return 0.5 * np.array([
            omega[0] * w + omega[1] * z - omega[2] * y,
            omega[1] * w + omega[2] * x - omega[0] * z,
            omega[2] * w + omega[0] * y - omega[1] * x,
            -omega[0] * x - omega[1] * y - omega[2] * z,
        ])  # fmt: skip

    truth = solve_ivp(turn, (0.0, 1.0), [0, 0, 0, 1], rtol=1e-10, atol=1e-12).y[:, -1]
    off = Rotation.from_quat(truth).inv() * Rotation.from_quat(states["rotations"][-1, 0])
    assert off.magnitude() < 0.01 * np.linalg.norm(spin)


def test_pendulum_swings_as_the_closed_form(device):
    """A cube on a rigid rod, large amplitude; the oracle integrates theta'' = -m g L / I sin theta."""
    cube, length = Solid.of(box_points((0.1, 0.1, 0.1)), 300.0), 0.5
    arm = np.array([0.0, 0.0, -length])
    inertia = cube.inertia + cube.mass * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    model = Model(
        masses=np.array([np.inf]), inertias=inertia[None], bodies=np.zeros(1, int), offsets=arm[None],
        levers=cube.mass * arm[None],
    )  # fmt: skip
    world = make(model, device)
    start = Rotation.from_rotvec([0.0, 1.0, 0.0])
    states = let_go(world, world.start([[0, 0, 0]], np.roll(start.as_quat(), 1)[None]), 5.0, every=24)
    angles = Rotation.from_quat(states["rotations"][:, 0]).as_rotvec()[:, 1]
    rate = cube.mass * 9.81 * length / inertia[1, 1]
    times = np.arange(len(angles)) / 20.0
    truth = solve_ivp(lambda _, y: [y[1], -rate * np.sin(y[0])], (0, 5), [1.0, 0.0], t_eval=times, rtol=1e-10)
    assert np.abs(angles - truth.y[0]).max() < 0.01
    energy = energies(model, states)
    assert np.ptp(energy) < 0.02 * np.abs(energy[0] + model.levers[0] @ [0, 0, 9.81])
    np.testing.assert_array_equal(states["centers"], 0.0)


def test_chain_of_springs_rings_at_its_closed_form(device):
    """Longitudinal modes of a chain held at both ends: omega_k = 2 sqrt(k / m) sin(k pi / 2 (n + 1))."""
    count, spacing, mass = 7, 0.1, 0.02
    points = spacing * np.arange(count + 2)[:, None] * [1.0, 0.0, 0.0]
    pairs = np.stack([np.arange(count + 1), np.arange(1, count + 2)], axis=1)
    springs = Springs(pairs, np.full(count + 1, spacing), np.full(count + 1, 1e-4))
    masses = np.full(count + 2, mass)
    masses[[0, -1]] = np.inf
    model = Model(
        masses=masses, inertias=np.zeros((count + 2, 3, 3)), bodies=np.arange(count + 2),
        offsets=np.zeros((count + 2, 3)), springs=springs, stiffness=2e4, gravity=(0.0, 0.0, 0.0),
    )  # fmt: skip
    world = make(model, device)
    mode = 0.005 * np.sin(2 * np.pi * np.arange(count + 2) / (count + 1))
    states = let_go(world, world.start(points + mode[:, None] * [1.0, 0, 0]), 1.0, every=8)
    omega = 2.0 * np.sqrt(2e4 * 1e-4 / spacing / mass) * np.sin(2 * np.pi / (2 * (count + 1)))
    times = np.arange(len(states["centers"]))[:, None] * 8 / 480
    moved = states["centers"][..., 0] - points[:, 0]
    np.testing.assert_allclose(moved, mode * np.cos(omega * times), atol=0.01 * 0.005)


def test_springs_keep_momenta_and_energy_without_contact(device):
    points = lattice((4, 3, 3), 0.05)
    springs = lattice_springs(points, 0.05)
    model = free_model(points, 0.03, springs=springs, stiffness=2e4, gravity=(0.0, 0.0, 0.0))
    world = make(model, device)
    velocities = np.random.default_rng(0).normal(0.0, 0.1, points.shape) + np.cross([0, 0, 3.0], points) + [1, 0, 0]
    states = let_go(world, world.start(points, velocities=velocities), 1.0, 1 / 960, every=48)
    linear = 0.03 * states["velocities"].sum(axis=1)
    angular = 0.03 * np.cross(states["centers"], states["velocities"]).sum(axis=1)
    assert np.linalg.norm(linear - linear[0], axis=1).max() < 1e-4 * np.linalg.norm(linear[0])
    assert np.linalg.norm(angular - angular[0], axis=1).max() < 1e-4 * np.linalg.norm(angular[0])
    ends = states["centers"][:, springs.pairs]
    stretch = np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=2) - springs.lengths
    stored = 0.5 * 2e4 * (springs.areas / springs.lengths * stretch**2).sum(axis=1)
    energy = energies(model, states) + stored
    assert stored.max() > 1e-3 * energy[0]
    assert np.ptp(energy) < 0.02 * energy[0]


def test_dampers_take_energy_and_leave_momenta(device):
    points = lattice((3, 3, 3), 0.05)
    model = free_model(
        points, 0.03, springs=lattice_springs(points, 0.05), stiffness=2e4, damping_s=2e-3, gravity=(0.0, 0.0, 0.0)
    )
    world = make(model, device)
    velocities = np.random.default_rng(0).normal(0.0, 0.3, points.shape)
    states = let_go(world, world.start(points, velocities=velocities), 0.5, 1 / 1920, every=96)
    energy = energies(model, states)
    drift = np.linalg.norm(velocities.sum(axis=0)) * 0.03
    rigid = 0.5 * drift**2 / (27 * 0.03)
    assert energy[-1] - rigid < 0.2 * energy[0]
    assert np.abs(0.03 * states["velocities"].sum(axis=1) - 0.03 * velocities.sum(axis=0)).max() < 1e-4 * drift


def test_springs_hold_the_volume_of_their_particles():
    """Affine elasticity of a random network (Love): the sum of k l^2 is 6 E V, whatever the lengths."""
    points = np.random.default_rng(0).uniform(size=(200, 3))
    pairs = np.random.default_rng(1).integers(0, 200, (3000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    lengths = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    springs = Springs.of(pairs, lengths, np.full(200, 1e-3))
    assert (springs.areas * springs.lengths).sum() == pytest.approx(6.0 * 200 * 1e-3, rel=1e-9)
    assert (springs.pairs[:, 0] < springs.pairs[:, 1]).all() and len(np.unique(springs.pairs, axis=0)) == len(
        springs.pairs
    )


def test_driven_body_goes_where_it_is_driven_and_reports_its_velocity(device):
    centers = np.array([[0.0, 0, 0], [0.1, 0, 0], [0.1, 0.2, 0]])[:, None]
    turns = np.roll(Rotation.from_rotvec([[0, 0, 0], [0, 0, 0.5], [0, 0, 0.5]]).as_quat(), 1, axis=1)[:, None]
    model = Model(
        masses=np.array([np.inf]), inertias=np.zeros((1, 3, 3)), bodies=np.zeros(1, int), offsets=np.zeros((1, 3)),
        path=Path(np.array([0]), centers, turns, 30.0),
    )  # fmt: skip
    world = make(model, device)
    states = let_go(world, world.start([[0, 0, 0]]), 4 / 30, 1 / 240)
    np.testing.assert_allclose(states["centers"][[0, 4, 8, 16, 32], 0], [
        [0, 0, 0], [0.05, 0, 0], [0.1, 0, 0], [0.1, 0.2, 0], [0.1, 0.2, 0]
    ], atol=1e-6)  # fmt: skip
    np.testing.assert_allclose(states["velocities"][8, 0], [3.0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(states["momenta"][8, 0], [0, 0, 15.0], atol=1e-4)
    np.testing.assert_allclose(states["velocities"][32, 0], 0.0)


def test_ball_is_recognized_and_box_and_half_shell_are_not():
    assert Solid.of(ball_points(0.2) + np.array([1, 2, 3]), 300.0).radius == pytest.approx(0.2, rel=1e-3)
    assert Solid.of(box_points((0.2, 0.2, 0.2)), 300.0).radius == 0.0
    shell = ball_points(0.2)
    assert Solid.of(shell[shell[:, 2] > 0.12], 300.0).radius == 0.0


@pytest.mark.parametrize("points", [np.zeros((3, 3)), np.zeros((8, 3))])
def test_solid_of_no_extent_is_refused(points):
    with pytest.raises(ValueError, match="rigid part: expected at least 4 particles"):
        Solid.of(points, 300.0)


def test_flat_and_straight_parts_are_thin_solids():
    sheet = Solid.of(box_points((0.2, 0.2, 0.2)) * [1, 1, 0], 300.0)
    rod = Solid.of(np.linspace([0, 0, 0], [1, 0, 0], 20), 300.0)
    assert 0.0 < sheet.mass < 0.1 and 0.0 < rod.mass < 0.1
    assert np.linalg.eigvalsh(sheet.inertia).min() > 0.0 and np.linalg.eigvalsh(rod.inertia).min() > 0.0
