"""The dcc form and cameras, read as a stranger would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Usd, UsdGeom, UsdValidation, UsdVol

from tests.usd_export.sample import make_tracks, with_births, with_judgments
from usd_export import UsdOptions, export, export_usd
from warpgs.types import Camera

VALIDATORS = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
DCC = UsdOptions(form="dcc")


def opened(path: Path) -> Usd.Stage:
    stage = Usd.Stage.Open(str(path))
    assert [error.GetErrorAsString() for error in UsdValidation.ValidationContext(VALIDATORS).Validate(stage)] == []
    return stage


def kinds(stage: Usd.Stage) -> set[str]:
    return {prim.GetTypeName() for prim in stage.Traverse()} - {"Xform", "Scope"}


@pytest.mark.parametrize("suffix", ["usda", "usdc", "usdz"])
def test_dcc_shows_splats_and_its_layer_points(tmp_path: Path, suffix: str):
    files = export(with_judgments(make_tracks()), tmp_path / f"box.{suffix}", options=DCC)
    assert [file.name for file in files] == [f"box.{suffix}", "box_points.usda"]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    splats, points = map(opened, files)
    assert kinds(splats) == {"ParticleField3DGaussianSplat"} and kinds(points) == {"Points"}
    for key in ("upAxis", "metersPerUnit", "kilogramsPerUnit", "timeCodesPerSecond", "startTimeCode", "endTimeCode"):
        assert points.GetMetadata(key) == splats.GetMetadata(key)
    assert points.GetDefaultPrim().GetPath() == "/World" and files[1].stat().st_size < 4000
    splats.GetDefaultPrim().GetVariantSets().GetVariantSet("particles").SetVariantSelection("points")
    assert kinds(splats) == {"Points"}


def test_dcc_points_are_the_tracks(tmp_path: Path):
    tracks = with_births(make_tracks(stride=2))
    stage = opened(export(tracks, tmp_path / "box.usdc", options=DCC)[1])
    seen = []
    for name in ("Static", "Moving"):
        points = UsdGeom.Points(stage.GetPrimAtPath(f"/World/Points/{name}"))
        ids = np.array(points.GetIdsAttr().Get())
        seen += ids.tolist()
        primvars = UsdGeom.PrimvarsAPI(points)
        scales = np.exp(tracks.log_scales[ids].astype(float))
        np.testing.assert_allclose(points.GetWidthsAttr().Get(), 2 * np.cbrt(scales.prod(axis=1)), rtol=1e-5)
        np.testing.assert_allclose(np.array(primvars.GetPrimvar("scale").Get()), scales, rtol=1e-6)
        np.testing.assert_array_equal(np.array(points.GetDisplayColorAttr().Get()), tracks.colors[ids].clip(0, 1))
        for i, time in [(0, Usd.TimeCode.Default()), *enumerate(tracks.timesteps)]:
            np.testing.assert_array_equal(np.array(points.GetPointsAttr().Get(time)), tracks.means[i, ids])
            wxyz = [[q.GetReal(), *q.GetImaginary()] for q in primvars.GetPrimvar("orient").Get(time)]
            np.testing.assert_array_equal(np.array(wxyz, np.float32), tracks.rotations_wxyz[i, ids])
            shown = np.array(points.GetDisplayOpacityAttr().Get(time))
            assert ((shown > 0) == ((tracks.birth[ids] <= i) & (tracks.opacity_logits[ids] > -80))).all()
            if name == "Moving" and i + 1 < len(tracks):
                reached = tracks.means[i, ids] + np.array(points.GetVelocitiesAttr().Get(time)) * (2 / tracks.fps)
                np.testing.assert_allclose(reached, tracks.means[i + 1, ids], atol=2e-6)
    assert sorted(seen) == list(range(60))


def test_dcc_costs_next_to_nothing_over_raw(tmp_path: Path):
    tracks = make_tracks(steps=30, count=2000, static=0)
    raw = export_usd(tracks, tmp_path / "raw.usdc").stat().st_size
    dcc = export_usd(tracks, tmp_path / "dcc.usdc", options=DCC).stat().st_size
    assert dcc - raw < 1.1 * (30 + 1) * 2000 * 12 + 2000 * 40  # velocities, and what is constant


def test_dcc_never_overwrites_its_layer_unasked(tmp_path: Path):
    (tmp_path / "box_points.usda").write_text("mine")
    with pytest.raises(FileExistsError, match="box_points"):
        export(make_tracks(), tmp_path / "box.usdc", options=DCC)
    assert [file.name for file in tmp_path.iterdir()] == ["box_points.usda"]


def test_usd_records_where_it_came_from(tmp_path: Path):
    options = UsdOptions(records={"scene": "tumble", "config_sha256": "00ff"})
    stage = opened(export_usd(make_tracks(), tmp_path / "box.usdc", options=options))
    data = stage.GetRootLayer().customLayerData
    assert data["warpgs"]["scene"] == "tumble" and data["warpgs"]["config_sha256"] == "00ff"


def make_cameras(steps: int) -> list[tuple[Camera, ...]]:
    """One that stands and one that moves, off-center and with oblong pixels; names that only numbers tell apart."""
    intrinsics = np.array([[500.0, 0.0, 300.0], [0.0, 450.0, 260.0], [0.0, 0.0, 1.0]])
    cameras = []
    for i in range(steps):
        poses = []
        for angle in (0.3, 0.3 + 0.1 * i):
            c, s = np.cos(angle), np.sin(angle)
            pose = np.eye(4)
            pose[:3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
            pose[:3, 3] = [angle, 2.0, -1.0]
            poses.append(pose)
        named = zip(("a-b", "a.b"), poses, strict=True)
        cameras.append(tuple(Camera(name, 640, 480, intrinsics, pose) for name, pose in named))
    return cameras


def test_cameras_see_every_point_at_its_pixel(tmp_path: Path):
    tracks = make_tracks()
    cameras = make_cameras(len(tracks))
    stage = opened(export_usd(tracks, tmp_path / "box.usdc", cameras=cameras))
    prims = stage.GetPrimAtPath("/World/Cameras").GetChildren()
    assert [prim.GetName() for prim in prims] == ["cam_a_b", "cam_a_b_1"]
    assert not prims[0].GetAttribute("xformOp:orient").GetNumTimeSamples()
    for i, time in [(0, Usd.TimeCode.Default()), *enumerate(tracks.timesteps)]:
        for prim, camera in zip(prims, cameras[i], strict=True):
            frustum = UsdGeom.Camera(prim).GetCamera(time).frustum
            view_projection = frustum.ComputeViewMatrix() * frustum.ComputeProjectionMatrix()
            for point_camera in np.array([[0.1, -0.2, 1.0], [-0.5, 0.3, 2.0], [0.7, 0.4, 3.0]]):
                world = camera.world_from_camera @ [*point_camera, 1.0]
                x, y, _ = view_projection.Transform(Gf.Vec3d(*world[:3]))
                pixel = camera.intrinsics @ (point_camera / point_camera[2])
                np.testing.assert_allclose([(x + 1) / 2 * 640, (1 - y) / 2 * 480], pixel[:2], atol=1e-3)


def test_cameras_are_refused_when_they_do_not_fit(tmp_path: Path):
    tracks, cameras = make_tracks(), make_cameras(13)
    parallel = [(replace(each[0], orthographic=True),) for each in cameras]
    for wrong, error, message in (
        (cameras[:-1], ValueError, "expected the same cameras for each of 13 timesteps"),
        ([*cameras[:-1], cameras[-1][:1]], ValueError, "expected the same cameras"),
        (parallel, NotImplementedError, "camera a-b: expected a pinhole"),
    ):
        with pytest.raises(error, match=message):
            export_usd(tracks, tmp_path / "box.usdc", cameras=wrong)
    assert not any(tmp_path.iterdir())


def test_raw_half_keeps_its_digits(tmp_path: Path):
    tracks = make_tracks(harmonics=3)
    stage = opened(export_usd(tracks, tmp_path / "box.usdc", options=UsdOptions(half=True)))
    splats = UsdVol.ParticleField3DGaussianSplat(stage.GetPrimAtPath("/World/Moving"))
    ids = np.array(UsdGeom.PrimvarsAPI(splats).GetPrimvar("ids").Get())
    for i, time in enumerate(tracks.timesteps):
        positions = np.array(splats.GetPositionshAttr().Get(time), float)
        np.testing.assert_allclose(positions, tracks.means[i, ids], rtol=2**-11)
        wxyz = [[q.GetReal(), *q.GetImaginary()] for q in splats.GetOrientationshAttr().Get(time)]
        np.testing.assert_allclose(wxyz, tracks.rotations_wxyz[i, ids], atol=5e-4)
    assert splats.GetRadianceSphericalHarmonicsCoefficientshAttr().GetMetadata("elementSize") == 16
