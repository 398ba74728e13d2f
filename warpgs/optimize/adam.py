"""Adam (Kingma and Ba 2015) on the device: one launch per parameter updates it and clears its gradient.

Steps are counted on the device, and bias corrections and decayed rates follow from the count there, so that a step can
be captured once and replayed.
"""

from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace

import numpy as np
import warp as wp

from warpgs.checks import refuse
from warpgs.math.numbers import number_type


@wp.kernel(enable_backward=False)
def advance_kernel(
    # inputs
    rates: wp.array[wp.float64],
    decays: wp.array[wp.vec2d],  # logarithm of the final share, number of steps until there
    beta_first: wp.float64,
    beta_second: wp.float64,
    epsilon: wp.float64,
    # outputs
    count: wp.array[int],
    scales: wp.array[wp.float64],  # rate of each parameter with both bias corrections, then epsilon with its own
):
    step = wp.float64(count[0])
    count[0] += 1
    done = step + wp.float64(1.0)
    root = wp.sqrt(wp.float64(1.0) - wp.pow(beta_second, done))
    correction = root / (wp.float64(1.0) - wp.pow(beta_first, done))
    for slot in range(rates.shape[0]):
        share = wp.exp(decays[slot][0] * wp.min(step / decays[slot][1], wp.float64(1.0)))
        scales[slot] = rates[slot] * share * correction
    scales[rates.shape[0]] = epsilon * root


CPU_BLOCK = 1024
"""Numbers that a thread updates on the CPU, in vectors of eight; on CUDA each thread has one."""

_BLOCK = """{
typedef $REAL Real;
Real *g = gradient.data, *m = first_moment.data, *v = second_moment.data, *p = parameter.data;
int i = begin;
#if !defined(__CUDA_ARCH__)
typedef Real Real8 __attribute__((ext_vector_type(8), aligned(sizeof(Real))));
for (; i + 8 <= end; i += 8) {
    Real8 &slope = *(Real8*)(g + i), &first = *(Real8*)(m + i), &second = *(Real8*)(v + i), &x = *(Real8*)(p + i);
    first += share_first * (slope - first);
    second += share_second * (slope * slope - second);
    x -= rate * first / (__builtin_elementwise_sqrt(second) + epsilon);
    slope = (Real8)(Real)0;
}
#endif
for (; i < end; i++) {
    m[i] += share_first * (g[i] - m[i]);
    v[i] += share_second * (g[i] * g[i] - v[i]);
    p[i] -= rate * m[i] / (wp::sqrt(v[i]) + epsilon);
    g[i] = (Real)0;
}
}"""


