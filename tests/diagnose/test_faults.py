import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from scenes.synthetic import SyntheticOptions, tumble
from tests.scenes.panoptic_folder import TINY
from tests.scenes.videos_folder import all_cameras, anipose, write_videos
from warpgs.cli import main
from warpgs.diagnose import Misfit, examine, match_features
from warpgs.diagnose.faults import views_of

ROOM = np.random.default_rng(0).uniform([-1, -1, 0], [1, 1, 1], (400, 3))
ROOM[:200, 2] = 0.0


def found(subject, *arguments, **options):
    return {finding.subject: finding for finding in examine(*arguments, **options)}[subject]


@pytest.fixture(scope="module")
def pairs(frame):
    return match_features(frame)


def test_a_sound_recording_is_good_in_all_it_tells(frame, pairs):
    verdicts = {f.subject: f.verdict for f in examine(frame, pairs, ROOM, frame_errors=np.zeros((3, 24)))}
    assert verdicts == dict.fromkeys(("calibration", "exposure", "masks", "overlap", "ground", "clock"), "good")


def test_a_camera_that_was_bumped_is_named(frame, pairs):
    [number] = np.bincount([i for pair in pairs for i in (pair.first, pair.second)]).argsort()[-1:]
    pose = frame.cameras[number].world_from_camera.copy()
    pose[:3, :3] = pose[:3, :3] @ Rotation.from_rotvec([0.02, 0.02, 0.0]).as_matrix()
    cameras = list(frame.cameras)
    cameras[number] = replace(cameras[number], world_from_camera=pose)
    bumped = replace(frame, cameras=tuple(cameras))
    finding = found("calibration", bumped, match_features(bumped), None)
    assert finding.verdict == "bad" and f"worst camera {cameras[number].name}:" in finding.value
    assert "alone is off" in finding.remedy


def test_a_calibration_that_is_off_everywhere_is_told(frame):
    cameras = []
    for i, camera in enumerate(frame.cameras):
        turn = Rotation.from_rotvec(0.03 * np.random.default_rng(i).normal(size=3)).as_matrix()
        pose = camera.world_from_camera.copy()
        pose[:3, :3] = pose[:3, :3] @ turn
        cameras.append(replace(camera, world_from_camera=pose))
    off = replace(frame, cameras=tuple(cameras))
    finding = found("calibration", off, match_features(off), None)
    assert finding.verdict == "bad" and finding.remedy.startswith("calibrate again")


def test_without_matches_the_calibration_is_not_judged(frame):
    assert found("calibration", frame, [], None).verdict == "unknown"


@pytest.mark.parametrize(("factor", "verdict"), [(0.9, "good"), (0.5, "fair"), (0.2, "bad")])
def test_a_darker_camera_is_named_with_its_stops(frame, factor, verdict):
    images = [np.full_like(image, 200) for image in frame.images]
    images[3] = (factor * images[3]).astype(np.uint8)
    finding = found("exposure", replace(frame, images=tuple(images)), [], None)
    assert finding.verdict == verdict and finding.value.endswith(f"camera {frame.cameras[3].name}")
    assert float(finding.value.split()[0]) == pytest.approx(-np.log2(factor), abs=0.02)


def test_masks_that_lack_are_empty_or_inverted_are_told(frame):
    inverted = replace(frame, masks=tuple(255 - mask for mask in frame.masks))
    assert "inverted" in found("masks", inverted, [], None).remedy
    empty = replace(frame, masks=(np.zeros_like(frame.masks[0]), *frame.masks[1:]))
    assert f"camera {frame.cameras[0].name} shows no foreground" in found("masks", empty, [], None).remedy
    assert found("masks", replace(frame, masks=None), [], None).verdict == "unknown"


def test_a_camera_that_looks_away_is_named(frame):
    pose = frame.cameras[2].world_from_camera @ np.diag([-1.0, 1.0, -1.0, 1.0])
    cameras = (*frame.cameras[:2], replace(frame.cameras[2], world_from_camera=pose), *frame.cameras[3:])
    finding = found("overlap", replace(frame, cameras=cameras), [], ROOM)
    assert finding.verdict == "bad" and f"camera {frame.cameras[2].name} has 0 %" in finding.remedy


def test_points_behind_a_camera_are_not_seen(frame):
    camera = frame.cameras[0]
    ahead = camera.center_world + camera.world_from_camera[:3, 2]
    behind = camera.center_world - camera.world_from_camera[:3, 2]
    np.testing.assert_array_equal(
        views_of([camera], np.stack([ahead, behind, camera.center_world])), [[True, False, False]]
    )


def test_a_world_that_lies_on_its_side_has_no_ground(frame):
    assert "z = " in found("ground", frame, [], ROOM + np.array([0, 0, 0.25])).value
    assert found("ground", frame, [], ROOM[:, [2, 0, 1]]).verdict == "unknown"


