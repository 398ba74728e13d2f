"""Trajectory errors on cases worked out by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from warpgs.evaluate import trajectories
from warpgs.evaluate.trajectories import (
    SURVIVAL_M,
    SURVIVAL_PX,
    THRESHOLDS_M,
    THRESHOLDS_PX,
    angles_deg,
    assign,
    carry,
    errors_in_picture,
    errors_in_space,
    matrices_from_wxyz,
    project,
    score,
)
from warpgs.types import Camera, Gaussians, GroundTruth, Tracks

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])


def wxyz(rotation: Rotation) -> np.ndarray:
    return np.roll(rotation.as_quat(), 1, axis=-1)


def make_gaussians(means, sigma=0.1, rotations=None, opacity_logits=None) -> Gaussians:
    means = np.asarray(means, dtype=np.float32)
    n = len(means)
    scales = np.broadcast_to(np.asarray(sigma, dtype=np.float32), (n, 3))
    return Gaussians(
        means=means,
        rotations_wxyz=np.asarray(np.tile(IDENTITY, (n, 1)) if rotations is None else rotations, dtype=np.float32),
        log_scales=np.log(scales),
        colors=np.full((n, 3), 0.5, np.float32),
        opacity_logits=np.zeros(n, np.float32) if opacity_logits is None else np.asarray(opacity_logits, np.float32),
        foreground=np.ones(n, np.float32),
    )


def make_tracks(means, rotations=None, sigma=0.1, timesteps=None) -> Tracks:
    means = np.asarray(means, dtype=np.float32)
    t, n, _ = means.shape
    first = make_gaussians(means[0], sigma)
    return Tracks(
        means=means,
        rotations_wxyz=np.asarray(np.tile(IDENTITY, (t, n, 1)) if rotations is None else rotations, np.float32),
        log_scales=first.log_scales,
        colors=first.colors,
        opacity_logits=first.opacity_logits,
        foreground=first.foreground,
        timesteps=tuple(range(t)) if timesteps is None else timesteps,
        fps=30.0,
        source_from_world=np.eye(4),
        camera_names=(),
        camera_log_gains=np.zeros((0, 3), np.float32),
        camera_offsets=np.zeros((0, 3), np.float32),
    )


def make_truth(points, rotations=None) -> GroundTruth:
    points = np.asarray(points, dtype=np.float32)
    t, n, _ = points.shape
    return GroundTruth(
        points=points,
        rotations_wxyz=np.asarray(np.tile(IDENTITY, (t, n, 1)) if rotations is None else rotations, np.float32),
        body_index=np.zeros(n, np.int32),
        body_names=("body",),
        world_from_body=np.tile(np.eye(4), (t, 1, 1, 1)),
    )


def score_in_space(tracks, truth):
    return score([errors_in_space(tracks, truth)], THRESHOLDS_M, SURVIVAL_M)


def rigid_motion(t: int) -> tuple[np.ndarray, np.ndarray]:
    """A rotation and a translation for each of t instants, the first the identity."""
    turns = np.stack([wxyz(Rotation.from_rotvec(0.3 * i * np.array([0.2, -0.5, 0.8]))) for i in range(t)])
    shifts = np.arange(t)[:, None] * np.array([0.1, 0.05, -0.02])
    return turns, shifts


# Assignment


def test_assign_takes_the_largest_influence_not_the_nearest_center():
    # The point is 0.2 from the small particle (2 sigma) and 0.5 from the large one (1 sigma).
    gaussians = make_gaussians([[0.2, 0, 0], [-0.5, 0, 0]], sigma=[[0.1] * 3, [0.5] * 3])
    assert assign(np.zeros((1, 3)), gaussians)[0].tolist() == [1]


def test_assign_weighs_opacity():
    gaussians = make_gaussians([[0.1, 0, 0], [-0.12, 0, 0]], sigma=0.1, opacity_logits=[-3.0, 3.0])
    assert assign(np.zeros((1, 3)), gaussians)[0].tolist() == [1]


def test_assign_matches_naive_loop_over_anisotropic_particles(monkeypatch):
    rng = np.random.default_rng(3)
    quats = wxyz(Rotation.random(50, random_state=4))
    gaussians = make_gaussians(
        rng.normal(size=(50, 3)), np.exp(rng.normal(-1, 0.7, (50, 3))), quats, rng.normal(0, 2, 50)
    )
    points = rng.normal(size=(40, 3)) * 1.5
    expected, within = [], []
    for p in points:
        influences, distances = [], []
        for i in range(50):
            r = Rotation.from_quat(np.roll(gaussians.rotations_wxyz[i].astype(float), -1)).as_matrix()
            s = np.diag(np.exp(2.0 * gaussians.log_scales[i].astype(float)))
            v = p - gaussians.means[i]
            d2 = v @ np.linalg.inv(r @ s @ r.T) @ v
            influences.append(np.exp(-d2 / 2) / (1 + np.exp(-float(gaussians.opacity_logits[i]))))
            distances.append(np.sqrt(d2))
        expected.append(int(np.argmax(influences)))
        within.append(min(distances) <= 3)
    assert True in within and False in within
    monkeypatch.setattr(trajectories, "CHUNK_ENTRIES", 40 * 7)  # chunks of 7 particles: the last one is smaller
    index, assigned = assign(points, gaussians)
    assert index.tolist() == expected and assigned.tolist() == within


def test_assign_calls_a_point_unassigned_only_beyond_three_sigma_of_all():
    gaussians = make_gaussians([[0, 0, 0]], sigma=0.1)
    _, assigned = assign(np.array([[0.299, 0, 0], [0.301, 0, 0]]), gaussians)
    assert assigned.tolist() == [True, False]


def test_assign_of_a_faint_small_particle_counts_within_three_sigma():
    # The median influence in practice is about 0.01: no threshold on the influence itself.
    gaussians = make_gaussians([[0, 0, 0]], sigma=0.01, opacity_logits=[-8.0])
    assert assign(np.array([[0.029, 0, 0]]), gaussians)[1].tolist() == [True]


# Carrying


def test_carry_turns_an_off_center_point_with_its_particle():
    quarter = wxyz(Rotation.from_euler("z", 90, degrees=True))
    tracks = make_tracks(np.zeros((2, 1, 3)), np.stack([[IDENTITY], [quarter]]))
    carried = carry(tracks, np.array([0]), np.array([[0.1, 0.0, 0.05]]))
    np.testing.assert_allclose(carried[:, 0], [[0.1, 0, 0.05], [0, 0.1, 0.05]], atol=1e-7)


def test_carry_is_exact_under_rigid_motion_whatever_the_first_rotation():
    rng = np.random.default_rng(5)
    turns, shifts = rigid_motion(6)
    first = Rotation.random(20, random_state=6)
    centers = rng.normal(size=(20, 3)) * 0.2
    points = centers + rng.normal(size=(20, 3)) * 0.05
    bodies = [Rotation.from_quat(np.roll(q, -1)) for q in turns]
    tracks = make_tracks(
        [b.apply(centers) + s for b, s in zip(bodies, shifts, strict=True)],
        np.stack([wxyz(b * first) for b in bodies]),
    )
    expected = np.stack([b.apply(points) + s for b, s in zip(bodies, shifts, strict=True)])
    np.testing.assert_allclose(carry(tracks, np.arange(20), points), expected, atol=1e-6)


# Errors in space


def test_score_of_exact_tracks_is_perfect():
    rng = np.random.default_rng(7)
    turns, shifts = rigid_motion(5)
    bodies = [Rotation.from_quat(np.roll(q, -1)) for q in turns]
    centers = rng.normal(size=(30, 3)) * 0.3
    means = np.stack([b.apply(centers) + s for b, s in zip(bodies, shifts, strict=True)])
    rotations = np.repeat(turns[:, None], 30, axis=1)
    result = score_in_space(make_tracks(means, rotations), make_truth(means, rotations))
    assert (result.count, result.unassigned) == (30, 0)
    assert result.mte_mean < 1e-6 and result.mte_median < 1e-6
    assert result.delta == 1.0 and result.survival == 1.0
    assert result.rotation_mean_deg < 1e-3 and result.rotation_median_deg < 1e-3


def test_score_of_known_errors_is_exact():
    # One track, errors 0.5, 3, 3, 60 cm at the instants after the first.
    means = np.zeros((5, 1, 3))
    means[:, 0, 0] = [0.0, 0.005, 0.03, 0.03, 0.6]
    result = score_in_space(make_tracks(means), make_truth(np.zeros((5, 1, 3))))
    assert result.mte_mean == pytest.approx(0.03, abs=1e-7)
    # within 1, 2 cm: 1 of 4; within 4, 8, 16 cm: 3 of 4
    assert result.delta == pytest.approx((0.25 + 0.25 + 0.75 * 3) / 5, abs=1e-12)
    assert result.survival == pytest.approx(0.75, abs=1e-12)


def test_survival_ends_at_the_first_loss_even_when_the_track_returns():
    means = np.zeros((5, 1, 3))
    means[2, 0, 0] = 0.51
    result = score_in_space(make_tracks(means), make_truth(np.zeros((5, 1, 3))))
    assert result.survival == pytest.approx(0.25, abs=1e-12)


def test_lost_body_shows_in_the_mean_of_medians_but_not_in_the_global_median():
    means = np.zeros((9, 10, 3)) + np.arange(10)[None, :, None]
    truth = make_truth(means.copy())
    means[1:, :3, 0] += 0.9  # 3 of 10 tracks lost
    means[1:, 3:, 0] += 0.002
    result = score_in_space(make_tracks(means), truth)
    assert result.mte_median == pytest.approx(0.002, abs=1e-6)
    assert result.mte_mean == pytest.approx(0.3 * 0.9 + 0.7 * 0.002, abs=1e-6)
    assert result.survival == pytest.approx(0.7, abs=1e-12)


def test_unassigned_track_is_counted_and_scored_with_the_nearest_particle():
    means = np.zeros((4, 3, 3)) + 5.0 * np.arange(3)[None, :, None]
    points = means.copy()
    points[:, 2] += 1.0  # 1 m from a particle of 10 cm
    points[1:, 2] += 0.6  # and it moves where the particle stays
    result = score_in_space(make_tracks(means), make_truth(points))
    assert (result.count, result.unassigned) == (3, 1)
    assert result.mte_mean == pytest.approx(0.6 * 3**0.5 / 3, abs=1e-6)
    assert result.mte_median == 0.0
    assert result.delta == pytest.approx(2 / 3) and result.survival == pytest.approx(2 / 3)


def test_rotation_error_is_the_geodesic_angle_since_the_first_instant():
    first = Rotation.random(random_state=8)
    truth_turn = Rotation.from_rotvec([0.1, 0.9, -0.4])
    wrong = Rotation.from_rotvec(np.radians(7.0) * np.array([0.6, 0.0, 0.8]))
    rotations = np.stack([[wxyz(first)], [-wxyz(wrong * truth_turn * first)]])  # the sign must not matter
    tracks = make_tracks(np.zeros((2, 1, 3)), rotations)
    truth = make_truth(np.zeros((2, 1, 3)), np.stack([[IDENTITY], [wxyz(truth_turn)]]))
    assert score_in_space(tracks, truth).rotation_median_deg == pytest.approx(7.0, abs=1e-4)


def test_angles_are_exact_for_tiny_and_half_turns():
    tiny = wxyz(Rotation.from_rotvec([0.0, 0.0, 1e-9]))
    assert angles_deg(tiny, IDENTITY) == pytest.approx(np.degrees(1e-9), rel=1e-6)
    assert angles_deg(np.array([0.0, 1.0, 0.0, 0.0]), IDENTITY) == pytest.approx(180.0)


def test_errors_in_space_read_the_timesteps_of_the_tracks():
    points = np.zeros((6, 1, 3))
    points[:, 0, 0] = np.arange(6.0)
    turns = np.stack([[wxyz(Rotation.from_euler("y", 10 * i, degrees=True))] for i in range(6)])
    tracks = make_tracks(points[3:], turns[3:], timesteps=(3, 4, 5))
    result = score_in_space(tracks, make_truth(points, turns))
    assert result.mte_mean < 1e-6 and result.rotation_mean_deg < 1e-3


def test_errors_in_space_refuse_truth_that_is_too_short():
    with pytest.raises(ValueError, match="at least 3 timesteps, got 2"):
        errors_in_space(make_tracks(np.zeros((3, 1, 3))), make_truth(np.zeros((2, 1, 3))))


def test_score_of_a_single_instant_has_no_figures():
    result = score_in_space(make_tracks(np.zeros((1, 2, 3))), make_truth(np.zeros((1, 2, 3))))
    assert result.count == 2
    assert np.isnan([result.mte_mean, result.delta, result.survival]).all()


def test_matrices_from_wxyz_match_scipy():
    rotation = Rotation.random(10, random_state=9)
    np.testing.assert_allclose(matrices_from_wxyz(3.0 * wxyz(rotation)), rotation.as_matrix(), atol=1e-14)


# Errors in pictures


@pytest.fixture
def camera() -> Camera:
    """Looks along the world's y axis from 2 m away; 200x100 pixels."""
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    pose[:3, 3] = [0, -2, 0]
    k = np.array([[100.0, 0, 100.0], [0, 100.0, 50.0], [0, 0, 1]])
    return Camera("c", 200, 100, k, pose)


