from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest

from scenes import open_scene
from scenes.recording import FILE
from scenes.video_file import VideoFile
from scenes.videos import match_names
from tests.scenes.videos.recordings import counted, level
from tests.scenes.videos_folder import all_cameras, anipose, write_video

RECORDING = Path(__file__).parents[4] / "shared" / "data" / "pose2sim_demo"


def test_reading_backward_and_from_several_threads_gives_the_same_pictures(tmp_path):
    write_video(tmp_path / "a.mp4", counted(23), 30.0)
    video = VideoFile(tmp_path / "a.mp4")
    order = np.random.default_rng(0).permutation(23).tolist() * 2
    with ThreadPoolExecutor(4) as pool:
        levels = list(pool.map(lambda i: level(video.picture(i)), order))
    assert levels == order


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


def test_video_of_a_turned_phone_is_upright(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)
    for degrees in (90, 180, -90):
        write_video(tmp_path / f"{degrees}.mp4", [picture], 30.0, turned=degrees)
        read = VideoFile(tmp_path / f"{degrees}.mp4")
        np.testing.assert_array_equal(read.picture(0), np.rot90(picture, degrees // 90))
        assert read.size == ((24, 16) if degrees == 180 else (16, 24))


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
    (tmp_path / FILE).write_text("[crop_px]\ncam0 = [0, 0]\ncam1 = [0, 0]\n")
    np.testing.assert_allclose(open_scene(tmp_path).cameras("train")[0].intrinsics, cameras[0].intrinsics, atol=1e-6)
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
