"""What was exported comes back: field by field, as exactly as each format can."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.usd_export.sample import make_similarity, make_tracks, with_births, with_judgments
from usd_export import READERS, WRITERS, export, read_tracks
from warpgs.types import Tracks

USD = (".usda", ".usdc", ".usdz")


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))


def back(tracks: Tracks, folder: Path, suffix: str) -> Tracks:
    export(tracks, folder / f"box{suffix}")
    return read_tracks(folder / f"box{suffix}")


def rich(suffix: str) -> Tracks:
    """With all that the format can hold."""
    tracks = with_births(make_tracks(harmonics=0 if suffix == ".npz" else 15, stride=5))
    return tracks if suffix == ".ply" else with_judgments(tracks)


@pytest.mark.parametrize("suffix", WRITERS)
def test_poses_births_and_times_come_back_bit_for_bit(tmp_path: Path, suffix: str):
    tracks = rich(suffix)
    read = back(tracks, tmp_path, suffix)
    for name in ("means", "rotations_wxyz", "birth"):
        np.testing.assert_array_equal(getattr(read, name), getattr(tracks, name), strict=True)
    assert read.timesteps == tracks.timesteps


@pytest.mark.parametrize("suffix", WRITERS)
def test_looks_come_back_to_a_rounding(tmp_path: Path, suffix: str):
    tracks = rich(suffix)
    read = back(tracks, tmp_path, suffix)
    np.testing.assert_allclose(read.colors, tracks.colors, rtol=0, atol=1.2e-7)
    np.testing.assert_allclose(read.log_scales, tracks.log_scales, rtol=0, atol=5e-7)
    np.testing.assert_allclose(sigmoid(read.opacity_logits), sigmoid(tracks.opacity_logits), rtol=1e-6)
    if tracks.harmonics is not None:
        np.testing.assert_array_equal(read.harmonics, tracks.harmonics, strict=True)
    else:
        assert read.harmonics is None
    assert {getattr(read, name).dtype for name in ("colors", "log_scales", "opacity_logits")} == {np.dtype(np.float32)}


@pytest.mark.parametrize("suffix", [*USD, ".npz"])
def test_foreground_frame_and_rate_come_back_exactly(tmp_path: Path, suffix: str):
    tracks = make_tracks(source_from_world=make_similarity(3))
    read = back(tracks, tmp_path, suffix)
    np.testing.assert_array_equal(read.foreground, tracks.foreground, strict=True)
    np.testing.assert_array_equal(read.source_from_world, tracks.source_from_world, strict=True)
    assert read.fps == tracks.fps


@pytest.mark.parametrize("suffix", USD)
def test_judgments_of_what_moves_come_back_exactly(tmp_path: Path, suffix: str):
    tracks = with_judgments(make_tracks())
    moving = (np.diff(tracks.means, axis=0) != 0.0).any(axis=(0, 2))
    read = back(tracks, tmp_path, suffix)
    for name in ("confidence", "visibility"):
        np.testing.assert_array_equal(getattr(read, name)[:, moving], getattr(tracks, name)[:, moving])
        assert (getattr(read, name)[:, ~moving] == 1.0).all()
    assert read.tolerance == tracks.tolerance and back(make_tracks(), tmp_path / "other", suffix).tolerance is None


def test_npz_is_read_back_whole(tmp_path: Path):
    tracks = with_judgments(with_births(make_tracks()))
    read = back(tracks, tmp_path, ".npz")
    for name, value in vars(tracks).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(read, name), value, err_msg=name, strict=True)
    assert (read.tolerance, read.camera_names) == (tracks.tolerance, ("0", "1"))


@pytest.mark.parametrize("seed", range(3))
def test_npz_in_a_frame_of_its_own_comes_back_to_a_rounding(tmp_path: Path, seed: int):
    tracks = with_judgments(make_tracks(source_from_world=make_similarity(seed)))
    read = back(tracks, tmp_path, ".npz")
    np.testing.assert_allclose(read.means, tracks.means, rtol=0, atol=1e-6)
    np.testing.assert_allclose(read.log_scales, tracks.log_scales, rtol=0, atol=1e-6)
    signs = np.sign((read.rotations_wxyz * tracks.rotations_wxyz).sum(axis=2, keepdims=True))
    np.testing.assert_allclose(signs * read.rotations_wxyz, tracks.rotations_wxyz, rtol=0, atol=1e-6)
    assert read.tolerance == pytest.approx(tracks.tolerance, rel=1e-12)


@pytest.mark.parametrize("suffix", WRITERS)
def test_what_was_read_is_written_the_same_again(tmp_path: Path, suffix: str):
    once = back(rich(suffix), tmp_path, suffix)
    again = back(once, tmp_path / "again", suffix)
    for name, value in vars(once).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(getattr(again, name), value, rtol=2e-7, atol=2e-7, err_msg=name)


@pytest.mark.parametrize("suffix", USD)
def test_opacities_0_and_1_survive_though_they_have_no_logit(tmp_path: Path, suffix: str):
    logits = np.tile(np.array([-60.0, 60.0], np.float32), 30)
    read = back(replace(make_tracks(), opacity_logits=logits), tmp_path, suffix)
    assert np.isfinite(read.opacity_logits).all()
    again = back(read, tmp_path / "again", suffix)
    np.testing.assert_array_equal(again.opacity_logits, read.opacity_logits)
    np.testing.assert_array_equal(np.round(sigmoid(read.opacity_logits), 12), logits > 0)


@pytest.mark.parametrize("suffix", WRITERS)
def test_one_particle_at_one_instant_comes_back(tmp_path: Path, suffix: str):
    tracks = make_tracks(steps=1, count=1, static=0)
    read = back(tracks, tmp_path, suffix)
    np.testing.assert_array_equal(read.means, tracks.means, strict=True)
    np.testing.assert_array_equal(read.rotations_wxyz, tracks.rotations_wxyz, strict=True)
    assert read.timesteps == tracks.timesteps


def test_usd_of_what_stands_still_has_one_instant(tmp_path: Path):
    tracks = make_tracks(static=60)
    read = back(tracks, tmp_path, ".usdc")
    np.testing.assert_array_equal(read.means, tracks.means[:1])
    assert read.timesteps == (3,)


def test_harmonics_of_degree_1_come_back_without_the_padding(tmp_path: Path):
    for suffix in (".usdc", ".ply"):
        tracks = make_tracks(steps=2, harmonics=3)
        np.testing.assert_array_equal(back(tracks, tmp_path, suffix).harmonics, tracks.harmonics, strict=True)
    read = back(replace(make_tracks(steps=2), harmonics=np.zeros((60, 8, 3), np.float32)), tmp_path / "zero", ".usdc")
    assert read.harmonics is None


def test_unknown_suffixes_are_refused_naming_the_known(tmp_path: Path):
    with pytest.raises(ValueError, match=r"ending in \.usd, \.usda, \.usdc, \.usdz, \.npz, \.ply, got '\.splat'"):
        read_tracks(tmp_path / "box.splat")


@pytest.mark.parametrize("suffix", READERS)
def test_missing_files_and_folders_are_refused(tmp_path: Path, suffix: str):
    with pytest.raises(FileNotFoundError, match=rf"box\{suffix}: expected a file, got none"):
        read_tracks(tmp_path / f"box{suffix}")
    (tmp_path / f"box{suffix}").mkdir()
    with pytest.raises(FileNotFoundError, match="got a folder"):
        read_tracks(tmp_path / f"box{suffix}")


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize(
    "content", [b"", b"ply", b"junk" * 100, b"\x00" * 5000, b"#usda 1.0\n(", b"PK\x03\x04" + b"\x07" * 99]
)
def test_junk_is_refused_naming_the_file(tmp_path: Path, suffix: str, content: bytes):
    (tmp_path / f"box{suffix}").write_bytes(content)
    with pytest.raises(ValueError, match=rf"box\{suffix}: expected"):
        read_tracks(tmp_path / f"box{suffix}")


@pytest.mark.parametrize("suffix", [".usdc", ".npz"])
def test_what_does_not_fit_into_memory_is_refused_before_it_is_taken(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
):
    export(make_tracks(), tmp_path / f"box{suffix}")
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 5, "SC_PAGE_SIZE": 4096}.get)
    with pytest.raises(ValueError, match=rf"box\{suffix}: expected at most 0.0 GiB, the memory of this machine"):
        read_tracks(tmp_path / f"box{suffix}")


@pytest.mark.parametrize("suffix", [".npz", ".ply"])
def test_reading_needs_no_pxr(tmp_path: Path, suffix: str):
    export(make_tracks(steps=1), tmp_path / f"box{suffix}")
    code = "import sys; from usd_export import read_tracks; read_tracks(sys.argv[1]); assert 'pxr' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, tmp_path / f"box{suffix}"], check=True, cwd=Path(__file__).parents[2])
