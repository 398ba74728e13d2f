"""Is a USD file of Gaussians right? What the schema asks for, what readers need, what only a comparison shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usd_export.checking.arrays import (
    check_counts,
    check_extents,
    check_finite,
    check_harmonics,
    check_opacities,
    check_quaternions,
    check_scales,
    check_schema,
)
from usd_export.checking.bodies import check_bodies, check_colliders
from usd_export.checking.finding import Check, Finding, Subject
from usd_export.checking.source import (
    check_same_births,
    check_same_colors,
    check_same_opacities,
    check_same_orientations,
    check_same_particles,
    check_same_positions,
    check_same_scales,
)
from usd_export.checking.stage import (
    check_axes,
    check_defaults,
    check_package,
    check_root,
    check_samples,
    check_timing,
    check_units,
    check_validators,
)
from usd_export.reading.field import open_stage
from warpgs.checks import check_suffix, sentence
from warpgs.types import Tracks

USD_SUFFIXES = (".usd", ".usda", ".usdc", ".usdz")

CHECKS: dict[str, Check] = {
    "root": check_root,
    "axes": check_axes,
    "units": check_units,
    "timing": check_timing,
    "defaults": check_defaults,
    "samples": check_samples,
    "validators": check_validators,
    "package": check_package,
    "schema": check_schema,
    "counts": check_counts,
    "finite": check_finite,
    "quaternions": check_quaternions,
    "scales": check_scales,
    "opacities": check_opacities,
    "harmonics": check_harmonics,
    "extents": check_extents,
    "colliders": check_colliders,
    "bodies": check_bodies,
}
"""What is asked of every file."""

COMPARISONS: dict[str, Check] = {
    "same particles": check_same_particles,
    "same births": check_same_births,
    "same positions": check_same_positions,
    "same orientations": check_same_orientations,
    "same scales": check_same_scales,
    "same opacities": check_same_opacities,
    "same colors": check_same_colors,
}
"""What is asked where the source is known."""


@dataclass(frozen=True)
class Report:
    """What all checks of a file found, by name, in their order."""

    file: str
    findings: dict[str, tuple[Finding, ...]]

    def count(self, level: str) -> int:
        """Of findings of a level."""
        return sum(finding.level == level for each in self.findings.values() for finding in each)

    def failed(self) -> set[str]:
        """Names of the checks that found a fault."""
        return {name for name, each in self.findings.items() if any(finding.level == "fault" for finding in each)}

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        checks = [
            {
                "name": name,
                "says": describe(name),
                "passed": name not in self.failed(),
                "findings": [vars(finding) for finding in each],
            }
            for name, each in self.findings.items()
        ]
        faults, warnings = self.count("fault"), self.count("warning")
        return {"file": self.file, "faults": faults, "warnings": warnings, "checks": checks}


def describe(name: str) -> str:
    """What holds where a check finds nothing."""
    return ((CHECKS | COMPARISONS)[name].__doc__ or "").split("\n")[0]


def check_usd(path: str | Path, source: Tracks | None = None) -> Report:
    """Examine a file.

    Args:
        path: A .usd, .usda, .usdc or .usdz.
        source: The tracks that it was made of: what is plausible but wrong shows in comparison only.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another suffix, or nothing that opens as USD.
    """
    path = Path(path)
    check_suffix(path, USD_SUFFIXES)
    if not path.is_file():
        raise FileNotFoundError(sentence(path, "a file", "a folder" if path.is_dir() else "none"))
    subject = Subject(path, open_stage(path), source)
    checks = CHECKS if source is None else CHECKS | COMPARISONS
    return Report(str(path), {name: tuple(check(subject)) for name, check in checks.items()})
