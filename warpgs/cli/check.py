"""``warpgs check``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from warpgs.cli.shared import Flag, Verb, open_tracks

if TYPE_CHECKING:
    from usd_export.checking import Report


@dataclass(frozen=True)
class CheckFile:
    """Check a USD file of Gaussians before someone else does: schema, units, defaults, extents, colliders, masses.

    With --against it is compared with what it was made of: quaternions in the wrong order, RGB where coefficients
    belong, or another unit look right by themselves. Exit status 1 on any fault; warnings are for judgment.

    Example: warpgs check tumble.usdc --against runs/tumble
    """

    file: Positional[Path]
    """A .usd, .usda, .usdc or .usdz."""
    against: Annotated[Path | None, tyro.conf.arg(metavar="RUN|FILE")] = None
    """The run, or the file of Gaussians, that it was exported from."""
    json: Flag = False
    """Print JSON rather than a table."""
    debug: Flag = False
    """Show where an error came from."""


def check_file(arguments: CheckFile) -> None:
    from usd_export.checking import USD_SUFFIXES, check_usd
    from warpgs.checks import check_suffix, refuse

    check_suffix(arguments.file, USD_SUFFIXES)  # before the run is read
    report = check_usd(arguments.file, None if arguments.against is None else open_tracks(arguments.against))
    if arguments.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        _print(report)
    faults = report.count("fault")
    if faults:
        refuse(arguments.file, "no faults", faults, f"see {'findings' if arguments.json else 'the table'} above")


def _print(report: Report) -> None:
    """A line per check, and one below it for each finding."""
    from usd_export.checking import describe

    width = max(map(len, report.findings))
    print(report.file)
    for name, findings in report.findings.items():
        levels = {finding.level for finding in findings}
        state = next((level for level in ("fault", "warning") if level in levels), "ok")
        print(f"  {state:<7}  {name:<{width}}  {describe(name)}")
        for finding in findings:
            where = f"{finding.where}: " if finding.where else ""
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            print(f"  {'':<7}  {'':<{width}}    {finding.level}: {where}{finding.message}{remedy}")
    print(f"{report.count('fault')} faults, {report.count('warning')} warnings")


CHECK = Verb(CheckFile, check_file)
