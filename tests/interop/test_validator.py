"""NVIDIA's asset validator: its default rules, and the one for Gaussian splats, which is off unless asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from pxr import Usd, Vt

from tests.interop.bodies import make_parts, make_tracks
from usd_export import UsdOptions, export, export_usd

validator = pytest.importorskip(
    "omni.asset_validator", reason="omniverse-asset-validator is not installed: make check-interop"
)

SPLATS = "VG.035"


def faults(path: Path) -> list[str]:
    """Rule and sentence of everything that is wrong with a file; advice on speed is not counted."""
    engine = validator.ValidationEngine(init_rules=True)
    (rule,) = [rule for rule in validator.RequirementsRegistry().values() if rule.code == SPLATS]
    engine.enable_requirement(rule)
    return [
        f"{issue.rule.__name__ if issue.rule else 'engine'}: {issue.message}"
        for issue in engine.validate(str(path)).issues()
        if issue.severity != validator.IssueSeverity.WARNING
        or not (issue.requirement and "performance" in issue.requirement.tags)
    ]


# In half precision the validator misses the attributes of single precision, which the schema does not ask for then.
FORMS = {
    "raw": UsdOptions(),
    "dcc": UsdOptions(form="dcc"),
    "rigid": UsdOptions(ground=True),
    "dynamic": UsdOptions(dynamic=True),
}


@pytest.mark.parametrize("suffix", ["usdc", "usdz"])
@pytest.mark.parametrize("form", FORMS)
def test_validator_finds_no_fault_in_any_form(tmp_path: Path, form: str, suffix: str):
    parts, options = make_parts(), FORMS[form]
    rigid = parts if form in ("rigid", "dynamic") else None
    for path in export(make_tracks(parts), tmp_path / f"{form}.{suffix}", parts=rigid, options=options):
        assert faults(path) == []


@pytest.mark.parametrize("name", ["scales", "opacities"])
def test_validator_finds_stored_forms(tmp_path: Path, name: str):
    path = export_usd(make_tracks(make_parts()), tmp_path / "raw.usdc")
    stage = Usd.Stage.Open(str(path))
    attribute = stage.GetPrimAtPath("/World/Moving").GetAttribute(name)
    values = attribute.Get()
    attribute.Set(Vt.FloatArray([3.0] * len(values)) if name == "opacities" else [-value for value in values])
    stage.Save()
    found = faults(path)
    assert found and all(fault.startswith("GaussianSplatSchemaChecker") for fault in found)
