"""Which camera took a picture, and when, told from the names of all pictures.

A name is cut in two at a folder or at a mark (``_``, ``-``, ``.``, space): ``cam01/000012``, ``000012/cam01`` and
``cam01_000012`` all have a camera and an instant. A cut counts where the two parts make a table of cameras and instants
at least half full. Which part is the camera is told by the poses where cameras stand still; else by a word such as
``cam`` or ``left`` in it. Where neither tells, the pictures are photos of one instant.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from scenes.shots import natural

MARKS = re.compile(r"[/_\-. ]+")
CAMERA_WORDS = re.compile(r"cam|view|left|right|front|rear|back", re.IGNORECASE)
LEAST_FILLED = 0.5
"""Share of a table of cameras and instants that has pictures."""
STILL = 0.05
"""A camera that stands still moves less than this share of how far all pictures are apart (structure from motion
finds each of its poses anew, each with its own error)."""


@dataclass(frozen=True)
class Naming:
    """Where names are cut, and which part is the camera."""

    mark: int
    """Index of the mark, or of the folder's end, at which names are cut."""
    camera_first: bool
    """Whether the camera stands before the mark."""

    def read(self, name: str) -> tuple[str, str] | None:
        """Camera and instant of a picture, None where its name is of another kind."""
        parts = cut(name, self.mark)
        return parts if parts is None or self.camera_first else (parts[1], parts[0])


def plain(name: str) -> str:
    """A picture's name without suffix and folders, fit to name a camera."""
    return str(PurePosixPath(name).with_suffix("")).replace("/", "_")


def cut(name: str, mark: int) -> tuple[str, str] | None:
    """A name without its suffix, cut at a mark; None where it has fewer, or nothing on one side."""
    stem = str(PurePosixPath(name).with_suffix(""))
    marks = list(MARKS.finditer(stem))
    if mark >= len(marks):
        return None
    before, after = stem[: marks[mark].start()], stem[marks[mark].end() :]
    return (before.replace("/", "_"), after.replace("/", "_")) if before and after else None


def find_naming(names: Sequence[str], centers_world: np.ndarray) -> Naming | None:
    """How pictures of a video are named, None where they are photos of one instant.

    Args:
        names: Of the pictures, relative paths.
        centers_world: Where each was taken from, shape [n, 3].
    """
    tables = [(mark, parts) for mark in range(_mark_count(names)) if (parts := _table(names, mark)) is not None]
    for tell in (_camera_stands_still, _camera_has_a_word):
        for mark, (first, second) in tables:
            is_first, is_second = (tell(part, centers_world) for part in (first, second))
            if is_first != is_second:
                return Naming(mark, is_first)
    return None


def find_instants(names: Sequence[str], found: Sequence[str]) -> tuple[Naming, dict[str, list[str]]] | None:
    """More pictures of cameras whose poses are known at one instant only: so they stand still. Instants have digits.

    Args:
        names: The pictures with poses, one per camera.
        found: All pictures there are.

    Returns:
        The naming and the pictures of each further instant, by instant, in the order of ``names``; None where
        ``names`` are not of one instant, or where no further one has a picture of every camera.
    """
    for mark in range(_mark_count(names)):
        for camera_first in (True, False):
            naming = Naming(mark, camera_first)
            known = [naming.read(name) for name in names]
            if None in known or len({camera for camera, _ in known}) < len(names) or len({t for _, t in known}) > 1:
                continue
            pictures: dict[str, dict[str, str]] = defaultdict(dict)
            for name in (*names, *found):
                if (parts := naming.read(name)) is not None and re.search(r"\d", parts[1]):
                    pictures[parts[1]].setdefault(parts[0], name)
            cameras = [camera for camera, _ in known]
            whole = {time: [row[c] for c in cameras] for time, row in pictures.items() if row.keys() >= set(cameras)}
            if len(whole) > 1:
                return naming, {time: whole[time] for time in sorted(whole, key=natural)}
    return None


def _mark_count(names: Sequence[str]) -> int:
    """Marks that all names have."""
    return min(len(MARKS.findall(str(PurePosixPath(name).with_suffix("")))) for name in names)


def _table(names: Sequence[str], mark: int) -> tuple[list[str], list[str]] | None:
    """Both parts of all names, where they make a table at least half full."""
    parts = [cut(name, mark) for name in names]
    if None in parts or len(set(parts)) < len(names):
        return None
    first, second = map(list, zip(*parts, strict=True))
    rows, columns = len(set(first)), len(set(second))
    return (first, second) if min(rows, columns) > 1 and len(names) >= LEAST_FILLED * rows * columns else None


def _camera_stands_still(part: Sequence[str], centers_world: np.ndarray) -> bool:
    """Whether pictures with the same part of their name were all taken from one place."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(part):
        groups[name].append(index)
    apart = np.linalg.norm(centers_world - centers_world.mean(axis=0), axis=1).mean()
    moves = [centers_world[rows] - centers_world[rows].mean(axis=0) for rows in groups.values() if len(rows) > 1]
    return bool(moves) and bool(np.linalg.norm(np.concatenate(moves), axis=1).mean() < STILL * apart)


def _camera_has_a_word(part: Sequence[str], centers_world: np.ndarray) -> bool:
    return all(CAMERA_WORDS.search(name) for name in set(part))
