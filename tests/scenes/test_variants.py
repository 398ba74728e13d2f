from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scenes import VARIANTS, built_in_scene, open_scene
from scenes.synthetic import SyntheticOptions
from scenes.synthetic.variants import CENTER_PX, CLOUD_M, OUTLIERS, PLACE_M, miscalibrated, ragged, scattered
from warpgs.checks import check_camera, check_frame, check_point_cloud
from warpgs.types import Camera, PointCloud, Scene

OPTIONS = SyntheticOptions(
    width=80, height=45, timesteps=3, train_cameras=6, test_cameras=2, samples=1, truth_points=20,
    cloud_background=300, cloud_foreground=200,
)  # fmt: skip
CHANGES = {
    # held-out cameras stand between the others, and fewer cameras see fewer points
    "four": {"train", "images", "masks", "test", "test_images", "test_masks", "cloud", "truth"},
    "exposure": {"images"},
    "ragged_masks": {"masks"},
    "no_masks": {"masks", "test_masks", "cloud"},
    "noisy_cloud": {"cloud"},
    "no_cloud": {"cloud"},
    "calibration": {"train"},
    "small": {"train", "test", "cloud", "truth"},
    "large": {"train", "test", "cloud", "truth"},
    "turned": {"train", "test", "cloud", "truth"},
    "far": {"train", "test", "cloud", "truth"},
    "shuffled": {"train", "images", "masks"},
    "take2": {"images", "test_images", "masks", "test_masks", "cloud", "truth"},
}
"""What may differ from the base scene."""
FRAMES = ("small", "large", "turned", "far")


def make(name: str, options: SyntheticOptions = OPTIONS) -> Scene:
    return built_in_scene(name, options)


@pytest.fixture(scope="module")
def base() -> Scene:
    return make("tumble")


@pytest.fixture(params=VARIANTS, scope="module")
def varied(request) -> tuple[str, Scene]:
    return request.param, make(f"tumble+{request.param}")


def calibration(cameras: tuple[Camera, ...]) -> list:
    return [(camera.name, camera.intrinsics.tolist(), camera.world_from_camera.tolist()) for camera in cameras]


def aspects(scene: Scene) -> dict[str, object]:
    """All that a scene hands out, as values that compare."""
    train, test, cloud, truth = scene.frame(1), scene.frame(1, "test"), scene.point_cloud(), scene.ground_truth()
    return {
        "train": calibration(train.cameras),
        "test": calibration(test.cameras),
        "images": [image.tobytes() for image in train.images],
        "test_images": [image.tobytes() for image in test.images],
        "masks": None if train.masks is None else [mask.tobytes() for mask in train.masks],
        "test_masks": None if test.masks is None else [mask.tobytes() for mask in test.masks],
        "cloud": None if cloud is None else [None if a is None else a.tolist() for a in vars(cloud).values()],
        "truth": (truth.points.tobytes(), truth.world_from_body.tobytes()),
    }


def project(camera: Camera, points: np.ndarray) -> np.ndarray:
    in_camera = points.astype(np.float64) @ camera.camera_from_world[:3, :3].T + camera.camera_from_world[:3, 3]
    projected = in_camera @ camera.intrinsics.T
    return projected[:, :2] / projected[:, 2:]


def test_a_variant_changes_what_it_says_and_nothing_else(base, varied):
    name, scene = varied
    before, after = aspects(base), aspects(scene)
    assert {aspect for aspect in before if before[aspect] != after[aspect]} == CHANGES[name]


def test_a_variant_keeps_the_contract_of_scenes(varied):
    name, scene = varied
    assert scene.name == f"tumble+{name}" and scene.timestep_count == 3 and scene.fps == 30.0
    scene.validate(range(3))
    for split in ("train", "test"):
        assert calibration(scene.cameras(split, 2)) == calibration(scene.frame(2, split).cameras)
        check_frame(name, scene.frame(2, split))
        for camera in scene.cameras(split):
            check_camera(name, camera)
    if (cloud := scene.point_cloud()) is not None:
        check_point_cloud(name, cloud)


def test_truth_is_where_the_pictures_show_it(base, varied):
    """In every frame and unit, the true points fall on the pixels they fell on, and the same of them are visible."""
    name, scene = varied
    here, there = base.ground_truth(), scene.ground_truth()
    if name in ("four", "take2"):
        pytest.skip("has other points")
    for split in ("train", "test"):
        cameras = {camera.name: camera for camera in base.cameras(split)}
        for camera in scene.cameras(split):
            pixels = project(cameras[camera.name], here.points[2])
            off = 3.0 if name == "calibration" and split == "train" else 2e-3
            np.testing.assert_allclose(project(camera, there.points[2]), pixels, atol=off)
            visible = scene.visible(2, camera)
            np.testing.assert_array_equal(visible, base.visible(2, cameras[camera.name]))
            assert visible.any()


def test_pictures_of_a_shuffled_scene_stay_with_their_cameras(base):
    scene, frame = make("tumble+shuffled"), base.frame(1)
    shuffled, names = scene.frame(1), [camera.name for camera in frame.cameras]
    order = [names.index(camera.name) for camera in shuffled.cameras]
    assert sorted(order) == list(range(6)) and order != list(range(6))
    for position, index in enumerate(order):
        np.testing.assert_array_equal(shuffled.images[position], frame.images[index])
        np.testing.assert_array_equal(shuffled.masks[position], frame.masks[index])


