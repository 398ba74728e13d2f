import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scenes import RosScene, open_scene
from scenes.synthetic import tumble
from scenes.undistort import Lens, Undistortion
from tests.scenes.panoptic_folder import TINY
from tests.scenes.ros_folder import PERIOD_NS, START_NS, write_ros, write_tum
from warpgs.cli.inspect import _frame_errors


@pytest.fixture(scope="module")
def scene():
    return tumble(TINY)


@pytest.fixture(scope="module")
def original(scene, tmp_path_factory):
    return write_ros(tmp_path_factory.mktemp("ros") / "capture", scene)


@pytest.fixture
def folder(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "capture"))


def all_cameras(scene, timestep: int = 0) -> list:
    return [*scene.cameras("train", timestep), *scene.cameras("test", timestep)]


@pytest.mark.parametrize("message", [True, False])
def test_cameras_and_pixels_come_back(scene, tmp_path, message):
    read = open_scene(write_ros(tmp_path / "capture", scene, message=message))
    assert isinstance(read, RosScene)
    read.validate(range(2))
    assert read.timestep_count == 2 and read.fps == pytest.approx(1e9 / PERIOD_NS)
    np.testing.assert_array_equal(read.source_from_world, np.eye(4))
    np.testing.assert_array_equal(read.time_errors_s, np.zeros((2, 4)))
    for timestep in range(2):
        frame = read.frame(timestep)
        assert frame.time_s == pytest.approx(timestep * PERIOD_NS / 1e9)
        images = [*scene.frame(timestep).images, *scene.frame(timestep, "test").images]
        for i, true in enumerate(all_cameras(scene, timestep)):
            assert frame.cameras[i].name == f"cam{true.name}"
            np.testing.assert_allclose(frame.cameras[i].intrinsics, true.intrinsics, rtol=0, atol=1e-9)
            np.testing.assert_allclose(frame.cameras[i].world_from_camera, true.world_from_camera, rtol=0, atol=1e-9)
            np.testing.assert_array_equal(frame.images[i], images[i])


@pytest.mark.parametrize(
    ("model", "d", "kind"),
    [
        ("plumb_bob", (0.06, -0.08, -0.001, 0.002, 0.01), "brown"),
        ("rational_polynomial", (0.3, 0.1, 0.001, 0.002, 0.01, 0.6, 0.0, 0.01), "brown"),
        ("equidistant", (0.02, 0.0, 0.0, 0.001), "fisheye"),
    ],
)
def test_every_distortion_model_is_removed(scene, tmp_path, model, d, kind):
    read = open_scene(write_ros(tmp_path / "c", scene, model=model, d=d))
    undistortion = Undistortion(scene.cameras("train")[1], Lens(kind, d))
    frame = read.frame(1)
    np.testing.assert_allclose(frame.cameras[1].intrinsics, undistortion.camera.intrinsics, rtol=0, atol=1e-6)
    expected = undistortion.resample(scene.frame(1).images[1]).astype(int)
    assert np.abs(frame.images[1] - expected).max() <= 1


