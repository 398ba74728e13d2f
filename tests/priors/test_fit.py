import numpy as np
import pytest
import warp as wp
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from warpgs.priors import Rest, fit_local_rotations

N, K = 60, 8
IDENTITY = Rotation.identity()


def fit(first, now, tracked, *, first_rotations=None, share=0.0, dtype=wp.float32, device="cpu", sigma=0.5):
    """Fitted quaternions [n, 4] of points first -> now; neighbors from a k-d tree, by index where points coincide."""
    first_rotations = Rotation.identity(len(first)) if first_rotations is None else first_rotations
    vec3, quat = wp.types.vector(3, dtype), wp.types.quaternion(dtype)
    neighbors = neighbors_of(first)
    rest = Rest.build(
        wp.array(first, dtype=vec3, device=device),
        wp.array(first_rotations.as_quat(), dtype=quat, device=device),
        wp.array(neighbors, dtype=wp.int32, device=device),
        weight_sigma=sigma,
    )
    fitted = wp.zeros(len(first), dtype=quat, device=device)
    means, rotations = wp.array(now, dtype=vec3, device=device), wp.array(tracked, dtype=quat, device=device)
    fit_local_rotations(means, rotations, rest, fitted, tracked_share=share)
    return fitted.numpy()


def neighbors_of(points):
    """K neighbors other than the particle itself."""
    _, found = cKDTree(points).query(points, K + 1)
    rows = [[j for j in row if j != i][:K] for i, row in enumerate(found)]
    return np.array(rows)


def cloud(flatness=1.0, seed=0):
    """Points in a box; flatness 0 is a plane at an angle."""
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (N, 3)) * [1.0, 0.6, flatness]
    return Rotation.from_rotvec([0.3, 0.5, -0.2]).apply(points)


def errors_rad(quaternions, expected):
    """Angle between rotations, sign of quaternions ignored."""
    return (Rotation.from_quat(quaternions) * expected.inv()).magnitude()


@pytest.mark.parametrize("degrees", [0.0, 0.01, 20.0, 90.0, 170.0, 179.9, 180.0])
@pytest.mark.parametrize("flatness", [1.0, 0.01, 0.0])
def test_fit_is_exact_for_rigid_motions(degrees, flatness, device):
    first, first_rotations = cloud(flatness), Rotation.random(N, random_state=1)
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.36, -0.48, 0.8]))
    now = turn.apply(first) + np.array([3.0, -2.0, 1.0])
    expected = turn * first_rotations
    for dtype, tolerance in ((wp.float32, 2e-5), (wp.float64, 1e-6)):
        fitted = fit(first, now, expected.as_quat(), first_rotations=first_rotations, dtype=dtype, device=device)
        assert errors_rad(fitted, expected).max() < tolerance
        np.testing.assert_allclose(np.linalg.norm(fitted, axis=1), 1.0, atol=1e-6)


def test_fit_is_exact_in_any_unit_of_length(device):
    turn = Rotation.from_rotvec([0.0, 2.0, 0.0])
    for unit in (1e-6, 1e6):
        first = cloud() * unit
        fitted = fit(first, turn.apply(first), np.tile([0, 0, 0, 1.0], (N, 1)), sigma=0.5 * unit, device=device)
        assert errors_rad(fitted, turn).max() < 2e-5


def test_fit_matches_the_weighted_least_squares_of_scipy(device):
    first, rng = cloud(), np.random.default_rng(3)
    now = Rotation.from_rotvec([1.0, 0.5, -2.0]).apply(first) + 0.05 * rng.normal(size=first.shape)
    fitted = fit(first, now, np.tile([0, 0, 0, 1.0], (N, 1)), dtype=wp.float64, device=device)
    for i, row in enumerate(neighbors_of(first)):
        members = np.append(row, i)
        weights = np.exp(-0.5 * np.sum((first[members] - first[i]) ** 2, axis=1) / 0.5**2)
        centers = (np.average(points[members], axis=0, weights=weights) for points in (now, first))
        a, b = (points[members] - center for points, center in zip((now, first), centers, strict=True))
        expected, _ = Rotation.align_vectors(a, b, weights=weights)
        assert errors_rad(fitted[i], expected) < 1e-6


