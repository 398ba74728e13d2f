import re
from dataclasses import replace

import numpy as np
import pytest

from scenes import VideosScene, open_scene
from scenes.calibration import read_calibration
from scenes.recording import FILE
from scenes.undistort import Lens, Undistortion
from tests.scenes.videos_folder import WRITERS, all_cameras, anipose

LENS = (0.06, -0.08, -0.001, 0.0002, 0.01)


@pytest.mark.parametrize("kind", WRITERS)
def test_cameras_and_pixels_come_back(scene, folder, kind):
    WRITERS[kind][0](folder, all_cameras(scene), ())
    (folder / FILE).write_text('held_out = ["%s"]\n' % ("cam_3" if kind == "caliscope" else "cam3"))
    read = open_scene(folder)
    assert isinstance(read, VideosScene)
    read.validate(range(2))
    assert (read.timestep_count, read.fps) == (scene.timestep_count, scene.fps)
    scale = 1000.0 if kind == "qualisys" else 1.0
    np.testing.assert_allclose(read.source_from_world, np.diag([scale, scale, scale, 1.0]), rtol=1e-12)
    np.testing.assert_allclose(read.time_errors_s, 0.0, atol=1e-9)
    for split in ("train", "test"):
        for frame, truth in zip(read.frames(split), scene.frames(split), strict=True):
            assert (frame.timestep, frame.time_s) == (truth.timestep, truth.time_s)
            assert [c.name[-1] for c in frame.cameras] == [c.name for c in truth.cameras]
            for camera, true in zip(frame.cameras, truth.cameras, strict=True):
                assert (camera.width, camera.height) == (true.width, true.height)
                np.testing.assert_allclose(camera.intrinsics, true.intrinsics, rtol=0, atol=1e-6)
                np.testing.assert_allclose(camera.world_from_camera, true.world_from_camera, rtol=0, atol=1e-6)
            np.testing.assert_array_equal(np.stack(frame.images), np.stack(truth.images))
            assert frame.masks is None


@pytest.mark.parametrize("kind", WRITERS)
def test_lens_comes_back(scene, folder, kind):
    WRITERS[kind][0](folder, all_cameras(scene), LENS)
    for camera in read_calibration(folder).cameras:
        assert camera.lens.model == "brown"
        np.testing.assert_allclose(camera.lens.coefficients, LENS, rtol=1e-12)


def test_distortion_is_removed(scene, folder):
    anipose(folder, all_cameras(scene), LENS)
    frame, truth = open_scene(folder).frame(1), scene.frame(1)
    for i, camera in enumerate(truth.cameras):
        undistortion = Undistortion(camera, Lens("brown", LENS))
        np.testing.assert_allclose(frame.cameras[i].intrinsics, undistortion.camera.intrinsics, rtol=0, atol=1e-6)
        difference = frame.images[i].astype(int) - undistortion.resample(truth.images[i])
        assert np.abs(difference).max() <= 1
        assert not np.array_equal(frame.images[i], truth.images[i])


def test_fisheye_and_longer_lists_of_coefficients(scene, folder):
    anipose(folder, all_cameras(scene), (0.02, 0.0, 0.001))
    path = folder / "calibration.toml"
    path.write_text(path.read_text().replace("fisheye = false", "fisheye = true"))
    assert {c.lens for c in read_calibration(folder).cameras} == {Lens("fisheye", (0.02, 0.0, 0.001, 0.0))}
    anipose(folder, all_cameras(scene), (0.3, 0.0, 0.0, 0.0, 0.0, 0.6, *[0.0] * 8))
    lens = Lens("brown", (0.3, 0.0, 0.0, 0.0, 0.0, 0.6, 0.0, 0.0))
    assert {c.lens for c in read_calibration(folder).cameras} == {lens}
    anipose(folder, all_cameras(scene), (*[0.0] * 8, 0.1))
    with pytest.raises(ValueError, match=r"distortion: expected 4 or 5 or 8 coefficients of a brown lens, got 9"):
        read_calibration(folder)


