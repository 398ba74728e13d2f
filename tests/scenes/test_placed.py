from dataclasses import dataclass

import numpy as np
import pytest

from scenes import PlacedScene, VideosScene, open_scene
from scenes.synthetic import tumble
from tests.scenes.colmap_folder import write_colmap
from tests.scenes.panoptic_folder import TINY
from tests.scenes.test_colmap import NAMINGS
from tests.scenes.videos_folder import all_cameras, anipose, write_videos
from warpgs.cli.shared import open_run
from warpgs.run import Run
from warpgs.types import Camera


@dataclass(frozen=True)
class Config:
    """Settings of a run."""

    steps: int = 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_colmap(tmp_path_factory.mktemp("placed") / "capture", tumble(TINY), NAMINGS["folder per camera"])


def pixels(camera: Camera, points: np.ndarray) -> np.ndarray:
    local = (points - camera.center_world) @ camera.world_from_camera[:3, :3] @ camera.intrinsics.T
    return local[:, :2] / local[:, 2:]


@pytest.mark.parametrize("up", [None, "x", "-y"])
def test_a_unit_and_an_axis_change_no_picture(folder, up):
    plain, placed = open_scene(folder), open_scene(folder, meters_per_unit=0.25, up=up)
    assert placed.name == plain.name and placed.timestep_count == plain.timestep_count
    for split in ("train", "test"):
        for a, b in zip(plain.cameras(split, 1), placed.cameras(split, 1), strict=True):
            assert a.name == b.name
            shown = pixels(b, placed.point_cloud().points)
            np.testing.assert_allclose(shown, pixels(a, plain.point_cloud().points), atol=1e-6)
        np.testing.assert_array_equal(placed.frame(1, split).images, plain.frame(1, split).images)


def test_lengths_and_axes_are_those_that_were_given(folder):
    plain, placed = open_scene(folder), open_scene(folder, meters_per_unit=0.25, up="-y")
    sizes = [np.ptp(scene.point_cloud().points, axis=0) for scene in (plain, open_scene(folder, meters_per_unit=0.25))]
    np.testing.assert_allclose(sizes[1], 0.25 * sizes[0])
    np.testing.assert_allclose(placed.source_from_world[:3, 2], [0.0, -4.0, 0.0], atol=1e-12)
    # What the files say is where it was, whatever the world.
    stored = [
        scene.point_cloud().points @ scene.source_from_world[:3, :3].T + scene.source_from_world[:3, 3]
        for scene in (plain, placed)
    ]
    np.testing.assert_allclose(stored[0], stored[1], atol=1e-9)


def test_nothing_given_changes_nothing(folder):
    assert not isinstance(open_scene(folder), PlacedScene)


def test_an_axis_alone_keeps_the_unit_of_a_calibration(tmp_path):
    scene = tumble(TINY)
    write_videos(tmp_path, scene)
    anipose(tmp_path, all_cameras(scene), ())
    (tmp_path / "recording.toml").write_text('unit = "mm"\n')
    assert isinstance(open_scene(tmp_path), VideosScene)
    turned = open_scene(tmp_path, up="y").source_from_world
    np.testing.assert_allclose(np.cbrt(np.linalg.det(turned[:3, :3])), 1000.0)
    np.testing.assert_allclose(turned[:3, 2], [0.0, 1000.0, 0.0], atol=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"meters_per_unit": 0.0}, "--meters-per-unit: expected a positive number, got 0"),
        ({"meters_per_unit": float("nan")}, "--meters-per-unit: expected a positive number, got nan"),
        ({"up": "w"}, "--up: expected one of z -z y"),
    ],
)
def test_senseless_units_and_axes_are_refused(folder, options, words):
    with pytest.raises(ValueError, match=words):
        open_scene(folder, **options)


def test_built_in_scenes_have_their_unit():
    with pytest.raises(ValueError, match="tumble: expected a recording to be given a unit or an axis"):
        open_scene("tumble", up="y")


def test_a_run_opens_its_recording_in_the_world_it_was_tracked_in(folder, tmp_path):
    placed = open_scene(folder, meters_per_unit=0.25, up="x")
    Run.create(tmp_path / "run", placed, Config()).close()
    _, opened = open_run(tmp_path / "run", None)
    np.testing.assert_allclose(opened.source_from_world, placed.source_from_world)
    for a, b in zip(opened.cameras("train"), placed.cameras("train"), strict=True):
        np.testing.assert_allclose(a.world_from_camera, b.world_from_camera, atol=1e-12)