@pytest.mark.parametrize("name", FRAMES)
def test_another_frame_keeps_the_motion_and_knows_the_way_back(base, name):
    scene, old = make(f"tumble+{name}"), base.ground_truth()
    new, back = scene.ground_truth(), scene.source_from_world
    scale = np.cbrt(np.linalg.det(back[:3, :3]))
    np.testing.assert_allclose(new.points @ back[:3, :3].T + back[:3, 3], old.points, atol=1e-4)
    turns = Rotation.from_quat(np.roll(new.rotations_wxyz[2], -1, axis=1))
    poses = new.world_from_body[:, new.body_index]
    local = np.einsum("nji,nj->ni", poses[0, :, :3, :3], new.points[0] - poses[0, :, :3, 3])
    carried = np.einsum("nij,nj->ni", poses[2, :, :3, :3], local) + poses[2, :, :3, 3]
    np.testing.assert_allclose(scale * carried, scale * new.points[2], atol=2e-4)
    arms = turns.apply(new.points[0] - poses[0, :, :3, 3])
    np.testing.assert_allclose(scale * arms, scale * (new.points[2] - poses[2, :, :3, 3]), atol=2e-4)
    centers = [camera.center_world for camera in scene.cameras("train")]
    for center, camera in zip(centers, base.cameras("train"), strict=True):
        np.testing.assert_allclose(back[:3, :3] @ center + back[:3, 3], camera.center_world, atol=1e-9)


def test_exposure_is_one_gain_per_camera_and_channel(base):
    scene, gains = make("tumble+exposure"), []
    for timestep in (0, 2):
        clean, changed = base.frame(timestep).images, scene.frame(timestep).images
        for before, after in zip(clean, changed, strict=True):
            dark = (after.max(axis=-1) < 250) & (before.min(axis=-1) > 60)
            gains.append(np.median(after[dark] / before[dark], axis=0))
            assert np.abs(after[dark] - gains[-1] * before[dark]).max() < 2.5
    gains = np.reshape(gains, (2, 6, 3))
    np.testing.assert_allclose(gains[0], gains[1], atol=0.01)
    assert 0.03 < np.log(gains[0]).mean(axis=1).std() < 0.4


def test_ragged_masks_are_hard_rough_and_near_the_truth():
    y, x = np.indices((120, 160))
    disk = np.where(np.hypot(x - 80, y - 60) < 35, 255, 0).astype(np.uint8)
    first, again, other = (ragged(disk, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert set(np.unique(first)) == {0, 255} and not np.array_equal(first, other)
    overlap = ((first > 0) & (disk > 0)).sum() / ((first > 0) | (disk > 0)).sum()
    assert 0.8 < overlap < 0.97
    assert not ragged(np.zeros_like(disk), np.random.default_rng(0)).any()


def test_noise_of_cloud_and_calibration_has_the_announced_size(base):
    cloud = PointCloud(np.zeros((20_000, 3), np.float32), np.zeros((20_000, 3), np.float32), None)
    moved = np.linalg.norm(scattered(cloud, np.random.default_rng(0)).points, axis=1)
    assert np.median(moved) == pytest.approx(1.54 * CLOUD_M, rel=0.05), "median of a Maxwell distribution"
    assert (moved > 6.0 * CLOUD_M).mean() == pytest.approx(OUTLIERS, rel=0.2)
    camera, generator = base.cameras("train")[0], np.random.default_rng(0)
    claims = [miscalibrated(camera, generator) for _ in range(500)]
    shifts = np.array([claim.intrinsics[:2, 2] - camera.intrinsics[:2, 2] for claim in claims])
    places = np.array([claim.center_world - camera.center_world for claim in claims])
    assert shifts.std() == pytest.approx(CENTER_PX, rel=0.1) and places.std() == pytest.approx(PLACE_M, rel=0.1)


def test_variants_join_and_the_seed_decides():
    name = "arm+exposure+ragged_masks+small+shuffled"
    first, again, other = make(name), make(name), make(name, replace(OPTIONS, seed=1))
    assert aspects(first) == aspects(again) and first.name == name
    assert aspects(first)["images"] != aspects(other)["images"]
    lengths = [np.linalg.norm(scene.cameras("train")[0].center_world) for scene in (make("arm+shuffled"), first)]
    assert lengths[1] == pytest.approx(0.01 * lengths[0])


def test_a_variant_opens_by_name():
    scene = open_scene("tumble+four+exposure", use_cloud=False)
    assert scene.name == "tumble+four+exposure" and scene.point_cloud() is None
    assert len(scene.cameras("train")) == 4


def test_unknown_variants_are_refused():
    with pytest.raises(ValueError, match=r"tumble\+fuor: expected variants of tumble among four, .*, got fuor"):
        open_scene("tumble+fuor")
    with pytest.raises(ValueError, match=r"arm\+four\+four: expected each variant once, got four again"):
        make("arm+four+four")
    with pytest.raises(ValueError, match=r"arm\+: expected variants .*, got nothing after a plus sign"):
        make("arm+")
    with pytest.raises(ValueError, match=r"leg: expected a built-in scene \(tumble, .*\), got leg"):
        make("leg")


def test_every_variant_has_a_summary_and_a_test():
    assert set(VARIANTS) == set(CHANGES)
    assert all(len(variant.summary) > 10 for variant in VARIANTS.values())
