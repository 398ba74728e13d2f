"""Which particles move as one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.bodies.moving import INSTANTS, bending_sheet, box, moved, poses_of, tracks_of, with_background
from tests.tracks_by_hand import make_tracks
from warpgs.bodies import BACKGROUND, DEFORMABLE, Parts, PartsConfig, find_parts

RATE, SHIFT = (0.05, -0.08, 0.1), (0.02, 0.0, 0.01)


def rng(seed=1):
    return np.random.default_rng(seed)


def agrees(parts: Parts, body: np.ndarray) -> bool:
    """Whether parts and bodies are the same up to their numbers."""
    pairs = set(zip(parts.part_index.tolist(), body.tolist(), strict=True))
    return len(pairs) == len(set(body.tolist())) == len({part for part, _ in pairs})


def two_boxes(touching: bool) -> list[np.ndarray]:
    aside = np.array([0.2 if touching else 0.5, 0.0, 0.0])
    still = np.tile(box((0.2, 0.2, 0.2), 700, rng(1)), (INSTANTS, 1, 1))
    return [still, moved(box((0.2, 0.15, 0.2), 500, rng(2)) + aside, RATE, SHIFT, about=aside)]


@pytest.mark.parametrize("touching", [False, True])
def test_find_parts_tells_bodies_apart(touching):
    paths = two_boxes(touching)
    parts = find_parts(tracks_of(paths, noise=0.0005)[0])
    assert parts.names == ("part_00", "part_01")
    assert agrees(parts, tracks_of(paths)[1])
    assert np.bincount(parts.part_index).tolist() == [700, 500]  # the largest first


def test_find_parts_gives_exact_poses_of_exact_tracks():
    points = box((0.2, 0.15, 0.3), 400, rng()) + np.array([1.0, -2.0, 3.0])
    tracks, _ = tracks_of([moved(points, RATE, SHIFT, about=(1.0, -2.0, 3.0))])
    parts = find_parts(tracks)
    center = tracks.means[0].astype(np.float64).mean(axis=0)
    truth = poses_of(RATE, SHIFT, (1.0, -2.0, 3.0), center)
    np.testing.assert_allclose(parts.world_from_part[:, 0], truth, atol=1e-6)
    np.testing.assert_array_equal(parts.world_from_part[0, 0, :3, :3], np.eye(3))
    assert parts.residual.max() < 1e-6


def test_find_parts_is_robust_to_lost_particles():
    tracks, body = tracks_of(two_boxes(touching=False), noise=0.0005)
    means = np.array(tracks.means)
    lost = rng(3).choice(len(body), len(body) // 8, replace=False)
    means[3:, lost] += 0.3 * rng(4).normal(size=(1, len(lost), 3))
    parts = find_parts(replace(tracks, means=means))
    kept = np.setdiff1d(np.arange(len(body)), lost)
    assert agrees(replace(parts, part_index=parts.part_index[kept]), body[kept])
    assert (parts.part_index[lost] == DEFORMABLE).mean() > 0.9
    at = [tracks.means[0, parts.members(part)].mean(axis=0) for part in range(2)]
    truth = poses_of(RATE, SHIFT, (0.5, 0.0, 0.0), at[1])
    assert np.abs(parts.world_from_part[:, 1] - truth)[:, :3].max() < 0.003


def test_find_parts_ignores_a_moment_of_confusion():
    tracks, body = tracks_of(two_boxes(touching=False), noise=0.0005)
    means = np.array(tracks.means)
    means[5] += 0.05 * rng(3).normal(size=means[5].shape)
    assert agrees(find_parts(replace(tracks, means=means)), body)


def test_find_parts_leaves_a_bending_sheet_deformable():
    sheet = bending_sheet() + np.array([1.0, 0.0, 0.0])
    tracks, body = tracks_of([*two_boxes(touching=False), sheet], noise=0.0003)
    parts = find_parts(tracks)
    assert len(parts) == 2
    assert (parts.part_index[body == 2] == DEFORMABLE).all()
    assert agrees(parts, body)


def test_find_parts_splits_at_a_hinge():
    first = box((0.4, 0.1, 0.1), 1500, rng(1))
    second = box((0.4, 0.1, 0.1), 1500, rng(2)) + np.array([0.4, 0.0, 0.0])
    paths = [moved(first, (0, 0, 0), SHIFT), moved(second, (0, 0.12, 0), SHIFT, about=(0.2, 0.0, 0.0))]
    tracks, body = tracks_of(paths, noise=0.0005)
    parts = find_parts(tracks)
    assert len(parts) == 2
    best = max((parts.part_index == body).mean(), (parts.part_index == 1 - body).mean())
    assert best > 0.97  # at the axis both motions are the same


def test_find_parts_keeps_resting_bodies_and_joins_pieces_that_turn_together():
    left, right = box((0.1, 0.1, 0.1), 400, rng(1)), box((0.1, 0.1, 0.1), 400, rng(2)) + np.array([0.4, 0.0, 0.0])
    resting = [np.tile(points, (INSTANTS, 1, 1)) for points in (left, right)]
    parts = find_parts(tracks_of(resting)[0])
    assert len(parts) == 2
    still = np.broadcast_to(parts.world_from_part[:1], parts.world_from_part.shape)
    np.testing.assert_allclose(parts.world_from_part, still, atol=1e-12)
    assert len(find_parts(tracks_of([moved(points, (0, 0, 0), SHIFT) for points in (left, right)])[0])) == 2
    assert len(find_parts(tracks_of([moved(points, RATE, SHIFT) for points in (left, right)])[0])) == 1


@pytest.mark.parametrize("scale", [1e-2, 1.0, 50.0])
def test_find_parts_does_not_depend_on_the_world(scale):
    tracks, _ = tracks_of(two_boxes(touching=True), noise=0.0005)
    parts = find_parts(tracks)
    turn = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()
    means = scale * (tracks.means.astype(np.float64) @ turn.T + np.array([3.0, -2.0, 1.0]))
    other = find_parts(replace(tracks, means=means.astype(np.float32)))
    np.testing.assert_array_equal(other.part_index, parts.part_index)
    expected = scale * (parts.world_from_part[..., :3, 3] @ turn.T + np.array([3.0, -2.0, 1.0]))
    np.testing.assert_allclose(other.world_from_part[..., :3, 3], expected, atol=2e-5 * scale)
    np.testing.assert_allclose(other.residual, scale * parts.residual, rtol=1e-2, atol=1e-9)


def test_find_parts_lets_the_late_born_join_or_found_a_part():
    late, birth = 300, 5
    paths = two_boxes(touching=False)
    newcomer = moved(box((0.15, 0.15, 0.15), 350, rng(7)) + np.array([-0.6, 0.0, 0.0]), (0.1, 0, 0), (0, 0.02, 0))
    more = paths[1][:, :late]
    means = np.concatenate([paths[0], paths[1][:, late:], more, newcomer], axis=1)
    body = np.repeat([0, 1, 1, 2], [700, 200, late, 350])
    means[:birth, body.size - late - 350 :] = means[birth, body.size - late - 350 :]
    tracks = replace(make_tracks(means, sigma=1e-4), birth=np.repeat([0, birth], [900, late + 350]).astype(np.int32))
    parts = find_parts(tracks)
    assert agrees(parts, body)
    assert parts.birth.tolist() == [0, 0, birth]
    np.testing.assert_array_equal(
        parts.world_from_part[:birth, 2], np.tile(parts.world_from_part[birth, 2], (birth, 1, 1))
    )
    assert (parts.residual[: birth + 1, 2] == 0.0).all()
    assert parts.residual.max() < 1e-6


def test_find_parts_gives_distrusted_particles_no_say():
    tracks, body = tracks_of(two_boxes(touching=False))
    clump = np.flatnonzero(body == 1)[:200]
    means = np.array(tracks.means)
    means[1:, clump] += np.array([0.0, 0.0, 0.5])
    confidence = np.ones(tracks.means.shape[:2], np.float32)
    assert len(find_parts(replace(tracks, means=means, confidence=confidence))) == 3
    confidence[:, clump] = 0.1
    parts = find_parts(replace(tracks, means=means, confidence=confidence))
    assert len(parts) == 2
    assert (parts.part_index[clump] == DEFORMABLE).all()


def test_find_parts_leaves_the_background_alone():
    tracks, body = tracks_of(two_boxes(touching=False))
    parts = find_parts(with_background(tracks, 500))
    assert (parts.part_index[len(body) :] == BACKGROUND).all()
    assert agrees(replace(parts, part_index=parts.part_index[: len(body)]), body)


@pytest.mark.parametrize("count", [0, 1, 2, 19])
def test_find_parts_finds_none_among_few_particles(count):
    parts = find_parts(make_tracks(rng().normal(size=(4, count, 3))))
    assert len(parts) == 0
    assert parts.world_from_part.shape == (4, 0, 4, 4)
    assert (parts.part_index == DEFORMABLE).all()


def test_find_parts_of_one_instant_are_what_hangs_together():
    paths = [path[:1] for path in two_boxes(touching=False)]
    tracks, body = tracks_of(paths)
    assert agrees(find_parts(tracks), body)


def test_find_parts_of_coincident_particles_is_one_part():
    parts = find_parts(make_tracks(np.zeros((5, 60, 3))))
    assert len(parts) == 1
    assert np.isfinite(parts.world_from_part).all()


def test_find_parts_refuses_broken_positions_and_settings():
    tracks, _ = tracks_of(two_boxes(touching=False))
    tracks.means[3, 17, 1] = np.nan
    with pytest.raises(ValueError, match="means of the foreground: expected finite numbers, got nan"):
        find_parts(tracks)
    for name, value in {"quantile": 1.5, "tolerance": -1.0, "neighbors": 0, "widening": 0.5, "smooth": np.inf}.items():
        with pytest.raises(ValueError, match=f"parts.{name}: expected"):
            PartsConfig(**{name: value})
