"""What each prior on materials, motion and contact lets pass and what it holds, and input that cannot be right."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
import warp as wp
from scipy.spatial.transform import Rotation

from tests.reference import materials
from warpgs.priors import (
    ArapPrior,
    Box,
    ContactPrior,
    ElasticPrior,
    MomentumPrior,
    Parameter,
    PenetrationPrior,
    Plane,
    ShapeMatchingPrior,
    Sphere,
    SpringPrior,
    TriangleMesh,
    VolumePrior,
)
from warpgs.priors.elastic import accumulate_elastic
from warpgs.priors.trial import Result, World
from warpgs.similarity import Similarity

HOLDING = [SpringPrior(), ArapPrior(), ElasticPrior(), ShapeMatchingPrior(), VolumePrior()]


def value(prior, world, device="cpu", dtype=wp.float64):
    return Result.of(prior, world, dtype, device).value


def turned(poses, turn, shift):
    """A rigid motion of one instant alone."""
    rotations = (turn * Rotation.from_quat(poses[1])).as_quat()
    return turn.apply(poses[0]) + shift, rotations


def stretched(poses, matrix):
    return poses[0] @ matrix.T, poses[1]


@pytest.mark.parametrize("prior", HOLDING, ids=lambda prior: type(prior).__name__)
def test_materials_do_not_resist_a_rigid_motion_of_the_state_alone(prior, device):
    rest = World.random().at_rest()
    moved = replace(rest, now=turned(rest.first, Rotation.from_rotvec([2.0, -1.0, 1.5]), [3.0, -2.0, 1.0]))
    assert abs(value(prior, moved, device)) < 1e-13


@pytest.mark.parametrize("prior", HOLDING, ids=lambda prior: type(prior).__name__)
def test_materials_resist_growth(prior, device):
    rest = World.random().at_rest()
    assert value(prior, replace(rest, now=stretched(rest.first, 1.1 * np.eye(3))), device) > 1e-4


def test_volume_lets_shear_and_squeeze_pass_and_elasticity_does_not(device):
    rest = World.random().at_rest()
    same_volume = replace(
        rest, now=stretched(rest.first, np.array([[2.0, 0.7, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.5]]))
    )
    assert abs(value(VolumePrior(), same_volume, device)) < 1e-13
    assert value(ElasticPrior(), same_volume, device) > 0.1


def test_elastic_energy_of_a_stretch_is_that_of_the_material(device):
    rest = World.random().at_rest()
    stretch, poisson = np.diag([1.2, 0.9, 1.0]), 0.4
    expected = 0.2**2 + 0.1**2 + poisson / (1.0 - 2.0 * poisson) * 0.1**2
    expected *= 3.0 / (2.0 * (1.0 + poisson))
    world = replace(rest, now=stretched(rest.first, stretch))
    assert value(ElasticPrior(3.0, poisson=poisson), world, device) == pytest.approx(expected, rel=1e-12)


def flat(world):
    """The same particles on the plane z = 1."""
    return world.each(lambda _: (np.column_stack([world.first[0][:, :2], np.ones(len(world.parts))]), world.first[1]))


def test_elastic_sheet_resists_stretch_in_its_plane_and_has_no_volume(device):
    rest = flat(World.random())
    turn = Rotation.from_rotvec([1.0, 2.0, -0.5])
    assert abs(value(ElasticPrior(), replace(rest, now=turned(rest.first, turn, [1.0, 0.0, 2.0])), device)) < 1e-13
    wider = replace(rest, now=turned(stretched(rest.first, np.diag([1.1, 1.0, 5.0])), turn, np.zeros(3)))
    poisson = 0.3
    expected = 0.1**2 * (1.0 + poisson / (1.0 - 2.0 * poisson)) / (2.0 * (1.0 + poisson))
    assert value(ElasticPrior(poisson=poisson), wider, device) == pytest.approx(expected, rel=1e-9)
    assert value(VolumePrior(), wider, device) == 0.0


def test_shape_matching_resists_turns_of_particles_in_a_row_and_arap_does_not(device):
    world = World.random()
    row = np.column_stack([np.linspace(0.0, 3.0, 16), np.zeros(16), np.ones(16)])
    near = np.array([[j for j in np.argsort(abs(np.arange(16) - i), kind="stable") if j != i][:5] for i in range(16)])
    rest = replace(world.each(lambda _: (row, world.first[1])), neighbors=near)
    twist = Rotation.from_rotvec(np.linspace(0.0, 2.0, 16)[:, None] * [1.0, 0.0, 0.0])
    twisted = replace(rest, now=(row, (twist * Rotation.from_quat(world.first[1])).as_quat()))
    assert value(ShapeMatchingPrior(), twisted, device) > 1e-3
    assert abs(value(ArapPrior(), twisted, device)) < 1e-13


@pytest.mark.parametrize("prior", [ArapPrior(), ElasticPrior(), VolumePrior(), ShapeMatchingPrior()])
def test_materials_follow_a_new_reference_and_new_neighbors(prior, device):
    world = World.random()
    state, rest = world.at_rest().upload(wp.float64, device)
    loss = wp.zeros(1, dtype=wp.float64, device=device)
    prior.accumulate(state, rest, loss)
    fresh = world.upload(wp.float64, device)
    rest.set_neighbors(world.neighbors[:, ::-1].astype(np.int32), fresh[1].weights.numpy()[:, ::-1])
    vec3, quat = wp.array(world.reference[0], dtype=wp.vec3d), wp.array(world.reference[1], dtype=wp.quatd)
    rest.set_reference(vec3.to(device), quat.to(device))
    loss.zero_()
    prior.accumulate(fresh[0], rest, loss)
    assert loss.numpy()[0] == pytest.approx(value(prior, world, device), rel=1e-9)


def test_momentum_lets_free_fall_pass_in_the_frame_of_the_scene(device):
    rest = World.random().at_rest()
    gravity, step_s = np.array([0.3, -0.2, -9.81]), 0.5  # of the world's motion
    fallen = [0.5 * gravity * (step_s * n) ** 2 for n in range(3)]
    names = ("before", "last", "now")
    falls = replace(rest, **{n: (rest.first[0] + shift, rest.first[1]) for n, shift in zip(names, fallen, strict=True)})
    frame = Similarity(0.1, Rotation.from_rotvec([1.0, 2.0, 3.0]).as_matrix(), np.array([5.0, 6.0, 7.0]))
    held = replace(falls.moved(frame), world_from_rest=frame.inverse())
    assert abs(value(MomentumPrior(acceleration_m_s2=tuple(gravity)), held, device)) < 1e-12
    assert value(MomentumPrior(), held, device) > 0.1


def test_priors_on_velocities_add_nothing_where_motion_is_unknown(device):
    world = World.random()
    state, rest = world.upload(wp.float64, device)
    loss = wp.zeros(1, dtype=wp.float64, device=device)
    for prior in (MomentumPrior(), SpringPrior(stiffness=0.0, damping_s=1.0)):
        prior.accumulate(replace(state, motion=None), rest, loss)
    state.motion.known.zero_()
    MomentumPrior().accumulate(state, rest, loss)
    assert loss.numpy()[0] == 0.0 and not state.adj_means.numpy().any()
    ContactPrior(friction=0.5).accumulate(replace(state, motion=None), rest, loss)
    assert loss.numpy()[0] == pytest.approx(value(ContactPrior(), world, device))


def test_friction_holds_up_to_coulombs_limit(device):
    """Its force on what slides is mu times the push of the last instant, against the displacement."""
    world = World.random().at_rest()
    depth = 0.1
    sunk = world.first[0] - [0.0, 0.0, world.first[0][:, 2].max() + depth]
    for slid, share in ((0.5, 1.0), (0.004, None)):
        world = replace(world, last=(sunk, world.first[1]), now=(sunk + np.array([slid, 0.0, 0.0]), world.first[1]))
        result = Result.of(ContactPrior(friction=0.3), world, wp.float64, device)
        push, drag = -result.adj_means[:, 2], result.adj_means[:, 0]
        if share is None:  # slower than it creeps
            assert ((drag > 0.0) & (drag < 0.3 * push)).all()
        else:
            np.testing.assert_allclose(drag, 0.3 * push, rtol=1e-12)
        np.testing.assert_allclose(result.adj_means[:, 1], 0.0, atol=1e-15)


def test_contact_leaves_what_was_below_the_floor_at_first_alone(device):
    world = World.random()
    low = world.first[0] - [0.0, 0.0, world.first[0][:, 2].mean()]
    sunk = replace(world, first=(low, world.first[1])).at_rest()
    assert (low[:, 2] < 0.0).any() and value(ContactPrior(), sunk, device) == 0.0
    deeper = replace(sunk, now=(low - [0.0, 0.0, 0.1], world.first[1]))
    depth = np.maximum(np.minimum(low[:, 2], 0.0) + 0.1 - low[:, 2], 0.0) / materials.spacing(sunk)
    assert value(ContactPrior(), deeper, device) == pytest.approx(np.mean(depth**2 / 2.0))


def test_penetration_leaves_what_touched_at_first_and_one_part_alone(device):
    world = World.random()
    assert value(PenetrationPrior(distance=50.0), world.at_rest(), device) == 0.0
    alone = replace(world, parts=np.zeros(16, int))
    assert value(PenetrationPrior(distance=50.0), alone, device) == 0.0
    assert value(PenetrationPrior(distance=2.0), world, device) == pytest.approx(materials.penetration(world))


def test_contact_knows_the_inside_of_a_mesh_without_corners(device, tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=4, radius=1.5)
    ball.apply_translation([0.0, 0.0, -1.0])
    ball.export(tmp_path / "ball.ply")
    world = World.random(64)
    sphere = Result.of(ContactPrior(surface=Sphere((0.0, 0.0, -1.0), 1.5)), world, wp.float64, device)
    mesh = Result.of(ContactPrior(surface=str(tmp_path / "ball.ply")), world, wp.float64, device)
    assert mesh.value == pytest.approx(sphere.value, rel=0.02)
    touched = np.abs(sphere.adj_means).max(axis=1) > 0.0
    assert touched.sum() > 5 and not mesh.adj_means[~touched].any()
    across = [result.adj_means[touched] for result in (mesh, sphere)]
    across = [push / np.linalg.norm(push, axis=1, keepdims=True) for push in across]
    assert (np.sum(across[0] * across[1], axis=1) > 0.99).all()  # facets are flat, which shows deep inside


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpringPrior(stiffness=-1.0), "SpringPrior: stiffness: expected a finite number >= 0"),
        (lambda: SpringPrior(damping_s=float("nan")), "SpringPrior: damping_s: expected a finite number >= 0"),
        (lambda: ElasticPrior(poisson=0.5), "poisson: expected a ratio from 0 to less than 0.5"),
        (lambda: MomentumPrior(limit=0.0), "limit: expected more than 0"),
        (lambda: MomentumPrior(turning=-1.0), "turning: expected a finite number >= 0"),
        (lambda: MomentumPrior(acceleration_m_s2=(0.0, 1.0)), r"acceleration_m_s2: expected shape \[3\]"),
        (lambda: PenetrationPrior(distance=0.0), "distance: expected more than 0"),
        (lambda: ContactPrior(friction=-0.1), "friction: expected a finite number >= 0"),
        (lambda: ContactPrior(creep_per_s=0.0), "radius and creep_per_s: expected >= 0 and > 0"),
        (lambda: ContactPrior(surface=Plane((0.0, 0.0, 2.0), 0.0)), "normal: expected a unit vector"),
        (lambda: ContactPrior(surface=(0.0, 0.0, 2.0, 0.0)), "normal: expected a unit vector"),
        (lambda: ContactPrior(surface="nowhere.ply"), "nowhere.ply: expected a mesh file, got none there"),
        (lambda: ContactPrior(surface=7), "surface: expected a Plane, Sphere, Box or TriangleMesh"),
        (lambda: Sphere((0.0, 0.0, 0.0), 0.0), "radius_m: expected more than 0"),
        (lambda: Sphere((0.0, np.nan, 0.0), 1.0), "center_m: expected finite numbers"),
        (lambda: Box((0.0, 0.0, 0.0), (1.0, 0.0, 1.0)), "Box: expected edges > 0"),
        (lambda: TriangleMesh(np.zeros((3, 3)), np.array([[0, 1, 3]])), "expected indices of 3 vertices, got 0 to 3"),
        (lambda: TriangleMesh(np.zeros((3, 3)), np.zeros((0, 3), int)), "expected indices of 3 vertices, got none"),
    ],
)
def test_priors_refuse_settings_without_meaning(make, message):
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message):
        make()


def test_priors_stay_finite_far_away(device):
    """A particle that was thrown 1e6 spacings away must not make numbers overflow, on any grid."""
    world = World.random()
    far = world.now[0].copy()
    far[0] = 1e6
    mesh = trimesh.creation.box((1.0, 1.0, 1.0))
    stiffness = Parameter.of(1.0, dtype=wp.float32, device=device)
    for prior in (
        *HOLDING,
        SpringPrior(stiffness=stiffness),
        PenetrationPrior(),
        MomentumPrior(),
        ContactPrior(surface=TriangleMesh(mesh.vertices, mesh.faces)),
    ):
        result = Result.of(prior, replace(world, now=(far, world.now[1])), wp.float32, device)
        assert np.isfinite(result.value) and np.isfinite(result.adj_means).all()


@pytest.mark.parametrize("dtype", [wp.float32, wp.float64])
@pytest.mark.parametrize("neighbors", [5, 20])
def test_elastic_kernel_of_the_cpu_adds_what_the_portable_one_does(neighbors, dtype):
    results = []
    for portable in (False, True):
        state, rest = World.random(40, neighbors).upload(dtype, "cpu")
        loss = wp.zeros(1, dtype=wp.float64)
        accumulate_elastic(ElasticPrior(2.0), state, rest, loss, portable=portable)
        results.append((float(loss.numpy()[0]), state.adj_means.numpy()))
    tolerance = 1e-12 if dtype == wp.float64 else 1e-5
    assert results[0][0] == pytest.approx(results[1][0], rel=tolerance)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=tolerance * np.abs(results[1][1]).max())
