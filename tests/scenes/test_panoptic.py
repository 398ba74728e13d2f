import json
import re
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenes import PanopticScene, open_scene
from tests.scenes.panoptic_folder import MaskStorage, cloud_rows, stored_mask, tiny_scene, write_cloud, write_panoptic

RECORDING = Path(__file__).parents[3] / "shared" / "data" / "basketball12"


@pytest.fixture(scope="module")
def scene():
    return tiny_scene()


@pytest.fixture(scope="module")
def original(scene, tmp_path_factory):
    return write_panoptic(tmp_path_factory.mktemp("panoptic") / "capture", scene)


@pytest.fixture
def folder(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "capture"))


def test_cameras_come_back_in_the_z_up_world(scene, folder):
    read = open_scene(folder)
    assert isinstance(read, PanopticScene)
    assert read.timestep_count == scene.timestep_count and read.fps == 30.0 and read.name == str(folder)
    for split in ("train", "test"):
        for timestep in range(2):
            for camera, truth in zip(read.cameras(split, timestep), scene.cameras(split), strict=True):
                assert camera.name == truth.name and (camera.width, camera.height) == (truth.width, truth.height)
                np.testing.assert_array_equal(camera.intrinsics, truth.intrinsics)
                np.testing.assert_allclose(camera.world_from_camera, truth.world_from_camera, rtol=0, atol=1e-9)


