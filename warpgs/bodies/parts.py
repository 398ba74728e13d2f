"""Rigid parts of tracks: who belongs to which, and where each is at every instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BACKGROUND = -1
"""Part index of particles that stand still."""
DEFORMABLE = -2
"""Part index of particles that move, but not as one of a rigid part."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Rigid parts of the particles of one ``Tracks`` of n particles at t instants.

    A part's own frame stands, at its first instant, at the center of its particles, its axes parallel to the world's.
    """

    part_index: np.ndarray
    """Index into ``names`` of the part that each particle belongs to, BACKGROUND, or DEFORMABLE; shape [n], int32."""
    names: tuple[str, ...]
    """One per part, p of them: identifiers that USD takes as the names of prims."""
    world_from_part: np.ndarray
    """Rigid transforms [m], shape [t, p, 4, 4], float64; before a part's first instant, that of its first."""
    residual: np.ndarray
    """Root mean square distance [m] of a part's particles from where its pose puts them, shape [t, p], float64; 0
    before its first instant."""
    birth: np.ndarray
    """Index of the first instant at which each part exists, shape [p], int32."""

    def __len__(self) -> int:
        return len(self.names)

    def members(self, part: int) -> np.ndarray:
        """Indices of a part's particles, shape [m], rising."""
        return np.flatnonzero(self.part_index == part)
