"""Figures of tracks against cases worked out by hand and a float64 loop over the definitions."""

from dataclasses import asdict

import numpy as np
import pytest

from warpgs.evaluate.scores import SURVIVAL_PX, THRESHOLDS_PX, TrackErrors, TrackScore, score, score_over_time

NAN, INF = float("nan"), float("inf")


def errors_of(distance, called_visible=None, rotation_deg=None) -> TrackErrors:
    distance = np.asarray(distance, float)
    count = distance.shape[1]
    called = None if called_visible is None else np.asarray(called_visible, bool)
    return TrackErrors(distance, rotation_deg, np.ones(count, bool), np.arange(count), called)


def score_px(*errors: TrackErrors) -> TrackScore:
    return score(errors, THRESHOLDS_PX, SURVIVAL_PX)


def random_errors(seed: int, tracks: int = 30) -> TrackErrors:
    rng = np.random.default_rng(seed)
    distance = rng.exponential(5.0, (9, tracks))
    distance[rng.random(distance.shape) < 0.3] = NAN
    distance[rng.random(distance.shape) < 0.05] = INF
    return errors_of(distance, rng.random(distance.shape) < 0.6, rng.uniform(0, 9, distance.shape))


def tap_oracle(distance: np.ndarray, called: np.ndarray) -> tuple[float, float]:
    """TAP-Vid's definitions, counted one by one."""
    jaccards, right = [], 0
    for threshold in THRESHOLDS_PX:
        tp = fp = fn = 0
        for d, c in zip(distance.ravel(), called.ravel(), strict=True):
            seen = not np.isnan(d)
            near = seen and d <= threshold
            tp += seen and c and near
            fp += c and not near
            fn += seen and not (c and near)
        jaccards.append(tp / (tp + fp + fn))
    for d, c in zip(distance.ravel(), called.ravel(), strict=True):
        right += bool(c) == (not np.isnan(d))
    return float(np.mean(jaccards)), right / distance.size


def test_jaccard_and_occlusion_accuracy_by_hand():
    # One track at four instants: within 1 px and called visible; 3 px off and called visible; visible but called
    # hidden; hidden but called visible.
    result = score_px(errors_of([[0.5], [3.0], [0.2], [NAN]], [[True], [True], [False], [True]]))
    # thresholds 1 and 2: TP 1, FN 2 (3 px off, called hidden), FP 2 (3 px off, hidden); from 4 on TP 2, FN 1, FP 1
    assert result.jaccard == pytest.approx((2 * 1 / 5 + 3 * 2 / 4) / 5, abs=1e-12)
    assert result.occlusion_accuracy == pytest.approx(2 / 4)


@pytest.mark.parametrize("seed", range(5))
def test_jaccard_and_occlusion_accuracy_match_the_loop(seed: int):
    errors = random_errors(seed)
    jaccard, accuracy = tap_oracle(errors.distance, errors.called_visible)
    result = score_px(errors)
    assert result.jaccard == pytest.approx(jaccard, abs=1e-12)
    assert result.occlusion_accuracy == pytest.approx(accuracy, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_medians_and_survival_match_the_loop(seed: int):
    errors = random_errors(seed, tracks=40)
    errors.distance[:, 7] = NAN
    errors.distance[2, :9] = 60.0
    medians, survivals = [], []
    for track in errors.distance.T:
        known = [d for d in track if not np.isnan(d)]
        if known:
            medians.append(np.median(known))
            lost = [i for i, d in enumerate(known) if d > SURVIVAL_PX]
            survivals.append((lost[0] if lost else len(known)) / len(known))
    result = score_px(errors)
    assert result.mte_mean == pytest.approx(np.mean(medians)) and result.survival == pytest.approx(np.mean(survivals))
    known = errors.distance[~np.isnan(errors.distance)]
    assert result.delta == pytest.approx(np.mean([np.mean(known <= limit) for limit in THRESHOLDS_PX]))


def test_perfect_tracks_have_full_jaccard():
    result = score_px(errors_of([[0.0, NAN], [0.0, 0.0]], [[True, False], [True, True]]))
    assert (result.jaccard, result.occlusion_accuracy) == (1.0, 1.0)


def test_figures_of_tracks_that_are_hidden_all_the_time_count_calls_only(recwarn):
    hidden = np.full((3, 4), NAN)
    quiet, loud = (score_px(errors_of(hidden, np.full((3, 4), called))) for called in (False, True))
    assert (quiet.count, quiet.jaccard, quiet.occlusion_accuracy) == (4, 1.0, 1.0)
    assert (loud.jaccard, loud.occlusion_accuracy) == (0.0, 0.0)
    assert np.isnan([quiet.mte_mean, quiet.mte_median, quiet.delta, quiet.survival]).all()
    assert not recwarn.list


def test_figures_do_not_depend_on_the_order_of_tracks_and_sets():
    a, b = random_errors(1), random_errors(2, tracks=11)
    order = np.random.default_rng(3).permutation(30)
    shuffled = TrackErrors(
        a.distance[:, order], a.rotation_deg[:, order], a.assigned, a.track, a.called_visible[:, order]
    )
    first, second = asdict(score_px(a, b)), asdict(score_px(b, shuffled))
    np.testing.assert_allclose(list(first.values()), list(second.values()), rtol=1e-12)


def test_scores_over_time_are_those_of_each_instant():
    errors = random_errors(4)
    over_time = score_over_time([errors], THRESHOLDS_PX, SURVIVAL_PX)
    assert len(over_time) == 9
    for row, found in enumerate(over_time):
        alone = score_px(errors_of(errors.distance[row : row + 1], errors.called_visible[row : row + 1]))
        assert (found.mte_median, found.jaccard) == (alone.mte_median, alone.jaccard)
        known = errors.distance[row][~np.isnan(errors.distance[row])]
        assert found.survival == pytest.approx(np.mean(known <= SURVIVAL_PX))


def test_selected_tracks_are_scored_alone():
    errors = random_errors(5)
    chosen = np.arange(30) % 3 == 0
    part = errors.select(chosen)
    assert part.track.tolist() == list(range(0, 30, 3))
    assert score_px(part).jaccard == pytest.approx(
        tap_oracle(errors.distance[:, chosen], errors.called_visible[:, chosen])[0]
    )


def test_score_of_no_instant_has_no_figures(recwarn):
    result = score_px(errors_of(np.empty((0, 3)), np.empty((0, 3))))
    assert result.count == 3 and np.isnan([result.jaccard, result.occlusion_accuracy, result.mte_mean]).all()
    assert score_over_time([errors_of(np.empty((0, 3)))], THRESHOLDS_PX, SURVIVAL_PX) == () and not recwarn.list
