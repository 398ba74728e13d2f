"""Depth images give the starting cloud."""

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from scenes import open_scene
from scenes.depth import DepthShot, cloud_of_depths
from scenes.shots import Shot
from scenes.synthetic import tumble
from scenes.undistort import Lens, Undistortion
from tests.reference.distortion import distort
from tests.scenes.panoptic_folder import TINY
from tests.scenes.ros_folder import write_ros
from tests.scenes.transforms_folder import FOLDER_PER_CAMERA, millimetres, save, write_transforms
from warpgs.types import Camera

WRITERS = {
    "transforms, in mm": partial(write_transforms, naming=FOLDER_PER_CAMERA, depths=True),
    "ros, in m": partial(write_ros, depths=True),
}
LENSES = (Lens("brown", (-0.2, 0.03, 1e-3, -2e-3)), Lens("fisheye", (0.02, -0.01, 0.0, 0.0)))


@pytest.fixture(scope="module")
def scene():
    return tumble(replace(TINY, width=80, height=48, test_cameras=0))


@pytest.fixture(params=WRITERS)
def root(request, scene, tmp_path):
    return WRITERS[request.param](tmp_path / "capture", scene)


def surface(scene):
    """Where the rays of all training pixels end at timestep 0, shape [n, 3], and the colors there."""
    points, colors = [], []
    for camera, image in zip(scene.cameras("train"), scene.frame(0).images, strict=True):
        rows, columns = np.indices((camera.height, camera.width)) + 0.5
        rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
        local = (rays * scene.depth(0, camera)[..., None]).reshape(-1, 3)
        points.append(local @ camera.world_from_camera[:3, :3].T + camera.center_world)
        colors.append(image.reshape(-1, 3) / 255.0)
    return np.concatenate(points), np.concatenate(colors)


def test_cloud_lies_on_what_cameras_see_in_its_colors(scene, root):
    capture = open_scene(root)
    capture.validate(range(2))
    cloud, (points, colors) = capture.point_cloud(), surface(scene)
    assert len(cloud.points) > 2000 and cloud.foreground is None
    distance, index = cKDTree(points).query(cloud.points)
    spacing = np.median(cKDTree(points).query(points, 2)[0][:, 1])
    assert np.median(distance) < 0.3 * spacing and np.percentile(distance, 99) < 3.0 * spacing
    assert np.median(np.abs(cloud.colors - colors[index])) < 0.03
    # All of it is covered.
    assert np.percentile(cKDTree(cloud.points).query(points)[0], 95) < 5.0 * spacing
    assert open_scene(root, use_cloud=False).point_cloud() is None


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("smaller", [1, 2])
def test_points_are_where_the_lens_shows_them(tmp_path, lens, smaller):
    """Depths that differ from column to column tell in which one each point was seen."""
    intrinsics = np.array([[60.0, 0.0, 41.0], [0.0, 62.0, 23.5], [0.0, 0.0, 1.0]])
    taken = Camera("c", 80, 48, intrinsics, np.eye(4))
    undistortion = Undistortion(taken, lens)
    columns = np.tile(1.0 + 0.01 * np.arange(80 // smaller), (48 // smaller, 1))
    np.save(tmp_path / "d.npy", columns.astype(np.float32))
    save(tmp_path / "c.png", np.zeros((48, 80, 3), np.uint8))
    shot = Shot(tmp_path / "c.png", None, undistortion.camera, undistortion, False)
    points = cloud_of_depths("c", [DepthShot(shot, tmp_path / "d.npy", None)]).points.astype(np.float64)
    seen = distort(lens.model, lens.coefficients, points[:, :2] / points[:, 2:]) * [60.0, 62.0] + [41.0, 23.5]
    column = np.floor(seen[:, 0] / smaller)
    # A merged point is the mean of two in neighboring columns.
    np.testing.assert_allclose(points[:, 2], 1.0 + 0.01 * column, atol=0.0101)
    assert np.median(np.abs(points[:, 2] - 1.0 - 0.01 * column)) < 1e-6 and len(points) > 2500


def test_unknown_depths_and_edges_give_no_points(tmp_path):
    taken = Camera("c", 80, 48, np.array([[60.0, 0.0, 40.0], [0.0, 60.0, 24.0], [0.0, 0.0, 1.0]]), np.eye(4))
    depth = np.full((48, 80), 2.0, np.float32)
    depth[:, 40:], depth[:10], depth[40:] = 4.0, np.nan, 0.0
    np.save(tmp_path / "d.npy", depth)
    save(tmp_path / "c.png", np.zeros((48, 80, 3), np.uint8))
    shot = Shot(tmp_path / "c.png", None, taken, None, False)
    points = cloud_of_depths("c", [DepthShot(shot, tmp_path / "d.npy", None)]).points
    pixels = 60.0 * points[:, :2] / points[:, 2:] + [40.0, 24.0]
    assert np.isin(points[:, 2], [2.0, 4.0]).all()
    assert pixels[:, 1].min() > 10.0 and pixels[:, 1].max() < 40.0
    assert not ((pixels[:, 0] > 39.1) & (pixels[:, 0] < 40.9)).any()
    np.save(tmp_path / "d.npy", 0.0 * depth)
    assert cloud_of_depths("c", [DepthShot(shot, tmp_path / "d.npy", None)]) is None


def test_transforms_may_state_the_unit_of_depths(scene, tmp_path):
    plain = WRITERS["transforms, in mm"](tmp_path / "a", scene)
    other = WRITERS["transforms, in mm"](tmp_path / "b", scene, extra={"depth_unit_scale_factor": 0.002})
    clouds = [open_scene(root).point_cloud().points for root in (plain, other)]
    center = np.mean([camera.center_world for camera in scene.cameras("train")], axis=0)
    reach = [np.median(np.linalg.norm(points - center, axis=1)) for points in clouds]
    assert reach[1] > 1.5 * reach[0]
    fields = json.loads((other / "transforms.json").read_text())
    (other / "transforms.json").write_text(json.dumps(fields | {"depth_unit_scale_factor": 0}))
    with pytest.raises(ValueError, match="depth_unit_scale_factor: expected a positive number, got 0"):
        open_scene(other).point_cloud()


def colored(path):
    Image.fromarray(np.zeros((48, 80, 3), np.uint8)).save(path)


BROKEN = {
    "other aspect": (lambda path: save(path, np.ones((48, 60), np.uint16)), "a depth image on the picture, 80x48"),
    "larger": (lambda path: save(path, np.ones((96, 160), np.uint16)), "expected at most 80x48 pixels, got 160x96"),
    "8 bits": (lambda path: save(path, np.ones((48, 80), np.uint8)), "one channel of 16 or 32 bits, got uint8"),
    "color": (colored, "one channel of 16 or 32 bits, got uint8 of shape"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:300]), "expected a whole picture"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_depth_image_is_refused(scene, tmp_path, case):
    root = WRITERS["transforms, in mm"](tmp_path / "capture", scene)
    path = next(root.glob("depths/cam0/000000.png"))
    save(path, millimetres(scene.depth(0, scene.cameras("train")[0])))
    spoil, words = BROKEN[case]
    spoil(path)
    with pytest.raises((ValueError, OSError), match=f"{re.escape(str(path))}: .*{words}"):
        open_scene(root).validate(range(1))
