"""What ``recording.toml`` says of sizes and turns counts in every layout; ``videos`` has its other lines."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from scenes import open_scene
from scenes.recording import FILE
from scenes.synthetic import tumble
from tests.scenes.layouts import LAYOUTS
from tests.scenes.panoptic_folder import TINY

OF_PICTURES = ("panoptic", "transforms, timed", "colmap, binary", "llff, folders", "ros")


@pytest.fixture(scope="module")
def scene():
    return tumble(TINY)


@pytest.fixture(params=OF_PICTURES)
def root(request, scene, tmp_path):
    """A capture whose pictures and masks were cut and then halved."""
    LAYOUTS[request.param](tmp_path / "capture", scene)
    for path in (tmp_path / "capture").rglob("*.png"):
        pixels = np.asarray(Image.open(path))[2:, 4:]
        Image.fromarray(pixels).resize((18, 11), Image.Resampling.BOX).save(path)
    for path in (tmp_path / "capture").rglob("*/depth/*.npy"):
        np.save(path, np.load(path)[2:, 4:][::2, ::2])
    return tmp_path / "capture"


def names_and_cameras(root):
    capture = open_scene(root)
    return {camera.name: camera for split in ("train", "test") for camera in capture.cameras(split, 1)}


def test_pictures_of_another_size_are_refused_with_the_numbers(root):
    words = (
        r"expected 40x24 pixels, as camera \w+ was calibrated, got 18x11; if it was resized, .*scale = 0.45 if all were"
    )
    with pytest.raises(ValueError, match=words):
        open_scene(root).validate(range(2))


@pytest.mark.parametrize("by_camera", [False, True])
def test_pictures_that_were_cut_and_scaled_get_cameras_that_fit(root, by_camera):
    before = names_and_cameras(root)
    lines = {"scale": 0.5, "crop_px": [4, 2]}
    text = [
        f"[{field}]\n" + "".join(f"{json.dumps(name)} = {value}\n" for name in before)
        if by_camera
        else f"{field} = {value}\n"
        for field, value in lines.items()
    ]
    (root / FILE).write_text("".join(text))
    open_scene(root).validate(range(2))
    for name, camera in names_and_cameras(root).items():
        assert (camera.width, camera.height) == (18, 11)
        expected = before[name].intrinsics - [[0, 0, 4], [0, 0, 2], [0, 0, 0]]
        np.testing.assert_allclose(camera.intrinsics, np.diag([0.5, 0.5, 1.0]) @ expected)
        np.testing.assert_array_equal(camera.world_from_camera, before[name].world_from_camera)


def test_wrong_explanations_are_refused_with_what_was_said(root):
    (root / FILE).write_text("scale = 0.5\n")
    with pytest.raises(ValueError, match=r"40x24 .* \(with scale 0.5 and crop_px \[0.0, 0.0\] of .*\), got 18x11"):
        open_scene(root).validate(range(2))


def test_lines_without_need_are_refused(scene, tmp_path):
    LAYOUTS["ros"](tmp_path, scene)
    (tmp_path / FILE).write_text("scale = 0.5\n")
    with pytest.raises(ValueError, match=r"got 40x24; these pictures were neither resized nor cut: take cam0 out of"):
        open_scene(tmp_path).validate(range(1))


@pytest.mark.parametrize("layout", [*OF_PICTURES, "videos, anipose"])
def test_cameras_are_turned_back_in_every_layout(scene, layout, tmp_path):
    LAYOUTS[layout](tmp_path, scene)
    before = names_and_cameras(tmp_path)
    name, turn = next(iter(before)), [0.5, -2.0, 1.0]
    said = (tmp_path / FILE).read_text() if (tmp_path / FILE).exists() else ""
    (tmp_path / FILE).write_text(f"{said}[turn_deg]\n{json.dumps(name)} = {turn}\n")
    after = names_and_cameras(tmp_path)
    here_from_there = np.linalg.inv(before[name].world_from_camera) @ after[name].world_from_camera
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_rotvec(turn, degrees=True).as_matrix()
    np.testing.assert_allclose(here_from_there, turned, atol=1e-12)
    for other in before.keys() - {name}:
        np.testing.assert_array_equal(after[other].world_from_camera, before[other].world_from_camera)


@pytest.mark.parametrize("layout", [*OF_PICTURES, "videos, anipose"])
def test_unknown_fields_and_cameras_are_refused(scene, layout, tmp_path):
    LAYOUTS[layout](tmp_path, scene)
    for text, words in (("colour = 1", "expected the fields .*, got colour"), ("[scale]\nx = 1", "among .*, got x")):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(ValueError, match=f"{FILE}.* {words}"):
            open_scene(tmp_path).validate(range(1))
