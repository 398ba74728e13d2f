"""One iteration of an optimization: views, other terms beside them, and the update of what is optimized."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import warp as wp

from warpgs.devices import Replay
from warpgs.particles import Particles
from warpgs.reconstruct.objective import Objective


@wp.kernel(enable_backward=False)
def pick_views_kernel(
    # inputs
    order: wp.array2d[int],
    # outputs
    step: wp.array[int],
    views: wp.array[int],
):
    for slot in range(order.shape[1]):
        views[slot] = order[step[0], slot]
    step[0] += 1


class Iteration:
    """Adds up gradients and takes a step, again and again; launches are captured once and replayed.

    On the CPU each view is a graph, because views differ in their backdrops, and runs on a thread of its own. On CUDA
    everything is one graph, which takes the views of its next step from a list on the device and waits for nothing:
    whoever iterates asks ``Objective.overflowed`` now and then. (Pictures of several sizes: by view, as on the CPU.)
    """

    def __init__(
        self,
        objective: Objective,
        particles: Particles,
        gradients: Particles,
        update: Callable[[], None],
        *,
        beside: Callable[[], None] = lambda: None,
        adj_corrections: Sequence[wp.array] = (),
    ) -> None:
        """Put an iteration together.

        Args:
            objective: The image terms.
            particles: What is drawn.
            gradients: Of the first of them.
            update: Takes a step along ``gradients`` and clears them. Launches only, always the same.
            beside: Adds other terms to ``gradients``. The same.
            adj_corrections: Gradients of the color corrections, log gains and offsets, where they are optimized.
        """
        self._objective, self._particles, self._gradients = objective, particles, gradients
        self._adj_corrections = tuple(adj_corrections)
        self._beside_launches, self._update_launches = beside, update
        self._beside, self._update = Replay(objective.device, beside), Replay(objective.device, update)
        self._everything = Replay(objective.device, self._launch)
        self._generation = objective.generation
        self._order: list[list[int]] = []
        self._device_order = wp.zeros((0, 0), dtype=int, device=objective.device)
        self._step, self._views = (wp.zeros(1, dtype=int, device=objective.device) for _ in range(2))

    def begin(self, order: Sequence[Sequence[int]]) -> None:
        """Decide which views the coming steps take: those of each step, different ones."""
        self._order = [list(views) for views in order]
        if not self._order or not self._objective.one_graph:
            return
        steps, slots = len(self._order), len(self._order[0])
        if self._device_order.shape[0] < steps or self._device_order.shape[1] != slots:
            self._device_order = wp.zeros((steps, slots), dtype=int, device=self._objective.device)
            self._views = wp.zeros(slots, dtype=int, device=self._objective.device)
            self._everything.forget()
        if self._generation != self._objective.generation:
            self._generation = self._objective.generation
            self._everything.forget()
        self._device_order[:steps].assign(np.array(self._order, np.int32))
        self._step.zero_()

    def run(self) -> None:
        """Take the next step."""
        views = self._order.pop(0)
        if self._objective.one_graph:
            self._everything.record()
            self._everything.run()
            return
        for part in (self._beside, self._update):
            part.record()
        self._objective.accumulate(
            self._particles, views, self._gradients, *self._adj_corrections, beside=self._beside.run
        )
        self._update.run()

    def _launch(self) -> None:
        outputs = [self._step, self._views]
        device = self._objective.device
        wp.launch(pick_views_kernel, 1, [self._device_order], outputs, device=device, record_tape=False)
        inputs = [self._particles, self._views, self._views, self._gradients, *self._adj_corrections]
        self._objective.launch(*inputs, beside=self._beside_launches)
        self._update_launches()
