"""All steps of an instant at once: launched one by one the first time, replayed from a recording after that."""

from __future__ import annotations

from warpgs.devices import Replay
from warpgs.simulate.failure import Watch
from warpgs.simulate.step import Clock, Solver
from warpgs.simulate.world import World


class Stride:
    """Carries ``state`` over as many steps as an instant has, without host work in between. Parameters may change
    between instants: they lie in arrays."""

    def __init__(self, world: World, solver: Solver, steps: int, dt: float, watch: Watch | None = None) -> None:
        """
        Args:
            world: What is simulated.
            solver: How.
            steps: Per instant.
            dt: Length of each [s].
            watch: Looks at every step; numbered within the instant.
        """
        self._world, self._solver, self._steps, self._dt, self._watch = world, solver, steps, dt, watch
        self.state = world.empty_state()
        """At the end of the last instant; to be assigned before the first."""
        self._other = world.empty_state()
        self._scratch = solver.scratch(world)
        self._replay = Replay(world.device, lambda: self._run(0))

    def run(self, instant: int) -> None:
        """Go on by the ``instant``-th instant, from 0."""
        # Where driven bodies are is a number of each launch; threads cannot be recorded.
        if self._world.driven_count or not self._solver.recordable:
            self._run(instant * self._steps)
            return
        self._replay.run()
        self._replay.record()

    def _run(self, first: int) -> None:
        before, after = self.state, self._other
        for step in range(self._steps):
            self._solver.step(self._world, before, Clock(first + step, self._dt), self._scratch, after)
            if self._watch is not None:
                self._watch.look(after, step)
            before, after = after, before
        if before is not self.state:
            self.state.assign(before)
