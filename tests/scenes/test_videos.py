import logging
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from scenes import VideosScene, open_scene
from scenes.calibration import read_calibration
from scenes.synthetic import tumble
from scenes.undistort import Lens, Undistortion
from scenes.video_file import VideoFile
from scenes.videos import FILE, match_names
from tests.scenes.panoptic_folder import TINY
from tests.scenes.test_transforms import mutate as mutate_json
from tests.scenes.videos_folder import WRITERS, all_cameras, anipose, write_video, write_videos

RECORDING = Path(__file__).parents[3] / "shared" / "data" / "pose2sim_demo"
LENS = (0.06, -0.08, -0.001, 0.0002, 0.01)


@pytest.fixture(scope="module")
def scene():
    return tumble(TINY)


@pytest.fixture(scope="module")
def videos(scene, tmp_path_factory):
    root = tmp_path_factory.mktemp("videos") / "capture"
    write_videos(root, scene)
    return root


@pytest.fixture
def folder(videos, tmp_path):
    return Path(shutil.copytree(videos, tmp_path / "capture"))


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


def test_reading_backward_and_from_several_threads_gives_the_same_pictures(tmp_path):
    write_video(tmp_path / "a.mp4", counted(23), 30.0)
    video = VideoFile(tmp_path / "a.mp4")
    order = np.random.default_rng(0).permutation(23).tolist() * 2
    with ThreadPoolExecutor(4) as pool:
        levels = list(pool.map(lambda i: level(video.picture(i)), order))
    assert levels == order


# One clock


def counted(count: int, first: int = 0) -> list[np.ndarray]:
    """Pictures that say in every pixel which one they are."""
    return [np.full((16, 24, 3), 10 * (first + i) % 250 + 1, np.uint8) for i in range(count)]


def level(picture: np.ndarray) -> int:
    assert np.ptp(picture) == 0
    return (int(picture[0, 0, 0]) - 1) // 10


def rig(root: Path, scene, counts: list[int], rates: list[float], lines: str = "", stamps=None) -> VideosScene:
    """Counting videos of the first cameras of a scene."""
    cameras = [c.resized(24, 16) for c in all_cameras(scene)[: len(counts)]]
    for i, (camera, count, rate) in enumerate(zip(cameras, counts, rates, strict=True)):
        write_video(root / f"cam{camera.name}.mp4", counted(count), rate, stamps[i] if stamps else None)
    anipose(root, cameras, ())
    (root / FILE).write_text(lines)
    return open_scene(root)


def shown(read: VideosScene) -> list[list[int]]:
    return [[level(image) for image in frame.images] for frame in read.frames()]


