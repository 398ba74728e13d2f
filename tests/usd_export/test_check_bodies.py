"""Corrupted twins of bodies with colliders, as for Gaussians in test_check.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics, Vt

from tests.usd_export.stages import make_field, make_stage, place, put
from usd_export.checking import Report, check_usd

Corrupt = Callable[[Usd.Stage], object]

CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
FACES = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]


def make_body(*, free: bool = False) -> Usd.Stage:
    """A box of Gaussians that moves, or falls, with a hull around it."""
    stage = make_stage()
    stage.SetTimeCodesPerSecond(30)
    stage.SetFramesPerSecond(30)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(2)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    UsdPhysics.Scene.Define(stage, "/World/Physics")
    body = UsdGeom.Xform.Define(stage, "/World/Body")
    place(body, np.block([[np.eye(3), np.full((3, 1), 5.0)], [0, 0, 0, 1]]))
    for time in range(0 if free else 3):
        place(body, np.block([[np.eye(3), np.full((3, 1), 5.0 + time)], [0, 0, 0, 1]]), time)
    UsdPhysics.RigidBodyAPI.Apply(body.GetPrim()).CreateKinematicEnabledAttr(not free)
    UsdPhysics.MassAPI.Apply(body.GetPrim()).CreateMassAttr(2.0)
    splats = make_field(stage, "/World/Body/Splats")
    put(splats.GetPrim(), "positions", "point3", np.random.default_rng(0).uniform(-1, 1, size=(20, 3)))
    splats.CreateExtentAttr(Vt.Vec3fArray([(-2, -2, -2), (2, 2, 2)]))
    mesh = UsdGeom.Mesh.Define(stage, "/World/Body/Collider")
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(CORNERS.astype(np.float32)))
    mesh.CreateFaceVertexCountsAttr([4] * 6)
    mesh.CreateFaceVertexIndicesAttr([i for face in FACES for i in face])
    mesh.CreateExtentAttr(Vt.Vec3fArray([(-1, -1, -1), (1, 1, 1)]))
    mesh.CreateSubdivisionSchemeAttr("none")
    mesh.CreatePurposeAttr("guide")
    UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())
    UsdPhysics.MeshCollisionAPI.Apply(mesh.GetPrim()).CreateApproximationAttr("convexHull")
    return stage


def check_body(folder: Path, corrupt: Corrupt, *, free: bool = False) -> Report:
    stage = make_body(free=free)
    corrupt(stage)
    stage.Export(str(folder / "body.usda"))
    return check_usd(folder / "body.usda")


def of(path: str, action: Callable[[Usd.Prim], object]) -> Corrupt:
    return lambda stage: action(stage.GetPrimAtPath(path))


BODY, MESH = "/World/Body", "/World/Body/Collider"


def dent(prim: Usd.Prim) -> None:
    """A point in the middle of a face, pushed in."""
    mesh = UsdGeom.Mesh(prim)
    mesh.GetPointsAttr().Set(Vt.Vec3fArray.FromNumpy(np.vstack([CORNERS, [[-0.5, 0, 0]]]).astype(np.float32)))
    mesh.GetFaceVertexCountsAttr().Set([3] * 4 + [4] * 5)
    a, b, c, d = FACES[0]
    mesh.GetFaceVertexIndicesAttr().Set([a, b, 8, b, c, 8, c, d, 8, d, a, 8, *[i for face in FACES[1:] for i in face]])


def set_inertia(mass: UsdPhysics.MassAPI) -> None:
    mass.CreateDiagonalInertiaAttr(Gf.Vec3f(1, 1, 3))
    mass.CreatePrincipalAxesAttr(Gf.Quatf(1, 0, 0, 0))


BODIES: dict[str, tuple[bool, Corrupt, str, str]] = {
    "mass 0": (
        True,
        of(BODY, lambda p: UsdPhysics.MassAPI(p).GetMassAttr().Set(0.0)),
        "bodies",
        "a number above 0, got 0",
    ),
    "mass below 0": (True, of(BODY, lambda p: UsdPhysics.MassAPI(p).GetMassAttr().Set(-1.0)), "bodies", "got -1"),
    "impossible inertia": (
        True,
        of(BODY, lambda p: set_inertia(UsdPhysics.MassAPI(p))),
        "bodies",
        "none larger than the others together",
    ),
    "no scene": (True, lambda stage: stage.RemovePrim("/World/Physics"), "bodies", "a PhysicsScene"),
    "samples and a solver": (
        True,
        of(BODY, lambda p: [place(UsdGeom.Xform(p), np.eye(4), time) for time in (0, 1)]),
        "bodies",
        "a free body without animation",
    ),
    "velocity of nothing": (
        True,
        of(BODY, lambda p: UsdPhysics.RigidBodyAPI(p).CreateVelocityAttr(Gf.Vec3f(np.nan, 0, 0))),
        "bodies",
        "physics:velocity: expected finite numbers",
    ),
    "a pose of NaN": (
        False,
        of(BODY, lambda p: place(UsdGeom.Xform(p), np.diag([np.nan, 1, 1, 1]), 1)),
        "finite",
        "at 1",
    ),
    "default of a pose": (
        False,
        of(BODY, lambda p: p.GetAttribute("xformOp:transform").ClearDefault()),
        "defaults",
        "a default",
    ),
    "dent": (False, of(MESH, dent), "colliders", "outside of a face; write the hull itself"),
    "inside out": (
        False,
        of(MESH, lambda p: UsdGeom.Mesh(p).CreateOrientationAttr("leftHanded")),
        "colliders",
        "faces wound inwards",
    ),
    "flat": (
        False,
        of(
            MESH,
            lambda p: UsdGeom.Mesh(p).GetPointsAttr().Set(Vt.Vec3fArray.FromNumpy((CORNERS * [1, 1, 0]).astype("f4"))),
        ),
        "colliders",
        "a hull with a volume",
    ),
    "indices of nothing": (
        False,
        of(MESH, lambda p: UsdGeom.Mesh(p).GetFaceVertexIndicesAttr().Set([99] * 24)),
        "colliders",
        "faces of existing points",
    ),
    "few points": (
        False,
        of(MESH, lambda p: UsdGeom.Mesh(p).GetPointsAttr().Set(Vt.Vec3fArray([(0, 0, 0)]))),
        "colliders",
        "four or more finite points, got 1",
    ),
    "collider elsewhere": (
        False,
        of(MESH, lambda p: UsdGeom.Xform(p).AddTranslateOp().Set(Gf.Vec3d(5, 5, 5))),
        "colliders",
        "at least 90 % of its opacity inside its colliders, got 0 %",
    ),
    "collider in metres around splats in centimetres": (
        False,
        of(MESH, lambda p: UsdGeom.Xform(p).AddScaleOp().Set(Gf.Vec3f(0.01))),
        "colliders",
        "are collider and particles in one frame?",
    ),
    "triangles that fall": (
        True,
        of(MESH, lambda p: UsdPhysics.MeshCollisionAPI(p).GetApproximationAttr().Set("none")),
        "colliders",
        "engines move only convex meshes",
    ),
}


@pytest.mark.parametrize("free", [False, True])
def test_good_body_has_no_faults(tmp_path: Path, free: bool):
    report = check_body(tmp_path, lambda stage: None, free=free)
    assert all(not findings for findings in report.findings.values()), report.findings


@pytest.mark.parametrize("name", BODIES)
def test_fault_of_a_body_is_found_by_exactly_its_check(tmp_path: Path, name: str):
    free, corrupt, check, sentence = BODIES[name]
    report = check_body(tmp_path, corrupt, free=free)
    found = [f"{each.where}: {each.message}; {each.remedy}" for each in report.findings[check]]
    assert report.failed() == {check}, report.findings
    assert any(sentence in each for each in found), found


def test_body_in_two_pieces_is_held_by_both(tmp_path: Path):
    """A decomposition: each hull holds half."""

    def split(stage: Usd.Stage) -> None:
        first = stage.GetPrimAtPath(MESH)
        Sdf.CopySpec(stage.GetRootLayer(), MESH, stage.GetRootLayer(), MESH + "2")
        for prim, side in ((first, 0.0), (stage.GetPrimAtPath(MESH + "2"), 1.0)):
            points = CORNERS * [0.5, 1, 1] + [side - 0.5, 0, 0]
            UsdGeom.Mesh(prim).GetPointsAttr().Set(Vt.Vec3fArray.FromNumpy(points.astype(np.float32)))

    assert check_body(tmp_path, split).failed() == set()
    assert check_body(tmp_path, lambda s: (split(s), s.RemovePrim(MESH + "2"))).failed() == {"colliders"}