@pytest.mark.parametrize("up", ["x", "-x", "y", "-y", "z", "-z"])
@pytest.mark.parametrize("unit", ["mm", "m"])
def test_unit_and_axis_of_the_source_come_back(scene, folder, up, unit):
    """The source's axis ``up`` becomes z of the world; its own frame is what ``source_from_world`` leads to."""
    scale, sign = {"mm": 1000.0, "m": 1.0}[unit], -1.0 if up[0] == "-" else 1.0
    anipose(folder, all_cameras(scene), ())
    (folder / FILE).write_text(f'unit = "{unit}"\nup = "{up}"\n')
    read = open_scene(folder)
    source_from_world = read.source_from_world
    np.testing.assert_allclose(source_from_world[:3, 2], scale * sign * np.eye(3)["xyz".index(up[-1])], atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(source_from_world[:3, :3]), scale**3, rtol=1e-12)
    # What anipose wrote are the scene's own poses: a point projects alike through both.
    point_source = np.array([0.1, -0.2, 0.3, 1.0])
    point_world = np.linalg.solve(source_from_world, point_source)
    for camera, true in zip(read.cameras("train"), all_cameras(scene), strict=True):
        ray = camera.intrinsics @ (camera.camera_from_world @ point_world)[:3]
        true_ray = true.intrinsics @ (true.camera_from_world @ point_source)[:3]
        np.testing.assert_allclose(ray / ray[2], true_ray / true_ray[2], atol=1e-6)


def test_large_numbers_without_a_unit_are_millimetres(scene, folder, caplog):
    cameras = []
    for camera in all_cameras(scene):
        pose = camera.world_from_camera.copy()
        pose[:3, 3] *= 1000.0
        cameras.append(replace(camera, world_from_camera=pose))
    anipose(folder, cameras, ())
    for camera, true in zip(open_scene(folder).cameras("train"), all_cameras(scene), strict=True):
        np.testing.assert_allclose(camera.world_from_camera, true.world_from_camera, atol=1e-6)
    assert "no unit" in caplog.text


def test_a_camera_is_turned_in_its_own_frame(scene, folder):
    anipose(folder, all_cameras(scene), ())
    (folder / FILE).write_text('up = "x"\n[turn_deg]\ncam1 = [0.0, 2.0, 0.0]\n')
    turned = open_scene(folder).cameras("train")
    (folder / FILE).write_text('up = "x"\n')
    straight = open_scene(folder).cameras("train")
    np.testing.assert_array_equal(turned[0].world_from_camera, straight[0].world_from_camera)
    np.testing.assert_array_equal(turned[1].center_world, straight[1].center_world)
    sight = straight[1].world_from_camera[:3, :3].T @ turned[1].world_from_camera[:3, 2]
    degrees = np.radians(2.0)
    np.testing.assert_allclose(sight, [np.sin(degrees), 0.0, np.cos(degrees)], atol=1e-12)


def test_missing_and_several_calibrations_are_refused(scene, folder):
    with pytest.raises(ValueError, match=r"expected one calibration beside the videos .* got none; copy the calib"):
        open_scene(folder).validate(range(1))
    for write in ("anipose", "qualisys"):
        WRITERS[write][0](folder, all_cameras(scene), ())
    with pytest.raises(ValueError, match=r"got calibration.toml and calibration/Calib.qca.txt; remove all but one"):
        open_scene(folder).validate(range(1))


def test_half_of_easymocap_is_refused(scene, folder):
    WRITERS["easymocap"][0](folder, all_cameras(scene), ())
    (folder / "extri.yml").unlink()
    with pytest.raises(ValueError, match=r"expected both intri.yml and extri.yml, got intri.yml"):
        open_scene(folder).validate(range(1))


