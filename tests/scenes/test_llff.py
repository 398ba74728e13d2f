import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenes import LlffScene, open_scene
from scenes.llff import FILE
from scenes.synthetic import tumble
from tests.scenes.colmap_folder import COLMAP_FROM_WORLD, write_colmap
from tests.scenes.llff_folder import rows, write_llff
from tests.scenes.panoptic_folder import TINY
from tests.scenes.videos_folder import write_video

STORAGES = ("videos", "folders", "nested folders")


@pytest.fixture(scope="module")
def scene():
    return tumble(replace(TINY, timesteps=3, train_cameras=10))


@pytest.fixture(scope="module", params=["videos", "folders"])
def original(request, scene, tmp_path_factory):
    return write_llff(tmp_path_factory.mktemp("llff") / "capture", scene, request.param)


@pytest.fixture
def folder(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "capture"))


def check_same(camera, true, source_from_world) -> None:
    assert (camera.width, camera.height) == (true.width, true.height)
    np.testing.assert_allclose(camera.intrinsics, true.intrinsics, rtol=0, atol=1e-9)
    stored = source_from_world @ camera.world_from_camera
    np.testing.assert_allclose(stored, COLMAP_FROM_WORLD @ true.world_from_camera, rtol=0, atol=1e-9)


@pytest.mark.parametrize("storage", STORAGES)
def test_cameras_and_pixels_come_back_and_camera_0_is_held_out(scene, tmp_path, storage):
    read = open_scene(write_llff(tmp_path / "capture", scene, storage))
    assert isinstance(read, LlffScene)
    read.validate(range(3))
    assert (read.timestep_count, read.fps) == (3, scene.fps) and read.point_cloud() is None
    assert [c.name for c in read.cameras("test")] == ["cam0"]
    assert [c.name for c in read.cameras("train")] == [f"cam{i}" for i in range(1, 11)]  # cam10 is the last
    for timestep in (2, 0, 1):  # in any order
        for split in ("train", "test"):
            frame, truth = read.frame(timestep, split), scene.frame(timestep, split)
            for i, true in enumerate(truth.cameras):
                check_same(frame.cameras[i], true, read.source_from_world)
                np.testing.assert_array_equal(frame.images[i], truth.images[i])


def test_world_is_turned_so_that_cameras_are_upright(folder):
    read = open_scene(folder)
    up = -np.mean([c.world_from_camera[:3, 1] for s in ("train", "test") for c in read.cameras(s)], axis=0)
    np.testing.assert_allclose(up[:2], 0.0, atol=1e-9)
    assert up[2] > 0.5


def test_photos_are_one_timestep_and_every_eighth_is_held_out(scene, tmp_path):
    read = open_scene(write_llff(tmp_path / "c", scene, "photos"))
    read.validate(range(1))
    assert read.timestep_count == 1
    assert [c.name for c in read.cameras("test")] == ["IMG_0", "IMG_8"]
    true = [*scene.cameras("test"), *scene.cameras("train")]
    for camera, i in zip(read.cameras("train"), [1, 2, 3, 4, 5, 6, 7, 9, 10], strict=True):
        check_same(camera, true[i], read.source_from_world)


def test_shortest_camera_counts(scene, tmp_path, caplog):
    root = write_llff(tmp_path / "a", scene, "folders")
    (root / "cam3" / "2.png").unlink()
    assert open_scene(root).timestep_count == 2
    assert "cameras have 2 to 3 pictures; the shortest counts" in caplog.text
    root = write_llff(tmp_path / "b", scene, "videos")
    write_video(root / "cam3.mp4", scene.frame(0).images[:2], scene.fps)
    with caplog.at_level("INFO"):
        assert open_scene(root).timestep_count == 2
    assert "2 instants of videos of 3, " in caplog.text


def test_colmap_model_of_photos_comes_first_but_not_of_videos(scene, tmp_path):
    name = lambda camera, timestep: f"cam{camera.name}/{timestep}.png"  # noqa: E731
    for storage, expected in (("photos", "ColmapScene"), ("videos", "LlffScene")):
        root = write_llff(tmp_path / storage, scene, storage)
        write_colmap(root, scene, name)
        assert type(open_scene(root)).__name__ == expected


def cell(row: int, column: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(stored: np.ndarray) -> np.ndarray:
        stored[row, column] = value
        return stored

    return change


MALFORMED = {
    "one row less": (lambda s: s[1:], r"a row for each of the 11 cameras cam0 \.\.\., got 10"),
    "15 columns": (lambda s: s[:, :15], r"numbers of shape \[n, 17\]"),
    "text": (lambda s: s.astype(str), r"numbers of shape \[n, 17\], got <U"),
    "pickled": (lambda s: s.astype(object), r"an \.npy file of numbers"),
    "infinite center": (cell(1, 3, np.inf), "finite numbers"),
    "mirrored": (lambda s: s * np.where(np.arange(17) % 5 == 0, -1.0, 1.0), "orthonormal right-handed"),
    "no focal length": (cell(2, 14, 0.0), "camera cam2: focal length: expected fx > 0"),
    "wider": (cell(2, 9, 42.0), "expected 42x24 pixels"),
    "half a pixel": (cell(2, 4, 24.5), "camera cam2: height and width: expected whole numbers"),
    "huge": (cell(2, 4, 1e18), "camera cam2: height and width: expected whole numbers"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_poses_are_refused_with_the_file(scene, folder, case):
    change, words = MALFORMED[case]
    stored = rows([*scene.cameras("test"), *scene.cameras("train")])
    np.save(folder / FILE, change(stored), allow_pickle=True)
    with pytest.raises((ValueError, TypeError), match=words) as refusal:
        read_all(folder)
    assert str(folder) in str(refusal.value)


def test_folder_without_pictures_is_refused(folder):
    for path in folder.iterdir():
        if path.name != FILE:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ValueError, match="one video per camera, or folders of pictures"):
        read_all(folder)


def test_header_that_announces_more_than_the_file_has_is_refused(folder):
    header = np.lib.format.header_data_from_array_1_0(np.zeros((1, 17)))
    with (folder / FILE).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header | {"shape": (2**40, 17)})
    with pytest.raises(ValueError, match=r"an \.npy file of numbers"):
        read_all(folder)


def read_all(folder: Path) -> None:
    read = open_scene(folder)
    read.validate(range(read.timestep_count))
