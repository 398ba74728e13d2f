"""In which order an optimization looks at its training views."""

from __future__ import annotations

import numpy as np


class ViewOrder:
    """Training views in random order, each once per round; depends on the seed and the timestep alone."""

    def __init__(self, view_count: int, views_per_step: int, seed: int, timestep: int) -> None:
        self._random = np.random.default_rng([seed, timestep])
        self._view_count = view_count
        self._per_step = min(views_per_step, view_count)
        self._queue: list[int] = []

    def take(self) -> list[int]:
        """The views of the next step, all different; a round ends with views left over when they fill no step."""
        if len(self._queue) < self._per_step:
            self._queue = self._random.permutation(self._view_count).tolist()
        taken, self._queue = self._queue[: self._per_step], self._queue[self._per_step :]
        return taken
