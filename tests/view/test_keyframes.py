"""Camera paths by hand."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.view.test_paths import make_camera
from warpgs.checks import check_camera
from warpgs.query.geometry import project
from warpgs.view import camera_through, look_at, read_keyframes, write_keyframes
from warpgs.view.keyframes import Keyframe

CAMERA = make_camera([2, 0, 1])
AIM = {"timestep": 0, "position": [2, -1, 1], "look_at": [0, 0, 0.3]}
TURN = {"timestep": 6, "position": [0, -2, 1], "rotation_wxyz": [0.5, -0.5, 0.5, -0.5], "fov_deg": 40}


def written(path, *entries):
    (path / "path.json").write_text(json.dumps({"format": "warpgs keyframes 1", "keyframes": entries}))
    return path / "path.json"


def test_path_passes_through_its_keyframes_and_stands_before_and_after(tmp_path):
    middle = {"timestep": 2.5, "position": [1, -3, 2], "look_at": [0, 0, 0]}
    keys = read_keyframes(written(tmp_path, AIM, middle, TURN))
    cameras = camera_through(keys, CAMERA, np.array([-1.0, 0.0, 2.5, 6.0, 9.0]))
    for camera, key in zip(cameras, (keys[0], *keys, keys[2]), strict=True):
        check_camera("keyframes", camera)
        np.testing.assert_allclose(camera.world_from_camera, key.world_from_camera, atol=1e-9)
    np.testing.assert_allclose(project(np.array([[0, 0, 0.3]]), cameras[0])[0], [[48, 27]], atol=1e-9)
    heights = [2 * np.degrees(np.arctan(27 / camera.intrinsics[1, 1])) for camera in cameras]
    own = 2 * np.degrees(np.arctan(27 / np.sqrt(80 * 90)))
    np.testing.assert_allclose(heights, [own, own, own, 40, 40])
    np.testing.assert_allclose(
        keys[2].world_from_camera[:3, :3], Rotation.from_quat([-0.5, 0.5, -0.5, 0.5]).as_matrix()
    )


def test_path_is_smooth():
    keys = [
        Keyframe(t, look_at(np.array(p, float), np.zeros(3)))
        for t, p in ((0, [2, 0, 1]), (3, [1, 2, 1]), (9, [-2, 1, 0.5]))
    ]
    cameras = camera_through(keys, CAMERA, np.linspace(0, 9, 901))
    centers = np.stack([camera.center_world for camera in cameras])
    assert np.abs(np.diff(centers, 2, axis=0)).max() < 1e-4
    turns = Rotation.from_matrix([camera.world_from_camera[:3, :3] for camera in cameras])
    speed = (turns[:-1].inv() * turns[1:]).as_rotvec()
    assert np.abs(np.diff(speed, axis=0)).max() < 1e-4


def test_one_keyframe_is_a_camera_that_stands(tmp_path):
    (key,) = read_keyframes(written(tmp_path, AIM))
    for camera in camera_through([key], CAMERA, np.array([0.0, 5.0])):
        np.testing.assert_allclose(camera.world_from_camera, key.world_from_camera)


def test_written_path_comes_back(tmp_path):
    keys = read_keyframes(written(tmp_path, AIM, TURN))
    write_keyframes(tmp_path / "again.json", keys)
    again = read_keyframes(tmp_path / "again.json")
    for a, b in zip(keys, again, strict=True):
        assert (a.timestep, a.fov_deg) == (b.timestep, b.fov_deg)
        np.testing.assert_allclose(a.world_from_camera, b.world_from_camera, atol=1e-12)
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_keyframes(tmp_path / "again.json", keys)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "at least one"),
        ([7], r"keyframes\[0\]: expected timestep"),
        ([{"timestep": 0, "position": [0, 0, 0]}], "either look_at or rotation_wxyz"),
        ([AIM | {"rotation_wxyz": [1, 0, 0, 0]}], "either look_at or rotation_wxyz"),
        ([AIM | {"zoom": 3}], "perhaps fov_deg"),
        ([AIM | {"position": [0, 0]}], "position: expected 3 finite numbers"),
        ([AIM | {"position": [0, 0, "x"]}], "position: expected 3 finite numbers"),
        ([AIM | {"position": [0, 0, float("nan")]}], "position: expected 3 finite numbers"),
        ([AIM | {"timestep": True}], "timestep: expected a finite number"),
        ([AIM | {"timestep": 10**400}], "timestep: expected a finite number"),
        ([AIM | {"look_at": [2, -1, 1]}], "other than the position"),
        ([AIM | {"fov_deg": 180}], "between 0 and 180"),
        ([TURN | {"rotation_wxyz": [0, 0, 0, 0]}], "other than zero"),
        ([TURN, AIM], r"keyframes\[1\]: timestep: expected rising ones"),
    ],
)
def test_malformed_paths_are_refused_by_entry(tmp_path, entries, message):
    with pytest.raises(ValueError, match=message):
        read_keyframes(written(tmp_path, *entries))


@pytest.mark.parametrize("text", ["", "[1]", '{"format": "other"}', "[" * 100_000])
def test_what_is_no_path_is_refused(tmp_path, text):
    (tmp_path / "path.json").write_text(text)
    with pytest.raises(ValueError, match=r"path\.json: expected"):
        read_keyframes(tmp_path / "path.json")
