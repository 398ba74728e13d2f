"""Which particles, by what."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from tests.tracks_by_hand import front_camera
from tests.tracks_by_hand import make_tracks as make_simple
from tests.usd_export.sample import make_rigid, make_tracks
from warpgs.edit import by_part, in_box, in_mesh, in_picture, in_ranges, satisfying

RNG = np.random.default_rng(0)
CLOUD = make_simple(RNG.uniform(-1, 1, (2, 300, 3)), sigma=0.02)


def test_parts_by_name():
    _, parts = make_rigid()
    np.testing.assert_array_equal(by_part(parts, "part_01"), parts.part_index == 1)
    np.testing.assert_array_equal(by_part(parts, "background"), parts.part_index == -1)
    np.testing.assert_array_equal(by_part(parts, "deformable"), parts.part_index == -2)
    with pytest.raises(ValueError, match="part 'hat': expected one of background, deformable, part_00, part_01"):
        by_part(parts, "hat")


def test_a_box_in_its_own_frame():
    chosen = in_box(CLOUD, (-0.5, -0.4, -0.3), (0.5, 0.6, 0.7), at=1)
    means = CLOUD.means[1]
    np.testing.assert_array_equal(chosen, ((means >= [-0.5, -0.4, -0.3]) & (means <= [0.5, 0.6, 0.7])).all(axis=1))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.from_rotvec([0.3, 1.0, -0.5]).as_matrix(), [0.1, 0.2, 0.3]
    turned = in_box(CLOUD, (-0.5,) * 3, (0.5,) * 3, world_from_box=pose)
    local = np.linalg.inv(pose) @ np.concatenate([CLOUD.means[0], np.ones((300, 1))], axis=1).T
    np.testing.assert_array_equal(turned, (np.abs(local[:3]) <= 0.5).all(axis=0))
    with pytest.raises(ValueError, match="least corner"):
        in_box(CLOUD, (0, 0, 0), (1, 0, 1))


def test_inside_of_a_mesh():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.8)
    distance = np.linalg.norm(CLOUD.means[0], axis=1)
    chosen = in_mesh(CLOUD, ball)
    assert chosen[distance < 0.78].all() and not chosen[distance > 0.8].any() and 0 < chosen.sum() < 300
    far = trimesh.creation.box((1, 1, 1), trimesh.transformations.translation_matrix([9, 0, 0]))
    assert not in_mesh(CLOUD, far).any()
    ball.update_faces(np.arange(len(ball.faces)) > 0)
    with pytest.raises(ValueError, match="mesh: expected a closed surface"):
        in_mesh(CLOUD, ball)


def test_within_a_mask_through_all_depths_or_only_what_is_seen():
    wall = np.stack(np.meshgrid(np.linspace(-1, 1, 60), [0.0], np.linspace(-0.5, 0.5, 40)), -1).reshape(-1, 3)
    points = np.concatenate([wall, [[0.0, 0.5, 0.0], [0.4, -0.5, 0.1]]])  # one hidden behind it, one before it
    tracks = make_simple(points[None], sigma=0.04)
    tracks.opacity_logits[:] = 6.0
    mask = np.zeros((100, 200), bool)
    mask[:, 50:150] = True
    camera = front_camera()
    through, seen = (in_picture(tracks, mask, camera, seen=value) for value in (False, True))
    assert through[-2] and through[-1] and not seen[-2] and seen[-1]
    # 100 px per unit of slope at a distance of 2
    columns = 100.0 + 100.0 * points[:, 0] / (2.0 + points[:, 1])
    np.testing.assert_array_equal(through, (columns >= 50) & (columns < 150) & (np.abs(points[:, 2]) <= 1))
    with pytest.raises(ValueError, match=r"mask: expected shape \[100, 200\]"):
        in_picture(tracks, mask.T, camera)


def test_what_is_behind_the_camera_is_in_no_picture():
    tracks = make_simple([[[0.0, -4.0, 0.0], [0.0, 1.0, 0.0]]])
    np.testing.assert_array_equal(in_picture(tracks, np.ones((100, 200), bool), front_camera()), [False, True])


def test_ranges_and_predicates():
    tracks = make_tracks()
    opacity = 1.0 / (1.0 + np.exp(-tracks.opacity_logits.astype(np.float64)))
    chosen = in_ranges(tracks, {"z": (0.0, np.inf), "opacity": (0.5, 1.0)}, at=3)
    np.testing.assert_array_equal(chosen, (tracks.means[3, :, 2] >= 0) & (opacity >= 0.5))
    np.testing.assert_array_equal(satisfying(tracks, lambda g: g.means[:, 2] >= 0, at=3), tracks.means[3, :, 2] >= 0)
    with pytest.raises(ValueError, match="range 'mass': expected one of x, y, z"):
        in_ranges(tracks, {"mass": (0, 1)})
    with pytest.raises(TypeError, match="predicate: expected a mask of bool, got float32"):
        satisfying(tracks, lambda g: g.foreground)
    with pytest.raises(ValueError, match=r"predicate: expected shape \[60\]"):
        satisfying(tracks, lambda g: np.ones(3, bool))
