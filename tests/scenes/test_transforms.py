import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from scenes import TransformsScene, open_scene
from scenes.pictures import read_image
from scenes.synthetic import tumble
from scenes.transforms import FILE
from scenes.undistort import Lens, Undistortion
from tests.scenes.panoptic_folder import TINY
from tests.scenes.transforms_folder import (
    CAMERA_IN_NAME,
    FOLDER_PER_CAMERA,
    FOLDER_PER_TIMESTEP,
    write_transforms,
)
from warpgs.types import Camera

RECORDING = Path(__file__).parents[3] / "shared" / "data" / "fox25"
NAMINGS = {
    "folder per timestep": (FOLDER_PER_TIMESTEP, False, "cam{}"),
    "folder per camera": (FOLDER_PER_CAMERA, True, "cam{}"),
    "camera in the name": (CAMERA_IN_NAME, True, "cam{}"),
}


@pytest.fixture(scope="module")
def scene():
    return tumble(TINY)


@pytest.fixture(scope="module")
def original(scene, tmp_path_factory):
    root = tmp_path_factory.mktemp("transforms") / "capture"
    return write_transforms(root, scene, FOLDER_PER_CAMERA)


@pytest.fixture
def folder(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "capture"))


def edit(folder: Path, change: Callable[[dict], object]) -> None:
    fields = json.loads((folder / FILE).read_text())
    change(fields)
    (folder / FILE).write_text(json.dumps(fields))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("naming", NAMINGS)
def test_cameras_and_pixels_come_back(scene, tmp_path, naming, shared):
    name, timed, camera_name = NAMINGS[naming]
    read = open_scene(write_transforms(tmp_path / "capture", scene, name, timed=timed, shared=shared))
    assert isinstance(read, TransformsScene)
    read.validate(range(2))
    assert (read.timestep_count, read.fps) == (scene.timestep_count, scene.fps)
    np.testing.assert_array_equal(read.source_from_world, np.eye(4))
    for split in ("train", "test"):
        for frame, truth in zip(read.frames(split), scene.frames(split), strict=True):
            assert (frame.timestep, frame.time_s) == (truth.timestep, truth.time_s)
            assert [camera.name for camera in frame.cameras] == [camera_name.format(c.name) for c in truth.cameras]
            for camera, true in zip(frame.cameras, truth.cameras, strict=True):
                assert (camera.width, camera.height) == (true.width, true.height)
                np.testing.assert_allclose(camera.intrinsics, true.intrinsics, rtol=0, atol=1e-12)
                np.testing.assert_allclose(camera.world_from_camera, true.world_from_camera, rtol=0, atol=1e-12)
            np.testing.assert_array_equal(np.stack(frame.images), np.stack(truth.images))
            np.testing.assert_array_equal(np.stack(frame.masks), np.stack(truth.masks))


@pytest.mark.parametrize(
    ("fields", "lens"),
    [
        ({"k1": 0.06, "k2": -0.08, "p1": -0.001, "p2": 0.0002}, Lens("brown", (0.06, -0.08, -0.001, 0.0002, 0.0))),
        ({"camera_model": "OPENCV_FISHEYE", "k1": 0.02, "k4": 0.001}, Lens("fisheye", (0.02, 0.0, 0.0, 0.001))),
        ({"is_fisheye": True}, Lens("fisheye", (0.0,) * 4)),
        (
            {"camera_model": "FULL_OPENCV", "k1": 0.3, "k4": 0.6, "k6": 0.01},
            Lens("brown", (0.3, 0.0, 0.0, 0.0, 0.0, 0.6, 0.0, 0.01)),
        ),
    ],
)
def test_distortion_is_removed_from_pictures_and_masks(scene, tmp_path, fields, lens):
    root = write_transforms(tmp_path / "capture", scene, FOLDER_PER_CAMERA, extra=fields)
    read = open_scene(root)
    read.validate(range(2))
    frame, truth = read.frame(1), scene.frame(1)
    for i, camera in enumerate(truth.cameras):
        undistortion = Undistortion(camera, lens)
        np.testing.assert_allclose(frame.cameras[i].intrinsics, undistortion.camera.intrinsics, rtol=1e-12)
        np.testing.assert_array_equal(frame.images[i], undistortion.resample(truth.images[i]))
        np.testing.assert_array_equal(frame.masks[i], undistortion.resample(truth.masks[i]))
        assert not np.array_equal(frame.images[i], truth.images[i])