def test_source_from_world_leads_back_to_the_stored_cloud(scene, folder):
    read = open_scene(folder)
    cloud = read.point_cloud()
    stored = cloud_rows(scene)
    back = cloud.points @ read.source_from_world[:3, :3].T + read.source_from_world[:3, 3]
    np.testing.assert_allclose(back, stored[:, :3], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(cloud.colors, stored[:, 3:6].astype(np.float32))
    np.testing.assert_array_equal(cloud.foreground, stored[:, 6] == 1)
    assert cloud.points[:, 2].min() > -0.05, "the floor is the lowest"
    assert np.linalg.det(read.source_from_world[:3, :3]) == pytest.approx(1.0, abs=1e-15)


def test_frames_keep_every_pixel(scene, folder):
    read = open_scene(folder)
    read.validate(range(2))
    for split in ("train", "test"):
        for frame, truth in zip(read.frames(split), scene.frames(split), strict=True):
            assert (frame.timestep, frame.time_s) == (truth.timestep, truth.time_s)
            np.testing.assert_array_equal(np.stack(frame.images), np.stack(truth.images))
            if split == "train":
                np.testing.assert_array_equal(np.stack(frame.masks), np.stack(truth.masks))
            else:
                assert frame.masks is None


@pytest.mark.parametrize("storage", ["1 bit", "0/1", "0/255"])
def test_masks_of_every_storage_become_0_and_255(scene, folder, storage: MaskStorage):
    frame = scene.frame(1)
    for camera, mask in zip(frame.cameras, frame.masks, strict=True):
        stored_mask(mask, storage).save(folder / "seg" / camera.name / "000001.png")
    masks = open_scene(folder).frame(1).masks
    assert all(mask.dtype == np.uint8 for mask in masks)
    np.testing.assert_array_equal(np.stack(masks), 255 * (np.stack(frame.masks) > 0))


def test_palette_and_alpha_masks_are_understood(scene, folder):
    mask = scene.frame(0).masks[0] > 0
    path = folder / "seg" / "0" / "000000.png"
    indexed = Image.fromarray(mask.astype(np.uint8)).convert("P")
    indexed.putpalette([0, 0, 0, 128, 0, 0])
    for picture in (
        indexed,
        Image.merge("LA", [Image.fromarray(mask.astype(np.uint8) * 255), Image.new("L", (40, 24), 255)]),
    ):
        picture.save(path)
        np.testing.assert_array_equal(open_scene(folder).frame(0).masks[0], mask * np.uint8(255))


def test_optional_files_may_be_absent(folder):
    for name in ("test_meta.json", "init_pt_cld.npz"):
        (folder / name).unlink()
    shutil.rmtree(folder / "seg")
    read = open_scene(folder)
    read.validate(range(read.timestep_count))
    assert read.cameras("test") == () and read.frame(0, "test").images == ()
    assert read.point_cloud() is None and read.frame(0).masks is None and read.ground_truth() is None


def test_cloud_is_ignored_when_not_wanted_even_if_broken(folder):
    (folder / "init_pt_cld.npz").write_bytes(b"broken")
    read = open_scene(folder, use_cloud=False)
    read.validate(range(2))
    assert read.point_cloud() is None


def test_pictures_are_opened_only_when_their_timestep_is_reached(folder):
    shutil.rmtree(folder / "ims" / "1")
    (folder / "ims" / "1").mkdir()
    frames = open_scene(folder).frames()
    with pytest.raises(FileNotFoundError, match="1/000000"):
        next(frames)


def test_only_the_chosen_timesteps_are_validated(folder):
    (folder / "ims" / "2" / "000001.png").unlink()
    read = open_scene(folder)
    read.validate(range(1))
    with pytest.raises(FileNotFoundError, match=r"2/000001.png: expected a picture, got no such file; copy it"):
        read.validate(range(2))
    with pytest.raises(ValueError, match="timesteps: expected from 0 to 1, got 0 to 2; choose from 0:2"):
        read.validate(range(3))


def edit(folder: Path, change: Callable[[dict], object], name: str = "train_meta.json") -> None:
    fields = json.loads((folder / name).read_text())
    change(fields)
    (folder / name).write_text(json.dumps(fields))


def put(key: str, value: object, *indices: int) -> Callable[[Path], None]:
    """Break one number, entry or field of train_meta.json."""

    def change(fields: dict) -> None:
        target, last = fields, key
        for index in indices:
            target, last = target[last], index
        target[last] = value

    return lambda folder: edit(folder, change)


def rotate_w2c(fields: dict) -> None:
    fields["w2c"][1][2][0][0] += 0.01


def mirror_w2c(fields: dict) -> None:
    fields["w2c"][0][0][0] = [-x for x in fields["w2c"][0][0][0]]


CALIBRATION = {
    "not JSON": (lambda f: (f / "train_meta.json").write_text("{"), "valid JSON"),
    "not an object": (lambda f: (f / "train_meta.json").write_text("[]"), "a JSON object"),
    "field missing": (lambda f: edit(f, lambda m: m.pop("w2c")), "none named w2c"),
    "size zero": (put("w", 0), "w: expected a positive whole number"),
    "k NaN": (put("k", float("nan"), 0, 1, 0, 0), "k and w2c: expected finite numbers"),
    "k null": (put("k", None, 0, 1, 0, 0), "k and w2c: expected finite numbers"),
    "w2c infinite": (put("w2c", float("inf"), 1, 0, 2, 3), "k and w2c: expected finite numbers"),
    "focal negative": (put("k", -30.0, 1, 0, 1, 1), r"focal length: expected fx > 0 and fy > 0 \[px\]"),
    "focal zero": (put("k", 0.0, 0, 0, 0, 0), r"focal length: expected fx > 0 and fy > 0 \[px\]"),
    "skew": (put("k", 3.0, 0, 0, 0, 1), "undistort to a pinhole without skew"),
    "k ragged": (put("k", [[1.0, 0.0]], 0, 0), "3x3 matrices"),
    "k 2x2": (put("k", [[[1, 0], [0, 1]]] * 3, 0), "one 3x3 matrix per camera"),
    "rotation scaled": (lambda f: edit(f, rotate_w2c), "w2c: expected a rigid transform with an orthonormal rotation"),
    "rotation mirrored": (lambda f: edit(f, mirror_w2c), "det R = -1"),
    "fewer cameras": (lambda f: edit(f, lambda m: m["k"][1].pop()), r"k, timestep 1: expected as many cameras as pict"),
    "fewer images": (
        lambda f: edit(f, lambda m: m["fn"][0].pop()),
        r"timestep 0: expected as many cameras as pictures",
    ),
    "fewer timesteps": (lambda f: edit(f, lambda m: m["w2c"].pop()), r"w2c: expected as many timesteps as fn \(2\)"),
    "no timesteps": (lambda f: edit(f, lambda m: [m[k].clear() for k in ("k", "w2c", "fn", "cam_id")]), "at least one"),
    "not a list": (put("fn", "000000.png"), "fn: expected a list per timestep"),
    "same camera twice": (put("cam_id", 1, 0, 0), "a different id for each camera"),
    "camera id a path": (put("cam_id", "../1", 0, 0), "cam_id: expected names without"),
    "leaves the folder": (put("fn", "../../secret.png", 0, 0), "fn: expected a path inside the folder ims/"),
    "absolute path": (put("fn", "/etc/secret.png", 0, 0), "fn: expected a path inside the folder ims/"),
    "backslashes": (put("fn", "..\\secret.png", 0, 0), "fn: expected a path inside the folder ims/"),
    "file name a number": (put("fn", 7, 0, 0), "fn: expected a relative path"),
}


@pytest.mark.parametrize("case", CALIBRATION)
def test_broken_calibration_is_refused_with_file_and_remedy(folder, case):
    change, words = CALIBRATION[case]
    change(folder)
    with pytest.raises(ValueError, match=words) as refusal:
        open_scene(folder).validate(range(2))
    assert "train_meta.json" in str(refusal.value)


def test_test_cameras_of_another_length_are_refused(folder):
    edit(folder, lambda m: [m[k].pop() for k in ("k", "w2c", "fn", "cam_id")], "test_meta.json")
    with pytest.raises(ValueError, match=r"test_meta.json: expected as many timesteps as train_meta.json \(2\), got 1"):
        open_scene(folder)


def shrink(path: Path) -> None:
    Image.open(path).resize((20, 12)).save(path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


PICTURES = {
    "missing": (Path.unlink, FileNotFoundError, "no such file"),
    "truncated": (truncate, OSError, "expected a whole picture"),
    "empty": (lambda path: path.write_bytes(b""), OSError, "expected a JPEG or PNG picture"),
    "wrong size": (shrink, ValueError, "expected 40x24 pixels, as .*, got 20x12"),
}


@pytest.mark.parametrize("timestep", [0, 1])
@pytest.mark.parametrize("name", ["ims/1", "seg/1", "ims/3"])
@pytest.mark.parametrize("case", PICTURES)
def test_broken_picture_is_refused_with_its_name(folder, case, name, timestep):
    change, kind, words = PICTURES[case]
    path = folder / name / f"{timestep:06d}.png"
    change(path)
    with pytest.raises(kind, match=words) as refusal:
        open_scene(folder).validate(range(2))
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("timestep", [0, 1])
def test_truncated_jpeg_is_refused(scene, tmp_path, timestep):
    root = write_panoptic(tmp_path / "capture", scene, suffix=".jpg")
    read = open_scene(root)
    read.validate(range(2))
    path = root / "ims" / "2" / f"{timestep:06d}.jpg"
    truncate(path)
    with pytest.raises(OSError, match=re.escape(str(path))):
        read.validate(range(2))


def test_masks_without_foreground_are_refused(folder):
    for path in (folder / "seg").glob("*/000000.png"):
        Image.new("1", (40, 24)).save(path)
    with pytest.raises(ValueError, match=r"seg: expected some foreground pixels in at least one mask"):
        open_scene(folder).validate(range(2))


def test_one_empty_mask_is_fine(folder):
    Image.new("1", (40, 24)).save(folder / "seg" / "0" / "000000.png")
    read = open_scene(folder)
    read.validate(range(2))
    assert not read.frame(0).masks[0].any()


def with_value(value: float, column: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(rows: np.ndarray) -> np.ndarray:
        rows[5, column] = value
        return rows

    return change


CLOUDS = {
    "NaN position": (with_value(np.nan, 1), "points: expected finite numbers, got nan at"),
    "infinite color": (with_value(np.inf, 4), "colors: expected finite numbers"),
    "8-bit colors": (with_value(200.0, 4), "divide 8-bit colors by 255"),
    "empty": (lambda rows: rows[:0], "at least one point"),
    "wrong columns": (lambda rows: rows[:, :4], r"shape \[n, 7\]"),
    "flat": (lambda rows: rows[0], r"shape \[n, 7\]"),
    "text": (lambda rows: rows.astype(str), "expected numbers"),
    "pickled objects": (
        lambda rows: rows.astype(object),
        "an .npz file of plain arrays, got Object arrays cannot be loaded",
    ),
}


@pytest.mark.parametrize("case", CLOUDS)
def test_broken_cloud_is_refused_with_file_and_remedy(scene, folder, case):
    change, words = CLOUDS[case]
    write_cloud(folder, change(cloud_rows(scene)))
    with pytest.raises(ValueError, match=words) as refusal:
        open_scene(folder).validate(range(2))
    assert "init_pt_cld.npz" in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_cloud_that_is_no_npz_is_refused(folder, content):
    path = folder / "init_pt_cld.npz"
    path.write_bytes(path.read_bytes()[:500] if content is None else content)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        open_scene(folder).validate(range(2))


def test_cloud_without_data_is_refused(folder):
    np.savez(folder / "init_pt_cld.npz", points=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"init_pt_cld.npz: expected an array named data, got none"):
        open_scene(folder).point_cloud()


def test_cloud_without_foreground_column_leaves_it_unknown(scene, folder):
    write_cloud(folder, cloud_rows(scene)[:, :6])
    assert open_scene(folder).point_cloud().foreground is None


@pytest.mark.skipif(not RECORDING.is_dir(), reason="the recording is not here")
def test_real_recording_is_read_and_its_cloud_lies_in_its_masks():
    read = open_scene(RECORDING)
    read.validate(range(2))
    frame = read.frame(0)
    assert (read.timestep_count, len(frame.images), len(read.cameras("test"))) == (12, 27, 4)
    assert [camera.name for camera in read.cameras("test")] == ["0", "10", "15", "30"]
    assert all(np.isin(mask, [0, 255]).all() for mask in frame.masks)
    assert all(camera.center_world[2] > 0.5 for camera in frame.cameras), "cameras hang above the floor"
    cloud = read.point_cloud()
    points = cloud.points[cloud.foreground]
    for camera, mask in zip(frame.cameras, frame.masks, strict=True):
        in_camera = points @ camera.camera_from_world[:3, :3].T + camera.camera_from_world[:3, 3]
        pixels = in_camera @ camera.intrinsics.T
        columns, rows = np.floor(pixels[:, :2] / pixels[:, 2:]).astype(int).T
        inside = (columns >= 0) & (columns < 640) & (rows >= 0) & (rows < 360) & (pixels[:, 2] > 0.0)
        assert inside.sum() > 1000 and (mask[rows[inside], columns[inside]] > 0).mean() > 0.9


def test_a_cloud_that_unpacks_without_end_is_refused_unread(folder):
    np.savez_compressed(folder / "init_pt_cld.npz", data=np.zeros((4_000_000, 7)))
    size = (folder / "init_pt_cld.npz").stat().st_size
    assert size < 300_000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"a cloud of at most {20 * size} bytes, got 224\d+ once unpacked"):
            open_scene(folder).point_cloud()
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()
