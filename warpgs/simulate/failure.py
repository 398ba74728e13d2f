"""What goes wrong in simulations: told at the step, with the part and what helps."""

from __future__ import annotations

import numpy as np
import warp as wp

from warpgs.simulate.state import State


class SimulationFailure(ArithmeticError):
    """A simulation that makes no sense any more. Instants before stay as they are."""

    def __init__(self, time_s: float, part: str, problem: str, remedy: str) -> None:
        super().__init__(f"{part} at {time_s:.4f} s: {problem}; {remedy}")
        self.time_s = time_s
        """Since the start [s], of the step."""
        self.part = part
        """Name of the part, or "deformable"."""
        self.problem = problem
        """What is wrong."""
        self.remedy = remedy
        """What may help."""


NEVER = 2**31 - 1
"""Step of what has not happened."""


@wp.kernel(enable_backward=False)
def watch_kernel(
    # inputs
    centers: wp.array[wp.vec3],
    rotations: wp.array[wp.quat],
    velocities: wp.array[wp.vec3],
    momenta: wp.array[wp.vec3],
    limit: float,
    step: int,
    # outputs: first step of each kind of failure, and a body that it befell
    steps: wp.array[int],
    bodies: wp.array[int],
):
    i = wp.tid()
    turn = rotations[i]
    total = wp.length(centers[i]) + wp.length(velocities[i]) + wp.length(momenta[i]) + turn[0] + turn[1] + turn[2]
    kind = int(-1)
    if not wp.isfinite(total + turn[3]):
        kind = int(0)
    elif wp.length(velocities[i]) > limit:
        kind = int(1)
    if kind >= 0 and wp.atomic_min(steps, kind, step) > step:
        bodies[kind] = i


class Watch:
    """Looks at every step; costs one launch each, and reading two numbers where ``check`` is called."""

    PROBLEMS = (
        ("numbers that are not finite", "take more --substeps, or less stiffness"),
        ("faster than {limit:.0f} m/s", "take more --substeps, less stiffness, or more damping_s"),
    )

    def __init__(self, names: tuple[str, ...], limit: float, device: wp.DeviceLike) -> None:
        self._names, self._limit = names, limit
        self._steps = wp.full(2, NEVER, dtype=int, device=device)
        self._bodies = wp.zeros(2, dtype=int, device=device)

    def look(self, state: State, step: int) -> None:
        """At the end of a step; float32 states only."""
        inputs = [state.centers, state.rotations, state.velocities, state.momenta, self._limit, step]
        wp.launch(watch_kernel, state.centers.size, inputs, [self._steps, self._bodies], device=state.centers.device)

    def check(self, dt: float, first: int) -> None:
        """Raise SimulationFailure for the first step that went wrong, of length ``dt`` [s]; steps have been numbered
        from the ``first`` on."""
        steps = self._steps.numpy()
        if steps.min() == NEVER:
            return
        kind = int(np.argmin(steps))
        problem, remedy = self.PROBLEMS[kind]
        body = int(self._bodies.numpy()[kind])
        raise SimulationFailure(
            dt * (first + int(steps[kind]) + 1), self._names[body], problem.format(limit=self._limit), remedy
        )


class Shape:
    """Notices neighborhoods that turn inside out: the determinant of how a particle's neighbors have moved around it
    changes sign. Those that are flat have none and are left out."""

    FLAT = 0.02
    """Least spread over the largest (lengths squared) of a neighborhood that is no surface."""
    SHARE = 0.01
    """Of the particles that may be inside out before it counts: single ones at an edge do turn over."""

    def __init__(self, points: np.ndarray, neighbors: np.ndarray, judged: np.ndarray) -> None:
        offsets = points[neighbors] - points[:, None]
        spread = np.linalg.eigvalsh(np.einsum("nki,nkj->nij", offsets, offsets)) if neighbors.size else np.zeros((0, 3))
        solid = spread[:, 0] > self.FLAT * spread[:, 2] if neighbors.size else np.zeros(len(points), bool)
        self.rows = np.flatnonzero(solid & judged)
        self._neighbors, self._offsets = neighbors[self.rows], offsets[self.rows]

    def inverted(self, points: np.ndarray) -> np.ndarray:
        """Particles that are inside out, shape [q]; none unless there are more than SHARE."""
        if len(self.rows) == 0:
            return self.rows
        now = points[self._neighbors] - points[self.rows][:, None]
        moved = np.linalg.det(np.einsum("nki,nkj->nij", now, self._offsets))
        out = self.rows[moved < 0.0]
        return out if len(out) > self.SHARE * len(self.rows) else out[:0]