def test_fit_never_mirrors(device):
    first = cloud()
    mirrored = first * [1.0, 1.0, -1.0]
    fitted = fit(first, mirrored, np.tile([0, 0, 0, 1.0], (N, 1)), dtype=wp.float64, device=device)
    np.testing.assert_allclose(np.linalg.norm(fitted, axis=1), 1.0, atol=1e-12)
    for i, row in enumerate(neighbors_of(first)):
        members = np.append(row, i)
        weights = np.exp(-0.5 * np.sum((first[members] - first[i]) ** 2, axis=1) / 0.5**2)
        a, b = (points[members] - np.average(points[members], axis=0, weights=weights) for points in (mirrored, first))

        def cost(turn, a=a, b=b, weights=weights):
            return np.sum(weights * np.sum((a - turn.apply(b)) ** 2, axis=1))

        best = cost(Rotation.align_vectors(a, b, weights=weights)[0])
        assert cost(Rotation.from_quat(fitted[i])) <= best * (1.0 + 1e-9) + 1e-12


LINE = np.linspace(-1.0, 1.0, N)[:, None] * [0.6, 0.0, 0.8] + [1.0, 2.0, 3.0]
DEGENERATE = {
    "one point": (np.ones((N, 3)), np.ones((N, 3))),
    "a line": (LINE, Rotation.from_rotvec([0.5, 0.0, 0.0]).apply(LINE)),
    "collapsed to a point": (cloud(), np.ones((N, 3))),
    "collapsed to a line": (cloud(), cloud() @ np.outer([1, 0, 0], [1, 0, 0])),
    "grown from a line": (LINE, cloud()),
}


@pytest.mark.parametrize(("first", "now"), DEGENERATE.values(), ids=DEGENERATE)
def test_fit_keeps_the_tracked_rotation_where_neighbors_leave_it_open(first, now, device):
    tracked = Rotation.random(N, random_state=2)
    for dtype in (wp.float32, wp.float64):
        fitted = fit(first, now, 3.0 * tracked.as_quat(), dtype=dtype, device=device)
        np.testing.assert_allclose(fitted, tracked.as_quat(), atol=1e-6)


def test_fit_without_neighbors_keeps_the_tracked_rotation(device):
    means = wp.zeros(3, dtype=wp.vec3, device=device)
    tracked = wp.array(Rotation.random(3, random_state=0).as_quat(), dtype=wp.quat, device=device)
    fitted = wp.zeros_like(tracked)
    fit_local_rotations(means, tracked, Rest.build(means, tracked), fitted)
    np.testing.assert_allclose(fitted.numpy(), tracked.numpy(), atol=1e-6)


def test_fit_keeps_the_sign_of_the_tracked_quaternion(device):
    first = cloud()
    turn = Rotation.from_rotvec([0.0, 0.0, 3.0])
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (N, 1))
    near = (Rotation.from_rotvec([0.05, 0.0, 0.0]) * turn).as_quat() * signs
    for share in (0.0, 0.1, 1.0):
        fitted = fit(first, turn.apply(first), near, share=share, device=device)
        assert (np.sum(fitted * near, axis=1) > 0.99).all()


def test_fit_mixes_in_the_tracked_rotation_by_its_share(device):
    first = cloud()
    tracked = Rotation.from_rotvec([0.0, 0.0, 0.2])
    for share in (0.0, 0.1, 0.5, 1.0):
        fitted = fit(
            first, first, np.tile(-2.0 * tracked.as_quat(), (N, 1)), share=share, dtype=wp.float64, device=device
        )
        mixed = share * tracked.as_quat() + (1.0 - share) * np.array([0.0, 0.0, 0.0, 1.0])
        np.testing.assert_allclose(fitted, np.tile(-mixed / np.linalg.norm(mixed), (N, 1)), atol=1e-6)


def test_fit_may_write_over_the_tracked_rotations(device):
    first, turn = cloud(), Rotation.from_rotvec([0.0, 1.0, 0.0])
    means = wp.array(first, dtype=wp.vec3, device=device)
    rotations = wp.array(Rotation.random(N, random_state=4).as_quat(), dtype=wp.quat, device=device)
    rest = Rest.build(means, rotations, wp.array(neighbors_of(first), dtype=wp.int32, device=device))
    means.assign(turn.apply(first))
    apart = wp.zeros_like(rotations)
    fit_local_rotations(means, rotations, rest, apart)
    fit_local_rotations(means, rotations, rest, rotations)
    np.testing.assert_array_equal(rotations.numpy(), apart.numpy())


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_fit_refuses_a_share_outside_zero_to_one(share):
    with pytest.raises(ValueError, match="tracked_share"):
        fit(cloud(), cloud(), np.tile([0, 0, 0, 1.0], (N, 1)), share=share)
