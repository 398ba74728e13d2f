"""Every form that we export passes every check, comes back as what it was, and has corrupted twins that are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Usd, UsdPhysics, Vt

from tests.usd_export.sample import make_rigid
from usd_export import export, read_tracks
from usd_export.checking import check_usd
from usd_export.options import UsdOptions

FORMS: dict[str, tuple[bool, UsdOptions]] = {
    "rigid": (True, UsdOptions()),
    "rigid on the ground": (True, UsdOptions(ground=True)),
    "rigid in half precision": (True, UsdOptions(half=True)),
    "dynamic": (True, UsdOptions(dynamic=True, start=8)),
    "raw": (False, UsdOptions(form="raw")),
    "raw in half precision": (False, UsdOptions(form="raw", half=True)),
    "dcc": (False, UsdOptions(form="dcc")),
}
TRACKS, PARTS = make_rigid(birth=3)
BODY, MESH, SPLATS = (f"/World/Parts/part_00{each}" for each in ("", "/Collider", "/Splats"))


def write(folder: Path, form: str, name: str = "box.usdc") -> Path:
    has_parts, options = FORMS[form]
    return export(TRACKS, folder / name, parts=PARTS if has_parts else None, options=options)[0]


@pytest.mark.parametrize("suffix", ["usda", "usdc", "usdz"])
@pytest.mark.parametrize("form", FORMS)
def test_form_has_no_faults_and_no_warnings(tmp_path: Path, form: str, suffix: str):
    report = check_usd(write(tmp_path, form, f"box.{suffix}"), TRACKS)
    assert all(not findings for findings in report.findings.values()), report.findings


@pytest.mark.parametrize("form", FORMS)
def test_form_comes_back(tmp_path: Path, form: str):
    read, options = read_tracks(write(tmp_path, form)), FORMS[form][1]
    start = TRACKS.timesteps.index(8) if options.dynamic else 0
    expected = TRACKS.since(start)
    count = len(read) if options.dynamic else len(expected)
    tolerance = 2e-3 if options.half else 1e-6 if "rigid" in form or options.dynamic else 0.0
    assert (len(read), read.timesteps) == (count, expected.timesteps[:count]) and count == (
        1 if options.dynamic else 13
    )
    np.testing.assert_array_equal(read.birth, expected.birth)
    np.testing.assert_allclose(read.means, expected.means[:count], rtol=0, atol=tolerance)
    dots = np.abs((read.rotations_wxyz * expected.rotations_wxyz[:count]).sum(axis=2))
    np.testing.assert_allclose(dots, 1.0, rtol=0, atol=max(tolerance, 1e-6))
    np.testing.assert_allclose(read.colors, TRACKS.colors, rtol=0, atol=1e-6 + tolerance)
    np.testing.assert_allclose(read.harmonics, TRACKS.harmonics, rtol=0, atol=1e-6 + tolerance)
    np.testing.assert_array_equal(read.foreground, TRACKS.foreground)


def attribute(path: str, action: Callable[[Usd.Attribute], object]) -> Callable[[Usd.Stage], object]:
    return lambda stage: action(stage.GetPropertyAtPath(path))


def swap(stage: Usd.Stage) -> None:
    """Of every field; their boxes go with them, as they would where quaternions are misread from the start."""
    for prim in stage.Traverse():
        each = prim.GetAttribute("orientations")
        if each and each.HasAuthoredValue():
            for code in [Usd.TimeCode.Default(), *map(Usd.TimeCode, each.GetTimeSamples())]:
                swapped = np.array(each.Get(code))[:, [3, 0, 1, 2]]
                each.Set(Vt.QuatfArray.FromNumpy(np.ascontiguousarray(swapped)), code)
                prim.GetAttribute("extent").Set(Vt.Vec3fArray([(-99, -99, -99), (99, 99, 99)]), code)


TWINS: dict[str, tuple[str, Callable[[Usd.Stage], object], str, str]] = {
    "body without a default": (
        "rigid",
        attribute(f"{BODY}.xformOp:translate", lambda each: each.ClearDefault()),
        "defaults",
        "xformOp:translate: expected a default",
    ),
    "body with a sample less": (
        "rigid",
        attribute(f"{BODY}.xformOp:orient", lambda each: each.ClearAtTime(6)),
        "samples",
        "xformOp:orient: expected a sample at each time that xformOp:translate has, got none at 6",
    ),
    "body elsewhere": (
        "rigid",
        attribute(
            f"{BODY}.xformOp:translate", lambda each: [each.Set(Gf.Vec3d(9, 9, 9), t) for t in each.GetTimeSamples()]
        ),
        "same positions",
        "are axes, units, transforms and the order of particles right?",
    ),
    "wrong order of quaternions": ("rigid", swap, "same orientations", "they are w, x, y, z in memory"),
    "small extent": (
        "rigid",
        attribute(f"{SPLATS}.extent", lambda each: each.Set(Vt.Vec3fArray([(0, 0, 0), (0.1, 0.1, 0.1)]))),
        "extents",
        f"{SPLATS}.extent: expected the 3 sigma",
    ),
    "small collider": (
        "rigid",
        attribute(f"{MESH}.points", lambda each: each.Set(Vt.Vec3fArray.FromNumpy(0.5 * np.array(each.Get())))),
        "colliders",
        "of its opacity inside its colliders",
    ),
    "collider of triangles": (
        "dynamic",
        attribute(f"{MESH}.physics:approximation", lambda each: each.Set("none")),
        "colliders",
        "engines move only convex meshes",
    ),
    "no mass": ("dynamic", attribute(f"{BODY}.physics:mass", lambda each: each.Set(0.0)), "bodies", "above 0, got 0"),
    "no scene": ("dynamic", lambda stage: stage.RemovePrim("/World/PhysicsScene"), "bodies", "a PhysicsScene"),
    "kinematic samples of a free body": (
        "rigid on the ground",
        lambda stage: UsdPhysics.RigidBodyAPI(stage.GetPrimAtPath(BODY)).GetKinematicEnabledAttr().Set(False),
        "bodies",
        "a free body without animation",
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_corrupted_twin_is_found_by_exactly_its_check(tmp_path: Path, name: str):
    form, corrupt, check, sentence = TWINS[name]
    stage = Usd.Stage.Open(str(write(tmp_path, form)))
    corrupt(stage)
    stage.Export(str(tmp_path / "bad.usdc"))
    report = check_usd(tmp_path / "bad.usdc", TRACKS)
    found = [f"{each.where}: {each.message}; {each.remedy}" for each in report.findings[check]]
    assert report.failed() == {check}, report.findings
    assert any(sentence in each for each in found), found


def every(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Usd.Stage], object]:
    """Change an array of every field, at all times."""

    def corrupt(stage: Usd.Stage) -> None:
        for each in (prim.GetAttribute(name) for prim in stage.Traverse() if prim.HasAttribute(name)):
            for code in [Usd.TimeCode.Default(), *map(Usd.TimeCode, each.GetTimeSamples())]:
                old = each.Get(code)
                each.Set(type(old).FromNumpy(np.ascontiguousarray(change(np.array(old)), np.array(old).dtype)), code)

    return corrupt


def without(name: str) -> Callable[[Usd.Stage], object]:
    return lambda stage: [prim.GetAttribute(name).ClearDefault() for prim in stage.Traverse() if is_field(prim)]


def is_field(prim: Usd.Prim) -> bool:
    return prim.GetTypeName() == "ParticleField3DGaussianSplat"


COMMON_FAULTS: dict[str, tuple[Callable[[Usd.Stage], object], str]] = {
    "wrong order of quaternions": (every("orientations", lambda each: each[:, [3, 0, 1, 2]]), "same orientations"),
    "logarithms of scales": (every("scales", np.log), "scales"),
    "RGB as harmonics": (
        every("radiance:sphericalHarmonicsCoefficients", lambda each: 0.5 + 0.28209479177 * each),
        "same colors",
    ),
    "missing default": (without("positions"), "defaults"),
    "missing extent": (without("extent"), "extents"),
}


@pytest.mark.parametrize("suffix", ["usda", "usdc"])
@pytest.mark.parametrize("form", ["rigid", "dynamic", "raw", "dcc"])
@pytest.mark.parametrize("name", COMMON_FAULTS)
def test_common_fault_is_found_in_every_form(tmp_path: Path, form: str, name: str, suffix: str):
    corrupt, check = COMMON_FAULTS[name]
    stage = Usd.Stage.Open(str(write(tmp_path, form, f"box.{suffix}")))
    corrupt(stage)
    stage.Save()
    report = check_usd(tmp_path / f"box.{suffix}", TRACKS)
    if (name, form) == ("missing default", "dynamic"):
        check = "schema"  # without samples either there is no value at all
    assert check in report.failed(), report.findings


def test_rigid_form_of_noisy_tracks_is_close_enough(tmp_path: Path):
    """Poses of bodies smooth the noise of particles away; that is no fault."""
    noise = (
        np.random.default_rng(0).normal(scale=0.005, size=TRACKS.means.shape) * (PARTS.part_index >= 0)[None, :, None]
    )
    noisy = replace(TRACKS, means=(TRACKS.means + noise).astype(np.float32))
    parts = replace(PARTS, residual=np.full(PARTS.residual.shape, 0.01))
    report = check_usd(export(noisy, tmp_path / "box.usdc", parts=parts)[0], noisy)
    assert report.failed() == set(), report.findings
