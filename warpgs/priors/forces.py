"""Priors as the forces of a simulation, differentiable on a tape though priors only know their first derivative.

The adjoint of a force is a product with the second derivative of the energy, which is symmetric. So central differences
of the energy's gradient along the incoming gradient give the product, and those of what priors add to the gradients of
their parameters give the mixed derivatives, with the same two evaluations.
"""

from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import final

import warp as wp

from warpgs.priors.base import Motion, Prior, State, parameters
from warpgs.priors.fused import accumulate_priors
from warpgs.priors.rest import Rest

STEP = {wp.float64: 1e-4, wp.float32: 1e-2}
"""Of the differences: how far a coordinate moves at most, in ``rest.spacing``; numbers of quaternions likewise."""


@cache
def forces_kernels(dtype: type) -> SimpleNamespace:
    """The kernels for numbers of ``dtype``; they take vectors and quaternions as rows of numbers."""
    real = dtype

    @wp.kernel(module="unique", enable_backward=False)
    def add_kernel(
        # inputs
        numbers: wp.array(dtype=real),
        factor: real,
        # outputs, accumulated
        sums: wp.array(dtype=real),
    ):
        i = wp.tid()
        sums[i] = sums[i] + factor * numbers[i]

    @wp.kernel(module="unique", enable_backward=False)
    def largest_kernel(
        # inputs
        numbers: wp.array(dtype=real),
        # outputs
        largest: wp.array(dtype=real),
    ):
        wp.atomic_max(largest, 0, wp.abs(numbers[wp.tid()]))

    @wp.kernel(module="unique", enable_backward=False)
    def nudge_kernel(
        # inputs
        numbers: wp.array(dtype=real),
        directions: wp.array(dtype=real),
        largest: wp.array(dtype=real),
        step: real,
        # outputs
        nudged: wp.array(dtype=real),
    ):
        i = wp.tid()
        nudged[i] = numbers[i]
        if largest[0] > real(0.0):
            nudged[i] = numbers[i] + directions[i] * (step / largest[0])

    @wp.kernel(module="unique", enable_backward=False)
    def difference_kernel(
        # inputs
        ahead: wp.array(dtype=real),
        behind: wp.array(dtype=real),
        largest: wp.array(dtype=real),
        factor: real,
        # outputs, accumulated
        sums: wp.array(dtype=real),
    ):
        i = wp.tid()
        sums[i] = sums[i] + (ahead[i] - behind[i]) * (factor * largest[0])

    return SimpleNamespace(add=add_kernel, largest=largest_kernel, nudge=nudge_kernel, difference=difference_kernel)


@final
class Forces:
    """Minus the gradient of a sum of priors, for n particles; keeps the memory that this takes."""

    def __init__(self, priors: Sequence[Prior], rest: Rest, *, scale: float = 1.0) -> None:
        """Allocate.

        Args:
            priors: Whose sum is the energy.
            rest: Of the n particles.
            scale: Energy per unit of the priors' loss: the mass of all particles [kg] makes weights energies per mass.
        """
        self._priors, self._rest, self._scale = tuple(priors), rest, scale
        count, dtype, device = rest.means.size, rest.dtype, rest.means.device
        vec3, quat = wp.types.vector(3, dtype), wp.types.quaternion(dtype)
        self._kernels = forces_kernels(dtype)
        self._loss = wp.zeros(1, dtype=wp.float64, device=device)
        self._largest = wp.zeros(1, dtype=dtype, device=device)
        self._parameters = [item for prior in priors for item in parameters(prior).values()]
        learned = [item.gradient for item in self._parameters]
        self._kept = [wp.zeros_like(array) for array in learned]
        self._nudged = [wp.zeros(count, dtype=kind, device=device) for kind in (vec3, quat)]
        # gradients by means, rotations and parameters: here, and a step ahead and behind
        self._ahead, self._behind = ([*map(wp.zeros_like, [*self._nudged, *learned])] for _ in range(2))

    def accumulate(
        self,
        means: wp.array,
        rotations: wp.array,
        forces: wp.array,
        twists: wp.array,
        *,
        motion: Motion | None = None,
        tape: wp.Tape | None = None,
    ) -> None:
        """Add the forces at a pose.

        Args:
            means: Centers [m], frame of ``rest``, vec3, shape [n]. Receives gradients, as do parameters of the priors.
            rotations: Quaternions, same frame from particle, shape [n]. Receives gradients.
            forces: Output, accumulated: minus ``scale`` times the gradient by ``means``, shape [n].
            twists: Output, accumulated: the same by the numbers of ``rotations``, shape [n].
            motion: The poses before; constant, receives no gradients.
            tape: Records the adjoint when given.
        """
        self._evaluate(means, rotations, motion, self._ahead)
        for gradient, output in zip(self._ahead, (forces, twists), strict=False):
            self._launch(self._kernels.add, [gradient], [-self._scale], output)

        def backward() -> None:
            self._back([means, rotations], [forces.grad, twists.grad], motion)

        if tape is not None:
            tape.record_func(backward, [means, rotations, forces, twists])

    def _back(self, poses: list[wp.array], directions: list[wp.array], motion: Motion | None) -> None:
        self._largest.zero_()
        for numbers in directions:
            self._launch(self._kernels.largest, [numbers], [], self._largest)
        length = STEP[self._rest.dtype] * min(self._rest.spacing, 1.0)  # one for both: they move along together
        for sign, outputs in ((1.0, self._ahead), (-1.0, self._behind)):
            for numbers, direction, nudged in zip(poses, directions, self._nudged, strict=True):
                self._launch(self._kernels.nudge, [numbers, direction, self._largest], [sign * length], nudged)
            self._evaluate(self._nudged[0], self._nudged[1], motion, outputs)
        sums = [*(array.grad for array in poses), *(item.gradient for item in self._parameters)]
        for ahead, behind, total in zip(self._ahead, self._behind, sums, strict=True):
            factor = -self._scale / (2.0 * length)
            self._launch(self._kernels.difference, [ahead, behind, self._largest], [factor], total)

    def _evaluate(
        self, means: wp.array, rotations: wp.array, motion: Motion | None, outputs: list[wp.array]
    ) -> None:  # fmt: skip
        """Fill ``outputs`` with the gradients of the energy, and leave those of the parameters as they are."""
        for kept, item in zip(self._kept, self._parameters, strict=True):
            wp.copy(kept, item.gradient)
            item.gradient.zero_()
        for array in outputs[:2]:
            array.zero_()
        state = State(means, rotations, outputs[0], outputs[1], motion)
        accumulate_priors(self._priors, state, self._rest, self._loss)
        for kept, item, output in zip(self._kept, self._parameters, outputs[2:], strict=True):
            wp.copy(output, item.gradient)
            wp.copy(item.gradient, kept)

    def _launch(self, kernel: wp.Kernel, arrays: list[wp.array], numbers: list[float], output: wp.array) -> None:
        """Launch over the numbers of the first array."""
        rows = [_numbers(array, self._rest.dtype) for array in (*arrays, output)]
        device = self._rest.means.device
        wp.launch(kernel, rows[0].size, [*rows[:-1], *numbers], [rows[-1]], device=device, record_tape=False)


def _numbers(array: wp.array, dtype: type) -> wp.array:
    """The numbers of an array of numbers, vectors or quaternions, in a row; shares memory."""
    size = array.size * wp.types.type_size(array.dtype)
    return wp.array(ptr=array.ptr, dtype=dtype, shape=size, device=array.device, copy=False)