@cache
def adam_kernels(dtype: type) -> SimpleNamespace:
    """The kernels for numbers of ``dtype``, wp.float32 or wp.float64, over arrays seen as flat numbers."""
    real = dtype

    @wp.func_native(_BLOCK.replace("$REAL", "double" if dtype is wp.float64 else "float"))
    def step_block(
        begin: int, end: int, rate: real, epsilon: real, share_first: real, share_second: real,
        gradient: wp.array(dtype=real), first_moment: wp.array(dtype=real), second_moment: wp.array(dtype=real),
        parameter: wp.array(dtype=real),
    ): ...  # fmt: skip

    @wp.kernel(module="unique", enable_backward=False)
    def adam_kernel(
        # inputs
        scales: wp.array(dtype=wp.float64),  # see advance_kernel
        slot: int,
        share_first: real,  # 1 - beta: in float32 beta = 0.999 itself would be off by 1e-5 of this share
        share_second: real,
        block: int,
        # outputs
        gradient: wp.array(dtype=real),  # consumed: set to zero
        first_moment: wp.array(dtype=real),
        second_moment: wp.array(dtype=real),
        parameter: wp.array(dtype=real),
    ):
        begin = wp.tid() * block
        end = wp.min(begin + block, parameter.shape[0])
        step_block(
            begin, end, real(scales[slot]), real(scales[scales.shape[0] - 1]), share_first, share_second,
            gradient, first_moment, second_moment, parameter,
        )  # fmt: skip

    @wp.kernel(module="unique", enable_backward=False)
    def gather_rows_kernel(
        # inputs
        source: wp.array(dtype=real),
        index: wp.array(dtype=wp.int32),
        width: int,
        # outputs
        rows: wp.array(dtype=real),
    ):
        i = wp.tid()
        row = index[i // width]
        if row >= 0:
            rows[i] = source[row * width + i % width]

    return SimpleNamespace(adam=adam_kernel, gather_rows=gather_rows_kernel)


class Adam:
    """Minimizer of named device arrays, one rate per name. Holds the two moments; never allocates while stepping.

    Args:
        parameters: Name to array of wp.float32 or wp.float64 numbers, vectors or quaternions; updated in place.
            Contiguous, so a slice along the first axis is fine: nothing outside it is touched.
        rates: Name to learning rate [unit of the parameter per step], one for each parameter. At rate 0 a parameter
            is frozen: neither it nor its gradient is touched.
        betas: Decay of the first and of the second moment per step.
        epsilon: Added to the root of the second moment [unit of the gradient].

    Raises:
        ValueError: Names that differ, a negative rate, a parameter that is not contiguous.
    """

    def __init__(
        self,
        parameters: Mapping[str, wp.array],
        rates: Mapping[str, float],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-15,
    ):
        if set(parameters) != set(rates):
            refuse("Adam: rates", f"one for each of {sorted(parameters)}", sorted(rates))
        for name, rate in rates.items():
            if not (rate >= 0.0 and np.isfinite(rate)):
                refuse(f"Adam: rate of {name}", "a finite number >= 0", rate)
        if not all(0.0 <= beta < 1.0 for beta in betas):
            refuse("Adam: betas", "two numbers >= 0 and < 1", betas)
        self.rates = dict(rates)
        self.betas = betas
        self.epsilon = epsilon
        self._slots = {name: _Slot(name, array) for name, array in parameters.items() if rates[name] > 0.0}
        device = next((slot.flat.device for slot in self._slots.values()), "cpu")
        self._count = wp.zeros(1, dtype=int, device=device)
        moving = [rates[name] for name in self._slots]
        self._rates = wp.array(moving, dtype=wp.float64, device=device)
        self._decays = wp.array([(0.0, 1.0)] * len(moving), dtype=wp.vec2d, device=device)
        self._scales = wp.zeros(len(moving) + 1, dtype=wp.float64, device=device)

    @property
    def step_count(self) -> int:
        """Steps since the last reset; reads back from the device."""
        return int(self._count.numpy()[0])

    def decay(self, steps: int, final: float | Mapping[str, float]) -> None:
        """Let rates fall by the same ratio at every step since the last reset: final ** (step / (steps - 1)).

        Args:
            steps: Number of steps of the whole optimization, at least 1.
            final: Factor on all rates at the last step and after it, > 0, or one by name (1 for names left out).
                A single step has the full rate.

        Raises:
            ValueError: No step, or a factor that is not positive.
        """
        if steps < 1:
            refuse("Adam: steps of the decay", "at least 1", steps)
        finals = [final.get(name, 1.0) if isinstance(final, Mapping) else final for name in self._slots]
        for share in finals:
            if not 0.0 < share < np.inf:
                refuse("Adam: final share of a rate", "a factor > 0", share)
        until = max(steps - 1, 1)
        self._decays.assign([(np.log(share) if steps > 1 else 0.0, until) for share in finals])

    def step(self, gradients: Mapping[str, wp.array]) -> None:
        """Update every parameter whose rate is positive and set its gradient to zero. Can be captured.

        Args:
            gradients: Name to gradient, shape and type as the parameter. Names without a positive rate are ignored.

        Raises:
            ValueError: A gradient that is missing or does not fit its parameter.
        """
        flat = {name: slot.flat_gradient(name, gradients) for name, slot in self._slots.items()}
        beta_first, beta_second = self.betas
        inputs = [self._rates, self._decays, beta_first, beta_second, self.epsilon]
        outputs = [self._count, self._scales]
        wp.launch(advance_kernel, 1, inputs, outputs, device=self._count.device, record_tape=False)
        for index, (name, slot) in enumerate(self._slots.items()):
            block = CPU_BLOCK if slot.flat.device.is_cpu else 1
            wp.launch(
                slot.kernels.adam,
                -(-slot.flat.size // block),
                [self._scales, index, 1.0 - beta_first, 1.0 - beta_second, block],
                [flat[name], slot.first_moment, slot.second_moment, slot.flat],
                device=slot.flat.device,
                record_tape=False,
            )

    def state(self) -> list[wp.array]:
        """What steps change beside parameters and gradients, as arrays on the device; others after ``gather``."""
        return [self._count, *(m for slot in self._slots.values() for m in (slot.first_moment, slot.second_moment))]

    def reset(self) -> None:
        """Forget all moments and count steps from zero again: what a new timestep starts with. Decays stay."""
        self._count.zero_()
        for slot in self._slots.values():
            slot.first_moment.zero_()
            slot.second_moment.zero_()

    def reset_moments(self, name: str) -> None:
        """Forget the moments of one parameter, after its values were set from outside. The step count stays."""
        slot = self._slots.get(name)
        if slot is None:
            refuse("Adam: parameter", f"one of {sorted(self._slots)}", repr(name))
        slot.first_moment.zero_()
        slot.second_moment.zero_()

    def gather(self, parameters: Mapping[str, wp.array], index: np.ndarray) -> None:
        """Go on with resized parameters: row i takes over the moments of old row ``index[i]``. Allocates.

        Args:
            parameters: Name to new array, shape [m, ...]. Names left out keep their array and their moments.
            index: Row of the old arrays that each new row came from, -1 for moments of zero, shape [m], integers.

        Raises:
            ValueError: An index or an array that does not fit.
        """
        index = np.asarray(index)
        for name, array in parameters.items():
            if name not in self.rates:
                refuse("Adam: parameter", f"one of {sorted(self.rates)}", repr(name))
            if self.rates[name] > 0.0:
                self._slots[name] = self._slots[name].gathered(name, array, index)


class _Slot:
    """One parameter seen as flat numbers, and its moments."""

    def __init__(self, name: str, array: wp.array):
        if not array.is_contiguous:
            refuse(f"Adam: {name}", "a contiguous array", f"strides {array.strides}")
        self.array = array  # keeps the memory alive that ``flat`` points to
        self.scalar = number_type(array)
        if self.scalar not in (wp.float32, wp.float64):
            refuse(f"Adam: {name}", "numbers of wp.float32 or wp.float64", self.scalar.__name__)
        row = wp.zeros((1, *array.shape[1:]), dtype=array.dtype, device="cpu")
        self.width = row.numpy().size  # numbers per row
        self.kernels = adam_kernels(self.scalar)
        self.flat = self._flatten(array)
        self._flat_gradient = self.flat  # of the last step: building a view costs as much as a small launch
        self.first_moment = wp.zeros_like(self.flat)
        self.second_moment = wp.zeros_like(self.flat)

    def _flatten(self, array: wp.array) -> wp.array:
        """The memory of ``array``, laid out as this slot's parameter, as flat numbers."""
        size = self.array.shape[0] * self.width
        return wp.array(ptr=array.ptr, dtype=self.scalar, shape=(size,), device=array.device)

    def flat_gradient(self, name: str, gradients: Mapping[str, wp.array]) -> wp.array:
        """The gradient of this slot as flat numbers, without a copy."""
        gradient = gradients.get(name)
        if gradient is None:
            refuse(f"Adam: gradient of {name}", "an array", None)
        wanted = self.array
        if gradient.shape != wanted.shape or gradient.strides != wanted.strides or gradient.device != wanted.device:
            refuse(
                f"Adam: gradient of {name}",
                f"shape {list(wanted.shape)}, strides {list(wanted.strides)} on {wanted.device}",
                f"shape {list(gradient.shape)}, strides {list(gradient.strides)} on {gradient.device}",
            )
        if self._flat_gradient.ptr != gradient.ptr:
            self._flat_gradient = self._flatten(gradient)
        return self._flat_gradient

    def gathered(self, name: str, array: wp.array, index: np.ndarray) -> "_Slot":
        """A slot for ``array`` whose rows take over moments of rows of this one."""
        if index.shape != (array.shape[0],) or not np.issubdtype(index.dtype, np.integer):
            refuse(
                f"Adam: index for {name}", f"{array.shape[0]} integers", f"{index.dtype} of shape {list(index.shape)}"
            )
        if len(index) and not -1 <= index.min() <= index.max() < self.array.shape[0]:
            refuse(f"Adam: index for {name}", f"-1 to {self.array.shape[0] - 1}", f"{index.min()} to {index.max()}")
        slot = _Slot(name, array)
        if slot.scalar is not self.scalar or slot.width != self.width:
            refuse(
                f"Adam: {name}", f"{self.width} {self.scalar.__name__} per row", f"{slot.width} {slot.scalar.__name__}"
            )
        rows = wp.array(index.astype(np.int32), device=array.device)
        for old, new in ((self.first_moment, slot.first_moment), (self.second_moment, slot.second_moment)):
            wp.launch(
                self.kernels.gather_rows,
                new.size,
                [old, rows, self.width],
                [new],
                device=array.device,
                record_tape=False,
            )
        return slot
