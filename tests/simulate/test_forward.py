"""From tracks to tracks: what goes on, what is held, what is noticed when it goes wrong."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.simulate.worlds import ball_points, box_points, lattice
from tests.tracks_by_hand import make_tracks, wxyz
from warpgs.bodies import BACKGROUND, DEFORMABLE, Parts, fit_parts
from warpgs.simulate import Material, PartMaterial, SimulationFailure, plane, set_up, simulate
from warpgs.simulate.failure import Shape
from warpgs.simulate.launch import spin, velocities
from warpgs.types import Tracks

FPS = 30.0
TIMES = np.arange(6) / FPS
BALL = ball_points(0.1, 200)
FLOOR = np.array([[x, y, 0.0] for x in np.linspace(-2, 2, 20) for y in np.linspace(-2, 2, 20)])
FREE = Material(ground=False)


def thrown(points: np.ndarray, velocity, turning, start=(0.0, 0.0, 1.0)) -> tuple[np.ndarray, np.ndarray]:
    """Positions and rotations of a body that flies, at TIMES."""
    centers = np.array(start) + TIMES[:, None] * velocity + 0.5 * TIMES[:, None] ** 2 * [0, 0, -9.81]
    turns = Rotation.from_rotvec(TIMES[:, None] * np.array(turning))
    paths = np.stack([turn.apply(points) + center for turn, center in zip(turns, centers, strict=True)])
    return paths, np.repeat(np.stack([wxyz(turn) for turn in turns])[:, None], len(points), axis=1)


def tracks_of(*parts: tuple[np.ndarray, np.ndarray], floor: bool = False) -> tuple[Tracks, Parts]:
    """Tracks of one rigid part after the other, and these parts."""
    paths, turns = [part[0] for part in parts], [part[1] for part in parts]
    owners = np.concatenate([np.full(path.shape[1], i) for i, path in enumerate(paths)])
    if floor:
        paths.append(np.repeat(FLOOR[None], len(TIMES), axis=0))
        turns.append(np.tile([1.0, 0, 0, 0], (len(TIMES), len(FLOOR), 1)))
        owners = np.concatenate([owners, np.full(len(FLOOR), BACKGROUND)])
    tracks = make_tracks(np.concatenate(paths, axis=1), np.concatenate(turns, axis=1), sigma=0.01)
    tracks = replace(tracks, foreground=(owners >= 0).astype(np.float32), fps=FPS)
    return tracks, fit_parts(tracks, owners, [f"part_{i}" for i in range(len(parts))])


def test_thrown_ball_flies_on_along_its_parabola():
    velocity, turning = np.array([1.0, -0.5, 2.0]), np.array([0.0, 3.0, 1.0])
    tracks, parts = tracks_of(thrown(BALL, velocity, turning))
    instants = list(simulate(tracks, FREE, parts=parts, start=3, instants=10))
    assert [instant.index for instant in instants] == list(range(11))
    np.testing.assert_allclose(instants[0].means, tracks.means[3], atol=1e-7)
    time = 13 / FPS
    turn = Rotation.from_rotvec(time * turning)
    expected = turn.apply(BALL) + [0, 0, 1] + time * velocity + 0.5 * time**2 * np.array([0, 0, -9.81])
    np.testing.assert_allclose(instants[-1].means, expected, atol=2e-3)
    dots = np.abs(instants[-1].rotations_wxyz @ wxyz(turn))
    assert dots.min() > 1 - 1e-4
    for before, after in pairwise(instants):  # of q and -q, the nearer one
        assert (np.einsum("ni,ni->n", before.rotations_wxyz, after.rotations_wxyz) > 0.0).all()


def test_ball_falls_onto_the_ground_that_is_found_and_everything_else_stays():
    tracks, parts = tracks_of(thrown(BALL, [0, 0, 0], [0, 0, 0], (0, 0, 0.4)), floor=True)
    *_, last = simulate(tracks, Material(restitution=0.0), parts=parts, start=0, instants=30)
    assert last.means[: len(BALL), 2].min() == pytest.approx(0.0, abs=5e-3)
    np.testing.assert_array_equal(last.means[len(BALL) :], tracks.means[0, len(BALL) :])
    shape = np.linalg.norm(last.means[0] - last.means[: len(BALL)], axis=1)
    np.testing.assert_allclose(shape, np.linalg.norm(BALL[0] - BALL, axis=1), atol=1e-5)


def test_held_part_moves_as_tracked_and_pushes_the_others():
    """A wall driven at 3 m/s into a resting crate."""
    crate = box_points((0.2, 0.2, 0.2), 0.05)
    wall = box_points((0.05, 0.4, 0.4), 0.05)
    still = np.repeat((crate + np.array([0.2, 0, 0.1]))[None], 6, axis=0)
    moving = wall + np.array([-0.2, 0, 0.21]) + TIMES[:, None, None] * [3.0, 0, 0]
    ones = np.tile([1.0, 0, 0, 0], (6, 1, 1))
    tracks, parts = tracks_of((still, ones.repeat(len(crate), 1)), (moving, ones.repeat(len(wall), 1)), floor=True)
    material = Material(friction=0.1, restitution=0.0)
    *_, last = simulate(tracks, material, parts=parts, start=0, instants=5, hold=["part_1"])
    n = len(crate)
    np.testing.assert_allclose(last.means[n : n + len(wall)], tracks.means[-1, n : n + len(wall)], atol=1e-5)
    assert last.means[:n, 0].min() >= last.means[n : n + len(wall), 0].max() - 5e-3
    assert last.means[:n, 0].min() > 0.12  # it has been pushed
    *_, free = simulate(tracks, material, parts=parts, start=0, instants=5)
    assert np.linalg.norm(free.means - last.means, axis=1).max() > 0.05


def loose(velocity: float = 0.0) -> Tracks:
    points = lattice((5, 4, 4), 0.05) + np.array([0, 0, 0.5])
    paths = points + TIMES[:, None, None] * np.array([velocity, 0, 0])
    return replace(make_tracks(paths, sigma=0.01), fps=FPS)


def no_parts(tracks: Tracks) -> Parts:
    count = tracks.means.shape[1]
    return fit_parts(tracks, np.full(count, DEFORMABLE), [])


def test_jelly_falls_lands_and_keeps_together():
    tracks = loose()
    material = Material(ground=False, stiffness=5e4, damping_s=2e-3, colliders=(plane(),))
    *_, last = simulate(tracks, material, parts=no_parts(tracks), start=0, instants=30)
    assert last.means[:, 2].min() == pytest.approx(0.0, abs=5e-3)
    assert np.ptp(last.means, axis=0) == pytest.approx(np.ptp(tracks.means[0], axis=0), rel=0.15)


def test_orientations_of_what_bends_turn_with_its_neighbors():
    tracks = loose()
    turns = Rotation.from_rotvec(TIMES[:, None] * np.array([0, 0, 5.0]))
    paths = np.stack([turn.apply(tracks.means[0]) for turn in turns])
    tracks = replace(tracks, means=paths.astype(np.float32))
    material = Material(ground=False, stiffness=5e4, gravity=(0.0, 0.0, 0.0))
    *_, last = simulate(tracks, material, parts=no_parts(tracks), start=5, instants=6)
    turned = Rotation.from_quat(np.roll(last.rotations_wxyz, -1, axis=1)).as_rotvec()
    np.testing.assert_allclose(turned, np.tile([0, 0, 1.0], (len(turned), 1)), atol=0.1)


def test_pinned_part_swings_about_its_pin():
    tracks, parts = tracks_of(thrown(BALL, [0, 0, 0], [0, 0, 0], (0.5, 0, 1.0)))
    tracks, parts = tracks_of((np.repeat(tracks.means[:1], 6, 0), tracks.rotations_wxyz))
    material = Material(ground=False, pins={"part_0": (0.0, 0.0, 1.0)})
    for instant in simulate(tracks, material, parts=parts, start=0, instants=20):
        assert np.linalg.norm(instant.means.mean(axis=0) - [0, 0, 1]) == pytest.approx(0.5, abs=1e-3)
    assert instant.means.mean(axis=0)[2] < 0.9


# What goes wrong


def test_exploding_springs_are_noticed_at_the_step_and_what_came_before_is_kept():
    tracks = loose(1.0)
    material = Material(ground=False, stiffness=1e9)
    kept = []
    with pytest.raises(SimulationFailure, match=r"deformable at 0\.\d+ s: .*; take more --substeps") as caught:
        for instant in simulate(tracks, material, parts=no_parts(tracks), start=5, instants=30, substeps=4):
            kept.append(instant)
    assert caught.value.part == "deformable" and 0.0 < caught.value.time_s <= len(kept) / FPS
    assert all(np.isfinite(instant.means).all() for instant in kept)


def test_shape_inside_out_is_noticed():
    points = lattice((5, 4, 4), 0.05)
    neighbors = np.argsort(np.linalg.norm(points[:, None] - points[None], axis=2), axis=1)[:, 1:21]
    shape = Shape(points, neighbors, np.ones(len(points), bool))
    turned = Rotation.from_rotvec([1, 2, 3]).apply(points) * 1.5
    assert len(shape.rows) > 0 and len(shape.inverted(turned)) == 0
    assert len(shape.inverted(turned * [1, 1, -1])) == len(shape.rows)
    flat = Shape(points * [1, 1, 0], neighbors, np.ones(len(points), bool))
    assert len(flat.rows) == 0


def test_crushed_jelly_fails_by_name():
    tracks = loose()
    material = Material(ground=False, stiffness=10.0, damping_s=0.0, colliders=(plane(),))
    with pytest.raises(SimulationFailure, match=r"deformable at .* inside out"):
        list(simulate(tracks, material, parts=no_parts(tracks), start=0, instants=60))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"start": 9}, "start: expected an index of 6 stored instants, got 9"),
        ({"instants": -1}, "instants: expected 0 or more"),
        ({"hold": ["hand"]}, "hold: expected names of parts: part_0, deformable, got 'hand'"),
        ({"substeps": 0}, "substeps: expected 1 to"),
        ({"material": Material(parts={"lid": PartMaterial()})}, "material: parts: expected names of parts"),
        ({"material": Material(pins={"lid": (0, 0, 0)})}, "material: pins: expected names of parts"),
    ],
)
def test_requests_that_make_no_sense_are_refused(arguments, match):
    tracks, parts = tracks_of(thrown(BALL, [0, 0, 0], [0, 0, 0]))
    with pytest.raises(ValueError, match=match):
        next(simulate(tracks, **({"parts": parts} | arguments)))


def test_without_tracks_of_motion_everything_in_front_falls():
    tracks, _ = tracks_of(thrown(BALL, [0, 0, 0], [0, 0, 0]), floor=True)
    tracks = replace(tracks, means=tracks.means[:1], rotations_wxyz=tracks.rotations_wxyz[:1], timesteps=(0,))
    *_, last = simulate(tracks, instants=3)
    assert (last.means[: len(BALL), 2] < tracks.means[0, : len(BALL), 2] - 0.03).all()
    np.testing.assert_array_equal(last.means[len(BALL) :], tracks.means[0, len(BALL) :])


# Velocities at the start


def test_velocities_are_those_of_parabolas_and_lines():
    paths = np.stack([thrown(np.zeros((1, 3)), [1, 2, 3], [0, 0, 0])[0][:, 0], TIMES[:, None] * [0.5, 0, 0]], axis=1)
    found, window = velocities(paths, 1 / FPS, np.array([0, 0, -9.81]))
    np.testing.assert_allclose(found, [[1, 2, 3 - 9.81 * TIMES[-1]], [0.5, 0, 0]], atol=1e-9)
    assert (window == 5).all()


def test_velocities_do_not_look_back_beyond_an_impact():
    path = np.where(TIMES < TIMES[3], -2.0 * TIMES, -4.0 * TIMES[3] + 2.0 * TIMES)[:, None, None] * [0, 0, 1.0]
    found, window = velocities(path, 1 / FPS, np.zeros(3))
    np.testing.assert_allclose(found, [[0, 0, 2.0]], atol=1e-9)
    assert window[0] == 3


def test_spin_is_that_of_the_window():
    turns = Rotation.from_rotvec(TIMES[:, None] * np.array([0.0, 12.0, 5.0])).as_matrix()
    np.testing.assert_allclose(spin(turns, 1 / FPS, 4), [0, 12, 5], atol=1e-9)
    np.testing.assert_array_equal(spin(turns[:1], 1 / FPS, 4), 0.0)


def test_parts_that_lie_in_each_other_do_not_touch():
    """Links of an arm overlap at their joint: pushed apart, they would explode."""
    tracks, parts = tracks_of(
        thrown(BALL, [0, 0, 0], [0, 0, 0]), thrown(BALL, [0, 0, 0], [0, 0, 0], (0.12, 0, 1))
    )  # fmt: skip
    setup = set_up(tracks, parts, 5, FREE)
    assert len(setup.model.contacts()[0]) == 0