def test_poses_are_interpolated_to_the_time_of_each_picture(scene, folder):
    # The robot turns by 40 degrees about z and goes 2 m ahead in three periods; its camera looks ahead from a mast.
    times_ns = [START_NS - PERIOD_NS, START_NS + 2 * PERIOD_NS]
    ends = np.tile(np.eye(4), (2, 1, 1))
    ends[1, :3, :3] = Rotation.from_rotvec([0, 0, np.radians(40.0)]).as_matrix()
    ends[1, :3, 3] = 2.0, 0.0, 0.0
    write_tum(folder / "trajectory.txt", times_ns, list(ends))
    mount = np.array([[0.0, 0, 1, 0.2], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
    write_tum(folder / "cam2" / "mount.txt", [0], [mount])
    (folder / "cam2" / "trajectory.txt").unlink()
    late = 10_000_000
    for path in (folder / "cam2").glob("*.png"):
        path.rename(path.with_stem(str(int(path.stem) + late)))
    read = open_scene(folder)
    for timestep in range(2):
        share = ((1 + timestep) * PERIOD_NS + late) / (3 * PERIOD_NS)
        robot = np.eye(4)
        robot[:3, :3] = Rotation.from_rotvec([0, 0, share * np.radians(40.0)]).as_matrix()
        robot[0, 3] = 2.0 * share
        np.testing.assert_allclose(read.cameras("train", timestep)[2].world_from_camera, robot @ mount, atol=1e-9)
        still = scene.cameras("train")[1].world_from_camera
        np.testing.assert_allclose(read.cameras("train", timestep)[1].world_from_camera, still, atol=1e-9)
    np.testing.assert_allclose(read.time_errors_s[:, 2], late / 1e9)
    np.testing.assert_allclose(_frame_errors(read), read.time_errors_s * read.fps)


def test_nothing_is_extrapolated(folder):
    pose = np.eye(4)
    write_tum(folder / "cam1" / "trajectory.txt", [START_NS, START_NS + PERIOD_NS], [pose, pose])
    open_scene(folder).cameras("train")
    write_tum(folder / "cam1" / "trajectory.txt", [START_NS + 1, START_NS + PERIOD_NS], [pose, pose])
    with pytest.raises(ValueError, match=r"expected pictures from .* to .* s, got 1 at other times"):
        open_scene(folder).cameras("train")


def test_pictures_are_matched_within_half_an_instant_and_others_left_out(folder, caplog):
    for camera in folder.iterdir():
        picture = next(camera.glob("*.png"))
        for timestep in range(2, 6):
            shutil.copy(picture, camera / f"left_{START_NS + timestep * PERIOD_NS}.png")
    assert open_scene(folder).timestep_count == 6
    (folder / "cam2" / f"left_{START_NS + 3 * PERIOD_NS}.png").unlink()
    for shift, left_out in ((PERIOD_NS // 2, 1), (PERIOD_NS // 2 + 2, 2)):
        picture = folder / "cam1" / f"left_{START_NS + 4 * PERIOD_NS}.png"
        moved = picture.rename(picture.with_stem(f"left_{START_NS + 4 * PERIOD_NS + shift}"))
        caplog.clear()
        with caplog.at_level("INFO"):
            read = open_scene(folder)
            assert read.timestep_count == 6 - left_out
        assert f"left out {left_out} instants" in caplog.text
        worst = shift if left_out == 1 else 0
        assert np.abs(read.time_errors_s).max() == worst / 1e9
        assert f"pictures up to {worst / 1e6:.3f} ms apart" in caplog.text
        moved.rename(picture)


def test_clocks_that_disagree_are_refused(folder):
    for path in (folder / "cam0").glob("*.png"):
        path.rename(path.with_stem(str(int(path.stem) + 10**9)))
    with pytest.raises(ValueError, match=r"pictures that all cameras took at the same time.*set the clocks"):
        open_scene(folder).cameras("train")


MALFORMED = {
    "no yaml": ("camera_info.yaml", "camera_matrix:", "{camera_matrix", "valid YAML"),
    "a list": ("camera_info.yaml", "", None, "fields of a CameraInfo"),
    "model": ("camera_info.yaml", "plumb_bob", "thin", "distortion_model: expected one of plumb_bob"),
    "width": ("camera_info.yaml", "image_width: 40", "image_width: 41", "expected 41x24 pixels"),
    "matrix": ("camera_info.yaml", "1.0]", "2.0]", "9 numbers that end in 0 0 1"),
    "coefficients": ("camera_info.yaml", "data: []", "data: [1.0]", "4 or 5 or 8 coefficients"),
    "nan": ("camera_info.yaml", "data: []", "data: [.nan, 0, 0, 0]", "a finite number"),
    "seven": ("trajectory.txt", "\n0.000000000 ", "\n", "8 numbers: time tx ty tz qx qy qz qw"),
    "word": ("trajectory.txt", "\n0.000000000 ", "\nnow ", "a time stamp such as"),
    "twice": ("trajectory.txt", "\n0.000000000 ", "\n1 0 0 0 0 0 0 1\n0.5 ", "times that rise"),
    "length": ("trajectory.txt", "\n0.000000000 ", "\n0 0 0 0 0 0 0 2\n1.5 ", "unit quaternions"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_refused_with_their_name(folder, case):
    name, old, new, words = MALFORMED[case]
    path = folder / "cam1" / name
    text = path.read_text()
    assert old in text
    path.write_text("[]" if new is None else text.replace(old, new))
    with pytest.raises(ValueError, match=words) as refusal:
        read_all(folder)
    assert "cam1" in str(refusal.value)


def test_names_without_times_and_cameras_without_poses_are_refused(folder):
    (folder / "cam1" / "trajectory.txt").unlink()
    with pytest.raises(ValueError, match=r"cam1: expected trajectory.txt of the camera, or mount.txt"):
        read_all(folder)
    picture = next((folder / "cam1").glob("*.png"))
    picture.rename(picture.with_stem("noon"))
    with pytest.raises(ValueError, match=r"noon.png: expected a name such as"):
        read_all(folder)


def test_aliases_of_yaml_do_not_multiply(folder):
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 30))
    (folder / "cam1" / "camera_info.yaml").write_text(f"l0: &l0 [1]\n{levels}K: *l29\n")
    with pytest.raises(ValueError, match="width: expected a finite number"):
        read_all(folder)


def read_all(folder: Path) -> None:
    read = open_scene(folder)
    read.validate(range(read.timestep_count))
