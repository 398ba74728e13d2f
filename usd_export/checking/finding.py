"""What a check looks at, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from pxr import Usd, UsdPhysics, UsdValidation

from usd_export.reading.field import Field, find_fields
from warpgs.types import Tracks

Level = Literal["fault", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One sentence of a check."""

    level: Level
    """fault: some reader will show or simulate it wrongly, or not at all. warning: probably not meant. note: for
    information."""
    where: str
    """Prim, attribute and time code; empty for the stage."""
    message: str
    """``expected ..., got ...``, or a measured value."""
    remedy: str = ""
    """What to do."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A stage under examination."""

    path: Path
    stage: Usd.Stage
    source: Tracks | None
    """What the file was made of, where the user says it."""

    @cached_property
    def mistyped(self) -> dict[Field, list[str]]:
        """Fields whose arrays are of other types than the schema's: no other check can look into them."""
        wrong = {field: field.mistyped() for field in find_fields(self.stage)}
        return {field: names for field, names in wrong.items() if names}

    @cached_property
    def fields(self) -> list[Field]:
        """Every other field of Gaussians that is drawn."""
        mistyped = {field.path for field in self.mistyped}
        return [field for field in find_fields(self.stage) if field.path not in mistyped]

    @cached_property
    def prims(self) -> list[Usd.Prim]:
        """Every active prim."""
        return list(self.stage.Traverse(Usd.TraverseInstanceProxies()))

    @cached_property
    def validation(self) -> list[UsdValidation.ValidationError]:
        """What OpenUSD's own validators say; they know nothing of Gaussians."""
        validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
        return UsdValidation.ValidationContext(validators).Validate(self.stage)

    @cached_property
    def bodies(self) -> list[Usd.Prim]:
        return [prim for prim in self.prims if prim.HasAPI(UsdPhysics.RigidBodyAPI)]


Check = Callable[[Subject], Iterator[Finding]]
"""Looks for one kind of fault; the first line of its docstring says what holds where it finds none."""


def fault(where: str, rule: str, got: object, remedy: str = "") -> Finding:
    return Finding("fault", where, f"expected {rule}, got {got}", remedy)


def warning(where: str, rule: str, got: object, remedy: str = "") -> Finding:
    return Finding("warning", where, f"expected {rule}, got {got}", remedy)


def authored(attribute: Usd.Attribute) -> Iterator[tuple[str, Usd.TimeCode, np.ndarray]]:
    """Where and what: every value of an array attribute, the default first, then each time sample."""
    codes = [Usd.TimeCode(time) for time in attribute.GetTimeSamples()]
    codes = [Usd.TimeCode.Default(), *codes] if has_default(attribute) else codes
    for code in codes:
        value = attribute.Get(code)
        if value is not None:
            yield place(attribute, code), code, np.atleast_1d(np.array(value))


def has_default(attribute: Usd.Attribute) -> bool:
    """Whether a reader that knows no time gets an authored value."""
    return attribute.GetResolveInfo(Usd.TimeCode.Default()).GetSource() == Usd.ResolveInfoSourceDefault


def place(attribute: Usd.Attribute, code: Usd.TimeCode) -> str:
    return f"{attribute.GetPath()}" + ("" if code.IsDefault() else f" at {code.GetValue():g}")


def some(values: np.ndarray, bad: np.ndarray) -> str:
    """The first bad value and how many there are."""
    first = int(np.argmax(bad))
    return f"{np.array2string(values[first], precision=4)} at index {first} ({int(bad.sum())} of {len(bad)})"
