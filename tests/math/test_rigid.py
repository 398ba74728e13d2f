import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from warpgs.math.rigid import fit_rigid, steady_quaternions

POINTS = np.random.default_rng(0).normal([5.0, 0.0, -3.0], 1.0, (12, 3))


def motion(turn, shift):
    """[4, 4] of a rotation and a translation."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn.as_matrix(), shift
    return matrix


def applied(matrix, points):
    """Points [n, 3] carried by [4, 4]."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 45.0, 170.0, 180.0])
@pytest.mark.parametrize("flat", [False, True])
def test_fit_rigid_recovers_a_rigid_motion(degrees, flat):
    points = POINTS * [1.0, 1.0, 0.0] if flat else POINTS
    expected = motion(Rotation.from_rotvec(np.radians(degrees) * np.array([0.6, 0.0, 0.8])), [1.0, 2.0, 3.0])
    np.testing.assert_allclose(fit_rigid(points, applied(expected, points)), expected, atol=1e-12)


def test_fit_rigid_ignores_points_of_weight_zero():
    expected = motion(Rotation.from_rotvec([0.1, 0.2, 0.3]), [0.0, 1.0, 0.0])
    moved = applied(expected, POINTS)
    moved[3] += 100.0
    weights = np.ones(12)
    weights[3] = 0.0
    np.testing.assert_allclose(fit_rigid(POINTS, moved, weights), expected, atol=1e-12)


def test_fit_rigid_matches_scipy_on_noisy_points():
    rng = np.random.default_rng(1)
    moved, weights = POINTS + rng.normal(size=POINTS.shape), rng.uniform(0.1, 2.0, 12)
    result = fit_rigid(POINTS, moved, weights)
    centers = [np.average(points, axis=0, weights=weights) for points in (moved, POINTS)]
    expected, _ = Rotation.align_vectors(moved - centers[0], POINTS - centers[1], weights=weights)
    np.testing.assert_allclose(result[:3, :3], expected.as_matrix(), atol=1e-9)
    np.testing.assert_allclose(applied(result, centers[1][None])[0], centers[0], atol=1e-12)


def test_fit_rigid_never_mirrors():
    result = fit_rigid(POINTS, POINTS * [1.0, -1.0, 1.0])
    np.testing.assert_allclose(result[:3, :3] @ result[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(result[:3, :3]) == pytest.approx(1.0)


def test_fit_rigid_of_one_point_is_a_translation():
    expected = motion(Rotation.identity(), [1.0, 2.0, 3.0])
    np.testing.assert_allclose(fit_rigid(POINTS[:1], applied(expected, POINTS[:1])), expected, atol=1e-15)
    coincident = np.tile(POINTS[:1], (5, 1))
    np.testing.assert_allclose(fit_rigid(coincident, coincident + 1.0), motion(Rotation.identity(), 1.0), atol=1e-12)


@pytest.mark.parametrize("degrees", [0.0, 30.0, 179.0, 180.0])
def test_fit_rigid_of_a_line_turns_least(degrees):
    line = np.linspace(-1.0, 2.0, 7)[:, None] * [1.0, 0.0, 0.0]
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.0, 0.0, 1.0]))
    spun = turn * Rotation.from_rotvec([1.0, 0.0, 0.0])  # spinning a line about itself is not seen
    result = fit_rigid(line, spun.apply(line))
    np.testing.assert_allclose(applied(result, line), spun.apply(line), atol=1e-9)
    assert Rotation.from_matrix(result[:3, :3]).magnitude() == pytest.approx(np.radians(degrees), abs=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((0, 3)), np.zeros((0, 3))), "weights"),
        ((POINTS, POINTS[:5]), "points_to"),
        ((POINTS, POINTS, np.zeros(12)), "one of them > 0"),
        ((POINTS, POINTS, -np.ones(12)), "one of them > 0"),
        ((POINTS, POINTS, np.ones(5)), "weights"),
        ((POINTS, POINTS * np.nan), "finite"),
    ],
)
def test_fit_rigid_refuses_what_has_no_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_rigid(*arguments)


def test_steady_quaternions_are_the_rotations_and_never_jump():
    turns = Rotation.from_rotvec(np.outer(np.linspace(0.0, 4.0 * np.pi, 60), [0.6, 0.0, 0.8]))
    quaternions = steady_quaternions(turns.as_matrix())
    np.testing.assert_allclose(Rotation.from_quat(quaternions).as_matrix(), turns.as_matrix(), atol=1e-12)
    assert np.abs(np.diff(quaternions, axis=0)).max() < 0.12  # half of 4 pi / 59
