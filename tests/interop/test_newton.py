"""What Newton makes of our files: bodies, splats and colliders, a picture, and a simulation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pxr import Usd

from tests.interop.bodies import NAMES, VELOCITY, make_camera, make_parts, make_tracks, without_pins
from usd_export import UsdOptions, export_usd
from warpgs.types import Tracks

newton = pytest.importorskip("newton", reason="Newton is not installed: make check-interop")
pytest.importorskip("newton_usd_schemas", reason="Newton's importers are not installed: make check-interop")

from tests.interop.newton_camera import gaussians_of, likeness, load, photograph  # noqa: E402
from tests.interop.newton_simulation import COLLIDERS, simulate  # noqa: E402

RIGHT_DB = 45.0
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


@pytest.mark.parametrize("suffix", ["usdc", "usdz"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_newton_reads_bodies_splats_and_colliders(tracks: Tracks, tmp_path: Path, suffix: str, dynamic: bool):
    options = UsdOptions(dynamic=dynamic, ground=True)
    builder = load(export_usd(tracks, tmp_path / f"rigid.{suffix}", parts=make_parts(), options=options))
    assert list(builder.body_label) == [f"/World/Parts/{name}" for name in NAMES]
    splats = gaussians_of(builder)
    assert set(splats) == {*(f"/World/Parts/{name}/Splats" for name in NAMES), "/World/Background", "/World/Deformable"}
    assert sum(gaussian.count for gaussian in splats.values()) == len(tracks.colors)
    kinds = dict(zip(builder.shape_label, builder.shape_type, strict=True))
    hulls = [label for label, kind in kinds.items() if kind in COLLIDERS]
    assert hulls == [f"/World/Parts/{name}/Collider" for name in NAMES]
    assert kinds.pop("/World/Ground") == newton.GeoType.PLANE and len(kinds) == len(splats) + len(hulls)
    kinematic = [bool(int(flags) & int(newton.BodyFlags.KINEMATIC)) for flags in builder.body_flags]
    assert kinematic == [not dynamic] * 2


def test_newton_reads_the_splats_of_a_dcc_file_once(tracks: Tracks, tmp_path: Path):
    builder = load(export_usd(tracks, tmp_path / "dcc.usdc", options=UsdOptions(form="dcc")))
    assert set(gaussians_of(builder)) == {"/World/Splats/Static", "/World/Splats/Moving"} and builder.shape_count == 2


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


@pytest.mark.parametrize("form", ["raw", "rigid", "dynamic", "dcc"])
def test_newton_sees_in_a_file_what_we_see(tracks: Tracks, tmp_path: Path, form: str):
    options = UsdOptions(dynamic=True) if form == "dynamic" else UsdOptions(form=form)
    parts = make_parts() if form in ("rigid", "dynamic") else None
    path, camera = export_usd(tracks, tmp_path / "form.usdc", parts=parts, options=options), make_camera()
    psnr, share = likeness(photograph(path, camera), path, tracks.at(0), camera)
    assert psnr > RIGHT_DB and share > 0.3


@pytest.mark.parametrize("logit", [0.0, 3.0])
def test_newton_sees_splats_that_overlap_in_our_order(tracks: Tracks, tmp_path: Path, logit: float):
    opacity_logits = np.full_like(tracks.opacity_logits, logit)
    wide = replace(tracks, log_scales=tracks.log_scales + np.float32(0.7), opacity_logits=opacity_logits)
    path, camera = export_usd(wide, tmp_path / "raw.usdc"), make_camera()
    psnr, share = likeness(photograph(path, camera), path, wide.at(0), camera)
    assert psnr > RIGHT_DB and share > 0.3


@pytest.mark.parametrize("order", [[3, 0, 1, 2], [1, 2, 3, 0], [0, 3, 2, 1]])
def test_newton_shows_quaternions_in_the_wrong_order(tracks: Tracks, tmp_path: Path, order: list[int]):
    path, camera = export_usd(damaged(tracks, order), tmp_path / "raw.usdc"), make_camera()
    psnr, share = likeness(photograph(path, camera), path, tracks.at(0), camera)
    assert psnr < WRONG_DB and share > 0.3


def test_newton_lets_dynamic_bodies_fall_and_come_to_rest_on_the_ground(tmp_path: Path):
    tracks, parts = without_pins(make_tracks(make_parts()), make_parts())
    options = UsdOptions(dynamic=True, ground_height=0.0, density=300.0)
    flight = simulate(export_usd(tracks, tmp_path / "free.usdc", parts=parts, options=options), 2.0, ground=0.0)
    assert flight.names == tuple(f"/World/Parts/{name}" for name in NAMES)
    start = np.linalg.norm(VELOCITY)
    np.testing.assert_allclose(flight.speed[0], start, rtol=0.1)
    # Nothing gains more than it falls.
    assert flight.speed.max() < np.sqrt(start**2 + 2.0 * 9.81 * flight.lowest[0].max()) + 0.2
    assert flight.lowest.min() > -0.01
    resting = slice(-24, None)
    assert np.abs(flight.lowest[resting]).max() < 0.01
    assert flight.speed[resting].max() < 0.01 and np.ptp(flight.poses[resting], axis=0).max() < 0.001