@pytest.mark.parametrize(("error", "verdict"), [(0.05, "good"), (-0.3, "fair"), (0.8, "bad")])
def test_pictures_beside_their_instants_are_told(frame, error, verdict):
    errors = np.zeros((4, 14))
    errors[2, 3] = error
    finding = found("clock", frame, [], None, frame_errors=errors)
    assert finding.verdict == verdict and f"{abs(error):.2f} frames" in finding.value


def test_inspect_writes_a_page_that_needs_no_other_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scenes.DEFAULTS", SyntheticOptions(width=160, height=90, train_cameras=5, timesteps=1))
    argv = ["inspect", "plain", "--page", "page.html"]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    assert "calibration is" in printed and "exposure is" in printed
    text = (tmp_path / "page.html").read_text()
    assert text.count("data:image/png;base64,") >= 4 and 'src="http' not in text and "exposure is" in text
    assert Image.open(tmp_path / "page.png").size[1] > 1000
    assert main(argv) == 1 and "--overwrite" in capsys.readouterr().err
    assert main(["inspect", "plain", "--page", "page.txt"]) == 1 and ".html" in capsys.readouterr().err
    assert main(["inspect", "plain", "--timesteps", "999:1000"]) == 1 and "from 0 to" in capsys.readouterr().err


def test_inspect_tells_the_clock_of_videos_also_with_masks_of_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scene = tumble(TINY)
    write_videos(tmp_path / "rig", scene)
    anipose(tmp_path / "rig", all_cameras(scene), ())
    for camera in all_cameras(scene):
        (tmp_path / "masks" / f"cam{camera.name}").mkdir(parents=True)
        Image.new("L", (camera.width, camera.height), 80).save(tmp_path / "masks" / f"cam{camera.name}" / "1.png")
    argv = ["inspect", "rig", "--masks", "masks"]
    assert main([*argv, "--timesteps", "1:2"]) == 0
    printed = capsys.readouterr().out
    assert "good: pictures are at most 0.00 frames from their instants" in printed
    assert "31.4 % of the pixels at timestep 1" in printed
    assert main(argv) == 1 and "expected a mask cam0/000000.png" in capsys.readouterr().err


def misfit_of(before_px, after_px, delays, errors=0.05) -> Misfit:
    turns = np.radians(np.tile([0.5, -0.25, 0.0], (24, 1)))
    return Misfit(np.full(24, before_px), np.full(24, after_px), turns, np.array(delays), np.full(24, errors))


def test_outlines_that_agree_are_good(frame):
    arguments, still = (frame, [], None), np.zeros(24)
    assert found("outlines", *arguments, misfit=misfit_of(0.4, 0.3, still)).verdict == "good"
    assert found("delays", *arguments, misfit=misfit_of(0.4, 0.3, still)).verdict == "good"


def test_turned_cameras_come_with_the_lines_that_turn_them_back(frame):
    finding = found("outlines", frame, [], None, misfit=misfit_of(5.0, 0.5, np.zeros(24)))
    name = frame.cameras[0].name
    assert finding.verdict == "bad" and f"[turn_deg] {name} = [0.500, -0.250, 0.000], " in finding.remedy
    finding = found("outlines", frame, [], None, misfit=misfit_of(5.0, 4.0, np.zeros(24)))
    assert finding.verdict == "bad" and "masks" in finding.remedy and "turn_deg" not in finding.remedy


def test_a_late_camera_is_told_if_that_is_sure(frame):
    delays = np.zeros(24)
    delays[3] = -0.4
    finding = found("delays", frame, [], None, misfit=misfit_of(0.4, 0.3, delays))
    assert finding.verdict == "fair" and "0.40 +- 0.05 frames before" in finding.value
    assert f"camera {frame.cameras[3].name} " in finding.value
    assert found("delays", frame, [], None, misfit=misfit_of(0.4, 0.3, delays, 0.3)).verdict == "unknown"


def test_inspect_tells_how_a_camera_was_turned(tmp_path, capsys, monkeypatch):
    """A camera is turned by what recording.toml says, as if it had been bumped, and turned back by the remedy."""
    options = replace(TINY, width=160, height=96, timesteps=14, train_cameras=5)
    scene = tumble(options)
    write_videos(tmp_path / "c", scene)
    anipose(tmp_path / "c", all_cameras(scene), ())
    for camera, index in zip(all_cameras(scene), (*range(5), 0), strict=True):
        (tmp_path / "masks" / f"cam{camera.name}").mkdir(parents=True)
        for timestep in range(14):
            frame = scene.frame(timestep, "train" if camera in scene.cameras("train") else "test")
            Image.fromarray((frame.masks or ())[index]).save(
                tmp_path / "masks" / f"cam{camera.name}" / f"{timestep}.png"
            )
    name = f"cam{scene.cameras('train')[1].name}"
    (tmp_path / "c" / "recording.toml").write_text(f"[turn_deg]\n{name} = [1.0, -1.5, 0.0]\n")
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "c", "--masks", "masks"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "outlines is" in line)
    assert "bad: " in line
    [back] = re.findall(rf"{name} = \[(\S+), (\S+), \S+\]", line)
    np.testing.assert_allclose([float(value) for value in back], [-1.0, 1.5], atol=0.35)