MALFORMED = {
    "no matrix": (r"matrix = .*\n", "", "camera cam0: expected a field matrix or camera_matrix"),
    "matrix short": (r"matrix = .*", "matrix = [[1, 0, 0]]", "camera cam0: matrix: expected 9 numbers, got 3"),
    "matrix flipped": (r"1.0\]\]", "2.0]]", r"matrix: expected \[\[fx, s, cx\]"),
    "focal negative": (r"matrix = \[\[", "matrix = [[-", "focal length: expected fx > 0"),
    "text": (r"matrix = \[\[\S+", 'matrix = [["1",', "matrix: expected a finite number, got '1'"),
    "nan": (r"translation = \[\S+", "translation = [nan,", "translation: expected a finite number, got nan"),
    "rotation of two": (r"rotation = .*", "rotation = [0.0, 1.0]", "rotation: expected 3 or 9 numbers, got 2"),
    "sheared": (r"rotation = .*", "rotation = [[1,1,0],[0,1,0],[0,0,1]]", "expected an orthonormal right-handed"),
    "size": (r"size = .*", "size = [40.5, 24]", r"size: expected a positive whole number \[px\], got 40.5"),
    "one name": (r'name = ".*"', 'name = "cam0"', "name: expected a different one for each camera"),
    "path as name": (r'name = ".*"', 'name = "../cam0"', "names without / "),
    "no toml": (r"\[cam_1\]", "[cam_1", "expected valid TOML"),
    "folds": (r"distortions = .*", "distortions = [-4.0, 0, 0, 0, 0]", "folds over"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_calibration_is_refused_with_file_and_field(scene, folder, case):
    pattern, text, words = MALFORMED[case]
    anipose(folder, all_cameras(scene), ())
    path = folder / "calibration.toml"
    path.write_text(re.sub(pattern, lambda _: text, path.read_text(), count=2))
    with pytest.raises(ValueError, match=words) as refusal:
        open_scene(folder).validate(range(2))
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("offsets = 3", "expected the fields scale, .* got offsets"),
        ('unit = "foot"', "unit: expected one of m cm mm, got 'foot'"),
        ('up = "w"', "up: expected one of z -z y"),
        ("fps = 0", r"fps: expected a positive number"),
        ("fps = true", r"fps: expected a finite number"),
        ('held_out = ["cam9"]', "held_out: expected a list of cam0, cam1, cam2, cam3"),
        ('held_out = ["cam0", "cam1", "cam2", "cam3"]', "expected a camera left to train with"),
        ("[offset_s]\ncam9 = 1", "offset_s: expected a table of cameras among cam0, .* got cam9"),
        ('[offset_s]\ncam0 = "1"', "offset_s of cam0: expected a finite number"),
        ("[crop_px]\ncam0 = 4", "crop_px of cam0: expected 2 numbers, got 1"),
        ("[scale]\ncam0 = -1.0", "scale of cam0: expected a positive number"),
        ("turn_deg = 3.0", "turn_deg: expected a table of cameras"),
        ("[turn_deg]\ncam0 = [1, 2]", "turn_deg of cam0: expected 3 numbers, got 2"),
        ("[[", "expected valid TOML"),
    ],
)
def test_wrong_lines_of_recording_are_refused(scene, folder, line, words):
    anipose(folder, all_cameras(scene), ())
    (folder / FILE).write_text(line)
    with pytest.raises(ValueError, match=words) as refusal:
        open_scene(folder).validate(range(2))
    assert str(folder / FILE) in str(refusal.value)


@pytest.mark.parametrize("suffix", [".yml", ".json"])
@pytest.mark.parametrize("nest", ["[", "{K: ", '{"K": ', "- "])
def test_nesting_without_end_is_refused_before_opencv_falls_over_it(folder, suffix, nest):
    (folder / f"rig{suffix}").write_text("K: " + nest * 200_000)
    with pytest.raises(ValueError, match="expected a calibration nested at most 16 deep, got a deeper one"):
        open_scene(folder).validate(range(1))


def test_long_lists_and_large_files_are_refused_at_once(folder):
    (folder / "rig.yml").write_text("cam0:\n  K: [" + "1, " * 300_000 + "1]\n")
    with pytest.raises(ValueError, match="got a list or map of 300001 values"):
        open_scene(folder).validate(range(1))
    (folder / "rig.yml").write_text("K: 1\n" * 1_000_000)
    with pytest.raises(ValueError, match="expected a calibration of at most 4194304 bytes, got 5000000"):
        open_scene(folder).validate(range(1))


def test_entities_of_xml_are_refused(scene, folder):
    WRITERS["qualisys"][0](folder, all_cameras(scene), ())
    path = folder / "calibration" / "Calib.qca.txt"
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><calibration>&a;</calibration>'
    path.write_text(bomb)
    with pytest.raises(ValueError, match=r"Calib.qca.txt: expected plain XML, got entity definitions"):
        open_scene(folder).validate(range(1))
