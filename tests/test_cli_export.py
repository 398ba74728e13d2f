"""``warpgs export``, ``warpgs parts`` and ``warpgs query``: what their options put into files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pxr import Usd, UsdGeom, UsdPhysics, UsdVol
from scipy.spatial.transform import Rotation

import scenes
from scenes.synthetic import tumble
from tests.perfect_run import write_perfect_run
from usd_export.checking import check_usd
from warpgs.cli import main
from warpgs.run import Run

SMALL = scenes.SyntheticOptions(
    width=96, height=54, timesteps=6, train_cameras=6, test_cameras=2, samples=1, cloud_background=2000
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "tumble"
    write_perfect_run(path, tumble(SMALL), range(5))
    return path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(path: str) -> Usd.Stage:
    return Usd.Stage.Open(str(Path.cwd() / path))


def bodies(stage: Usd.Stage) -> dict[str, Usd.Prim]:
    return {prim.GetName(): prim for prim in stage.GetPrimAtPath("/World/Parts").GetChildren()}


def test_export_takes_parts_that_were_edited(run, here, capsys):
    assert main(["parts", str(run), "--output", "parts.json"]) == 0
    content = json.loads((here / "parts.json").read_text())
    found = len(content["parts"])
    content["parts"][0]["name"] = "crate"
    content["parts"][2]["name"] = content["parts"][1]["name"] = "both"
    del content["parts"][3]
    (here / "parts.json").write_text(json.dumps(content))
    capsys.readouterr()
    assert main(["export", str(run), "out.usdc", "--parts", "parts.json"]) == 0
    assert capsys.readouterr().out.startswith(f"form rigid: {found - 2} parts")
    stage = opened("out.usdc")
    prims = bodies(stage)
    assert set(list(prims)[:2]) == {"crate", "both"} and len(prims) == found - 2
    tracks, truth = Run.open(run).tracks(), tumble(SMALL).ground_truth()
    ids = np.array(UsdGeom.PrimvarsAPI(prims["both"].GetChild("Splats")).GetPrimvar("ids").Get())
    assert len(np.unique(truth.body_index[ids])) == 2
    assert stage.GetPrimAtPath("/World/Deformable")  # the part that was left out
    # Two bodies that fly apart are not one.
    assert check_usd(here / "out.usdc", tracks).failed() == {"same positions", "same orientations"}


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["out.usdc", "--parts", "none.json"], 1, "warpgs parts --output writes it"),
        (["out.usdc", "--parts", "broken.json"], 1, "expected JSON"),
        (["out.usdc", "--parts", "broken.json", "--form", "raw"], 2, "expected the form rigid, got raw"),
        (["out.ply", "--parts", "broken.json"], 2, "expected USD"),
        (["out.usdc", "--dynamic", "--from", "9"], 1, "expected one of the timesteps 0 to 4, got 9"),
        (["out.usdc", "--from", "1"], 1, "expected dynamic bodies"),
        (["out.usdc", "--density", "0"], 1, "expected a number above 0"),
    ],
)
def test_export_refuses_what_makes_no_sense_in_one_sentence(run, here, capsys, options, status, sentence):
    (here / "broken.json").write_text("{")
    assert main(["export", str(run), *options]) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1 and sentence in lines[0], lines
    assert [path.name for path in here.iterdir()] == ["broken.json"]


def test_export_of_dynamic_bodies_starts_where_it_is_told(run, here):
    assert main(["export", str(run), "a.usdc", "--dynamic", "--from", "2", "--density", "500"]) == 0
    assert main(["export", str(run), "b.usdc", "--dynamic", "--from", "2", "--density", "1000"]) == 0
    assert main(["export", str(run), "kinematic.usdc"]) == 0
    stages = [opened(name) for name in ("a.usdc", "b.usdc", "kinematic.usdc")]
    assert stages[0].GetStartTimeCode() == 2.0 and stages[0].GetPrimAtPath("/World/Ground")
    light, heavy, moving = map(bodies, stages)
    assert list(light) == list(heavy) == list(moving)
    fps = Run.open(run).tracks().fps
    for name, prim in light.items():
        assert UsdPhysics.RigidBodyAPI(prim).GetKinematicEnabledAttr().Get() is False
        mass = [UsdPhysics.MassAPI(each[name]).GetMassAttr().Get() for each in (light, heavy)]
        assert mass[1] == pytest.approx(2.0 * mass[0], rel=1e-5)
        # The center of mass is where the tracks have it, and moves as they do.
        center = np.append(UsdPhysics.MassAPI(prim).GetCenterOfMassAttr().Get(), 1.0)
        start = (np.array(UsdGeom.Xformable(prim).GetLocalTransformation()).T @ center)[:3]
        poses = [np.array(UsdGeom.Xformable(moving[name]).GetLocalTransformation(float(t))).T for t in range(5)]
        path = np.array([pose @ np.linalg.inv(poses[2]) @ np.append(start, 1.0) for pose in poses])[:, :3]
        velocity = np.array(UsdPhysics.RigidBodyAPI(prim).GetVelocityAttr().Get())
        secant = (path[3] - path[1]) * fps / 2.0
        assert np.linalg.norm(velocity - secant) < 0.1 * np.linalg.norm(secant) + 0.05
        turn = np.array(UsdGeom.Xformable(prim).GetLocalTransformation())[:3, :3]
        np.testing.assert_allclose(turn, np.eye(3), atol=1e-6)


def test_export_in_half_precision_is_half_as_large(run, here):
    for options, name in (([], "full.usdc"), (["--half"], "half.usdc")):
        assert main(["export", str(run), name, "--form", "raw", *options]) == 0
    stage = opened("half.usdc")
    splats = UsdVol.ParticleField3DGaussianSplat(stage.GetPrimAtPath("/World/Moving"))
    assert splats.GetPositionshAttr().GetNumTimeSamples() == 5 and not splats.GetPositionsAttr().HasAuthoredValue()
    ratio = (here / "half.usdc").stat().st_size / (here / "full.usdc").stat().st_size
    assert 0.5 < ratio < 0.6
    assert check_usd(here / "half.usdc", Run.open(run).tracks()).failed() == set()


def test_export_writes_cameras_as_they_were_refined_and_opens_the_run_once(run, here, monkeypatch):
    scene, tracks_of, opened_runs = scenes.open_scene("tumble"), Run.tracks, []  # of the same name, with more cameras
    turns = np.linspace(-0.02, 0.03, 3 * SMALL.train_cameras).reshape(-1, 3).astype(np.float32)
    monkeypatch.setattr(
        Run, "tracks", lambda run: opened_runs.append(run) or replace(tracks_of(run), camera_turns=turns)
    )
    assert main(["export", str(run), "out.usdc", "--form", "raw", "--cameras"]) == 0
    assert len(opened_runs) == 1
    stage = opened("out.usdc")
    prims = {
        prim.GetCustomDataByKey("warpgs")["name"]: prim for prim in stage.GetPrimAtPath("/World/Cameras").GetChildren()
    }
    cameras = scene.cameras("train")
    expected = [camera.turned(turn) for camera, turn in zip(cameras, turns, strict=False)]
    for camera in (*expected, *cameras[len(turns) :], *scene.cameras("test")):
        matrix = np.array(UsdGeom.Xformable(prims.pop(camera.name)).ComputeLocalToWorldTransform(2)).T
        np.testing.assert_allclose(matrix @ np.diag([1, -1, -1, 1]), camera.world_from_camera, atol=1e-7)
    assert prims == {}


def read_tum(path: Path) -> np.ndarray:
    return np.array([[float(cell) for cell in line.split(" ")] for line in path.read_text().splitlines()])


def test_query_writes_a_trajectory_for_each_point(run, here, capsys):
    truth = tumble(SMALL).ground_truth()
    picked = [int(np.flatnonzero(truth.body_index == body)[0]) for body in (0, 3)]
    points = [argument for row in picked for argument in ("--point", *map(str, truth.points[0, row]))]
    assert main(["query", str(run), *points, "--output", "out/path.tum"]) == 0
    assert capsys.readouterr().out.split() == ["out/path_0.tum", "out/path_1.tum"]
    fps = Run.open(run).tracks().fps
    for number, row in enumerate(picked):
        table = read_tum(here / "out" / f"path_{number}.tum")
        np.testing.assert_allclose(table[:, 0], np.arange(5) / fps, atol=1e-7)
        np.testing.assert_allclose(table[:, 1:4], truth.points[:5, row], atol=1e-5)
        expected = Rotation.from_quat(truth.rotations_wxyz[:5, row], scalar_first=True)
        since = expected * expected[0].inv()
        assert (Rotation.from_quat(table[:, 4:]) * since.inv()).magnitude().max() < 1e-3


def test_query_writes_one_trajectory_under_its_name_and_never_over_another(run, here, capsys):
    argv = ["query", str(run), "--point", "0", "0", "0.5", "--output", "path.tum"]
    assert main(argv) == 0
    assert read_tum(here / "path.tum").shape == (5, 8)
    capsys.readouterr()
    assert main(argv) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*argv, "--overwrite", "--cameras", "6"]) == 2
    assert ".csv, got .tum" in capsys.readouterr().err