def test_photos_of_a_still_scene_hold_out_every_eighth(tmp_path):
    photos = tumble(replace(TINY, train_cameras=18, test_cameras=0, timesteps=1))
    root = write_transforms(tmp_path / "c", photos, lambda camera, _: f"images/{camera.name}.png", timed=False)
    read = open_scene(root)
    assert read.timestep_count == 1
    assert [camera.name for camera in read.cameras("test")] == ["0", "8", "16"]
    assert [camera.name for camera in read.cameras("train")] == [str(i) for i in range(18) if i % 8]


def test_fields_of_view_stand_for_focal_lengths_and_suffixes_may_be_left_out(scene, folder):
    def change(fields: dict) -> None:
        for frame in fields["frames"]:
            for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
                del frame[key]
            frame["file_path"] = frame["file_path"].removesuffix(".png")
        fields["test_filenames"] = [name.removesuffix(".png") for name in fields["test_filenames"]]
        focal = scene.cameras("train")[0].intrinsics[0, 0]
        fields["camera_angle_x"] = 2.0 * np.arctan(0.5 * TINY.width / focal)

    edit(folder, change)
    read = open_scene(folder)
    read.validate(range(2))
    for camera, truth in zip(read.cameras("train"), scene.cameras("train"), strict=True):
        np.testing.assert_allclose(camera.intrinsics, truth.intrinsics, rtol=1e-12)


def test_numbers_in_names_are_sorted_as_numbers(tmp_path):
    photos = tumble(replace(TINY, train_cameras=12, test_cameras=0, timesteps=1))
    root = write_transforms(tmp_path / "c", photos, lambda camera, _: f"p{camera.name}.png", timed=False, masks=False)
    names = [c.name for split in ("train", "test") for c in open_scene(root).cameras(split)]
    assert names == ["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p9", "p10", "p11", "p0", "p8"]
    assert open_scene(root).frame(0).masks is None and open_scene(root).point_cloud() is None


def test_folders_of_one_pose_are_not_taken_for_timesteps(scene, tmp_path):
    root = write_transforms(tmp_path / "c", scene, FOLDER_PER_CAMERA, timed=False)
    with pytest.raises(ValueError, match=r"different cameras in the folder of a timestep .*give each frame its time"):
        open_scene(root).cameras("train")


def put(key: str, value: object) -> Callable[[dict], None]:
    """Break a field of the third frame; a frame's field outranks the file's."""
    return lambda fields: fields["frames"][2].__setitem__(key, value)


def scale_pose(fields: dict) -> None:
    fields["frames"][2]["transform_matrix"] = (2.0 * np.array(fields["frames"][2]["transform_matrix"])).tolist()


def scale_rotation(fields: dict) -> None:
    matrix = np.array(fields["frames"][2]["transform_matrix"])
    matrix[:3, :3] *= 1.1
    fields["frames"][2]["transform_matrix"] = matrix.tolist()


