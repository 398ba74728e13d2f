"""Which particle a point belongs to, and where it is carried."""

import numpy as np
from scipy.spatial.transform import Rotation

from tests.tracks_by_hand import IDENTITY, make_gaussians, make_tracks, rigid_motion, wxyz
from warpgs.query import assign as assignment
from warpgs.query.assign import assign, carry


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
    monkeypatch.setattr(assignment, "CHUNK_ENTRIES", 50 * 7)  # chunks of 7 points: the last one is smaller
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


def test_assign_of_an_unknown_point_and_among_no_particles():
    gaussians = make_gaussians([[5, 0, 0], [0, 0, 0]], sigma=0.1)
    points = np.array([[np.nan, 0, 0], [0, 0, 0]])
    assert [each.tolist() for each in assign(points, gaussians)] == [[0, 1], [False, True]]
    assert [each.tolist() for each in assign(points, gaussians.select(np.zeros(0, int)))] == [[0, 0], [False, False]]


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
