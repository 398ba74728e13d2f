"""Contact against closed forms: bounces, friction, slopes, rest."""

import numpy as np
import pytest

from tests.simulate.worlds import ball_points, box_points, energies, free_model, let_go, make, solid_model
from warpgs.simulate import Solid, box, mesh, plane, sphere

BALL = Solid.of(ball_points(0.1), 300.0)
BRICK = Solid.of(box_points((0.3, 0.2, 0.1)), 300.0)
FLOOR = np.array([[-5.0, -5, 0], [5, -5, 0], [5, 5, 0], [-5, 5, 0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
GROUNDS = {
    "plane": plane(),
    "box": box((0, 0, -0.5), (10, 10, 1)),
    "mesh": mesh(FLOOR, FACES),
    "sphere": sphere((0, 0, -1000.0), 1000.0),
}


def bounces(times: np.ndarray, height: float, restitution: float, g: float = 9.81) -> np.ndarray:
    """Height of the lowest point of a ball dropped from ``height``, in closed form."""
    heights = []
    for time in times:
        left, speed = time - np.sqrt(2 * height / g), np.sqrt(2 * height * g)
        if left < 0:
            heights.append(height - 0.5 * g * time**2)
            continue
        speed *= restitution
        while left > 2 * speed / g:
            left -= 2 * speed / g
            speed *= restitution
        heights.append(speed * left - 0.5 * g * left**2)
    return np.array(heights)


@pytest.mark.parametrize("ground", ["plane", "box", "mesh"])
def test_ball_bounces_as_the_closed_form(ground, device):
    world = make(solid_model([BALL], colliders=(GROUNDS[ground],), restitution=0.8), device)
    states = let_go(world, world.start([[0.1, 0.2, 1.1]]), 2.0, every=16)
    heights = states["centers"][:, 0, 2] - 0.1
    np.testing.assert_allclose(heights, bounces(np.arange(61) / 30, 1.0, 0.8), atol=0.01 * 1.0 * 0.05)


def test_bounces_do_not_depend_on_the_length_of_steps(device):
    world = make(solid_model([BALL], colliders=(plane(),), restitution=0.8), device)
    for dt in (1 / 120, 1 / 960):
        states = let_go(world, world.start([[0, 0, 1.1]]), 1.5, dt)
        assert states["centers"][-1, 0, 2] - 0.1 == pytest.approx(bounces(np.array([1.5]), 1.0, 0.8)[0], abs=2e-3)


@pytest.mark.parametrize("ground", ["plane", "box", "mesh"])
def test_box_slides_to_rest_within_a_percent(ground, device):
    world = make(solid_model([BRICK], colliders=(GROUNDS[ground],), friction=0.3), device)
    states = let_go(world, world.start([[0.3, 0.2, 0.05]], velocities=[[2.0, 0, 0]]), 1.0, every=8)
    x = states["centers"][:, 0, 0] - 0.3
    assert x[-1] == pytest.approx(2.0**2 / (2 * 0.3 * 9.81), rel=0.01)
    times = np.arange(31) / 60
    np.testing.assert_allclose(x[:31], 2.0 * times - 0.5 * 0.3 * 9.81 * times**2, atol=0.01 * x[-1])
    assert np.abs(states["velocities"][-1]).max() < 1e-4 and abs(states["centers"][-1, 0, 2] - 0.05) < 1e-3


@pytest.mark.parametrize("friction", [0.2, 0.8])
def test_box_on_a_slope_slides_or_sticks(friction, device):
    """A slope of 0.5 rad: friction holds where it is more than its tangent, 0.546."""
    normal = np.array([np.sin(0.5), 0.0, np.cos(0.5)])
    turn = np.array([np.cos(0.25), 0.0, np.sin(0.25), 0.0])
    world = make(solid_model([BRICK], colliders=(plane(normal),), friction=friction), device)
    states = let_go(world, world.start([0.05 * normal], turn[None]), 0.5)
    moved = np.linalg.norm(states["centers"][-1, 0] - states["centers"][0, 0])
    pull = 9.81 * max(np.sin(0.5) - friction * np.cos(0.5), 0.0)
    assert moved == pytest.approx(0.5 * pull * 0.25, abs=0.01 * max(0.5 * pull * 0.25, 0.1))


def test_sliding_ball_ends_up_rolling_at_five_sevenths_of_its_speed(device):
    world = make(solid_model([BALL], colliders=(plane(),), friction=0.3), device)
    states = let_go(world, world.start([[0, 0, 0.1]], velocities=[[2.0, 0, 0]]), 1.0)
    assert states["velocities"][-1, 0, 0] == pytest.approx(2.0 * 5 / 7, rel=0.01)


def test_balls_of_one_weight_exchange_their_speeds(device):
    balls = [BALL, BALL]
    colliders = tuple(sphere((0, 0, 0), 0.1, body=i) for i in range(2))
    model = solid_model(balls, colliders=colliders, restitution=1.0, friction=0.0, gravity=(0.0, 0.0, 0.0))
    world = make(model, device)
    states = let_go(world, world.start([[0, 0, 0], [0.5, 0, 0]], velocities=[[1.0, 0, 0], [0, 0, 0]]), 0.6)
    np.testing.assert_allclose(states["velocities"][-1, :, 0], [0.0, 1.0], atol=1e-3)


def test_collision_of_boxes_keeps_momenta(device):
    colliders = tuple(mesh(BRICK.vertices, BRICK.triangles, body=i) for i in range(2))
    model = solid_model([BRICK, BRICK], colliders=colliders, restitution=0.5, friction=0.4, gravity=(0.0, 0.0, 0.0))
    world = make(model, device)
    start = world.start(
        [[0, 0, 0], [0.5, 0.05, 0.03]], velocities=[[2.0, 0, 0], [-1.0, 0, 0]], spins=[[0, 0, 2], [1, 0, 0]]
    )
    states = let_go(world, start, 0.5)
    assert np.abs(states["velocities"][-1] - states["velocities"][0]).max() > 0.5
    linear = BRICK.mass * states["velocities"].sum(axis=1)
    # pushing bodies apart moves their centers: the lever of what flies by is kept to first order only
    angular = states["momenta"].sum(axis=1) + BRICK.mass * np.cross(states["centers"], states["velocities"]).sum(axis=1)
    assert np.abs(linear - linear[0]).max() < 1e-4 * np.abs(BRICK.mass * 3.0)
    assert np.abs(angular - angular[0]).max() < 1e-2 * np.abs(angular).max()
    energy = energies(model, states)
    assert energy.max() < energy[0] * (1 + 1e-4)


def test_box_dropped_on_another_comes_to_rest_on_it(device):
    crate = Solid.of(box_points((0.3, 0.3, 0.2)), 300.0)
    colliders = (plane(), *(mesh(crate.vertices, crate.triangles, body=i) for i in range(2)))
    world = make(solid_model([crate, crate], colliders=colliders, friction=0.5), device)
    states = let_go(world, world.start([[0, 0, 0.1], [0.02, 0.01, 0.4]]), 2.0, every=48)
    np.testing.assert_allclose(states["centers"][-1], [[0, 0, 0.1], [0.02, 0.01, 0.3]], atol=3e-3)
    assert np.abs(states["velocities"][-1]).max() < 1e-4 and np.abs(states["momenta"][-1]).max() < 1e-4
    assert np.linalg.norm(states["centers"][-1] - states["centers"][-6], axis=1).max() < 1e-5


def test_free_particles_rest_on_a_box_that_stays_below_them(device):
    points = np.array([[0.0, 0, 0.3], [0.05, 0, 0.35]])
    world = make(
        free_model(
            points, 0.01, colliders=(box((0, 0, 0.1), (0.4, 0.4, 0.2)),), feeler_bodies=np.arange(2),
            feeler_offsets=np.zeros((2, 3)), feeler_radii=np.zeros(2),
        ),
        device,
    )  # fmt: skip
    states = let_go(world, world.start(points), 1.0)
    np.testing.assert_allclose(states["centers"][-1, :, 2], 0.2, atol=1e-3)


def test_particle_lands_on_the_rim_of_a_bowl_and_not_through_it(device):
    """An open mesh seen from its front."""
    angles = np.linspace(0, 2 * np.pi, 33)[:-1]
    rim = np.stack([np.cos(angles), np.sin(angles), np.full(32, 0.5)], axis=1)
    vertices = np.concatenate([[[0, 0, 0]], rim])
    triangles = np.array([[0, 1 + i, 1 + (i + 1) % 32] for i in range(32)])
    world = make(
        free_model(
            np.zeros((1, 3)), 0.01, colliders=(mesh(vertices, triangles),), feeler_bodies=np.zeros(1, int),
            feeler_offsets=np.zeros((1, 3)), feeler_radii=np.zeros(1), friction=0.0,
        ),
        device,
    )  # fmt: skip
    states = let_go(world, world.start([[0.5, 0.02, 0.6]]), 0.4)
    x, y, z = states["centers"][-1, 0]
    assert z == pytest.approx(0.5 * np.hypot(x, y), abs=0.01) and np.hypot(x, y) < 0.5


def test_contacts_leave_out_the_own_body_and_pairs_kept_apart():
    colliders = (plane(), *(mesh(BRICK.vertices, BRICK.triangles, body=i) for i in range(2)))
    everything = solid_model([BRICK, BRICK], colliders=colliders)
    apart = solid_model([BRICK, BRICK], colliders=colliders, apart=np.array([[0, 1], [1, 0]]))
    count = len(BRICK.feelers)
    assert len(everything.contacts()[0]) == 4 * count and len(apart.contacts()[0]) == 2 * count
    assert (apart.contacts()[1] == 0).all()


@pytest.mark.parametrize(
    ("make_collider", "match"),
    [
        (lambda: plane((0, 0, 2)), "plane: normal: expected a unit vector"),
        (lambda: sphere((0, 0, 0), -1.0), "sphere: radius: expected more than 0"),
        (lambda: box((0, 0, 0), (1, 0, 1)), "box: extents: expected more than 0"),
        (lambda: box((0, 0, 0), (1, 1)), r"box: extents: expected shape \[3\]"),
        (lambda: mesh(FLOOR, FACES + 2), "mesh: triangles: expected indices of 4 vertices"),
        (lambda: mesh(FLOOR * np.nan, FACES), "mesh: vertices: expected finite numbers"),
        (lambda: mesh(FLOOR, np.zeros((0, 3), int)), "mesh: triangles"),
    ],
)
def test_broken_colliders_are_refused(make_collider, match):
    with pytest.raises(ValueError, match=match):
        make_collider()
