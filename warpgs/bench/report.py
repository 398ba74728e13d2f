"""What a benchmark found: rows with what is wanted of them beside, printed or written as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One figure."""

    name: str
    """What was measured."""
    value: float | None
    """The figure; None where it could not be measured."""
    unit: str
    """"x" for a ratio, "ms", "1/s", "%"."""
    must: float | None = None
    """What it must reach, for information; None where nothing is wanted."""
    goal: float | None = None
    """What it should reach, for information."""
    note: str = ""
    """What it is made of, or why there is none."""


@dataclass(frozen=True)
class Report:
    """All figures of one run on one machine."""

    machine: dict[str, str]
    """What it ran on, and the versions of what ran."""
    rows: tuple[Row, ...]
    """In the order of the table."""

    def table(self) -> str:
        """The machine, then a line per row."""
        cells = [("", "measured", "must", "goal", "")]
        cells += [(r.name, _figure(r), _plain(r.must), _plain(r.goal), r.note) for r in self.rows]
        width = [max(len(row[i]) for row in cells) for i in range(4)]
        lines = [f"{name}: {text}" for name, text in self.machine.items()] + [""]
        for name, value, must, goal, note in cells:
            numbers = f"{value:>{width[1]}}  {must:>{width[2]}}  {goal:>{width[3]}}"
            lines.append(f"{name:<{width[0]}}  {numbers}  {note}".rstrip())
        return "\n".join(lines)

    def to_json(self) -> str:
        """The same for programs."""
        return json.dumps({"machine": self.machine, "rows": [asdict(row) for row in self.rows]}, indent=2) + "\n"


def _figure(row: Row) -> str:
    if row.value is None:
        return "-"
    return f"{row.value:.0f} {row.unit}" if row.value >= 100.0 else f"{row.value:.2f} {row.unit}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
