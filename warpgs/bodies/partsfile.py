"""Parts as a JSON file that a person can edit: rename a part, move particles, split, or merge by giving one name twice.

    {"format": "warpgs parts 1", "particles": 14210,
     "parts": [{"name": "crate", "particles": "0-412,500,510-514"}]}

Particles in no part are deformable where they are foreground. Poses are not in the file: they are fitted anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from warpgs.bodies.fit import fit_parts
from warpgs.bodies.parts import BACKGROUND, DEFORMABLE, Parts
from warpgs.checks import check_absent, refuse
from warpgs.files import whole_file
from warpgs.types import Tracks

FORMAT = "warpgs parts 1"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
RUN = re.compile(r"([0-9]{1,12})(?:-([0-9]{1,12}))?")
REMEDY = "mend the file, or write it anew with warpgs parts"


def write_parts(path: Path, parts: Parts, *, overwrite: bool = False) -> None:
    """Write who belongs to which part.

    Raises:
        FileExistsError: the file exists and ``overwrite`` is False.
    """
    check_absent(path, overwrite)
    entries = [{"name": name, "particles": _runs(parts.members(i))} for i, name in enumerate(parts.names)]
    content = {"format": FORMAT, "particles": len(parts.part_index), "parts": entries}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_parts(path: Path, tracks: Tracks, *, smooth: float = 0.0) -> Parts:
    """Read who belongs to which part, and fit the poses to ``tracks``; parts are in the order of the file.

    Args:
        path: A file of ``write_parts``, perhaps edited.
        tracks: The tracks that the file is about.
        smooth: See ``fit_parts``.

    Raises:
        FileNotFoundError, ValueError: no such file, or one that is malformed or about other tracks; names the entry.
    """
    count = len(tracks.foreground)
    entries = _entries(path, count)
    names: list[str] = []
    part_index = np.where(tracks.foreground >= 0.5, DEFORMABLE, BACKGROUND).astype(np.int32)
    for number, entry in enumerate(entries):
        name = _name(f"{path}: parts[{number}]", entry)
        if name not in names:
            names.append(name)
        rows = _indices(f"{path}: {name}", entry["particles"], count)
        taken = part_index[rows] >= 0
        if taken.any():
            first = int(rows[np.argmax(taken)])
            refuse(f"{path}: {name}", "each particle once", f"{first} again, after {names[part_index[first]]}", REMEDY)
        part_index[rows] = names.index(name)
    return fit_parts(tracks, part_index, names, smooth=smooth)


def _entries(path: Path, count: int) -> list[Any]:
    """The parts as they stand in the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        refuse(path, "JSON", error, REMEDY)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        refuse(path, f'an object of "format": "{FORMAT}"', "something else", REMEDY)
    if content.get("particles") != count:
        got = f"one of {content.get('particles')!r}"
        refuse(path, f"a file about tracks of {count} particles", got, "take the file of this run")
    if not isinstance(content.get("parts"), list):
        refuse(f"{path}: parts", "a list", type(content.get("parts")).__name__, REMEDY)
    return content["parts"]


def _name(what: str, entry: Any) -> str:
    """The name of an entry that has what it needs."""
    if not isinstance(entry, dict) or set(entry) != {"name", "particles"}:
        refuse(what, 'an object of "name" and "particles"', repr(entry)[:80], REMEDY)
    if not isinstance(entry["name"], str) or not NAME.fullmatch(entry["name"]):
        rule = "a letter or underscore, then up to 63 letters, digits and underscores"
        refuse(f"{what}: name", rule, repr(entry["name"])[:80], REMEDY)
    return entry["name"]


def _indices(what: str, text: Any, count: int) -> np.ndarray:
    """Particles of runs such as "0-412,500", as they come."""
    if not isinstance(text, str):
        refuse(f"{what}: particles", 'runs such as "0-412,500"', repr(text)[:80], REMEDY)
    taken = np.zeros(count, bool)
    for run in text.split(","):
        match = RUN.fullmatch(run.strip())
        if match is None:
            refuse(f"{what}: particles", 'runs such as "0-412,500"', repr(run)[:80], REMEDY)
        low, high = int(match[1]), int(match[2] or match[1])
        if not low <= high < count:  # before anything is made of them
            refuse(f"{what}: particles", f"rising runs from 0 to {count - 1}", repr(run.strip()), REMEDY)
        if taken[low : high + 1].any():
            refuse(f"{what}: particles", "each particle once", f"one of {run.strip()!r} again", REMEDY)
        taken[low : high + 1] = True
    return np.flatnonzero(taken)


def _runs(rows: np.ndarray) -> str:
    """Rising indices as runs."""
    pieces = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return ",".join(f"{p[0]}" if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in pieces if len(p))
