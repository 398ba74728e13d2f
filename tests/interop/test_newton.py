"""What Newton makes of our files: bodies, splats and colliders, a picture, and a simulation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pxr import Usd

from tests.interop.bodies import make_camera, make_parts, make_tracks
from usd_export import export_usd
from warpgs.types import Tracks

newton = pytest.importorskip("newton", reason="Newton is not installed: make check-interop")
pytest.importorskip("newton_usd_schemas", reason="Newton's importers are not installed: make check-interop")

from tests.interop.newton_camera import gaussians_of, likeness, load, photograph  # noqa: E402

RIGHT_DB = 40.0
WRONG_DB = 30.0
"""No file that is wrong in what the picture shows may come closer than this."""


@pytest.fixture(scope="module")
def tracks() -> Tracks:
    return make_tracks(make_parts())


def damaged(tracks: Tracks, order: list[int]) -> Tracks:
    """The same with its quaternions stored in another order."""
    return replace(tracks, rotations_wxyz=np.ascontiguousarray(tracks.rotations_wxyz[..., order]))


def test_newton_reads_the_splats_of_a_raw_file(tracks: Tracks, tmp_path: Path):
    builder = load(export_usd(tracks, tmp_path / "raw.usdc"))
    splats = gaussians_of(builder)
    assert set(splats) == {"/World/Static", "/World/Moving"} and builder.shape_count == 2
    assert builder.body_count == 0
    assert sum(gaussian.count for gaussian in splats.values()) == len(tracks.colors)


def test_newton_reads_every_value_of_a_splat(tracks: Tracks, tmp_path: Path):
    path = export_usd(tracks, tmp_path / "raw.usdc")
    stage = Usd.Stage.Open(str(path))
    gaussian = newton.Gaussian.create_from_usd(stage.GetPrimAtPath("/World/Moving"))
    ids = np.flatnonzero((tracks.means != tracks.means[0]).any(axis=(0, 2)))
    np.testing.assert_array_equal(gaussian.positions, tracks.means[0, ids])
    np.testing.assert_array_equal(gaussian.rotations, np.roll(tracks.rotations_wxyz[0, ids], -1, axis=1))
    np.testing.assert_allclose(gaussian.scales, np.exp(tracks.log_scales[ids]), rtol=1e-6)
    np.testing.assert_allclose(gaussian.opacities, 1.0 / (1.0 + np.exp(-tracks.opacity_logits[ids])), rtol=1e-6)
    np.testing.assert_allclose(gaussian.sh_coeffs, (tracks.colors[ids] - 0.5) / 0.28209479177, atol=1e-6)
    assert gaussian.sh_degree == 0 and gaussian.sh_color_space == newton.utils.ColorSpace.SRGB


def test_newton_sees_in_a_raw_file_what_we_see(tracks: Tracks, tmp_path: Path):
    path, camera = export_usd(tracks, tmp_path / "raw.usdc"), make_camera()
    psnr, share = likeness(photograph(path, camera), path, tracks.at(0), camera)
    assert psnr > RIGHT_DB and share > 0.3


@pytest.mark.parametrize("order", [[3, 0, 1, 2], [1, 2, 3, 0], [0, 3, 2, 1]])
def test_newton_shows_quaternions_in_the_wrong_order(tracks: Tracks, tmp_path: Path, order: list[int]):
    path, camera = export_usd(damaged(tracks, order), tmp_path / "raw.usdc"), make_camera()
    psnr, share = likeness(photograph(path, camera), path, tracks.at(0), camera)
    assert psnr < WRONG_DB and share > 0.3
