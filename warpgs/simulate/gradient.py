"""Gradients through time: what a loss on later states says about the first one and about parameters.

The way forward keeps one state in about sqrt(steps); on the way back each stretch between two is run again, on a tape,
and taken back (Griewank 1992). Memory grows with the square root of the number of steps, time by a half.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import warp as wp

from warpgs.checks import refuse
from warpgs.simulate.state import State
from warpgs.simulate.step import Clock, Explicit, Scratch, Solver
from warpgs.simulate.world import World

Loss = Callable[[int, State], float]
"""``loss(step, state)``, called once for every step 1 .. steps, in no order: adds its gradient to ``.grad`` of the
arrays of the state at the end of that step, and returns its share of the loss."""


@dataclass(frozen=True, eq=False)
class Gradients:
    """Of one loss."""

    loss: float
    """The sum over all steps."""
    start: dict[str, np.ndarray]
    """With respect to the arrays of the first state: centers, rotations, velocities, momenta."""
    parameters: dict[str, np.ndarray]
    """With respect to gravity, friction, restitution, stiffness, damping, drag."""


class BackInTime:
    """Buffers for gradients of one world through any number of steps up to ``steps``. Allocates here and nowhere else
    but for the states kept."""

    def __init__(self, world: World, steps: int, dt: float, solver: Solver | None = None) -> None:
        """
        Args:
            world: What is simulated.
            steps: To simulate, and to go back through.
            dt: Length of each [s].
            solver: Explicit() when None; without threads.
        """
        if steps < 1:
            refuse("steps", "at least 1", steps)
        self._world, self._steps, self._dt, self._solver = world, steps, dt, solver or Explicit()
        self._stretch = math.ceil(math.sqrt(steps))
        self._scratches = [self._solver.scratch(world, requires_grad=True) for _ in range(self._stretch)]
        self._states = [world.empty_state(requires_grad=True) for _ in range(self._stretch + 1)]
        self._kept = [world.empty_state() for _ in range(-(-steps // self._stretch))]

    @property
    def bytes(self) -> int:
        """Memory that all buffers take."""
        arrays = [array for scratch in self._scratches for array in scratch.arrays()]
        arrays += [array for state in (*self._states, *self._kept) for array in state.arrays().values()]
        return sum(array.capacity * (2 if array.requires_grad else 1) for array in arrays)

    def run(self, start: State, loss: Loss) -> Gradients:
        """Simulate from a state, and take the loss back to it."""
        self._forward(start)
        for array in vars(self._world.parameters).values():
            array.grad.zero_()
        total, incoming = 0.0, None
        for number in reversed(range(len(self._kept))):
            first = number * self._stretch
            count = min(self._stretch, self._steps - first)
            self._clear()
            tape = self._replay(number, first, count)
            if incoming is not None:
                for name, array in self._states[count].gradient().items():
                    array.assign(incoming[name])
            for k in range(1, count + 1):
                total += loss(first + k, self._states[k])
            tape.backward()
            incoming = {name: grad.numpy().copy() for name, grad in self._states[0].gradient().items()}
        assert incoming is not None
        named = {name: incoming[name] for name in ("centers", "rotations", "velocities", "momenta")}
        return Gradients(total, named, self._world.parameters.gradient)

    def _forward(self, start: State) -> None:
        """Keep the first state of each stretch."""
        before, after = self._states[0], self._states[1]
        before.assign(start)
        for step in range(self._steps):
            if step % self._stretch == 0:
                self._kept[step // self._stretch].assign(before)
            self._solver.step(self._world, before, Clock(step, self._dt), self._scratches[0], after)
            before, after = after, before

    def _replay(self, number: int, first: int, count: int) -> wp.Tape:
        """One stretch again, on a tape."""
        self._states[0].assign(self._kept[number])
        with wp.Tape() as tape:
            for k in range(count):
                clock = Clock(first + k, self._dt)
                before, after = self._states[k], self._states[k + 1]
                self._solver.step(self._world, before, clock, self._scratches[k], after, tape)
        return tape

    def _clear(self) -> None:
        """Forget the gradients of the stretch before."""
        for scratch in self._scratches:
            _zero(scratch)
        for state in self._states:
            for grad in state.gradient().values():
                grad.zero_()


def _zero(scratch: Scratch) -> None:
    for array in scratch.arrays():
        if array.grad is not None:
            array.grad.zero_()
