"""The oriented particles on one device: the only place where arrays go up to Warp and come back."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import warp as wp

from warpgs.checks import check_finite
from warpgs.types import Gaussians

LOGIT_LIMIT = 12.0
"""Probabilities are kept this far from 0 and 1, as logits: sigmoid(12) = 1 - 6e-6."""


@dataclass(frozen=True, eq=False)
class Particles:
    """One value per particle for each parameter; a gradient of particles is again Particles.

    ``dtype`` is ``wp.float32`` everywhere but in gradient checks, which run in ``wp.float64``.
    """

    means: wp.array
    """Centers [m], world frame, vec3, shape [n]."""
    rotations: wp.array
    """Quaternions x, y, z, w, world from particle, normalized where they are used, shape [n]."""
    log_scales: wp.array
    """Logarithm of one standard deviation [m] along each axis, vec3, shape [n]."""
    colors: wp.array
    """RGB, vec3, shape [n]."""
    opacity_logits: wp.array
    """Logit of the opacity, shape [n]."""
    foreground_logits: wp.array
    """Logit of the probability of belonging to a moving object, shape [n]."""
    harmonics: wp.array
    """What the direction of sight adds to the colors: coefficients of math/harmonics.py, vec3, shape [n, m] with m in
    0, 3, 8, 15."""

    def __len__(self) -> int:
        return self.means.size

    @property
    def device(self) -> wp.Device:
        return self.means.device

    @property
    def dtype(self) -> type:
        """wp.float32 or wp.float64."""
        return self.opacity_logits.dtype

    @staticmethod
    def zeros(count: int, device: wp.DeviceLike, dtype: type = wp.float32, *, harmonics: int = 0) -> Particles:
        """All-zero particles with ``harmonics`` coefficients each: gradients and moments start here."""
        vec3 = wp.types.vector(3, dtype)
        quat = wp.types.quaternion(dtype)
        kinds = (vec3, quat, vec3, vec3, dtype, dtype)
        return Particles(
            *(wp.zeros(count, dtype=kind, device=device) for kind in kinds),
            harmonics=wp.zeros((count, harmonics), dtype=vec3, device=device),
        )

    def zeros_like(self, count: int | None = None) -> Particles:
        """All-zero particles of the same kind: the gradients of the first ``count``, by default of all."""
        count = len(self) if count is None else count
        return Particles.zeros(count, self.device, self.dtype, harmonics=self.harmonics.shape[1])

    @staticmethod
    def upload(gaussians: Gaussians, device: wp.DeviceLike, dtype: type = wp.float32) -> Particles:
        """Copy ``gaussians`` to ``device``.

        Raises:
            ValueError: A number that is not finite, by name and index; opacities may be 0 and 1, logits infinite.
        """
        for name, array in gaussians.arrays().items():
            check_finite(f"Gaussians: {name}", np.nan_to_num(array, nan=np.nan) if name == "opacity_logits" else array)
        coefficients = 0 if gaussians.harmonics is None else gaussians.harmonics.shape[1]
        particles = Particles.zeros(len(gaussians), device, dtype, harmonics=coefficients)
        particles.means.assign(gaussians.means)
        particles.rotations.assign(np.roll(gaussians.rotations_wxyz, -1, axis=1))
        particles.log_scales.assign(gaussians.log_scales)
        particles.colors.assign(gaussians.colors)
        particles.opacity_logits.assign(gaussians.opacity_logits)
        particles.foreground_logits.assign(logit(gaussians.foreground))
        if gaussians.harmonics is not None:
            particles.harmonics.assign(gaussians.harmonics)
        return particles

    def download(self) -> Gaussians:
        """Copy back to NumPy, quaternions normalized."""
        rotations_xyzw = self.rotations.numpy()
        rotations_xyzw = rotations_xyzw / np.linalg.norm(rotations_xyzw, axis=1, keepdims=True)
        return Gaussians(
            means=self.means.numpy().copy(),
            rotations_wxyz=np.roll(rotations_xyzw, 1, axis=1),
            log_scales=self.log_scales.numpy().copy(),
            colors=self.colors.numpy().copy(),
            opacity_logits=self.opacity_logits.numpy().copy(),
            foreground=1.0 / (1.0 + np.exp(-self.foreground_logits.numpy())),
            harmonics=self.harmonics.numpy().copy() if self.harmonics.shape[1] else None,
        )

    def named(self) -> dict[str, wp.array]:
        """Parameter name to array; no harmonics where the colors do not depend on the view."""
        names = [field.name for field in fields(self) if field.name != "harmonics" or self.harmonics.shape[1]]
        return {name: getattr(self, name) for name in names}

    def rows(self, start: int, stop: int) -> Particles:
        """A view of particles ``start`` to ``stop``; shares memory."""
        empty = self.zeros_like(0)
        if start == stop:  # Warp refuses an empty slice at the end of an array
            return empty
        return replace(empty, **{name: array[start:stop] for name, array in self.named().items()})

    def zero_(self) -> None:
        """Set everything to zero."""
        for array in self.named().values():
            array.zero_()


def logit(probability: np.ndarray) -> np.ndarray:
    """Inverse sigmoid, kept within +-LOGIT_LIMIT."""
    low = 1.0 / (1.0 + np.exp(LOGIT_LIMIT))
    clipped = np.clip(np.asarray(probability, np.float64), low, 1.0 - low)
    return np.log(clipped / (1.0 - clipped)).astype(np.float32)


CPU_BLOCK = 1024
"""Numbers that a thread adds on the CPU, in a loop that the compiler vectorizes; on CUDA each thread has one."""


@wp.func_native("""
for (int i = begin; i < end; i++) { target.data[i] += source.data[i]; source.data[i] = 0.0f; }
""")
def add_block(begin: int, end: int, source: wp.array(dtype=float), target: wp.array(dtype=float)): ...


@wp.kernel(enable_backward=False)
def add_kernel(
    # inputs
    source: wp.array[float],  # consumed: set to zero
    block: int,
    # outputs, accumulated
    target: wp.array[float],
):
    begin = wp.tid() * block
    add_block(begin, wp.min(begin + block, target.shape[0]), source, target)


def add_particles(source: Particles, target: Particles) -> None:
    """Add the numbers of ``source`` to ``target`` and set them to zero: how gradients of several views become one."""
    for name, array in source.named().items():
        flat, total = flat_view(array), flat_view(getattr(target, name))
        block = CPU_BLOCK if array.device.is_cpu else 1
        wp.launch(
            add_kernel, -(-flat.size // block), [flat, block], [total], device=array.device, record_tape=False
        )  # fmt: skip


def flat_view(array: wp.array) -> wp.array:
    """The float32 numbers of a contiguous array of scalars, vectors or quaternions, without copying."""
    size = array.size * wp.types.type_size_in_bytes(array.dtype) // 4
    return wp.array(ptr=array.ptr, dtype=wp.float32, shape=(size,), device=array.device)
