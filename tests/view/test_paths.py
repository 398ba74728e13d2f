"""Camera paths."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluate.test_trajectories import make_tracks
from warpgs.checks import check_camera
from warpgs.query.geometry import project
from warpgs.types import Camera
from warpgs.view import foreground_center, look_at, orbit, orbit_whole, spiral


def make_camera(center, name="a") -> Camera:
    k = np.array([[80.0, 0, 47.0], [0, 90.0, 30.0], [0, 0, 1]])
    return Camera(name, 96, 54, k, look_at(np.asarray(center, float), np.zeros(3)))


def test_look_at_puts_the_target_on_the_axis_and_world_up_upwards():
    center, target = np.array([1.0, -2.0, 0.7]), np.array([0.2, 0.3, 0.4])
    pose = look_at(center, target)
    in_camera = np.linalg.inv(pose) @ np.append(target, 1.0)
    np.testing.assert_allclose(in_camera[:3], [0, 0, np.linalg.norm(target - center)], atol=1e-12)
    up = np.linalg.inv(pose)[:3, :3] @ [0, 0, 1]
    assert up[1] < 0  # y of an OpenCV camera points down
    assert up[0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("center", [[0, 0, 3.0], [0, 0, -3.0], [2.0, 0, 0], [-1, 1, 1]])
def test_look_at_is_a_rigid_right_handed_pose_even_straight_down(center):
    check_camera("orbit", make_camera(center))


def test_look_at_refuses_the_point_it_stands_on():
    with pytest.raises(ValueError, match="other than the center"):
        look_at(np.ones(3), np.ones(3))


def test_orbit_keeps_distance_and_height_and_sees_the_target_in_the_middle():
    cameras = [make_camera([2, 0, 1]), make_camera([0, 4, 2])]
    target = np.array([0.1, 0.2, 0.3])
    path = orbit(cameras, target, 12)
    centers = np.stack([camera.center_world for camera in path])
    radii = np.linalg.norm(centers[:, :2] - target[:2], axis=1)
    expected = np.mean([np.linalg.norm(c.center_world[:2] - target[:2]) for c in cameras])
    np.testing.assert_allclose(radii, expected, atol=1e-12)
    np.testing.assert_allclose(centers[:, 2], 1.5, atol=1e-12)
    for camera in path:
        check_camera("orbit", camera)
        np.testing.assert_allclose(project(target[None], camera)[0], [[48.0, 27.0]], atol=1e-9)
    steps = np.linalg.norm(np.diff(np.vstack([centers, centers[:1]]), axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], atol=1e-12)


def test_orbit_refuses_no_cameras():
    with pytest.raises(ValueError, match="at least one camera"):
        orbit([], np.zeros(3), 4)


def test_foreground_center_ignores_the_background():
    tracks = make_tracks(np.array([[[0, 0, 0], [9, 9, 9]], [[2, 4, 6], [9, 9, 9]]], float))
    mixed = replace(tracks, foreground=np.array([1, 0], np.float32))
    np.testing.assert_allclose(foreground_center(mixed), [1, 2, 3])
    np.testing.assert_allclose(foreground_center(replace(tracks, foreground=np.zeros(2, np.float32))), [5, 5.5, 6])


def test_orbit_without_cameras_sees_nearly_all_of_the_foreground_from_everywhere():
    rng = np.random.default_rng(0)
    means = np.concatenate([rng.normal([5, -2, 1], 0.3, size=(5, 200, 3)), rng.normal(0, 40, size=(5, 50, 3))], axis=1)
    tracks = replace(make_tracks(means), foreground=(np.arange(250) < 200).astype(np.float32))
    path = orbit_whole(tracks, 5)
    assert len(path) == 5
    for i, camera in enumerate(path):
        check_camera("orbit", camera)
        pixels, ahead = project(means[i, :200], camera)
        inside = ((pixels > 0) & (pixels < [camera.width, camera.height])).all(axis=1) & ahead
        assert inside.mean() > 0.95
        assert np.ptp(pixels[inside, 1]) > 0.4 * camera.height  # and not from too far


def test_orbit_without_cameras_sees_a_single_particle():
    tracks = make_tracks(np.array([[[1.0, 2.0, 3.0]]]))
    (camera,) = orbit_whole(tracks, 1)
    np.testing.assert_allclose(project(tracks.means[0].astype(float), camera)[0], [[320, 180]], atol=1e-3)


@pytest.mark.parametrize("center", [[2, 0, 1], [0, 0, 3.0]])
def test_spiral_stays_near_its_camera_and_sees_the_target_in_the_middle(center):
    camera, target = make_camera(center), np.array([0.1, 0.0, 0.2])
    path = spiral(camera, target, 24)
    distance = np.linalg.norm(camera.center_world - target)
    away = np.stack([step.center_world for step in path]) - camera.center_world
    for step in path:
        check_camera("spiral", step)
        np.testing.assert_allclose(project(target[None], step)[0], [[48.0, 27.0]], atol=1e-9)
    assert (np.linalg.norm(away, axis=1) <= np.sqrt(2.0) * 0.15 * distance + 1e-9).all()
    # Two turns seen from behind the camera, one swing to and fro, and nowhere a jump.
    in_camera = away @ look_at(camera.center_world, target)[:3, :3]
    turned = np.unwrap(np.arctan2(in_camera[:, 1], in_camera[:, 0]))
    assert turned[-1] - turned[0] == pytest.approx(2 * 2 * np.pi * 23 / 24)
    assert np.linalg.norm(np.diff(away, axis=0, append=away[:1]), axis=1).max() < 0.1 * distance