MALFORMED = {
    "no frames": (lambda f: f.pop("frames"), "frames: expected a list with an object per picture, got none"),
    "frames empty": (lambda f: f["frames"].clear(), "frames: expected a list"),
    "frame a number": (lambda f: f["frames"].append(7), "frames: expected a list"),
    "no picture": (lambda f: f["frames"][2].pop("file_path"), "file_path: expected a relative path"),
    "leaves the folder": (put("file_path", "../../secret.png"), "file_path: expected a path inside the folder"),
    "absolute": (put("file_path", "/etc/secret.png"), "file_path: expected a path inside the folder"),
    "backslashes": (put("file_path", "..\\secret.png"), "file_path: expected a path inside the folder"),
    "NUL": (put("file_path", "a\0.png"), "file_path: expected a path inside the folder"),
    "only a dot": (put("file_path", "."), "file_path: expected a path inside the folder"),
    "mask leaves": (put("mask_path", "masks/../../x.png"), "mask_path: expected a path inside the folder"),
    "twice": (lambda f: f["frames"].append(f["frames"][0]), "a picture of its own for each frame"),
    "no focal": (lambda f: f["frames"][2].pop("fl_x"), "expected fl_x or camera_angle_x, got neither"),
    "focal text": (put("fl_x", "1375"), "fl_x: expected a finite number, got '1375'"),
    "focal negative": (put("fl_x", -5.0), r"focal length: expected fx > 0 and fy > 0 \[px\]"),
    "focal huge": (put("fl_x", 10**400), "fl_x: expected a finite number"),
    "center NaN": (put("cx", float("nan")), "cx: expected a finite number"),
    "width half": (put("w", 40.5), r"w: expected a positive whole number \[px\]"),
    "lens NaN": (put("k1", float("nan")), "k1: expected a finite number"),
    "lens folds": (put("k1", -4.0), "distortion: expected a brown lens that is one-to-one .* folds over"),
    "k4 of a plain lens": (put("k4", 0.1), "k4: expected 0 for camera_model OPENCV"),
    "lens unknown": (put("camera_model", "EQUIRECTANGULAR"), "camera_model: expected one of SIMPLE_PINHOLE, .*undist"),
    "no pose": (lambda f: f["frames"][2].pop("transform_matrix"), "transform_matrix: expected 4 rows of 4 numbers"),
    "pose ragged": (put("transform_matrix", [[1, 0, 0, 0]] * 2), "transform_matrix: expected 4 rows of 4 numbers"),
    "pose infinite": (put("transform_matrix", [[float("inf"), 0, 0, 0]] * 4), "transform_matrix: expected a finite"),
    "last row": (scale_pose, "transform_matrix: expected 0 0 0 1 in its last row"),
    "pose scaled": (scale_rotation, "rotation: expected an orthonormal right-handed matrix"),
    "some times": (lambda f: f["frames"][2].pop("time"), "time: expected a finite number, got None"),
    "fps zero": (lambda f: f.update(fps=0), "fps: expected a positive number"),
    "tests a number": (lambda f: f.update(test_filenames=3), "test_filenames: expected a list of file paths"),
    "size of another": (put("w", 41), "expected 41x24 pixels, as camera cam1 was calibrated, got 40x24"),
    "some masks": (lambda f: f["frames"][2].pop("mask_path"), "a mask_path for all 3 pictures"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_file_is_refused_with_file_and_field(folder, case):
    change, words = MALFORMED[case]
    # The third frame of the file shall be a training camera's.
    edit(folder, lambda f: f["frames"].sort(key=lambda frame: frame["file_path"]))
    edit(folder, change)
    with pytest.raises(ValueError, match=words) as refusal:
        read_all(folder)
    assert str(folder) in str(refusal.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", '{"frames": ' + "[" * 100_000])
def test_file_that_is_no_json_object_is_refused(folder, text):
    (folder / FILE).write_text(text)
    with pytest.raises(ValueError, match=r"transforms.json: expected (valid JSON|a JSON object)"):
        read_all(folder)


def test_broken_pictures_are_refused_with_their_name(folder):
    picture = folder / "images" / "cam1" / "000001.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OSError, match=r"cam1/000001.png: expected a whole picture"):
        read_all(folder)
    picture.unlink()
    with pytest.raises(FileNotFoundError, match=r"cam1/000001.png: expected a picture, got no such file"):
        read_all(folder)


def test_deep_and_transparent_pictures_are_refused(folder):
    picture = folder / "images" / "cam1" / "000000.png"
    Image.fromarray(np.zeros((24, 40), np.float32)).save(picture, format="TIFF")
    with pytest.raises(ValueError, match="expected 8 or 16 bits per channel, got Pillow's mode F"):
        open_scene(folder).frame(0)
    Image.fromarray(np.full((24, 40, 4), 128, np.uint8)).save(picture)
    with pytest.raises(ValueError, match="expected an opaque picture, got transparent pixels"):
        open_scene(folder).frame(0)


def read_all(folder: Path) -> None:
    scene = open_scene(folder)
    scene.validate(range(scene.timestep_count))
    assert scene.fps > 0.0


@pytest.mark.skipif(not RECORDING.is_dir(), reason="the recording is not here")
def test_real_photos_look_at_a_common_point_from_above_the_ground():
    read = open_scene(RECORDING)
    train, test = read.cameras("train"), read.cameras("test")
    assert (read.timestep_count, len(train), len(test)) == (1, 21, 4)
    assert [camera.name for camera in test] == ["0001", "0027", "0073", "0110"]
    frame = read.frame(0, "test")
    assert all(image.shape == (1920, 1080, 3) for image in frame.images) and frame.masks is None
    # The cameras are upright in a z-up world, and the axes of all meet near one point that every picture shows.
    down = np.array([camera.world_from_camera[:3, 1] for camera in (*train, *test)])
    assert down[:, 2].max() < -0.8
    forward = np.array([camera.world_from_camera[:3, 2] for camera in (*train, *test)])
    centers = np.array([camera.center_world for camera in (*train, *test)])
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    point = np.linalg.solve(across.sum(axis=0), np.einsum("nij,nj->i", across, centers))
    for camera in (*train, *test):
        seen = camera.intrinsics @ (camera.camera_from_world @ [*point, 1.0])[:3]
        assert seen[2] > 0.0 and 0 < seen[0] / seen[2] < camera.width and 0 < seen[1] / seen[2] < camera.height


@pytest.mark.skipif(not RECORDING.is_dir(), reason="the recording is not here")
def test_matched_features_of_real_photos_lie_on_their_epipolar_lines_once_undistorted():
    names = ("0035", "0042")
    shots = [TransformsScene(RECORDING)._instants[0][name] for name in names]
    poses = [shot.camera.world_from_camera for shot in shots]
    taken = [replace(shot.taken, world_from_camera=pose) for shot, pose in zip(shots, poses, strict=True)]
    pictures = [read_image(shot.picture, shot.taken) for shot in shots]
    undistorted = [shot.undistortion.resample(picture) for shot, picture in zip(shots, pictures, strict=True)]
    before = epipolar_errors_px(pictures, taken)
    after = epipolar_errors_px(undistorted, [shot.camera for shot in shots])
    assert min(len(before), len(after)) > 60
    assert np.median(after) < 1.5 and np.median(before) > 2.0 * np.median(after)


def epipolar_errors_px(images: list[np.ndarray], cameras: list[Camera]) -> np.ndarray:
    """Distance [px] of each SIFT feature in the second picture from the line on which the first's match must lie."""
    found = []
    for image in images:
        half = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        points, descriptors = cv2.SIFT_create(3000).detectAndCompute(half, None)
        pixels = 2.0 * (np.array([point.pt for point in points]) + 0.5)  # OpenCV counts centers from 0
        found.append((np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1), descriptors))
    (first, a), (second, b) = found
    matches = [m for m, other in cv2.BFMatcher().knnMatch(a, b, k=2) if m.distance < 0.7 * other.distance]
    second_from_first = cameras[1].camera_from_world @ cameras[0].world_from_camera
    essential = np.cross(second_from_first[:3, 3], second_from_first[:3, :3], axisb=0, axisc=0)
    inverses = [np.linalg.inv(camera.intrinsics) for camera in cameras]
    lines = first[[m.queryIdx for m in matches]] @ (inverses[1].T @ essential @ inverses[0]).T
    return np.abs((second[[m.trainIdx for m in matches]] * lines).sum(axis=1)) / np.hypot(lines[:, 0], lines[:, 1])
