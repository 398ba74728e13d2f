"""The Dynamic3DGaussians ``.npz``: the same Gaussians, in the source's frame."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.usd_export.sample import covariances, make_similarity, make_tracks, with_births, with_judgments
from usd_export import export


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as data:
        return dict(data)


def test_dynamic3dgs_has_the_arrays_its_users_expect(tmp_path: Path):
    tracks = make_tracks()
    assert export(tracks, tmp_path / "params.npz") == [tmp_path / "params.npz"]
    arrays = load(tmp_path / "params.npz")
    t, n = tracks.means.shape[:2]
    assert {name: array.shape for name, array in arrays.items()} == {
        "means3D": (t, n, 3),
        "unnorm_rotations": (t, n, 4),
        "rgb_colors": (t, n, 3),
        "seg_colors": (n, 3),
        "logit_opacities": (n, 1),
        "log_scales": (n, 3),
        "cam_m": (2, 3),
        "cam_c": (2, 3),
        "source_from_world": (4, 4),
        "timesteps": (t,),
        "fps": (1,),
    }
    way_back = {name: arrays.pop(name) for name in ("source_from_world", "timesteps", "fps")}
    assert {array.dtype for array in way_back.values()} == {np.dtype("<f8")}
    np.testing.assert_array_equal(way_back["source_from_world"], tracks.source_from_world)
    assert way_back["timesteps"].tolist() == list(tracks.timesteps) and way_back["fps"] == [tracks.fps]
    assert {array.dtype for array in arrays.values()} == {np.dtype("<f4")}
    assert all(array.flags.c_contiguous for array in arrays.values())


def test_dynamic3dgs_is_exact_when_the_frames_agree(tmp_path: Path):
    tracks = make_tracks()
    arrays = load(export(tracks, tmp_path / "params.npz")[0])
    np.testing.assert_array_equal(arrays["means3D"], tracks.means)
    np.testing.assert_array_equal(arrays["unnorm_rotations"], tracks.rotations_wxyz)
    np.testing.assert_array_equal(arrays["log_scales"], tracks.log_scales)
    np.testing.assert_array_equal(arrays["logit_opacities"][:, 0], tracks.opacity_logits)
    np.testing.assert_array_equal(arrays["cam_m"], tracks.camera_log_gains)
    np.testing.assert_array_equal(arrays["cam_c"], tracks.camera_offsets)
    np.testing.assert_array_equal(arrays["seg_colors"][:, 0], tracks.foreground)
    np.testing.assert_array_equal(arrays["seg_colors"][:, 1], 0.0)
    np.testing.assert_array_equal(arrays["seg_colors"][:, 2], 1.0 - tracks.foreground)
    for colors in arrays["rgb_colors"]:
        np.testing.assert_array_equal(colors, tracks.colors)


@pytest.mark.parametrize("seed", range(5))
def test_dynamic3dgs_ellipsoids_are_those_of_the_world_seen_from_the_source(tmp_path: Path, seed: int):
    similarity = make_similarity(seed)
    tracks = make_tracks(steps=3, source_from_world=similarity)
    arrays = load(export(tracks, tmp_path / "params.npz")[0])
    linear, scale = similarity[:3, :3], np.linalg.norm(similarity[0, :3])
    for i in range(3):
        points = tracks.means[i] @ linear.T + similarity[:3, 3]
        np.testing.assert_allclose(arrays["means3D"][i], points, rtol=1e-6, atol=1e-6 * scale)
        covariance = covariances(tracks.rotations_wxyz[i], tracks.log_scales)
        mapped = covariances(arrays["unnorm_rotations"][i], arrays["log_scales"])
        error = np.abs(mapped - linear @ covariance @ linear.T).max(axis=(1, 2))
        assert (error <= 1e-5 * np.abs(mapped).max(axis=(1, 2))).all()
    np.testing.assert_allclose(np.linalg.norm(arrays["unnorm_rotations"], axis=2), 1.0, atol=1e-6)


def test_dynamic3dgs_orientations_turn_with_the_frame_axis_by_axis(tmp_path: Path):
    """A covariance is blind to flips of an axis; the frame of a particle is not."""
    turn = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # z up to y down
    half = np.sqrt(0.5)
    about_z = np.array([half, 0, 0, half], np.float32)
    tracks = make_tracks(steps=2, source_from_world=turn)
    rotations_wxyz = np.tile(about_z, (*tracks.means.shape[:2], 1))
    arrays = load(export(replace(tracks, rotations_wxyz=rotations_wxyz), tmp_path / "params.npz")[0])
    # 90 degrees about x after 90 degrees about z, by hand: (c, c, 0, 0) (c, 0, 0, c) = (1, 1, -1, 1) / 2.
    np.testing.assert_allclose(arrays["unnorm_rotations"][1, 5], [0.5, 0.5, -0.5, 0.5], atol=1e-7)


def test_dynamic3dgs_says_how_far_tracks_can_be_trusted(tmp_path: Path):
    tracks = with_judgments(make_tracks(source_from_world=np.diag([5.0, 5.0, 5.0, 1.0])))
    arrays = load(export(tracks, tmp_path / "params.npz")[0])
    np.testing.assert_array_equal(arrays["confidence"], tracks.confidence)
    np.testing.assert_array_equal(arrays["visibility"], tracks.visibility)
    np.testing.assert_allclose(arrays["tolerance"], [0.1], rtol=1e-6)
    assert "confidence" not in load(export(make_tracks(), tmp_path / "plain.npz")[0])


def test_dynamic3dgs_has_no_dates_and_no_compression(tmp_path: Path):
    first, second = (export(make_tracks(), tmp_path / f"{name}.npz")[0].read_bytes() for name in "ab")
    assert first == second
    infos = zipfile.ZipFile(tmp_path / "a.npz").infolist()
    assert {(info.date_time[0], info.compress_type) for info in infos} == {(1980, zipfile.ZIP_STORED)}


@pytest.mark.parametrize(
    "matrix", [np.diag([1.0, 1, -1, 1]), np.diag([1.0, 2, 1, 1]), np.zeros((4, 4)), np.eye(3), np.eye(4) * np.nan]
)
def test_dynamic3dgs_refuses_what_is_no_similarity(tmp_path: Path, matrix: np.ndarray):
    with pytest.raises(ValueError, match=r"tracks\.source_from_world: expected"):
        export(make_tracks(source_from_world=matrix), tmp_path / "params.npz")
    assert not any(tmp_path.iterdir())


def test_dynamic3dgs_says_when_particles_are_born(tmp_path: Path):
    tracks = with_births(make_tracks())
    export(tracks, tmp_path / "params.npz")
    arrays = load(tmp_path / "params.npz")
    np.testing.assert_array_equal(arrays["birth"], tracks.birth)
    np.testing.assert_array_equal(arrays["means3D"], tracks.means)
    export(replace(tracks, birth=np.zeros(60, np.int32)), tmp_path / "params.npz", overwrite=True)
    assert "birth" not in load(tmp_path / "params.npz")
