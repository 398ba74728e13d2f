"""Tables of TOML to dataclasses, with errors that say the line."""

from __future__ import annotations

import math
import re
import types
import typing
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from warpgs.checks import refuse

HEADER = re.compile(r"\s*\[\[\s*step\s*\]\]")
KINDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Place:
    """Where in a file: before all steps, or in one."""

    path: Path
    text: str
    """The file's content."""
    step: int | None = None
    """Number of the [[step]], from 0."""
    key: str | None = None
    """Within the value of this key of the step."""

    def where(self, key: str | None = None) -> str:
        """The file, the line where a key is set, or else the step begins, and what that line says."""
        key, number, header, line = self.key or key, -1, 0, 0
        setting = re.compile(rf"\s*[\"']?{re.escape(key or '')}[\"']?\s*=")
        lines = self.text.splitlines()
        for index, content in enumerate(lines, start=1):
            if HEADER.match(content):
                number += 1
                header = index if number == self.step else header
            elif number == (-1 if self.step is None else self.step) and setting.match(content):
                line = line or index
        line = line or header
        return f"{self.path}, line {line} ({lines[line - 1].strip()})" if line else str(self.path)

    def refuse(self, key: str | None, rule: str, got: object, remedy: str = "") -> NoReturn:
        refuse(self.where(key), rule, got, remedy)


def build(kind: type, table: dict[str, Any], place: Place, what: str) -> Any:
    """A dataclass whose fields are the keys of a table.

    Fields are text, numbers, booleans, tuples of these, dicts of tuples, dataclasses, or None beside one of these.

    Raises:
        ValueError: unknown or missing keys, values of another kind, or what the dataclass refuses; names the line.
    """
    hints, known = typing.get_type_hints(kind), {field.name: field for field in fields(kind)}
    for key in table:
        if key not in known:
            place.refuse(key, f"for {what} one of " + ", ".join(known), repr(key), "correct the name or leave it out")
    for name, field in known.items():
        if name not in table and field.default is MISSING:
            place.refuse("do", f"for {what} the key {name}", "none")
    values = {key: _value(hints[key], value, replace(place, key=place.key or key), key) for key, value in table.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{place.where('do')}: {error}") from error


def _value(hint: Any, value: Any, place: Place, name: str) -> Any:
    """A value of TOML as the type of a field."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        choices = [choice for choice in inner if choice is not types.NoneType]
        fitting = [choice for choice in choices if is_dataclass(choice) == isinstance(value, dict)]
        return _value((fitting or choices)[0], value, place, name)
    if is_dataclass(hint) and isinstance(value, dict):
        return build(typing.cast(type, hint), value, place, name)
    if origin is dict and isinstance(value, dict):
        return {key: _value(inner[1], each, place, key) for key, each in value.items()}
    if origin is tuple and isinstance(value, list) and inner[-1] in (..., inner[0]) and _fits(len(value), inner):
        return tuple(_value(inner[0], each, place, name) for each in value)
    if hint is float and type(value) in (int, float):
        if not math.isnan(value):
            return float(value)
    elif hint in KINDS and type(value) is hint:
        return value
    place.refuse(name, f"{name} = {_described(hint)}", repr(value))


def _fits(count: int, inner: tuple) -> bool:
    return inner[-1] is ... or count == len(inner)


def _described(hint: Any) -> str:
    """A type as a person would write a value of it."""
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return "a list" if inner[-1] is ... else f"a list of {len(inner)}"
    return KINDS.get(hint, "a table { ... }")
