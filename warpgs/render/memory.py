"""How much memory a rasterizer holds on its device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import warp as wp


@dataclass(frozen=True)
class Share:
    """What grows with the number of one kind of thing."""

    size: int
    """Bytes of all of them."""
    count: int
    """How many there are."""

    @classmethod
    def of(cls, arrays: Iterable[wp.array], count: int) -> Share:
        """What ``arrays`` hold for ``count`` things."""
        return cls(sum(array.size * wp.types.type_size_in_bytes(array.dtype) for array in arrays), count)

    @property
    def each(self) -> float:
        """Bytes of one of them."""
        return self.size / max(self.count, 1)


@dataclass(frozen=True)
class Memory:
    """Arrays that are allocated, by what they grow with. Warp's own sorts take some more for a moment."""

    gaussians: Share
    """Records of the particles, their gradients, their order."""
    pixels: Share
    """Images."""
    pairs: Share
    """Room for pairs of a tile and a splat: for half more than the fullest view needed, if it ever had to grow."""
    tiles: Share
    """Where the list of each tile starts."""

    @property
    def total(self) -> int:
        """All bytes."""
        return self.gaussians.size + self.pixels.size + self.pairs.size + self.tiles.size
