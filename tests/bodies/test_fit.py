"""The pose of parts over time."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.bodies.moving import INSTANTS, box, moved, poses_of, tracks_of
from tests.tracks_by_hand import make_tracks, wxyz
from warpgs.bodies import fit_parts
from warpgs.bodies.fit import smooth_motions
from warpgs.bodies.patches import Moments
from warpgs.math.rigid import fit_rigid

RATE, SHIFT = (0.05, -0.3, 0.1), (0.02, 0.0, 0.01)


def one_part(tracks):
    return fit_parts(tracks, np.zeros(len(tracks.foreground), np.int32), ["body"])


@pytest.mark.parametrize("extents", [(0.3, 0.2, 0.0), (0.3, 0.0, 0.0), (0.0, 0.0, 0.0)])
def test_fit_parts_of_flat_and_thin_parts_turn_as_their_particles_do(extents):
    rest = box(extents, 30, np.random.default_rng(0)) if max(extents) else np.zeros((30, 3))
    turns = wxyz(Rotation.from_rotvec(np.arange(INSTANTS)[:, None] * np.array(RATE)))
    tracks = make_tracks(moved(rest, RATE, SHIFT), np.repeat(turns[:, None], 30, axis=1))
    parts = one_part(tracks)
    truth = poses_of(RATE, SHIFT, (0, 0, 0), rest.mean(axis=0))
    np.testing.assert_allclose(parts.world_from_part[:, 0], truth, atol=1e-4)
    np.testing.assert_allclose(np.linalg.det(parts.world_from_part[:, 0, :3, :3]), 1.0, atol=1e-12)


def test_fit_parts_residual_is_the_root_mean_square_distance():
    rest = box((0.3, 0.2, 0.1), 200, np.random.default_rng(0))
    tracks, _ = tracks_of([moved(rest, RATE, SHIFT)], noise=0.002)
    parts = one_part(tracks)
    means = tracks.means.astype(np.float64)
    motion = parts.world_from_part[:, 0] @ np.linalg.inv(parts.world_from_part[:1, 0])
    put = np.einsum("tij,mj->tmi", motion[:, :3, :3], means[0]) + motion[:, None, :3, 3]
    expected = np.sqrt(((put - means) ** 2).sum(axis=2).mean(axis=1))
    np.testing.assert_allclose(parts.residual[:, 0], expected, atol=1e-12)


def test_fit_parts_believes_the_confident_and_opaque():
    rest = box((0.3, 0.2, 0.1), 90, np.random.default_rng(0))
    paths = moved(rest, RATE, SHIFT)
    paths[1:, :60] += 0.02  # most are wrong, and know it
    tracks = make_tracks(paths, sigma=1e-4)
    confidence = np.ones(paths.shape[:2], np.float32)
    confidence[:, :60] = 0.0
    truth = poses_of(RATE, SHIFT, (0, 0, 0), paths[0].mean(axis=0))
    for known in (
        replace(tracks, confidence=confidence),
        replace(tracks, opacity_logits=np.repeat([-20, 5], [60, 30])),
    ):
        np.testing.assert_allclose(one_part(known).world_from_part[:, 0], truth, atol=1e-3)


def test_smoothing_keeps_constant_acceleration_and_halves_noise():
    steps = np.arange(60.0)
    exact = np.tile(np.eye(4), (60, 1, 1))
    exact[:, :3, :3] = Rotation.from_rotvec(steps[:, None] * np.array([0.0, 0.02, 0.01])).as_matrix()
    exact[:, :3, 3] = np.stack([0.01 * steps, 0.002 * steps**2, -0.003 * steps], axis=1)
    np.testing.assert_allclose(smooth_motions(exact, 3.0)[:, :3, 3], exact[:, :3, 3], atol=1e-9)
    np.testing.assert_allclose(smooth_motions(exact, 3.0), exact, atol=1e-3)
    noisy = exact.copy()
    noisy[1:, :3, 3] += 0.01 * np.random.default_rng(0).normal(size=(59, 3))
    error = np.abs(smooth_motions(noisy, 3.0) - exact)[:, :3, 3].mean()
    assert error < 0.5 * np.abs(noisy - exact)[:, :3, 3].mean()
    np.testing.assert_array_equal(smooth_motions(noisy, 3.0)[0], noisy[0])


def test_squared_error_of_unions_is_that_of_the_best_rigid_motion():
    generator = np.random.default_rng(2)
    paths = generator.normal(size=(5, 40, 3)) + generator.normal(size=(40, 3))
    paths[1] = paths[0] * np.array([1.0, 1.0, -1.0])  # a mirror image, no motion
    group = generator.integers(0, 3, 40)
    moments = Moments.of(paths, group)
    union = moments.select(np.array([0])).plus(moments.select(np.array([2])))
    rows = np.flatnonzero(group != 1)
    for index in range(1, 5):
        motion = fit_rigid(paths[0, rows], paths[index, rows])
        put = paths[0, rows] @ motion[:3, :3].T + motion[:3, 3]
        expected = ((put - paths[index, rows]) ** 2).sum()
        np.testing.assert_allclose(union.squared_error()[0, index - 1], expected, rtol=1e-9)
