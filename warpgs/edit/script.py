"""Edits as a TOML file: a base, and steps that are done one after the other.

base = "runs/tumble"

[[step]]
do = "cut"
part = "part_00"
piece = "crate"

[[step]]
do = "recolor"
of = "crate"
color = [0.9, 0.1, 0.1]
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from warpgs.checks import refuse, sentence
from warpgs.edit.desk import SCENE, Desk
from warpgs.edit.step import TIMESTEPS, Checked, Step
from warpgs.edit.step_pieces import Remove
from warpgs.edit.steps import STEPS
from warpgs.edit.tables import Place, build
from warpgs.types import Tracks

HEAD = {"base": "what to start with, a run or a file", "scene": "whose cameras", "parts": "a file of warpgs parts"}
FAULTS = (ValueError, TypeError, OSError, NotImplementedError)


@dataclass(frozen=True)
class Script:
    """What a file of edits says."""

    path: Path
    base: str
    """A run or a file, from the folder of the script on."""
    steps: tuple[tuple[str, Step], ...]
    """In order, each with where it stands, for errors."""
    scene: str | None = None
    """Whose cameras; where the base is a run, its own when None."""
    parts: str | None = None
    """A file of ``warpgs parts``; they are found when None."""


def read_script(path: Path) -> Script:
    """Read a script; of all that it names only pieces are known to be there.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not TOML, or a key, a value or a piece that cannot be; names the line.
    """
    if not path.is_file():
        raise FileNotFoundError(sentence(path, "a TOML file of edits", "none", "see docs/editing.md"))
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse(path, "TOML", error)
    head = Place(path, text)
    for key, value in content.items():
        if key not in (*HEAD, "step"):
            head.refuse(key, "one of " + ", ".join((*HEAD, "step")), repr(key), "correct the name")
        if key != "step" and not isinstance(value, str):
            head.refuse(key, f"text: {HEAD[key]}", repr(value))
    if "base" not in content:
        refuse(path, 'base = "..."', "none", "name the run or the file to start with")
    tables = content.get("step", [])
    if not (isinstance(tables, list) and tables and all(isinstance(table, dict) for table in tables)):
        refuse(path, "at least one [[step]]", repr(tables) if tables else "none")
    steps = tuple(_step(Place(path, text, number), table) for number, table in enumerate(tables))
    _check_pieces(steps)
    return Script(path, content["base"], steps, content.get("scene"), content.get("parts"))


def run_script(script: Script, desk: Desk, progress: Callable[[int, int], None] | None = None) -> Tracks:
    """Do the steps of a script, after everything that they name was looked for.

    Args:
        script: What to do.
        desk: With the base.
        progress: Called as ``progress(done, total)`` after each step.

    Raises:
        ValueError, TypeError, OSError: naming the line of the step.
    """
    _rehearse(script, desk)
    for done, (where, step) in enumerate(script.steps, start=1):
        with _named(where):
            step.apply(desk)
        if progress is not None:
            progress(done, len(script.steps))
    return desk.result()


def _rehearse(script: Script, desk: Desk) -> None:
    """Refuse what a step cannot do, without its work: pieces are a single particle."""
    rehearsal = replace(desk, base=desk.timeline, find_parts=desk.parts)
    for where, step in script.steps:
        with _named(where):
            for key in TIMESTEPS:
                if getattr(step, key, None) is not None:
                    rehearsal.instant(getattr(step, key))
            if isinstance(step, Checked):
                step.check(rehearsal)
                rehearsal.pieces.setdefault(getattr(step, "piece", SCENE), rehearsal.timeline)
            else:
                step.apply(rehearsal)


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Errors say which step they come from."""
    try:
        yield
    except FAULTS as error:
        raise type(error)(f"{where}: {error}") from error


def _step(place: Place, table: dict[str, Any]) -> tuple[str, Step]:
    """Where a step stands, and the step."""
    kind = table.get("do")
    if not isinstance(kind, str) or kind not in STEPS:
        place.refuse("do", "do = one of " + ", ".join(STEPS), repr(kind) if kind is not None else "none")
    step = build(STEPS[kind], {key: value for key, value in table.items() if key != "do"}, place, kind)
    return place.where("do"), step


def _check_pieces(steps: tuple[tuple[str, Step], ...]) -> None:
    """Follow which pieces there are, from step to step."""
    there = [SCENE]
    for where, step in steps:
        for key in ("of", "to"):
            name = getattr(step, key, None)
            if name is not None and name not in there:
                rule = f"{key} = one of the pieces there are, {', '.join(there) or 'none'}"
                refuse(where, rule, repr(name), "cut or insert it first")
        if isinstance(step, Remove):
            there.remove(step.of)
        made = getattr(step, "piece", None)
        if made in there:
            refuse(where, "piece = a name that is not taken", repr(made), "give it another")
        there += [] if made is None else [made]
