"""Arrays as they were, on their own device."""

from collections.abc import Sequence

import warp as wp


class Snapshot:
    """Copies of arrays to go back to."""

    def __init__(self, arrays: Sequence[wp.array]) -> None:
        self._arrays = list(arrays)
        self._copies = [wp.clone(array, requires_grad=False) for array in arrays]

    def take(self) -> None:
        """Remember the arrays as they are now."""
        for array, copy in zip(self._arrays, self._copies, strict=True):
            wp.copy(copy, array)

    def restore(self) -> None:
        """Make the arrays what they were when they were last taken, or at first."""
        for array, copy in zip(self._arrays, self._copies, strict=True):
            wp.copy(array, copy)