def test_lengths_that_differ_leave_the_common_span(scene, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    read = rig(tmp_path, scene, [7, 4, 9], [30.0] * 3)
    assert shown(read) == [[t] * 3 for t in range(4)] and read.fps == 30.0
    assert "4 instants of videos of 7, 4, 9 frames" in caplog.text


def test_offsets_shift_videos_against_each_other(scene, tmp_path):
    # The second starts two frames later, the third 0.4 frames earlier than the first.
    lines = f"[offset_s]\ncam1 = {2 / 30}\ncam2 = {-0.4 / 30}\n"
    read = rig(tmp_path, scene, [8, 8, 8], [30.0] * 3, lines)
    assert shown(read) == [[t + 2, t, t + 2] for t in range(6)]
    np.testing.assert_allclose(read.time_errors_s, np.tile([0.0, 0.0, -0.4 / 30], (6, 1)), atol=1e-6)


def test_a_start_within_half_a_frame_costs_no_instant(scene, tmp_path):
    read = rig(tmp_path, scene, [4, 4], [30.0] * 2, f"[offset_s]\ncam1 = {0.4 / 30}\n")
    assert shown(read) == [[t, t] for t in range(4)]
    np.testing.assert_allclose(read.time_errors_s, np.tile([0.0, 0.4 / 30], (4, 1)), atol=1e-6)


def test_frames_are_stored_in_another_order_than_shown(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:  # lossless H.264 has no such frames
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.options = 24, 16, "yuv420p", {"bf": "2", "qscale": "1"}
        for picture in counted(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(tmp_path / "a.mp4")) as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert stamps != sorted(stamps), "what the reader must cope with"
    video = VideoFile(tmp_path / "a.mp4")
    np.testing.assert_allclose(video.times_s, np.arange(8) / 30.0, atol=1e-6)
    assert [round((video.picture(i).mean() - 1.0) / 10.0) for i in range(8)] == list(range(8))


def test_numbers_of_thousands_of_digits_are_compared():
    assert match_names(["a07", "b8"], ["7", "0" * 5000 + "8"], Path("c.toml")) == ["7", "0" * 5000 + "8"]


def test_rates_that_differ_tick_with_the_slowest(scene, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    read = rig(tmp_path, scene, [12, 5, 12], [60.0, 25.0, 50.0])
    assert read.fps == 25.0
    expected = [[round(t / 25 * 60), t, 2 * t] for t in range(5)]
    assert shown(read) == expected
    errors = [[round(t / 25 * 60) / 60 - t / 25, 0.0, 0.0] for t in range(5)]
    np.testing.assert_allclose(read.time_errors_s, errors, atol=1e-6)
    assert "cam0.mp4: frames up to 6.7 ms off the common clock" in caplog.text


def test_frame_rate_can_be_chosen(scene, tmp_path):
    read = rig(tmp_path, scene, [9, 9], [30.0, 30.0], "fps = 15.0\n")
    assert read.fps == 15.0 and shown(read) == [[2 * t] * 2 for t in range(5)]
    assert read.frame(3).time_s == pytest.approx(0.2)


def test_frames_that_a_camera_dropped_are_found_by_their_times(scene, tmp_path, caplog):
    steady = [0, 33, 67, 100, 133, 167, 200, 233]
    dropped = [0, 33, 67, 167, 200, 233]  # two frames are missing
    read = rig(tmp_path, scene, [8, 6], [30.0, 30.0], "fps = 30.0\n", [steady, dropped])
    rows = shown(read)
    assert [row[1] for row in rows] == [0, 1, 2, 2, 3, 3, 4, 5][: len(rows)] and len(rows) == 8
    assert "off the common clock" in caplog.text and np.abs(read.time_errors_s[:, 1]).max() > 0.03


def test_videos_that_do_not_overlap_are_refused(scene, tmp_path):
    with pytest.raises(ValueError, match=r"expected videos that overlap in time, got cam0.mp4 0.000 to 0.100"):
        rig(tmp_path, scene, [4, 4], [30.0] * 2, "[offset_s]\ncam1 = 5.0\n").timestep_count  # noqa: B018


def test_one_frame_is_a_recording(scene, tmp_path):
    assert shown(rig(tmp_path, scene, [1, 3], [30.0] * 2)) == [[0, 0]]


def test_video_of_a_turned_phone_is_upright(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)
    for degrees in (90, 180, -90):
        write_video(tmp_path / f"{degrees}.mp4", [picture], 30.0, turned=degrees)
        read = VideoFile(tmp_path / f"{degrees}.mp4")
        np.testing.assert_array_equal(read.picture(0), np.rot90(picture, degrees // 90))
        assert read.size == ((24, 16) if degrees == 180 else (16, 24))


# Names, sizes


@pytest.mark.parametrize(
    ("stems", "names", "expected"),
    [
        (["b", "a"], ["a", "b"], ["b", "a"]),
        (["CAM01", "cam02"], ["cam01", "cam02", "cam03"], ["cam01", "cam02"]),
        (["trial_A", "trial_B"], ["A", "B"], ["A", "B"]),
        (["run1-camA", "run1-camB"], ["A", "B"], ["A", "B"]),
        (["cam01", "cam02"], ["1", "2"], ["1", "2"]),
        (["session_Miqus_1_21011", "session_Miqus_2_21012"], ["21012", "21011"], ["21011", "21012"]),
        (["cam1", "cam11"], ["11", "1"], ["1", "11"]),
        (["cam_01", "cam_02"], ["port_1", "port_2"], ["port_1", "port_2"]),
    ],
)
def test_videos_find_their_cameras(stems, names, expected):
    assert match_names(stems, names, Path("c.toml")) == expected


@pytest.mark.parametrize("stems", [["left", "right"], ["cam1", "take2_cam1"], ["cam1", "cam3"]])
def test_names_that_do_not_match_are_refused_with_both_lists(stems):
    with pytest.raises(ValueError, match=r"c.toml \(cam1, cam2\), got \w+, \w+; rename each video, such as cam1.mp4"):
        match_names(stems, ["cam1", "cam2"], Path("x/c.toml"))


def test_another_size_is_refused_with_the_numbers_and_a_remedy_that_works(scene, tmp_path):
    cameras = [c.resized(32, 16) for c in all_cameras(scene)[:2]]
    for camera in cameras:
        write_video(tmp_path / f"cam{camera.name}.mp4", counted(2), 30.0)
    anipose(tmp_path, cameras, ())
    with pytest.raises(ValueError, match=r"cam0.mp4: expected 32x16 pixels.*got 24x16.* \[crop_px\] cam0 = \[4, 0\]"):
        open_scene(tmp_path).validate(range(2))
    (tmp_path / FILE).write_text("[crop_px]\ncam0 = [4, 0]\ncam1 = [8, 0]\n")
    read = open_scene(tmp_path)
    read.validate(range(2))
    for camera, true, cut in zip(read.cameras("train"), cameras, (4, 8), strict=True):
        np.testing.assert_allclose(camera.intrinsics, true.intrinsics - [[0, 0, cut], [0] * 3, [0] * 3], atol=1e-6)
    (tmp_path / FILE).write_text("[crop_px]\ncam0 = [9, 0]\ncam1 = [8, 0]\n")
    with pytest.raises(ValueError, match=r"\(with scale 1 and crop_px \[9.0, 0.0\] of recording.toml\), got 24x16"):
        open_scene(tmp_path).validate(range(2))


def test_a_smaller_video_is_explained_by_its_scale(scene, tmp_path):
    cameras = [c.resized(48, 32) for c in all_cameras(scene)[:2]]
    for camera in cameras:
        write_video(tmp_path / f"cam{camera.name}.mp4", counted(2), 30.0)
    anipose(tmp_path, cameras, ())
    with pytest.raises(ValueError, match=r"expected 48x32 .* got 24x16; .* \[scale\] cam0 = 0.5"):
        open_scene(tmp_path).cameras("train")
    (tmp_path / FILE).write_text("[scale]\ncam0 = 0.5\ncam1 = 0.5\n")
    for camera, true in zip(open_scene(tmp_path).cameras("train"), cameras, strict=True):
        np.testing.assert_allclose(camera.intrinsics, true.resized(24, 16).intrinsics, atol=1e-6)


# What is wrong


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
        ("offsets = 3", "expected the fields unit, up, .* got offsets"),
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
        ("scale = 0.5", "scale: expected a table of cameras"),
        ("[[", "expected valid TOML"),
    ],
)
def test_wrong_lines_of_recording_are_refused(scene, folder, line, words):
    anipose(folder, all_cameras(scene), ())
    (folder / FILE).write_text(line)
    with pytest.raises(ValueError, match=words) as refusal:
        open_scene(folder).validate(range(2))
    assert str(folder / FILE) in str(refusal.value)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov"])
def test_truncated_videos_are_refused(scene, tmp_path, suffix):
    pictures = [np.random.default_rng(i).integers(0, 255, (16, 24, 3), np.uint8) for i in range(12)]
    cameras = [c.resized(24, 16) for c in all_cameras(scene)[:2]]
    for camera in cameras:
        write_video(tmp_path / f"cam{camera.name}{suffix}", pictures, 30.0)
    anipose(tmp_path, cameras, ())
    assert open_scene(tmp_path).timestep_count == 12
    path = tmp_path / f"cam1{suffix}"
    whole = path.read_bytes()
    for share in (0.0, 0.02, 0.5):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises((ValueError, OSError), match=rf"cam1{suffix}.*: expected .*, got .*; "):
            open_scene(tmp_path).validate(range(12))


def test_a_file_that_is_no_video_is_refused(scene, folder):
    anipose(folder, all_cameras(scene), ())
    (folder / "cam1.mp4").write_bytes(b"no video at all" * 99)
    with pytest.raises(OSError, match=r"cam1.mp4: expected a video, got .*; copy the file again"):
        open_scene(folder).validate(range(1))


def mutate(text: bytes, rng: np.random.Generator) -> bytes:
    """Truncated, bits flipped, a piece doubled or cut out, a number exchanged."""
    at, kind = int(rng.integers(len(text))), int(rng.integers(5))
    if kind == 0:
        return text[:at]
    if kind == 1:
        noisy = bytearray(text)
        for position in rng.integers(0, len(text), 3):
            noisy[position] ^= 1 << int(rng.integers(8))
        return bytes(noisy)
    end = at + int(rng.integers(1, 60))
    if kind == 2:
        return text[:at] + text[at:end] * int(2 * rng.integers(2)) + text[end:]
    odd = (b"nan", b"1e999", b"-1", b"99999999999999999999", b'""', b"[[[[", b"- - - -", b"", b"\x00", b"\xff", b"true")
    return text[:at] + odd[int(rng.integers(len(odd)))] + text[at + 1 :]


@pytest.mark.parametrize("kind", WRITERS)
def test_fuzzed_calibration_is_read_or_refused_in_a_sentence(scene, folder, kind):
    write, name = WRITERS[kind]
    write(folder, all_cameras(scene), ())
    path, before = folder / name, sorted(folder.parent.rglob("*"))
    whole = path.read_bytes()
    for seed in range(50):
        rng = np.random.default_rng(seed)
        is_json = name.endswith(".json") and seed % 2
        path.write_bytes(mutate_json(whole, rng) if is_json else mutate(whole, rng))
        try:
            read = open_scene(folder)
            read.validate(range(read.timestep_count))
        except (ValueError, OSError) as refusal:
            assert ": expected " in str(refusal) and ", got " in str(refusal), (seed, refusal)
        assert sorted(folder.parent.rglob("*")) == before, "reading writes nothing"


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


@pytest.mark.parametrize("seed", range(20))
def test_fuzzed_video_is_read_or_refused_in_a_sentence(scene, folder, seed):
    anipose(folder, all_cameras(scene), ())
    path = folder / "cam1.mp4"
    path.write_bytes(mutate(path.read_bytes(), np.random.default_rng(seed)))
    try:
        read = open_scene(folder)
        read.validate(range(read.timestep_count))
        list(read.frames())
    except (ValueError, OSError) as refusal:
        assert ": expected " in str(refusal) and ", got " in str(refusal), refusal


# A real recording


@pytest.fixture
def recording(tmp_path):
    if not RECORDING.is_dir():
        pytest.skip("the recording is not here")
    for name in ("videos", "calibration"):
        (tmp_path / name).symlink_to(RECORDING / name)
    return tmp_path


def test_width_that_differs_in_a_real_recording_is_explained(recording):
    words = r"cam01.mp4: expected 1088x1920 pixels, as camera cam01 .* got 1080x1920; if 8 columns and 0 rows"
    with pytest.raises(ValueError, match=words):
        open_scene(recording).validate(range(1))
