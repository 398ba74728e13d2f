"""A corrupted twin of a good file for every fault: found by exactly the check that is for it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pxr import Usd, UsdGeom, Vt

from tests.usd_export.sample import make_tracks, with_births, with_judgments
from tests.usd_export.stages import HARMONICS, make_field, make_stage
from usd_export import export
from usd_export.checking import CHECKS, COMPARISONS, check_usd, describe
from warpgs.cli import main

TRACKS = with_judgments(with_births(make_tracks(steps=6, harmonics=8), (2, 2, 4)))
MOVING = "/World/Moving"

Corrupt = Callable[[Usd.Stage], object]


def corrupted(folder: Path, corrupt: Corrupt, tracks=TRACKS) -> Path:
    """An export, changed by someone who knows no better."""
    good = export(tracks, folder / "good.usdc", overwrite=True)[0]
    stage = Usd.Stage.Open(str(good))
    corrupt(stage)
    stage.Export(str(folder / "bad.usdc"))
    return folder / "bad.usdc"


def change(
    name: str, function: Callable[[np.ndarray], np.ndarray], prim: str = MOVING, samples: slice = slice(None)
) -> Corrupt:
    """Apply a function to the default of an attribute, where ``samples`` is all, and to some of its time samples."""

    def corrupt(stage: Usd.Stage) -> None:
        attribute = stage.GetPrimAtPath(prim).GetAttribute(name)
        codes = [Usd.TimeCode(time) for time in attribute.GetTimeSamples()][samples]
        codes += [Usd.TimeCode.Default()] if samples == slice(None) else []
        for code in codes:
            value = attribute.Get(code)
            changed = function(np.array(value))
            attribute.Set(type(value).FromNumpy(np.ascontiguousarray(changed, np.array(value).dtype)), code)

    return corrupt


def both(corrupt: Callable[[str], Corrupt]) -> Corrupt:
    """The same for what stands still."""

    def corrupt_all(stage: Usd.Stage) -> None:
        for prim in (MOVING, "/World/Static"):
            corrupt(prim)(stage)

    return corrupt_all


def at(index: tuple, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def put_in(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[index] = value
        return array

    return put_in


def clear_default(name: str) -> Corrupt:
    return lambda stage: stage.GetPrimAtPath(MOVING).GetAttribute(name).ClearDefault()


def clear_metadata(key: str) -> Corrupt:
    return lambda stage: stage.GetRootLayer().pseudoRoot.ClearInfo(key)


def attribute(name: str, action: Callable[[Usd.Attribute], object], prim: str = MOVING) -> Corrupt:
    return lambda stage: action(stage.GetPrimAtPath(prim).GetAttribute(name))


ALONE: dict[str, tuple[Corrupt, str, str]] = {
    "no root": (lambda stage: stage.ClearDefaultPrim(), "root", "expected a defaultPrim, got none"),
    "no up axis": (clear_metadata("upAxis"), "axes", "none, which readers take for Y"),
    "no unit": (clear_metadata("metersPerUnit"), "units", "none, which readers take for centimetres"),
    "unit 0": (lambda stage: UsdGeom.SetStageMetersPerUnit(stage, 0.0), "units", "above 0"),
    "no rate": (clear_metadata("timeCodesPerSecond"), "timing", "none, which readers take for 24"),
    "no end": (clear_metadata("endTimeCode"), "timing", "startTimeCode and endTimeCode beside"),
    "short range": (lambda stage: stage.SetEndTimeCode(6), "timing", "samples from 3 to 6"),
    "no default of positions": (clear_default("positions"), "defaults", "expected a default beside the time samples"),
    "no default of opacities": (clear_default("opacities"), "defaults", "repeat the first sample"),
    "no default of the extent": (clear_default("extent"), "defaults", f"{MOVING}.extent: expected a default"),
    "a sample of orientations is missing": (
        attribute("orientations", lambda each: each.ClearAtTime(5.0)),
        "samples",
        "orientations: expected a sample at each time that positions has, got none at 5 (1 of 6 missing)",
    ),
    "no scales": (
        lambda stage: stage.GetPrimAtPath(MOVING).RemoveProperty("scales"),
        "schema",
        "expected values, got none",
    ),
    "unknown hint": (
        attribute("sortingModeHint", lambda each: each.Set("nearest")),
        "schema",
        "zDepth or cameraDistance, got nearest",
    ),
    "a position less at one sample": (change("positions", lambda a: a[:-1], samples=slice(2, 3)), "counts", "got 35"),
    "a scale less": (change("scales", lambda a: a[:-1]), "counts", f"{MOVING}.scales: expected 36 values"),
    "ids of others": (change("primvars:ids", lambda a: a[:3]), "counts", "primvars:ids: expected 36 values"),
    "NaN in a position": (
        change("positions", at((4, 1), np.nan), samples=slice(3, 4)),
        "finite",
        "positions at 6: expected",
    ),
    "NaN in a coefficient": (change(HARMONICS, at((9, 2), np.nan)), "finite", "expected finite numbers, got"),
    "infinite scale": (change("scales", at((0, 0), np.inf)), "finite", "index 0 (1 of 36)"),
    "infinite extent": (change("extent", at((1, 1), np.inf), samples=slice(0, 1)), "finite", "extent at 3"),
    "quaternions not normalized": (
        change("orientations", lambda a: 1.1 * a),
        "quaternions",
        "length 1.1 at index 0 (36 of",
    ),
    "a zero quaternion": (change("orientations", at((7,), 0.0), samples=slice(5, 6)), "quaternions", "at 8: expected"),
    "log scales": (change("scales", np.log), "scales", "they look like logarithms: store exp of them"),
    "a flat particle": (change("scales", at((3, 1), 0.0)), "scales", "index 3 (1 of 36); remove these particles"),
    "logits": (change("opacities", lambda a: 9.0 * a - 4.0), "opacities", "they look like logits"),
    "an opacity above 1": (change("opacities", at((3,), 1.01)), "opacities", "index 3 (1 of 36); clamp them"),
    "degree too high": (
        attribute("radiance:sphericalHarmonicsDegree", lambda each: each.Set(2)),
        "harmonics",
        "expected 9 x 36 triples for degree 2, got 576",
    ),
    "degree out of range": (
        attribute("radiance:sphericalHarmonicsDegree", lambda each: each.Set(4)),
        "harmonics",
        "expected 0 to 3, got 4",
    ),
    "element size": (
        attribute(HARMONICS, lambda each: each.SetMetadata("elementSize", 3)),
        "harmonics",
        "elementSize 16",
    ),
    "interpolation": (
        attribute(HARMONICS, lambda each: each.SetMetadata("interpolation", "constant")),
        "harmonics",
        "interpolation vertex, got constant",
    ),
    "no extent": (
        lambda stage: stage.GetPrimAtPath(MOVING).RemoveProperty("extent"),
        "extents",
        "expected an extent, got none",
    ),
    "extent too small at one sample": (
        change("extent", lambda a: 0.99 * a, samples=slice(4, 5)),
        "extents",
        "extent at 7: expected the 3 sigma of all particles",
    ),
    "extent of the centers": (
        change("extent", lambda a: 0.5 * a, "/World/Static"),
        "extents",
        "/World/Static.extent: exp",
    ),
    "extent held from the first sample": (
        attribute("extent", lambda each: [each.ClearAtTime(time) for time in each.GetTimeSamples()]),
        "extents",
        "author it at every sample of the poses",
    ),
    "extent of one point": (change("extent", lambda a: a[:1]), "extents", "1 points"),
    "a ball inside of the particles": (
        lambda stage: UsdGeom.Sphere.Define(stage, f"{MOVING}/Ball"),
        "validators",
        "see usdGeomValidators:EncapsulationChecker",
    ),
}


@pytest.mark.parametrize("name", ALONE)
def test_fault_is_found_by_exactly_its_check(tmp_path: Path, name: str):
    corrupt, check, sentence = ALONE[name]
    report = check_usd(corrupted(tmp_path, corrupt))
    found = [f"{each.where}: {each.message}; {each.remedy}" for each in report.findings[check]]
    assert report.failed() == {check}, report.findings
    assert any(sentence in each for each in found), found


def test_degree_that_is_not_authored_falls_back_to_3(tmp_path: Path):
    plain = make_tracks(steps=3)
    degree = "radiance:sphericalHarmonicsDegree"
    path = corrupted(tmp_path, lambda stage: stage.GetPrimAtPath(MOVING).RemoveProperty(degree), plain)
    report = check_usd(path)
    assert report.failed() == {"harmonics"}
    assert "degree 3, which it falls back to as none is authored" in report.findings["harmonics"][0].message


# With the source


def swap_quaternions(prim: str) -> Corrupt:
    return change("orientations", lambda a: a[:, [3, 0, 1, 2]], prim)


def rgb(prim: str) -> Corrupt:
    def store(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[::16] = 0.5 + 0.28209479177 * array[::16]
        return array

    return change(HARMONICS, store, prim)


AGAINST: dict[str, tuple[Corrupt, str, str]] = {
    "wrong order of quaternions": (both(swap_quaternions), "same orientations", "they are w, x, y, z in memory"),
    "conjugate quaternions": (
        both(lambda prim: change("orientations", lambda a: a * [1, 1, 1, -1], prim)),
        "same orientations",
        "is a transform missing?",
    ),
    "one turned particle at one sample": (
        change(
            "orientations",
            lambda a: np.where(np.arange(36)[:, None] == 4, np.roll(a, 1, axis=1), a),
            samples=slice(3, 4),
        ),
        "same orientations",
        "orientations at 6",
    ),
    "RGB stored as harmonics": (both(rgb), "same colors", "RGB is stored where coefficients belong"),
    "colors of others": (change(HARMONICS, lambda a: a[::-1]), "same colors", "expected the colors of the source"),
    "harmonics of the wrong sign": (
        change(HARMONICS, lambda a: np.where(np.arange(len(a))[:, None] % 16 == 0, a, -a)),
        "same colors",
        "expected the harmonics of the source",
    ),
    "positions of another particle": (
        change("positions", lambda a: a[np.r_[1, 0, 2 : len(a)]], samples=slice(2, 3)),
        "same positions",
        "positions at 5",
    ),
    "halved scales": (change("scales", lambda a: 0.5 * a), "same scales", "are they of another unit?"),
    "fewer opacities": (
        change("opacities", lambda a: 0.9 * a),
        "same opacities",
        "expected the opacities of the source",
    ),
    "ids of strangers": (
        change("primvars:ids", lambda a: np.where(a == a[0], 2**20, a)),
        "same particles",
        "expected the 60 particles of the source",
    ),
}


def show_all(attribute: Usd.Attribute) -> None:
    """Opacities of the last sample, when all are born, at every time."""
    values = attribute.Get(attribute.GetTimeSamples()[-1])
    for code in (Usd.TimeCode.Default(), *map(Usd.TimeCode, attribute.GetTimeSamples())):
        attribute.Set(values, code)


AGAINST["particles shown before their birth"] = (
    attribute("opacities", show_all),
    "same births",
    "Moving at 3: expected the particles that the source has then, got 3 others, such as 57, which is shown, but not",
)
AGAINST["particles shown later"] = (
    change("opacities", lambda a: np.where(np.arange(len(a)) < len(a) - 3, a, 0.0), samples=slice(2, 3)),
    "same births",
    "Moving at 5: expected the particles that the source has then, got 2 others, such as 57, which is born, but not",
)
AGAINST["hidden particles"] = (
    lambda stage: UsdGeom.Imageable(stage.GetPrimAtPath(MOVING)).MakeInvisible(),
    "same births",
    "which is born, but not shown",
)
AGAINST["ids twice"] = (
    change("primvars:ids", lambda a: np.where(a == a[0], 2**20, a)),
    "same particles",
    "60 particles",
)


@pytest.mark.parametrize("name", AGAINST)
def test_plausible_fault_is_found_by_comparison_with_the_source_alone(tmp_path: Path, name: str):
    corrupt, check, sentence = AGAINST[name]
    path = corrupted(tmp_path, corrupt)
    assert check_usd(path).failed() <= {"extents"}  # halved axes, or turned ones, may leave the box
    report = check_usd(path, TRACKS)
    assert report.failed() - {"extents"} == {check}, report.findings
    assert any(sentence in f"{each.where}: {each.message}; {each.remedy}" for each in report.findings[check])


def test_log_scales_above_0_are_found_by_comparison(tmp_path: Path):
    """A recording in millimetres: the logarithms of its sizes are plausible sizes."""
    tracks = replace(TRACKS, means=1000 * TRACKS.means, log_scales=np.abs(TRACKS.log_scales) + np.float32(2.0))
    path = corrupted(tmp_path, both(lambda prim: change("scales", np.log, prim)), tracks)
    assert check_usd(path).failed() == set()
    report = check_usd(path, tracks)
    assert report.failed() == {"same scales"}
    assert report.findings["same scales"][0].remedy == "they are logarithms: store exp of them"


def test_pale_colors_are_a_warning_not_a_fault(tmp_path: Path):
    report = check_usd(corrupted(tmp_path, both(rgb_within), make_tracks(steps=2)))
    assert report.failed() == set() and report.count("warning") == 2
    assert {each.level for each in report.findings["harmonics"]} == {"warning"}


def rgb_within(prim: str) -> Corrupt:
    return change(HARMONICS, lambda a: np.random.default_rng(0).random(a.shape), prim)


@pytest.mark.parametrize("suffix", ["usda", "usdc", "usdz"])
@pytest.mark.parametrize("harmonics", [0, 8])
def test_good_file_has_no_faults_and_no_warnings(tmp_path: Path, suffix: str, harmonics: int):
    tracks = with_judgments(with_births(make_tracks(harmonics=harmonics)))
    report = check_usd(export(tracks, tmp_path / f"good.{suffix}")[0], tracks)
    assert all(not findings for findings in report.findings.values()), report.findings
    assert list(report.findings) == [*CHECKS, *COMPARISONS]


@pytest.mark.parametrize("static", [0, 60])
def test_good_file_of_one_particle_or_of_what_never_moves_has_no_faults(tmp_path: Path, static: int):
    for tracks in (make_tracks(static=static), make_tracks(steps=1, count=1, static=min(static, 1))):
        report = check_usd(export(tracks, tmp_path / "good.usdc", overwrite=True)[0], tracks)
        assert all(not findings for findings in report.findings.values()), report.findings


def test_fields_of_others_in_half_precision_and_other_axes_have_no_faults(tmp_path: Path):
    stage = make_stage(up="Y", meters_per_unit=0.01)
    half = make_field(stage, "/World/Half", half=True, degree=1)
    full = make_field(stage, "/World/Full", degree=3)
    for splats in (half, full):
        splats.CreateExtentAttr(Vt.Vec3fArray([(-9, -9, -9), (9, 9, 9)]))
    stage.Export(str(tmp_path / "theirs.usda"))
    report = check_usd(tmp_path / "theirs.usda")
    assert report.failed() == set()
    assert {each.message for each in report.findings["harmonics"]} == {
        "expected elementSize 4, got none",
        "expected elementSize 16, got none",
    }


def test_stage_without_gaussians_is_a_fault(tmp_path: Path):
    stage = make_stage()
    stage.Export(str(tmp_path / "empty.usda"))
    assert check_usd(tmp_path / "empty.usda", TRACKS).failed() == {"schema"}
    points = UsdGeom.Points.Define(stage, "/World/Points")
    points.CreatePointsAttr([(0, 0, 0)])
    stage.Export(str(tmp_path / "points.usda"))
    report = check_usd(tmp_path / "points.usda", TRACKS)
    assert report.failed() == set() and "UsdGeom.Points alone" in report.findings["schema"][0].message


def test_package_that_is_not_aligned_is_found(tmp_path: Path):
    layer = export(TRACKS, tmp_path / "good.usdc")[0]
    with zipfile.ZipFile(tmp_path / "bad.usdz", "w") as package:
        package.write(layer, "good.usdc")
    report = check_usd(tmp_path / "bad.usdz")
    assert report.failed() == {"package"}
    assert "invalid offset" in report.findings["package"][0].message


# The command


def test_command_prints_a_line_per_check_and_succeeds(tmp_path: Path, capsys: pytest.CaptureFixture):
    path = export(TRACKS, tmp_path / "good.usdc")[0]
    assert main(["check", str(path), "--against", str(path)]) == 0
    printed = capsys.readouterr().out
    for name in (*CHECKS, *COMPARISONS):
        assert f"ok       {name}" in printed and describe(name) in printed
    assert printed.endswith("0 faults, 0 warnings\n")


def test_command_fails_on_a_fault_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture):
    path = corrupted(tmp_path, both(swap_quaternions))
    assert main(["check", str(path), "--against", str(tmp_path / "good.usdc")]) == 1
    captured = capsys.readouterr()
    assert "they are w, x, y, z in memory, where USD has x, y, z, w" in captured.out
    assert captured.err == f"warpgs check: {path}: expected no faults, got 3; see the table above\n"  # and two extents


def test_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture):
    path = corrupted(tmp_path, change("scales", np.log))
    assert main(["check", str(path), "--json"]) == 1
    value = json.loads(capsys.readouterr().out)
    assert (value["file"], value["faults"], value["warnings"]) == (str(path), 1, 0)
    failed = [check for check in value["checks"] if not check["passed"]]
    assert [check["name"] for check in failed] == ["scales"]
    assert failed[0]["findings"][0]["where"] == f"{MOVING}.scales" and len(value["checks"]) == len(CHECKS)


@pytest.mark.parametrize("name", ["a.ply", "a.npz", "a"])
def test_command_is_for_usd_alone(tmp_path: Path, name: str, capsys: pytest.CaptureFixture):
    assert main(["check", str(tmp_path / name)]) == 1
    assert "expected a file ending in .usd, .usda, .usdc, .usdz" in capsys.readouterr().err


def test_command_refuses_what_is_not_there_or_does_not_open(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["check", str(tmp_path / "none.usdc")]) == 1
    assert "expected a file, got none" in capsys.readouterr().err
    (tmp_path / "junk.usdc").write_bytes(b"junk")
    assert main(["check", str(tmp_path / "junk.usdc")]) == 1
    assert "expected a USD file" in capsys.readouterr().err
