import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from scenes import MaskedScene, open_scene
from scenes.synthetic import tumble
from tests.scenes.panoptic_folder import TINY
from warpgs.cli import main


@pytest.fixture
def folder(tmp_path):
    """True masks of the training cameras of ``tumble`` at its tiny size, under three kinds of names."""
    scene = tumble(TINY)
    for frame in scene.frames():
        for number, (camera, mask) in enumerate(zip(frame.cameras, frame.masks, strict=True)):
            name = ("{:06d}.png", "{}.png", "mask_{:03d}_seg.png")[number % 3].format(frame.timestep)
            (tmp_path / "masks" / camera.name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(tmp_path / "masks" / camera.name / name)
    return tmp_path / "masks"


def test_masks_of_a_folder_take_the_place_of_the_scenes(folder):
    scene = tumble(TINY)
    read = MaskedScene(scene, folder)
    read.validate(range(read.timestep_count))
    for frame, true in zip(read.frames(), scene.frames(), strict=True):
        np.testing.assert_array_equal(frame.masks, true.masks)
        np.testing.assert_array_equal(frame.images, true.images)
    assert read.frame(0, "test").masks is None, "no folders for held-out cameras"
    assert (read.name, read.fps, read.timestep_count) == (scene.name, scene.fps, scene.timestep_count)
    assert read.ground_truth() is not None and read.point_cloud() is not None


def test_masks_of_zeros_and_ones_are_read(folder):
    camera = tumble(TINY).cameras("train")[0]
    [path] = (folder / camera.name).glob("*0.png")
    ones = (np.asarray(Image.open(path)) > 127).astype(np.uint8)
    Image.fromarray(ones).save(path)
    np.testing.assert_array_equal(MaskedScene(tumble(TINY), folder).frame(0).masks[0], 255 * ones)


def test_a_missing_mask_is_named(folder):
    name = tumble(TINY).cameras("train")[1].name
    shutil.rmtree(folder / name)
    with pytest.raises(ValueError, match=rf"masks: expected a mask {name}/000000.png, got none; name folders after"):
        MaskedScene(tumble(TINY), folder).validate(range(2))
    with pytest.raises(ValueError, match="expected a folder of masks, got no folder; make one with warpgs masks"):
        MaskedScene(tumble(TINY), folder / "nowhere").frame(0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("0.png", "expected one mask of timestep 0, got two"),
        ("first.png", "expected a name that ends in the number"),
        ("9" * 5000 + ".png", "File name too long"),
        ("9" * 12 + ".png", "expected a name that ends in the number"),
    ],
)
def test_names_that_say_no_timestep_or_one_twice_are_refused(folder, name, words):
    at = folder / tumble(TINY).cameras("train")[0].name
    with pytest.raises((ValueError, OSError), match=words):
        shutil.copy(next(at.iterdir()), at / name)
        MaskedScene(tumble(TINY), folder).frame(0)


def test_masks_of_another_size_or_kind_are_refused(folder):
    camera = tumble(TINY).cameras("train")[0]
    [path] = (folder / camera.name).glob("*0.png")
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(path)
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected {camera.width}x{camera.height} pixels")):
        MaskedScene(tumble(TINY), folder).validate(range(1))
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(OSError, match=": expected "):
        MaskedScene(tumble(TINY), folder).frame(0)


def test_masks_verb_writes_what_track_and_inspect_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scenes.DEFAULTS", replace(TINY, timesteps=6, width=160, height=90, train_cameras=5))
    assert main(["masks", "tumble", "--output", "made", "--timesteps", "2:4"]) == 0
    assert "look at made/masks.png" in capsys.readouterr().out
    scene = open_scene("tumble", masks=tmp_path / "made")
    for frame in scene.frames(timesteps=range(2, 4)):
        assert 0.005 < np.mean([mask.mean() / 255.0 for mask in frame.masks]) < 0.3
    assert Image.open(tmp_path / "made" / "masks.png").size == (5 * 160, 2 * 90)
    before = {path: path.read_bytes() for path in (tmp_path / "made").rglob("*.png")}
    assert main(["masks", "tumble", "--output", "made"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "made").rglob("*.png")} == before


def test_masks_verb_refuses_what_has_no_background(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("scenes.DEFAULTS", replace(TINY, timesteps=3))
    assert main(["masks", "tumble", "--output", str(tmp_path / "made")]) == 1
    assert "at least 5 instants" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
