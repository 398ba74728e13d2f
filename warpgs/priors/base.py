"""The contract of a prior: what holds particles where pictures do not, in tracking and in simulation alike.

A prior is a frozen dataclass with a ``weight`` and one method, ``accumulate``, which adds ``weight`` times an energy to
a loss and the energy's gradient to that of the poses. The same objects serve ``track(..., priors=[...])`` and the
simulation, where minus the gradient is the force on each particle. A prior of a user's own lives outside the package:

    @wp.kernel
    def leash_kernel(
        means: wp.array(dtype=Any), first: wp.array(dtype=Any), scale: Any, loss: wp.array(dtype=wp.float64)
    ):
        i = wp.tid()
        wp.atomic_add(loss, 0, wp.float64(scale * wp.length_sq(means[i] - first[i])))

    @dataclass(frozen=True)
    class LeashPrior(Prior):
        weight: float = 1.0

        def accumulate(self, state, rest, loss):
            scale = rest.dtype(self.weight / (max(rest.means.size, 1) * rest.spacing**2))
            accumulate_energy(leash_kernel, rest.means.size, [state.means, rest.means, scale], state, rest, loss)

What every prior promises, and ``warpgs.priors.contract.check(LeashPrior)`` tests:

- The energy is a mean over particles or pairs, so that a weight means the same for few particles and for many.
- It is zero, and smallest, where poses are those of ``rest`` and nothing moves.
- It does not change when the whole world moves rigidly: state, motion, rest and what stands in the scene.
- Lengths in its fields are relative to ``rest.spacing`` (or ``rest.length_unit``) unless they end in ``_m``; those, and
  places, are in the frame and unit of the scene, which ``rest.world_from_rest`` leads to.
- Rotations may have any length and sign; numbers are float32 or float64, as ``rest.dtype`` says.
- The same launches at every call, and no allocation from the second call with a ``rest`` on: launches are recorded and
  replayed. Memory of a prior's own comes from ``rest.once``. Values that change between calls lie in arrays.
- Nothing but the loss and the gradients is written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import warp as wp

from warpgs.checks import refuse
from warpgs.particles import Particles
from warpgs.priors.rest import Rest


@dataclass(frozen=True, eq=False)
class Motion:
    """Where particles were at the last two instants; for priors on velocities."""

    last_means: wp.array
    """Centers one step ago [m], world frame, vec3, shape [n]."""
    last_rotations: wp.array
    """Unit quaternions one step ago, world from particle, shape [n]."""
    before_means: wp.array
    """Centers two steps ago [m], shape [n]."""
    before_rotations: wp.array
    """Unit quaternions two steps ago, shape [n]."""
    known: wp.array
    """1 where a particle has been there for two steps, so that its velocity is known, else 0, shape [n]."""
    step_s: float
    """Time between instants [s]."""


@dataclass(frozen=True, eq=False)
class State:
    """Poses of n particles and the gradient that priors add to."""

    means: wp.array
    """Centers [m], world frame, vec3, shape [n]."""
    rotations: wp.array
    """Quaternions, world from particle, normalized where they are used, shape [n]."""
    adj_means: wp.array
    """Gradient with respect to ``means``, accumulated, shape [n]."""
    adj_rotations: wp.array
    """Gradient with respect to ``rotations``, accumulated, shape [n]."""
    motion: Motion | None = None
    """The poses before these; None where nobody keeps them, and priors on velocities then add nothing."""

    @staticmethod
    def of(particles: Particles, gradient: Particles, motion: Motion | None = None) -> State:
        """The poses of ``particles`` with their share of ``gradient``; shares memory."""
        return State(particles.means, particles.rotations, gradient.means, gradient.rotations, motion)


@dataclass(frozen=True, eq=False)
class Parameter:
    """A number of a material that can be learned: one for all particles, or one of each.

    Fields of priors that are typed ``float | Parameter`` take either.
    """

    values: wp.array
    """Numbers of the type of ``Rest.dtype``, shape [1] or [n]."""
    gradient: wp.array
    """Of the loss, accumulated by ``Prior.accumulate``, of the same shape."""

    @staticmethod
    def of(values: float | np.ndarray, *, dtype: type = wp.float32, device: wp.DeviceLike = None) -> Parameter:
        """A parameter that starts at ``values``: a number, or one per particle."""
        array = wp.array(np.atleast_1d(np.asarray(values, np.float64)), dtype=dtype, device=device)
        return Parameter(array, wp.zeros_like(array))


def parameter(value: float | Parameter, rest: Rest) -> Parameter:
    """``value`` as kernels want it; a number becomes a parameter whose gradient nobody reads."""
    if isinstance(value, Parameter):
        return value
    made = rest.once(("parameter", value), lambda: Parameter.of(value, dtype=rest.dtype, device=rest.means.device))
    return made


class Prior(ABC):
    """A term on the poses of particles. Final subclasses are frozen dataclasses with the fields of their energy."""

    weight: float
    """Multiplier on the mean energy."""

    @abstractmethod
    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        """Add ``weight`` times the mean energy to ``loss`` and its gradient to the state's, in one pass.

        Args:
            state: n particles on the device of ``rest``. Its gradients are added to.
            rest: Built from the same n particles.
            loss: Value of the whole objective, wp.float64, shape [1]; added to.
        """


def parameters(prior: Prior) -> dict[str, Parameter]:
    """The fields of a prior that are learned."""
    values = {field.name: getattr(prior, field.name) for field in fields(prior)}  # type: ignore[arg-type]
    return {name: value for name, value in values.items() if isinstance(value, Parameter)}


def accumulate_energy(
    kernel: wp.Kernel, dim: int | tuple[int, ...], inputs: Sequence[Any], state: State, rest: Rest, loss: wp.array
) -> None:
    """Launch a kernel that adds an energy to its last argument, ``loss``, and the adjoint that Warp derives from it.

    Costs about three times a kernel that writes its gradient by itself. In loops of the kernel only sums (``+=``) are
    differentiated rightly.

    Args:
        kernel: Takes ``inputs``, then ``loss``; may be generic (``wp.array(dtype=Any)``).
        dim: Threads.
        inputs: Arrays and numbers; ``state.means``, ``state.rotations`` and any ``Parameter`` receive gradients.
        state: Whose gradients are added to.
        rest: Where the seed of the adjoint is kept.
        loss: wp.float64, shape [1]; added to.
    """
    device = loss.device
    one = rest.once("one", lambda: wp.ones(1, dtype=wp.float64, device=device))
    values = [item.values if isinstance(item, Parameter) else item for item in inputs]
    gradients = [_gradient(item, state) for item in inputs]
    wp.launch(kernel, dim, values, [loss], device=device, record_tape=False)
    wp.launch(
        kernel, dim, values, [loss], adj_inputs=gradients, adj_outputs=[one], adjoint=True, device=device,
        record_tape=False,
    )  # fmt: skip


def _gradient(item: Any, state: State) -> wp.array | None:
    if isinstance(item, Parameter):
        return item.gradient
    return {id(state.means): state.adj_means, id(state.rotations): state.adj_rotations}.get(id(item))


def check_weight(prior: Prior) -> None:
    """Refuse a weight that is negative or not finite."""
    if not (prior.weight >= 0.0 and np.isfinite(prior.weight)):
        refuse(f"{type(prior).__name__}: weight", "a finite number >= 0", prior.weight)
