import logging

import numpy as np
import pytest

from tests.scenes.videos.recordings import rig, shown


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
