from dataclasses import replace

import numpy as np
import pytest

from scenes import BUILT_IN, READERS, open_scene
from scenes.synthetic import DEFAULTS
from warpgs.checks import check_frame, check_point_cloud

SMALL = replace(
    DEFAULTS, width=64, height=36, train_cameras=4, test_cameras=1, cloud_background=200, cloud_foreground=100
)


@pytest.fixture(params=BUILT_IN, scope="module")
def built_in(request):
    return request.param, BUILT_IN[request.param](SMALL)


def test_every_built_in_scene_keeps_the_contract_of_scenes(built_in):
    name, scene = built_in
    assert scene.name == name and scene.timestep_count == 30 and scene.fps == 30.0
    scene.validate(range(30))
    check_point_cloud(name, scene.point_cloud())
    for split in ("train", "test"):
        frame = scene.frame(29, split)
        check_frame(name, frame)
        assert frame.timestep == 29 and frame.time_s == pytest.approx(29 / 30)
        assert len(frame.cameras) == len(scene.cameras(split))
    np.testing.assert_array_equal(scene.source_from_world, np.eye(4))


def test_every_built_in_scene_shows_every_body_and_moves_it_at_a_bounded_speed(built_in):
    _, scene = built_in
    truth = scene.ground_truth()
    assert np.bincount(truth.body_index, minlength=len(truth.body_names)).min() >= 50
    assert np.linalg.norm(np.diff(truth.points, axis=0), axis=2).max() < 0.17
    rotations = truth.world_from_body[..., :3, :3]
    turns = rotations[1:] @ np.swapaxes(rotations[:-1], -1, -2)
    cosines = np.clip((np.trace(turns, axis1=-2, axis2=-1) - 1.0) / 2.0, -1.0, 1.0)
    assert np.degrees(np.arccos(cosines)).max() < 20.0
    assert np.linalg.norm(truth.points - truth.points[0], axis=2).max() > 0.3, "something moves far"
    assert truth.points[..., 2].min() > -0.02 and np.linalg.norm(truth.points[..., :2], axis=-1).max() < 1.2
    seen = [scene.visible(timestep, camera).any() for timestep in (0, 15, 29) for camera in scene.cameras("train")]
    assert all(seen)


def test_listings_describe_themselves():
    for entry in (*BUILT_IN.values(), *READERS.values()):
        assert len(entry.__doc__.splitlines()[0]) > 20


def test_built_in_scene_opens_by_name_without_its_cloud():
    scene = open_scene("arm", use_cloud=False)
    assert scene.name == "arm" and scene.point_cloud() is None


def test_unknown_source_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tumbel: expected a folder or a built-in scene \(tumble, arm\)"):
        open_scene("tumbel")
    with pytest.raises(ValueError, match=r"readable layout \(panoptic: .*train_meta.json.*convert the recording"):
        open_scene(tmp_path)
