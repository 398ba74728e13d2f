import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenes import ColmapScene, open_scene
from scenes.synthetic import tumble
from scenes.undistort import Lens, Undistortion
from tests.scenes.colmap_folder import COLMAP_FROM_WORLD, write_colmap
from tests.scenes.panoptic_folder import TINY
from warpgs.types import Camera

NAMINGS = {
    "folder per camera": lambda camera, t: f"cam{camera.name}/{t:06d}.png",
    "folder per timestep": lambda camera, t: f"{t:06d}/{camera.name}.png",
    "camera in the name": lambda camera, t: f"view_{camera.name}-{t:06d}.png",
    "timestep first": lambda camera, t: f"{t:06d}_cam{camera.name}.png",
    "deep": lambda camera, t: f"my_rig/{camera.name}/rgb/frame.{t}.png",
}


@pytest.fixture(scope="module")
def scene():
    return tumble(TINY)


@pytest.fixture(scope="module", params=[".bin", ".txt"])
def original(request, scene, tmp_path_factory):
    root = tmp_path_factory.mktemp("colmap") / "capture"
    return write_colmap(root, scene, NAMINGS["folder per camera"], kind=request.param)


@pytest.fixture
def folder(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "capture"))


def check_same(read: ColmapScene, scene, undistorted=lambda camera: camera) -> None:
    """Cameras and, where there is no distortion, pixels of both splits, in the frame of the files."""
    assert isinstance(read, ColmapScene) and read.timestep_count == scene.timestep_count
    for split in ("train", "test"):
        for frame, truth in zip(read.frames(split), scene.frames(split), strict=True):
            assert len(frame.cameras) == len(truth.cameras) and frame.masks is None
            for i, true in enumerate(truth.cameras):
                camera, expected = frame.cameras[i], undistorted(true)
                assert (camera.width, camera.height) == (true.width, true.height)
                np.testing.assert_allclose(camera.intrinsics, expected.intrinsics, rtol=0, atol=1e-9)
                stored = read.source_from_world @ camera.world_from_camera
                np.testing.assert_allclose(stored, COLMAP_FROM_WORLD @ true.world_from_camera, rtol=0, atol=1e-9)
                if expected is true:
                    np.testing.assert_array_equal(frame.images[i], truth.images[i])