def test_project_is_the_pinhole_formula(camera):
    pixels, in_front = project(np.array([[0.2, 0.0, 0.1], [0.0, -3.0, 0.0]]), camera)
    np.testing.assert_allclose(pixels[0], [110.0, 45.0], atol=1e-12)
    assert in_front.tolist() == [True, False]


def test_errors_in_picture_are_in_pixels_of_256(camera):
    points = np.zeros((3, 1, 3))
    means = points.copy()
    means[1, 0, 0] = 0.02  # 1 px of 200 = 1.28 of 256
    means[2, 0, 2] = 0.02  # 1 px of 100 = 2.56 of 256
    depth = np.full((100, 200), 2.0)
    errors = errors_in_picture(make_tracks(means), camera, depth, make_truth(points), np.ones((3, 1), bool))
    np.testing.assert_allclose(errors.distance[:, 0], [1.28, 2.56], atol=1e-5)


def test_errors_in_picture_lift_with_the_rendered_depth(camera):
    # The render puts the surface 1 m too far: the query falls beyond every particle.
    points = np.zeros((2, 1, 3))
    errors = errors_in_picture(
        make_tracks(points), camera, np.full((100, 200), 3.0), make_truth(points), np.ones((2, 1), bool)
    )
    assert not errors.assigned.any()
    assert score([errors], THRESHOLDS_PX, SURVIVAL_PX).unassigned == 1


def test_errors_in_picture_without_depth_are_lost(camera):
    points = np.zeros((2, 1, 3))
    errors = errors_in_picture(
        make_tracks(points), camera, np.full((100, 200), np.nan), make_truth(points), np.ones((2, 1), bool)
    )
    assert np.isinf(errors.distance).all()


def test_errors_in_picture_count_visible_instants_only(camera):
    points = np.zeros((4, 2, 3))
    means = points.copy()
    means[2] = [0.5, 0, 0]
    visible = np.array([[True, False], [True, True], [False, True], [True, True]])
    errors = errors_in_picture(make_tracks(means), camera, np.full((100, 200), 2.0), make_truth(points), visible)
    assert errors.distance.shape == (3, 1)
    assert np.isnan(errors.distance[1, 0])
    result = score([errors], THRESHOLDS_PX, SURVIVAL_PX)
    assert result.mte_mean == pytest.approx(0.0, abs=1e-6) and result.survival == 1.0
