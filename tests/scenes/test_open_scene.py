from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from scenes import BUILT_IN, READERS, PanopticScene, TransformsScene, open_scene
from scenes.synthetic import DEFAULTS, tumble
from scenes.synthetic.raycast import LIFT
from tests.scenes.panoptic_folder import TINY, write_panoptic
from tests.scenes.test_synthetic import aimed, to_pixels
from tests.scenes.transforms_folder import FOLDER_PER_CAMERA, write_transforms
from warpgs.checks import check_frame, check_point_cloud
from warpgs.cli.shared import LayoutName, open_run
from warpgs.run import Run

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
    early, late = scene.ground_truth(), scene.truth_seen_at(15)
    points = np.concatenate([early.points, late.points], axis=1)
    owners = np.concatenate([early.body_index, late.body_index])
    assert np.bincount(owners, minlength=len(early.body_names)).min() >= 50
    assert np.linalg.norm(np.diff(points, axis=0), axis=2).max() < 0.17
    wxyz = np.concatenate([early.rotations_wxyz, late.rotations_wxyz], axis=1).astype(np.float64)
    cosines = np.abs((wxyz[1:] * wxyz[:-1]).sum(axis=-1)).clip(max=1.0)
    turns_deg = 2.0 * np.degrees(np.arccos(cosines))
    assert np.percentile(turns_deg, 99) < 20.0 and turns_deg.max() < 35.0, "a fold of a cloth may turn fast"
    assert np.linalg.norm(points - points[0], axis=2).max() > 0.3, "something moves far"
    assert points[..., 2].min() > -0.02 and np.linalg.norm(points[..., :2], axis=-1).max() < 1.3
    seen = [scene.visible(timestep, camera).any() for timestep in (0, 15, 29) for camera in scene.cameras("train")]
    assert all(seen)


def test_truth_of_every_built_in_scene_lies_on_what_cameras_see(built_in):
    _, scene = built_in
    for timestep in (3, 22):
        truth, frame, covered = scene.truth_seen_at(timestep).points[timestep], scene.frame(timestep), []
        for camera, mask in zip(frame.cameras, frame.masks, strict=True):
            points = truth[scene._see(timestep, camera, truth)]
            pixels, z = to_pixels(camera, points)
            depths = [scene.depth(timestep, aimed(camera, point))[0, 0] for point in points[::9]]
            np.testing.assert_allclose(depths, z[::9], atol=1.1 * LIFT)
            column, row = np.floor(pixels).astype(int).T
            covered.append(mask[row, column] > 0)
        assert np.concatenate(covered).mean() > 0.9, "all but pixels that the edge of a body runs through"


def test_listings_describe_themselves():
    for entry in (*BUILT_IN.values(), *READERS.values()):
        assert len(entry.__doc__.splitlines()[0]) > 20


def test_built_in_scene_opens_by_name_without_its_cloud():
    scene = open_scene("arm", use_cloud=False)
    assert scene.name == "arm" and scene.point_cloud() is None


@pytest.mark.parametrize("layout", READERS)
def test_a_layout_that_is_named_is_read_or_refused_in_a_sentence(layout, tmp_path):
    with pytest.raises((ValueError, OSError), match=f"{tmp_path}.*: expected .*, got .*; "):
        open_scene(tmp_path, layout=layout).cameras("train")


def test_a_layout_that_is_named_overrides_recognition_and_a_run_remembers_it(tmp_path):
    scene, root = tumble(TINY), tmp_path / "both"
    write_panoptic(root, scene)
    write_transforms(root, scene, FOLDER_PER_CAMERA)
    assert isinstance(open_scene(root), PanopticScene)
    named = open_scene(root, layout="transforms", masks=tmp_path, up="z")
    assert named.layout == "transforms" and isinstance(named.scene.scene, TransformsScene)
    Run.create(tmp_path / "run", open_scene(root, layout="transforms"), SMALL).close()
    assert isinstance(open_run(tmp_path / "run", None)[1], TransformsScene)


def test_layouts_that_are_not_known_are_refused_with_what_there_is(tmp_path):
    with pytest.raises(ValueError, match=r"layout: expected one of panoptic, .*, videos, got nerf; `warpgs scenes`"):
        open_scene(tmp_path, layout="nerf")
    with pytest.raises(ValueError, match="tumble: expected a folder to read as ros, got a built-in scene"):
        open_scene("tumble", layout="ros")


def test_readers_and_the_command_line_agree_on_names(tmp_path):
    assert get_args(LayoutName) == tuple(READERS)
    assert all(
        reader(tmp_path, use_cloud=False).layout == name for name, reader in READERS.items() if name != "panoptic"
    )


def test_unknown_source_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"tumbel: expected a folder or a built-in scene \(tumble, .*, hidden\)"
    ):
        open_scene("tumbel")
    with pytest.raises(ValueError, match=r"readable layout \(panoptic: .*train_meta.json.*convert the recording"):
        open_scene(tmp_path)