@pytest.mark.parametrize("kind", [".bin", ".txt"])
@pytest.mark.parametrize("naming", NAMINGS)
def test_cameras_pixels_and_cloud_come_back(scene, tmp_path, naming, kind):
    read = open_scene(write_colmap(tmp_path / "capture", scene, NAMINGS[naming], kind=kind))
    read.validate(range(2))
    check_same(read, scene)
    cloud, true = read.point_cloud(), scene.point_cloud()
    stored = cloud.points @ read.source_from_world[:3, :3].T
    expected = true.points @ COLMAP_FROM_WORLD[:3, :3].T + COLMAP_FROM_WORLD[:3, 3]
    np.testing.assert_allclose(stored, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(cloud.colors, true.colors, atol=0.5 / 255 + 1e-6)
    assert cloud.foreground is None and open_scene(read.root, use_cloud=False).point_cloud() is None


def test_world_is_turned_so_that_cameras_are_upright(scene, folder):
    read = open_scene(folder)
    up = -np.mean([c.world_from_camera[:3, 1] for s in ("train", "test") for c in read.cameras(s)], axis=0)
    np.testing.assert_allclose(up[:2], 0.0, atol=1e-9)
    assert up[2] > 0.5 and np.linalg.det(read.source_from_world) == pytest.approx(1.0)
    np.testing.assert_array_equal(read.source_from_world[:, 3], [0, 0, 0, 1])


@pytest.mark.parametrize(
    ("model", "stored", "lens"),
    [
        ("SIMPLE_PINHOLE", (), None),
        ("SIMPLE_RADIAL", (0.06,), Lens("brown", (0.06, 0.0, 0.0, 0.0))),
        ("RADIAL", (0.06, -0.08), Lens("brown", (0.06, -0.08, 0.0, 0.0))),
        ("OPENCV", (0.06, -0.08, -0.001, 0.002), Lens("brown", (0.06, -0.08, -0.001, 0.002))),
        ("FULL_OPENCV", (0.3, 0.1, 0.001, 0.002, 0.01, 0.6, 0.0, 0.01), None),
        ("OPENCV_FISHEYE", (0.02, 0.0, 0.0, 0.001), Lens("fisheye", (0.02, 0.0, 0.0, 0.001))),
        ("SIMPLE_RADIAL_FISHEYE", (0.02,), Lens("fisheye", (0.02, 0.0, 0.0, 0.0))),
        ("RADIAL_FISHEYE", (0.02, 0.01), Lens("fisheye", (0.02, 0.01, 0.0, 0.0))),
    ],
)
@pytest.mark.parametrize("kind", [".bin", ".txt"])
def test_every_lens_model_is_removed(scene, tmp_path, model, stored, lens, kind):
    if model == "FULL_OPENCV":
        lens = Lens("brown", stored)
    known = scene.cameras("train")[0]  # all have its intrinsics
    pinhole = known if lens is None else Undistortion(known, lens).camera
    undistorted = lambda camera: camera if lens is None else replace(camera, intrinsics=pinhole.intrinsics)  # noqa: E731
    square = {"model": model, "distortion": stored, "kind": kind}
    read = open_scene(write_colmap(tmp_path / "c", scene, NAMINGS["folder per camera"], **square))
    check_same(read, scene, undistorted)
    if lens is not None:
        expected = Undistortion(scene.cameras("train")[1], lens).resample(scene.frame(1).images[1])
        np.testing.assert_array_equal(read.frame(1).images[1], expected)


def test_lens_that_is_not_known_is_refused_with_the_remedy(scene, tmp_path):
    root = write_colmap(tmp_path / "c", scene, NAMINGS["folder per camera"], model="FOV", distortion=(0.9,))
    with pytest.raises(ValueError, match=r"camera model: expected .*, got FOV; undistort .*image_undistorter"):
        open_scene(root).cameras("train")


@pytest.mark.parametrize("folder", ["sparse/0", "sparse", "colmap/sparse/0", "."])
def test_model_and_pictures_are_found_in_the_usual_folders(scene, tmp_path, folder):
    check_same(open_scene(write_colmap(tmp_path / "a", scene, NAMINGS["deep"], folder=folder)), scene)
    check_same(open_scene(write_colmap(tmp_path / "b", scene, NAMINGS["deep"], folder=folder, pictures=".")), scene)


def test_photos_are_one_timestep_and_every_eighth_is_held_out(tmp_path):
    photos = tumble(replace(TINY, train_cameras=18, test_cameras=0, timesteps=1))
    for folder, name in (("a", "IMG_{}.png"), ("b", "IMG-1/{}.png"), ("c", "{}.png")):
        read = open_scene(write_colmap(tmp_path / folder, photos, lambda c, _, name=name: name.format(c.name)))
        assert read.timestep_count == 1
        names = [name.format(i).removesuffix(".png").removeprefix("IMG-1/") for i in range(18)]
        assert [camera.name for camera in read.cameras("test")] == names[::8]
        assert [camera.name for camera in read.cameras("train")] == [n for i, n in enumerate(names) if i % 8]


def test_moving_photographer_with_days_in_names_took_photos(tmp_path):
    photos = tumble(replace(TINY, train_cameras=12, test_cameras=0, timesteps=1))
    days = lambda camera, _: f"day{int(camera.name) // 6}_{int(camera.name) % 6:04d}.png"  # noqa: E731
    read = open_scene(write_colmap(tmp_path / "c", photos, days))
    assert read.timestep_count == 1 and len(read.cameras("train")) + len(read.cameras("test")) == 12


def test_moving_cameras_are_told_by_the_words_in_their_names(tmp_path):
    # The twelve poses of one instant stand for two cameras that move through six timesteps.
    poses = tumble(replace(TINY, train_cameras=12, test_cameras=0, timesteps=1))
    sides = ("left", "right")
    name = lambda camera, _: f"{int(camera.name) // 2:04d}_{sides[int(camera.name) % 2]}.png"  # noqa: E731
    read = open_scene(write_colmap(tmp_path / "c", poses, name))
    assert read.timestep_count == 6
    for t in range(6):
        assert [camera.name for camera in read.cameras("train", t)] == ["left", "right"]
        for side, camera in enumerate(read.cameras("train", t)):
            stored = read.source_from_world @ camera.world_from_camera
            expected = COLMAP_FROM_WORLD @ poses.cameras("train")[2 * t + side].world_from_camera
            np.testing.assert_allclose(stored, expected, atol=1e-9)


@pytest.mark.parametrize("naming", NAMINGS)
def test_model_of_one_timestep_is_enough_for_cameras_that_stand_still(scene, tmp_path, naming):
    first = lambda camera, timestep: timestep == 1  # noqa: E731
    read = open_scene(write_colmap(tmp_path / "c", scene, NAMINGS[naming], registered=first))
    read.validate(range(2))
    # test.txt lists the pictures of the registered timestep: the camera is held out in all of them.
    check_same(read, scene)


def test_cameras_without_some_pose_are_left_out_and_said(scene, tmp_path, caplog):
    lost = lambda camera, timestep: (camera.name, timestep) != ("1", 1)  # noqa: E731
    with caplog.at_level("INFO"):
        read = open_scene(write_colmap(tmp_path / "c", scene, NAMINGS["folder per camera"], registered=lost))
        assert (
            [c.name for c in read.cameras("train", 0)] == [c.name for c in read.cameras("train", 1)] == ["cam0", "cam2"]
        )
    assert (
        "read as 3 cameras x 2 timesteps" in caplog.text
        and "lacks poses: 0 timesteps and the cameras ['cam1']" in caplog.text
    )


def test_model_without_points_has_no_cloud(folder):
    for path in (folder / "sparse" / "0").glob("points3D.*"):
        path.write_bytes(b"\0" * 8 if path.suffix == ".bin" else b"# no points\n")
        assert open_scene(folder).point_cloud() is None
        path.unlink()
    assert open_scene(folder).point_cloud() is None


def test_colors_beyond_a_byte_are_refused(scene, tmp_path):
    root = write_colmap(tmp_path / "c", scene, NAMINGS["deep"], kind=".txt")
    (root / "sparse" / "0" / "points3D.txt").write_text("1 0 0 0 300 0 0 0.5\n")
    with pytest.raises(ValueError, match="colors from 0 to 255, got 300"):
        open_scene(root).point_cloud()


BROKEN_TEXT = {
    "unknown model": ("cameras.txt", "PINHOLE", "PINHOL", "CAMERA_ID MODEL WIDTH HEIGHT"),
    "too few parameters": ("cameras.txt", "PINHOLE", "OPENCV", "the parameters of that model"),
    "wider": ("cameras.txt", " 40 24 ", " 41 24 ", "expected 41x24 pixels, as camera cam0 was calibrated, got 40x24"),
    "negative focal": ("cameras.txt", " 40 24 ", " 40 24 -", "fx > 0 and fy > 0"),
    "missing": ("images.txt", " cam0/", " cam9/", "expected a picture, got no such file"),
    "outside": ("images.txt", "cam0/000000", "../../../cam0/000000", "a path inside the folder the pictures"),
    "absolute": ("images.txt", "cam0/000000", "/cam0/000000", "a path inside the folder the pictures"),
    "twice": ("images.txt", "cam1/000000", "cam0/000000", "one that occurs twice"),
    "no camera": ("cameras.txt", "\n1 ", "\n99 ", "a camera that the model has, got CAMERA_ID 1"),
    "infinite": ("points3D.txt", "\n1 ", "\n1 inf ", "finite numbers as a point"),
}


@pytest.mark.parametrize("case", BROKEN_TEXT)
def test_broken_text_is_refused_with_the_file_and_what_is_wrong(scene, tmp_path, case):
    name, old, new, words = BROKEN_TEXT[case]
    root = write_colmap(tmp_path / "c", scene, NAMINGS["folder per camera"], kind=".txt")
    path = root / "sparse" / "0" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises((ValueError, OSError), match=words):
        read_all(root)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin"])
def test_announced_counts_are_compared_with_the_size_of_the_file(scene, tmp_path, name):
    root = write_colmap(tmp_path / "c", scene, NAMINGS["folder per camera"])
    path = root / "sparse" / "0" / name
    path.write_bytes((2**62).to_bytes(8, "little") + path.read_bytes()[8:])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"{name}: expected a whole file, got 4611686018427387904 records"):
            read_all(root)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def read_all(folder: Path) -> list[Camera]:
    scene = open_scene(folder)
    scene.validate(range(scene.timestep_count))
    return [camera for split in ("train", "test") for camera in scene.cameras(split)]
