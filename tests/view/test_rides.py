"""Cameras that go with what moves."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.bodies.moving import INSTANTS, box, moved, poses_of, tracks_of
from tests.tracks_by_hand import front_camera, make_tracks
from warpgs.bodies import find_parts, fit_parts
from warpgs.query import PointQuery
from warpgs.query.geometry import project
from warpgs.render import Renderer
from warpgs.view import attach, follow, part_ride, point_ride, render_views
from warpgs.view.pictures import to_pixels

RATE, SHIFT = np.array([0.05, 0.1, -0.08]), np.array([0.03, 0.0, 0.02])


@pytest.fixture(scope="module")
def crate():
    """A box that tumbles, 0.4 m wide, and its part."""
    points = box((0.4, 0.4, 0.4), 400, np.random.default_rng(0))
    tracks, _ = tracks_of([moved(points, RATE, SHIFT)])
    return tracks, fit_parts(tracks, np.zeros(400, np.int32), ["crate"])


def test_attached_camera_sees_every_point_of_a_rigid_part_stand_still(crate):
    tracks, parts = crate
    cameras = attach(front_camera(), part_ride(parts, "crate"), offset=(0.3, -1.0, 0.4), look=(0.1, 0, 0))
    pixels = np.stack([project(means.astype(float), c)[0] for means, c in zip(tracks.means, cameras, strict=True)])
    assert np.abs(pixels - pixels[0]).max() < 0.01
    # The frame stands in the middle of the particles, and the camera looks where it is told.
    center = tracks.means[0].mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(cameras[0].center_world, center + np.array([0.3, -1.0, 0.4]), atol=1e-9)
    np.testing.assert_allclose(project(center[None] + np.array([0.1, 0, 0]), cameras[0])[0], [[100, 50]], atol=1e-6)


def test_attached_camera_starts_where_the_first_one_stands(crate):
    _, parts = crate
    cameras = attach(front_camera(), part_ride(parts, "crate"))
    np.testing.assert_allclose(cameras[0].center_world, front_camera().center_world, atol=1e-9)


def test_following_camera_keeps_its_target_in_the_middle_and_does_not_turn(crate):
    _, parts = crate
    ride = part_ride(parts, "crate")
    cameras = follow(front_camera(), ride, offset=(0.0, -1.0, 0.5))
    truth = poses_of(RATE, SHIFT, (0, 0, 0), ride[0, :3, 3])
    for pose, camera in zip(truth, cameras, strict=True):
        np.testing.assert_allclose(project(pose[None, :3, 3], camera)[0], [[100, 50]], atol=0.05)
        turned = camera.world_from_camera[:3, :3] - cameras[0].world_from_camera[:3, :3]
        assert np.abs(turned).max() < 1e-12


def test_point_ride_moves_and_turns_with_its_particle():
    turns = Rotation.from_rotvec(np.arange(5)[:, None] * np.array([0, 0, 0.3]))
    rotations = np.repeat(np.roll(turns.as_quat(), 1, axis=1)[:, None], 2, axis=1)
    means = np.stack([turns.apply([[1.0, 0, 0]] * 5), turns.apply([[0, 2.0, 0]] * 5)], axis=1)
    ride = point_ride(make_tracks(means, rotations), PointQuery(1.0, 0.05, 0.0))
    expected = np.tile(np.eye(4), (5, 1, 1))
    expected[:, :3, :3] = turns.as_matrix()
    expected[:, :3, 3] = turns.apply([1.0, 0.05, 0.0])
    np.testing.assert_allclose(ride, expected, atol=1e-6)


def test_smoothing_takes_the_shaking_out_and_keeps_the_motion(crate):
    tracks, _ = crate
    noise = 0.01 * np.random.default_rng(1).normal(size=(INSTANTS, 1, 3))
    noise[0] = 0.0
    shaken = make_tracks(tracks.means + noise, sigma=1e-4)
    parts = fit_parts(shaken, np.zeros(400, np.int32), ["crate"])
    truth = poses_of(RATE, SHIFT, (0, 0, 0), part_ride(parts, "crate")[0, :3, 3])
    error = [
        np.sqrt(np.mean((part_ride(parts, "crate", smooth=smooth)[1:, :3, 3] - truth[1:, :3, 3]) ** 2))
        for smooth in (0.0, 2.0)
    ]
    assert error[1] < 0.7 * error[0]


def test_first_person_on_a_tumbling_box_its_surface_stays_in_the_picture():
    """Colors of the box's own pixels change by at most 2 % on average, while the world around it turns."""
    generator = np.random.default_rng(2)
    points = box((0.4, 0.3, 0.5), 3000, generator)
    far = generator.normal(size=(2000, 3))
    far *= 3.0 / np.linalg.norm(far, axis=1, keepdims=True)  # a room around box and camera
    still = np.broadcast_to(far, (INSTANTS, 2000, 3))
    tumbling = moved(points, 3.0 * RATE, SHIFT)
    turns = Rotation.from_rotvec(np.arange(INSTANTS)[:, None] * 3.0 * RATE).as_quat(scalar_first=True)
    rotations = np.repeat(turns[:, None], 5000, axis=1)
    rotations[:, 3000:] = [1, 0, 0, 0]
    tracks = replace(
        make_tracks(np.concatenate([tumbling, still], axis=1), rotations),
        log_scales=np.log(np.where(np.arange(5000) < 3000, 0.012, 0.15)[:, None] * np.ones(3)).astype(np.float32),
        colors=generator.uniform(0, 1, (5000, 3)).astype(np.float32),
        opacity_logits=np.full(5000, 3.0, np.float32),
        foreground=(np.arange(5000) < 3000).astype(np.float32),
    )
    parts = find_parts(tracks)
    assert len(parts) == 1
    cameras = attach(front_camera(), part_ride(parts, parts.names[0]), offset=(0.5, -0.7, 0.4))
    renderer = Renderer("cpu", 1)
    shown = [renderer.view(tracks.at(i), camera) for i, camera in enumerate(cameras)]
    own = np.min([picture.foreground for picture in shown], axis=0) > 0.95
    colors = np.stack([np.clip(picture.color, 0, 1) for picture in shown])
    change = np.abs(colors - colors[0]).mean(axis=(0, 3))
    assert own.sum() > 1000 and change[own].mean() <= 0.02
    room = np.max([picture.foreground for picture in shown], axis=0) < 0.05
    assert change[room].mean() > 0.1
    drawn = [views[0] for views in render_views(tracks, renderer, [(camera,) for camera in cameras])]
    np.testing.assert_array_equal(drawn[3], to_pixels(shown[3], "color", None))


def test_unknown_parts_and_points_in_nothing_are_refused(crate):
    tracks, parts = crate
    with pytest.raises(ValueError, match="one of crate, got 'cart'"):
        part_ride(parts, "cart")
    with pytest.raises(ValueError, match="3 sigma"):
        point_ride(tracks, PointQuery(5, 5, 5))
    with pytest.raises(ValueError, match="positive"):
        part_ride(parts, "crate", smooth=float("nan"))
    with pytest.raises(ValueError, match="other than the center"):
        attach(front_camera(), part_ride(parts, "crate"), offset=(0, 0, 0))
