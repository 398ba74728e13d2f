"""Who was born when, and in which order particles are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import warp as wp

from warpgs.neighbors import nearest_neighbors
from warpgs.types import Gaussians

FOREGROUND = 0.5
"""Particles of at least this foreground probability move."""


@dataclass(frozen=True, eq=False)
class Generations:
    """The particles of the first timestep, foreground first, and those of every later one at which something entered.

    They are stored one generation after the other. In memory all that move come first: the foreground of the first
    timestep, the later generations, then the background.
    """

    parts: tuple[Gaussians, ...]
    """Each generation as it was at its birth."""

    @cached_property
    def all(self) -> Gaussians:
        """Every particle, as it was at its birth, in the order of storage."""
        return Gaussians.join(self.parts)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """How many particles of each generation move."""
        return tuple(int((part.foreground >= FOREGROUND).sum()) for part in self.parts)

    @property
    def moving(self) -> int:
        """How many particles move."""
        return sum(self.counts)

    @cached_property
    def order(self) -> np.ndarray:
        """Where in storage each particle in memory is, shape [n]."""
        first, count = self.counts[0], len(self.parts[0])
        return np.concatenate([np.arange(first), np.arange(count, len(self.all)), np.arange(first, count)])

    def slices(self) -> list[slice]:
        """The rows in memory of what moves, of each generation of which something does."""
        ends = np.cumsum(self.counts).tolist()
        return [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True) if count]


def neighbors_within(means: wp.array, parts: Sequence[slice], count: int) -> np.ndarray:
    """Nearest neighbors of particles among those of their own generation.

    Args:
        means: Centers, shape [n].
        parts: The rows of each generation, in order.
        count: How many neighbors; fewer than any generation has particles.

    Returns:
        Indices, nearest first, int32, shape [n, count].
    """
    return np.concatenate([nearest_neighbors(means[part], count)[0].numpy() + part.start for part in parts])
