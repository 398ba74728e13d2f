"""``params.npz`` as the code of Dynamic3DGaussians writes it, and as it must not be."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.usd_export.sample import covariances
from usd_export import read_tracks

Z_UP_FROM_Y_DOWN = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def make_params(steps: int = 4, count: int = 30, cameras: int = 2) -> dict[str, np.ndarray]:
    """What training saves: colors at every timestep, quaternions of any length."""
    rng = np.random.default_rng(2)
    return {
        "means3D": rng.normal(size=(steps, count, 3)),
        "rgb_colors": np.tile(rng.uniform(size=(count, 3)), (steps, 1, 1)),
        "seg_colors": np.stack([np.arange(count) % 2, np.zeros(count), 1 - np.arange(count) % 2], axis=1),
        "unnorm_rotations": rng.normal(size=(steps, count, 4)) * rng.uniform(0.1, 9.0, size=(steps, count, 1)),
        "logit_opacities": rng.normal(size=(count, 1)),
        "log_scales": rng.normal(-3.0, 1.0, size=(count, 3)),
        "cam_m": rng.normal(size=(cameras, 3)),
        "cam_c": rng.normal(size=(cameras, 3)),
    }


def write(path: Path, params: dict[str, Any], *, dtype: type = np.float32, compressed: bool = False) -> Path:
    arrays = {name: np.asarray(array, dtype) if array.dtype == float else array for name, array in params.items()}
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("compressed", [False, True])
def test_params_are_read_into_a_world_with_z_up(tmp_path: Path, dtype: type, compressed: bool):
    params = make_params()
    tracks = read_tracks(write(tmp_path / "params.npz", params, dtype=dtype, compressed=compressed))
    params = {name: array.astype(dtype).astype(np.float64) for name, array in params.items()}
    np.testing.assert_allclose(tracks.means, params["means3D"] @ Z_UP_FROM_Y_DOWN.T, atol=1e-6)
    unit = params["unnorm_rotations"] / np.linalg.norm(params["unnorm_rotations"], axis=2, keepdims=True)
    for i in range(4):
        inside = covariances(unit[i], params["log_scales"])
        expected = Z_UP_FROM_Y_DOWN @ inside @ Z_UP_FROM_Y_DOWN.T
        np.testing.assert_allclose(
            covariances(tracks.rotations_wxyz[i], tracks.log_scales), expected, rtol=1e-4, atol=1e-7
        )
        turned = Z_UP_FROM_Y_DOWN @ Rotation.from_quat(unit[i][:, [1, 2, 3, 0]]).as_matrix()  # axis by axis
        got = Rotation.from_quat(tracks.rotations_wxyz[i][:, [1, 2, 3, 0]]).as_matrix()
        np.testing.assert_allclose(got, turned, atol=1e-6)
    np.testing.assert_allclose(tracks.colors, params["rgb_colors"][0], atol=1e-7)
    np.testing.assert_allclose(tracks.opacity_logits, params["logit_opacities"][:, 0], atol=1e-6)
    np.testing.assert_array_equal(tracks.foreground, np.arange(30) % 2)
    np.testing.assert_allclose(tracks.camera_log_gains, params["cam_m"], atol=1e-6)
    np.testing.assert_allclose(tracks.camera_offsets, params["cam_c"], atol=1e-6)
    np.testing.assert_array_equal(tracks.source_from_world[:3, :3], Z_UP_FROM_Y_DOWN.T)
    assert (tracks.timesteps, tracks.fps, tracks.camera_names) == ((0, 1, 2, 3), 30.0, ("0", "1"))


def test_params_may_lack_what_only_the_method_needs_and_hold_what_is_nobodys(tmp_path: Path):
    params = make_params()
    for name in ("seg_colors", "cam_m", "cam_c"):
        del params[name]
    params |= {"cam_id": np.array(["a", "b"]), "objects": np.array([{}, []], dtype=object), "moving": np.ones(3, bool)}
    tracks = read_tracks(write(tmp_path / "params.npz", params))
    assert tracks.camera_names == () and (tracks.foreground == 1.0).all()


def test_params_of_one_color_per_particle_and_flat_opacities_are_read(tmp_path: Path):
    params = make_params()
    params |= {"rgb_colors": params["rgb_colors"][0], "logit_opacities": params["logit_opacities"][:, 0]}
    tracks = read_tracks(write(tmp_path / "params.npz", params))
    np.testing.assert_allclose(tracks.colors, params["rgb_colors"], atol=1e-7)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("means3D", None, r"expected an array means3D, got only rgb_colors, "),
        ("log_scales", None, "expected an array log_scales"),
        ("means3D", np.zeros((30, 3)), r"means3D: expected shape \[t, n, 3\] of one or more, got \[30, 3\]"),
        ("means3D", np.zeros((0, 30, 3)), r"of one or more, got \[0, 30, 3\]"),
        ("means3D", np.zeros((4, 30, 2)), r"means3D: expected shape \[4, 30, 3\], got \[4, 30, 2\]"),
        ("means3D", np.full((4, 30, 3), np.nan), "means3D: expected finite numbers, got nan"),
        ("unnorm_rotations", np.zeros((4, 29, 4)), r"unnorm_rotations: expected shape \[4, 30, 4\], got \[4, 29, 4\]"),
        ("unnorm_rotations", np.zeros((4, 30, 4)), r"unnorm_rotations\[0\]: expected quaternions of a length"),
        ("rgb_colors", np.zeros((3, 30, 3)), r"rgb_colors: expected shape \[4, 30, 3\] or \[30, 3\], got \[3, 30, 3\]"),
        ("logit_opacities", np.zeros((30, 2)), "logit_opacities: expected shape"),
        ("logit_opacities", np.full((30, 1), np.nan), "opacity_logits: expected finite numbers"),
        ("log_scales", np.zeros((30, 1)), "log_scales: expected shape"),
        ("log_scales", np.array([{}] * 30, object), "expected an array log_scales, got only"),
        ("seg_colors", np.zeros((30, 4)), "seg_colors: expected shape"),
        ("cam_c", np.zeros((3, 3)), r"cam_c: expected shape \[2, 3\], got \[3, 3\]"),
        ("birth", np.full(30, 7.0), "birth: expected instants 0 to 3"),
        ("timesteps", np.array([3.0, 2.0, 1.0, 0.0]), "timesteps: expected rising numbers"),
        ("fps", np.array([-1.0]), "fps: expected a number above 0"),
        ("source_from_world", np.diag([1.0, 1.0, -1.0, 1.0]), "source_from_world: expected a similarity"),
        ("source_from_world", np.zeros((4, 4)), "source_from_world: expected a similarity"),
        ("confidence", np.ones((4, 29)), "confidence: expected shape"),
    ],
)
def test_params_that_do_not_fit_together_are_refused(tmp_path: Path, name: str, value: Any, sentence: str):
    params = make_params() | {name: value}
    path = write(tmp_path / "params.npz", {name: array for name, array in params.items() if array is not None})
    with pytest.raises((ValueError, TypeError), match=re.escape(str(path)) + ".*" + sentence):
        read_tracks(path)


def header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    """What stands before the numbers of an array."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(10**12, 30, 3), (4, 10**15, 3), (2**40, 2**40, 3), (4, 31, 3), (-4, 30, 3)])
def test_params_that_announce_other_than_they_hold_are_refused_before_memory_is_taken(
    tmp_path: Path, shape: tuple[int, ...]
):
    path = write(tmp_path / "params.npz", {name: a for name, a in make_params().items() if name != "means3D"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("means3D.npy", header(shape) + bytes(1440))
    with pytest.raises(
        ValueError, match=r"params\.npz: expected an .npz file of plain arrays, got means3D: expected the"
    ):
        read_tracks(path)


def test_params_whose_small_file_unpacks_to_more_than_the_memory_are_refused(tmp_path: Path):
    """A real archive would take hours to write: its directory alone says how much would come out."""
    count = 10**12
    params = make_params(steps=1, count=2)
    path = write(tmp_path / "params.npz", {"cam_m": params["cam_m"]})
    shapes = {"means3D": (1, count, 3), "unnorm_rotations": (1, count, 4), "rgb_colors": (count, 3)}
    shapes |= {"logit_opacities": (count,), "log_scales": (count, 3)}
    with zipfile.ZipFile(path, "a") as archive:
        for name, shape in shapes.items():
            archive.writestr(f"{name}.npy", header(shape))
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename: info for info in archive.infolist()}
    with pytest.MonkeyPatch.context() as patch:

        def lying(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
            for name, shape in shapes.items():
                infos[f"{name}.npy"].file_size = len(header(shape)) + 4 * int(np.prod([float(s) for s in shape]))
            return list(infos.values())

        patch.setattr(zipfile.ZipFile, "infolist", lying)
        with pytest.raises(
            ValueError, match=r"expected at most [0-9.]+ GiB, the memory of this machine, got 1[0-9.]+ GiB"
        ):
            read_tracks(path)
    assert path.read_bytes() == content


def test_params_with_pickles_are_never_unpickled(tmp_path: Path):
    class Bomb:
        def __reduce__(self):
            return Path(tmp_path / "exploded").touch, ()

    params = make_params() | {"means3D": np.array([Bomb()], object), "other": np.array([Bomb()], object)}
    path = tmp_path / "params.npz"
    np.savez(path, **params)
    with pytest.raises(ValueError, match="expected an array means3D"):
        read_tracks(path)
    assert not (tmp_path / "exploded").exists()


def test_params_cut_short_anywhere_are_refused(tmp_path: Path):
    whole = write(tmp_path / "box.npz", make_params(2, 3)).read_bytes()
    for size in range(0, len(whole), 7):
        (tmp_path / "cut.npz").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"cut\.npz: expected"):
            read_tracks(tmp_path / "cut.npz")


@pytest.mark.parametrize("compressed", [False, True])
def test_params_with_flipped_bits_are_refused_or_read_as_they_were(tmp_path: Path, compressed: bool):
    """Checksums find a flip wherever it matters."""
    rng = np.random.default_rng(compressed)
    path = write(tmp_path / "box.npz", make_params(2, 4), compressed=compressed)
    expected, refused = read_tracks(path), 0
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(400):
        damaged = whole.copy()
        damaged[rng.integers(0, len(whole), size=rng.integers(1, 4))] ^= np.uint8(1) << rng.integers(
            0, 8, dtype=np.uint8
        )
        (tmp_path / "flipped.npz").write_bytes(damaged.tobytes())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                tracks = read_tracks(tmp_path / "flipped.npz")
            for name in ("means", "rotations_wxyz", "colors", "log_scales", "opacity_logits"):
                np.testing.assert_array_equal(getattr(tracks, name), getattr(expected, name))
        except (ValueError, TypeError) as error:
            assert "flipped.npz" in str(error)
            refused += 1
    assert refused > 200
