"""A step of a script: a frozen dataclass whose fields are the keys of its table.

``of`` and ``to`` name pieces that are there, ``piece`` one that the step makes. Timesteps are the scene's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from warpgs.edit.desk import Desk

Vector = tuple[float, float, float]
ORIGIN = (0.0, 0.0, 0.0)
TIMESTEPS = ("at", "start", "last", "around")
"""Keys that name one, in any step."""


class Step(ABC):
    """One table of a script."""

    @abstractmethod
    def apply(self, desk: Desk) -> None:
        """Do it."""


class Checked(Step):
    """One that names files, cameras or parts."""

    @abstractmethod
    def check(self, desk: Desk) -> None:
        """Refuse, before any step is done, what is not there."""


def instant(desk: Desk, timestep: int | None, default: int = 0) -> int:
    """Index of a timestep; of the first, or the ``default``-th, when None."""
    return range(len(desk.timeline))[default] if timestep is None else desk.instant(timestep)
