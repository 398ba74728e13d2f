"""Trajectory errors on cases worked out by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.tracks_by_hand import IDENTITY, front_camera, make_tracks, make_truth, rigid_motion, wxyz
from warpgs.evaluate.scores import SURVIVAL_M, SURVIVAL_PX, THRESHOLDS_M, THRESHOLDS_PX, score
from warpgs.evaluate.trajectories import errors_in_space, follow_in_picture


def score_in_space(tracks, truth):
    return score([errors_in_space(tracks, truth)], THRESHOLDS_M, SURVIVAL_M)


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


# Errors in pictures


def errors_in_picture(means, points, visible):
    return follow_in_picture(make_tracks(means), front_camera(), make_truth(points), np.asarray(visible)).errors()


def test_errors_in_picture_are_in_pixels_of_256():
    points = np.zeros((3, 1, 3))
    means = points.copy()
    means[1, 0, 0] = 0.02  # 1 px of 200 = 1.28 of 256
    means[2, 0, 2] = 0.02  # 1 px of 100 = 2.56 of 256
    errors = errors_in_picture(means, points, np.ones((3, 1), bool))
    np.testing.assert_allclose(errors.distance[:, 0], [1.28, 2.56], atol=1e-5)


def test_queries_in_pictures_are_lifted_to_what_shows_there():
    # The particle lies 0.2 m before the true point: it turns about the lifted point, not about the true one.
    points = np.zeros((2, 1, 3))
    means = points - [0, 0.2, 0]
    turned = np.stack([[IDENTITY], [wxyz(Rotation.from_euler("x", 90, degrees=True))]])
    tracks = make_tracks(means, turned)
    followed = follow_in_picture(tracks, front_camera(), make_truth(points), np.ones((2, 1), bool))
    assert followed.assigned.tolist() == [True]
    np.testing.assert_allclose(followed.errors().distance, 0.0, atol=1e-5)


def test_queries_where_nothing_shows_are_lost_and_called_hidden():
    points = np.zeros((3, 1, 3))
    means = points + np.array([0.9, 0, 0])  # 45 px beside the query
    errors = errors_in_picture(means, points, np.ones((3, 1), bool))
    assert np.isinf(errors.distance).all() and not errors.called_visible.any() and not errors.assigned.any()
    result = score([errors], THRESHOLDS_PX, SURVIVAL_PX)
    assert (result.count, result.unassigned, result.survival) == (1, 1, 0.0)
    assert result.jaccard == 0.0 and result.occlusion_accuracy == 0.0


def test_errors_in_picture_count_visible_instants_only():
    points = np.zeros((4, 2, 3))
    means = points.copy()
    means[2] = [0.5, 0, 0]
    visible = np.array([[True, False], [True, True], [False, True], [True, True]])
    errors = errors_in_picture(means, points, visible)
    assert errors.distance.shape == (3, 1)
    assert np.isnan(errors.distance[1, 0])
    result = score([errors], THRESHOLDS_PX, SURVIVAL_PX)
    assert result.mte_mean == pytest.approx(0.0, abs=1e-6) and result.survival == 1.0


def test_track_behind_an_opaque_particle_is_called_hidden_while_it_is_there():
    # The second particle stands before the first at the instants 0 and 2; opacities are one half, so two hide better.
    means = np.zeros((3, 4, 3))
    means[:, 1:] = [3.0, 0, 0]
    means[1, 1:] = [[0, -0.9, 0], [0, -1.0, 0], [0, -1.1, 0]]
    tracks = make_tracks(means)
    followed = follow_in_picture(tracks, front_camera(), make_truth(np.zeros((3, 1, 3))), np.ones((3, 1), bool))
    assert followed.called_visible[:, 0].tolist() == [True, False, True]


def test_order_of_tracks_and_pictures_does_not_matter():
    rng = np.random.default_rng(1)
    points = rng.uniform(-0.4, 0.4, (4, 12, 3))
    means = points + rng.normal(0, 0.02, points.shape)
    visible = rng.random((2, 4, 12)) < 0.7
    order = rng.permutation(12)
    tracks = make_tracks(means, sigma=0.02)
    forward = [follow_in_picture(tracks, front_camera(), make_truth(points), v).errors() for v in visible]
    backward = [
        follow_in_picture(tracks, front_camera(), make_truth(points[:, order]), v[:, order]).errors()
        for v in visible[::-1]
    ]
    a, b = (score(errors, THRESHOLDS_PX, SURVIVAL_PX) for errors in (forward, backward))
    np.testing.assert_allclose(list(vars(a).values()), list(vars(b).values()), rtol=1e-12)


def test_picture_without_queries_measures_nothing_without_a_warning():
    points = np.zeros((3, 2, 3))
    errors = errors_in_picture(points, points, np.zeros((3, 2), bool))
    result = score([errors], THRESHOLDS_PX, SURVIVAL_PX)
    assert result.count == 0 and np.isnan(result.jaccard) and np.isnan(result.mte_mean)
