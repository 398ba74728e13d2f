"""USD: read back with pxr and compared with its source, value by value."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Usd, UsdGeom, UsdPhysics, UsdUtils, UsdValidation, UsdVol

from tests.usd_export.sample import SH_C0, covariances, make_similarity, make_tracks, with_births, with_judgments
from usd_export import export, export_usd
from usd_export.usd import PACKAGE_LIMIT, write_usd
from warpgs.types import Tracks

SUFFIXES = ("usda", "usdc", "usdz")


def split(tracks: Tracks) -> dict[str, np.ndarray]:
    """Which particles each prim must hold."""
    poses = np.concatenate([tracks.means, tracks.rotations_wxyz], axis=2)
    moving = (poses != poses[0]).any(axis=(0, 2))
    return {"Static": np.flatnonzero(~moving), "Moving": np.flatnonzero(moving)}


def field(stage: Usd.Stage, name: str) -> UsdVol.ParticleField3DGaussianSplat:
    splats = UsdVol.ParticleField3DGaussianSplat(stage.GetPrimAtPath(f"/World/{name}"))
    assert splats
    return splats


def quaternions_wxyz(values: object) -> np.ndarray:
    """By the names of the parts, so that the order in memory plays no role."""
    return np.array([[q.GetReal(), *q.GetImaginary()] for q in values], np.float32)


def check_pose(splats: UsdVol.ParticleField3DGaussianSplat, tracks: Tracks, i: int, ids: np.ndarray, time: object):
    np.testing.assert_array_equal(np.array(splats.GetPositionsAttr().Get(time)), tracks.means[i, ids])
    np.testing.assert_array_equal(
        quaternions_wxyz(splats.GetOrientationsAttr().Get(time)), tracks.rotations_wxyz[i, ids]
    )
    low, high = np.array(splats.GetExtentAttr().Get(time), np.float64)
    covariance = covariances(tracks.rotations_wxyz[i, ids], tracks.log_scales[ids])
    reach = 3.0 * np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    means = tracks.means[i, ids].astype(np.float64)
    np.testing.assert_allclose(low, (means - reach).min(axis=0), rtol=1e-5)
    np.testing.assert_allclose(high, (means + reach).max(axis=0), rtol=1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_usd_holds_every_pose_exactly(tmp_path: Path, suffix: str):
    tracks = make_tracks(stride=2)
    stage = Usd.Stage.Open(str(export_usd(tracks, tmp_path / f"box.{suffix}")))
    assert [prim.GetName() for prim in stage.Traverse()] == ["World", "Static", "Moving"]
    for name, ids in split(tracks).items():
        splats = field(stage, name)
        np.testing.assert_array_equal(np.array(UsdGeom.PrimvarsAPI(splats).GetPrimvar("ids").Get()), ids)
        check_pose(splats, tracks, 0, ids, Usd.TimeCode.Default())
        for i, timestep in enumerate(tracks.timesteps):
            check_pose(splats, tracks, i, ids, timestep)


def test_usd_samples_what_moves_and_nothing_else(tmp_path: Path):
    tracks = make_tracks()
    stage = Usd.Stage.Open(str(export_usd(tracks, tmp_path / "box.usdc")))
    for prim in stage.Traverse():
        sampled = {a.GetName() for a in prim.GetAttributes() if a.GetNumTimeSamples()}
        assert sampled == ({"positions", "orientations", "extent"} if prim.GetName() == "Moving" else set())
    for name in ("positions", "orientations", "extent"):
        times = stage.GetPrimAtPath("/World/Moving").GetAttribute(name).GetTimeSamples()
        assert times == list(map(float, tracks.timesteps))


def test_usd_holds_constant_values_in_the_units_of_the_schema(tmp_path: Path):
    tracks = make_tracks()
    stage = Usd.Stage.Open(str(export_usd(tracks, tmp_path / "box.usdc")))
    for name, ids in split(tracks).items():
        splats = field(stage, name)
        scales, opacities = np.array(splats.GetScalesAttr().Get()), np.array(splats.GetOpacitiesAttr().Get())
        np.testing.assert_allclose(scales, np.exp(tracks.log_scales[ids].astype(float)), rtol=1e-7)
        np.testing.assert_allclose(opacities, 1 / (1 + np.exp(-tracks.opacity_logits[ids].astype(float))), rtol=1e-6)
        coefficients = splats.GetRadianceSphericalHarmonicsCoefficientsAttr()
        np.testing.assert_allclose(np.array(coefficients.Get()), (tracks.colors[ids] - 0.5) / SH_C0, atol=1e-6)
        assert splats.GetRadianceSphericalHarmonicsDegreeAttr().Get() == 0
        assert coefficients.GetMetadata("interpolation") == "vertex" and coefficients.GetMetadata("elementSize") == 1
        assert coefficients.GetColorSpace() == "srgb_rec709_scene"
        assert Usd.ColorSpaceAPI.ComputeColorSpaceName(splats.GetPrim(), None) == "srgb_rec709_scene"
        assert splats.GetSortingModeHintAttr().Get() == "zDepth"
        assert splats.GetProjectionModeHintAttr().Get() == "perspective"
        foreground = UsdGeom.PrimvarsAPI(splats).GetPrimvar("foreground")
        np.testing.assert_array_equal(np.array(foreground.Get()), tracks.foreground[ids])


@pytest.mark.parametrize("harmonics", [3, 8, 15])
def test_usd_pads_harmonics_to_degree_3(tmp_path: Path, harmonics: int):
    tracks = make_tracks(harmonics=harmonics)
    stage = Usd.Stage.Open(str(export_usd(tracks, tmp_path / "box.usdc")))
    for name, ids in split(tracks).items():
        splats = field(stage, name)
        assert splats.GetRadianceSphericalHarmonicsDegreeAttr().Get() == 3
        attribute = splats.GetRadianceSphericalHarmonicsCoefficientsAttr()
        assert attribute.GetMetadata("elementSize") == 16
        coefficients = np.array(attribute.Get()).reshape(len(ids), 16, 3)
        np.testing.assert_allclose(coefficients[:, 0], (tracks.colors[ids] - 0.5) / SH_C0, atol=1e-6)
        np.testing.assert_array_equal(coefficients[:, 1 : 1 + harmonics], tracks.harmonics[ids])
        assert not coefficients[:, 1 + harmonics :].any()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_usd_stage_says_what_it_is(tmp_path: Path, suffix: str):
    tracks = make_tracks(stride=3, source_from_world=make_similarity(5))
    stage = Usd.Stage.Open(str(export_usd(tracks, tmp_path / f"box.{suffix}")))
    assert UsdGeom.GetStageUpAxis(stage) == "Z" and UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert UsdPhysics.GetStageKilogramsPerUnit(stage) == 1.0
    assert stage.GetDefaultPrim().GetPath() == "/World" and stage.GetDefaultPrim().IsA(UsdGeom.Xform)
    assert stage.GetTimeCodesPerSecond() == stage.GetFramesPerSecond() == tracks.fps
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (3.0, 39.0)
    data = stage.GetRootLayer().customLayerData["warpgs"]
    point = np.array([0.3, -1.0, 2.0])
    expected = (tracks.source_from_world @ [*point, 1.0])[:3]
    np.testing.assert_allclose(data["source_from_world"].Transform(Gf.Vec3d(*point)), expected, rtol=1e-12)
    assert data["version"]


def test_usd_extent_contains_every_ellipsoid(tmp_path: Path):
    tracks = make_tracks(steps=3, count=4, static=0)
    tracks = replace(tracks, log_scales=tracks.log_scales + 1.0)
    stage = Usd.Stage.Open(str(export_usd(tracks, tmp_path / "box.usdc")))
    directions = np.random.default_rng(0).normal(size=(20_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for i, timestep in enumerate(tracks.timesteps):
        low, high = np.array(field(stage, "Moving").GetExtentAttr().Get(timestep))
        roots = np.linalg.cholesky(covariances(tracks.rotations_wxyz[i], tracks.log_scales))
        surface = (tracks.means[i][:, None] + 3.0 * directions @ np.swapaxes(roots, 1, 2)).reshape(-1, 3)
        assert (surface >= low).all() and (surface <= high).all()
        size = high - low
        assert (surface.min(axis=0) - low < 2e-3 * size).all() and (high - surface.max(axis=0) < 2e-3 * size).all()
        box = UsdGeom.BBoxCache(timestep, ["default"]).ComputeWorldBound(stage.GetDefaultPrim()).ComputeAlignedRange()
        np.testing.assert_allclose([box.GetMin(), box.GetMax()], [low, high])


@pytest.mark.parametrize(("static", "name"), [(0, "Moving"), (60, "Static")])
def test_usd_has_no_empty_field_when_all_or_nothing_moves(tmp_path: Path, static: int, name: str):
    tracks = make_tracks(static=static)
    seen = []
    path = export_usd(tracks, tmp_path / "box.usdc", progress=lambda done, total: seen.append((done, total)))
    stage = Usd.Stage.Open(str(path))
    assert [prim.GetName() for prim in stage.Traverse()] == ["World", name]
    assert seen[-1] == (13, 13) and (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (3.0, 15.0)


def test_usd_hides_particles_until_their_birth(tmp_path: Path):
    tracks = with_births(make_tracks())
    stage = Usd.Stage.Open(str(export_usd(tracks, tmp_path / "box.usdc")))
    splats, still = (field(stage, name) for name in ("Moving", "Static"))
    ids = np.array(UsdGeom.PrimvarsAPI(splats).GetPrimvar("ids").Get())
    assert {57, 58, 59} <= set(ids.tolist()) and not still.GetOpacitiesAttr().GetNumTimeSamples()
    opacities = 1.0 / (1.0 + np.exp(-tracks.opacity_logits[ids].astype(np.float64)))
    for i, timestep in enumerate([Usd.TimeCode.Default(), *tracks.timesteps], start=-1):
        shown = np.array(splats.GetOpacitiesAttr().Get(timestep))
        np.testing.assert_allclose(shown, np.where(tracks.birth[ids] <= max(i, 0), opacities, 0.0), rtol=1e-6)
        if i >= 0:
            check_pose(splats, tracks, i, ids, timestep)
    steps = [tracks.timesteps[i] for i in (0, 3, 4, 8, 9)]
    assert splats.GetOpacitiesAttr().GetTimeSamples() == list(map(float, steps))


def test_usd_says_how_far_what_moves_can_be_trusted(tmp_path: Path):
    tracks = with_judgments(make_tracks())
    stage = Usd.Stage.Open(str(export_usd(tracks, tmp_path / "box.usdc")))
    primvars = UsdGeom.PrimvarsAPI(field(stage, "Moving"))
    ids = np.array(primvars.GetPrimvar("ids").Get())
    for name, shares in (("confidence", tracks.confidence), ("visibility", tracks.visibility)):
        primvar = primvars.GetPrimvar(f"warpgs:{name}")
        assert primvar.GetInterpolation() == UsdGeom.Tokens.vertex and len(primvar.GetTimeSamples()) == len(tracks)
        for i, timestep in enumerate([Usd.TimeCode.Default(), *tracks.timesteps], start=-1):
            np.testing.assert_array_equal(np.array(primvar.Get(timestep)), shares[max(i, 0), ids])
    assert not UsdGeom.PrimvarsAPI(field(stage, "Static")).HasPrimvar("warpgs:confidence")


def test_usd_says_nothing_about_trust_where_the_tracks_do_not(tmp_path: Path):
    stage = Usd.Stage.Open(str(export_usd(make_tracks(), tmp_path / "box.usdc")))
    assert not UsdGeom.PrimvarsAPI(field(stage, "Moving")).HasPrimvar("warpgs:confidence")


def test_usd_counts_a_turn_as_motion(tmp_path: Path):
    tracks = make_tracks(static=60)
    rotations_wxyz = tracks.rotations_wxyz.copy()
    rotations_wxyz[-1, 17] = [0.0, 1.0, 0.0, 0.0]
    stage = Usd.Stage.Open(str(export_usd(replace(tracks, rotations_wxyz=rotations_wxyz), tmp_path / "box.usdc")))
    assert list(UsdGeom.PrimvarsAPI(field(stage, "Moving")).GetPrimvar("ids").Get()) == [17]


def test_usd_of_one_timestep_is_complete(tmp_path: Path):
    tracks = make_tracks(steps=1)
    stage = Usd.Stage.Open(str(export_usd(tracks, tmp_path / "box.usdc")))
    check_pose(field(stage, "Static"), tracks, 0, np.arange(60), Usd.TimeCode.Default())


def test_usd_file_grows_with_what_moves(tmp_path: Path):
    tracks = make_tracks(steps=40, count=2000, static=1900)
    size = export_usd(tracks, tmp_path / "box.usdc").stat().st_size
    assert size < 1.3 * (2000 * 52 + 40 * 100 * 28)  # everything once, plus 28 bytes per moving pose


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_usd_passes_validation_and_opens_without_a_word(tmp_path: Path, suffix: str):
    path = export_usd(with_judgments(make_tracks()), tmp_path / f"box.{suffix}")
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) >= 20
    stage = Usd.Stage.Open(str(path))
    assert [error.GetErrorAsString() for error in UsdValidation.ValidationContext(validators).Validate(stage)] == []
    code = (
        "import sys; from pxr import Usd; stage = Usd.Stage.Open(sys.argv[1]);"
        "[a.Get(t) for p in stage.Traverse() for a in p.GetAttributes() for t in (Usd.TimeCode.Default(), 3.5)]"
    )
    opened = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert (opened.stdout, opened.stderr) == ("", "")


def test_usdz_is_an_aligned_uncompressed_package(tmp_path: Path):
    path = export_usd(make_tracks(), tmp_path / "box.usdz")
    with zipfile.ZipFile(path) as package:
        assert package.namelist() == ["box.usdc"] and package.infolist()[0].compress_type == zipfile.ZIP_STORED
        content = package.read("box.usdc")
    assert path.read_bytes().index(content) % 64 == 0
    assert UsdUtils.ComputeAllDependencies(str(path))[2] == []


def test_usdz_too_large_for_a_package_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("usd_export.usd.moving_particles", lambda tracks: np.ones(tracks.means.shape[1], bool))
    count = 1000
    steps = PACKAGE_LIMIT // (28 * count) + 1
    tracks = make_tracks(steps=2, count=count, static=0)
    means = np.broadcast_to(tracks.means[:1], (steps, count, 3))
    endless = replace(tracks, means=means, rotations_wxyz=np.broadcast_to(tracks.rotations_wxyz[:1], (steps, count, 4)))
    with pytest.raises(ValueError, match=r"at most 4 GiB in a \.usdz"):
        write_usd(endless, tmp_path / "box.usdz", lambda *_: None)
    assert not any(tmp_path.iterdir())


def test_export_usd_refuses_other_suffixes(tmp_path: Path):
    for name in ("box.npz", "box.usd", "box"):
        with pytest.raises(ValueError, match=r"\.usda, \.usdc, \.usdz"):
            export_usd(make_tracks(), tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_usd_suffix_may_be_in_capitals(tmp_path: Path):
    for suffix in ("USDA", "USDC", "USDZ"):
        assert Usd.Stage.Open(str(export(make_tracks(), tmp_path / f"box.{suffix}")[0])).GetDefaultPrim()
