"""Springs between particles, each with a damper along it (Provot 1995), and how stiff they must be to act as a solid.

A random network of rods is an isotropic solid with Poisson's ratio 1/4: where its springs move with the solid, Young's
modulus E is the sum over pairs of k l^2, over 6 V (Love 1927, note B). Rods of one cross section, k = E A / l, that
stand for the volume of the particles between them give E.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import warp as wp

from warpgs.checks import check_shape, refuse


@dataclass(frozen=True, eq=False)
class Springs:
    """Pairs of particles, p of them, each once."""

    pairs: np.ndarray
    """Indices of the two particles, int32, shape [p, 2]."""
    lengths: np.ndarray
    """At rest [m], shape [p]."""
    areas: np.ndarray
    """Cross sections [m^2], shape [p]: a spring pulls with E times area times strain."""

    @staticmethod
    def none() -> Springs:
        """No springs at all."""
        return Springs(np.zeros((0, 2), np.int32), np.zeros(0), np.zeros(0))

    @staticmethod
    def of(pairs: np.ndarray, lengths: np.ndarray, volumes: np.ndarray) -> Springs:
        """Springs that act as a solid.

        Args:
            pairs: Indices, in either order, repeated or not, shape [q, 2].
            lengths: Of these at rest [m], > 0, shape [q].
            volumes: What each of the n particles stands for [m^3], shape [n].

        Raises:
            ValueError: shapes that do not fit, lengths that are not positive.
        """
        check_shape("Springs: pairs", pairs, (None, 2))
        check_shape("Springs: lengths", lengths, (len(pairs),))
        if len(pairs) == 0:
            return Springs.none()
        if not (np.isfinite(lengths).all() and lengths.min() > 0.0):
            refuse("Springs: lengths", "lengths > 0 [m]", float(np.min(lengths)), "drop coincident particles")
        ordered = np.sort(np.asarray(pairs, np.int64), axis=1)
        unique, first = np.unique(ordered, axis=0, return_index=True)
        lengths = np.asarray(lengths, np.float64)[first]
        # A spring belongs half to either end; the springs of a particle carry its volume: sum of k l^2 / 2 = 6 E V.
        around = np.bincount(unique.ravel(), np.repeat(lengths, 2), minlength=len(volumes))
        share = 12.0 * np.asarray(volumes, np.float64) / np.maximum(around, 1e-300)
        return Springs(unique.astype(np.int32), lengths, share[unique].mean(axis=1))

    def rows(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Seen from each of ``count`` particles: first spring of each, shape [count + 1]; and, of every end, the
        particle at the other one, the length and the area, shape [2 p]."""
        ends, others = self.pairs.T.ravel(), self.pairs[:, ::-1].T.ravel()
        order = np.lexsort((others, ends))
        starts = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=count))])
        lengths, areas = np.tile(self.lengths, 2), np.tile(self.areas, 2)
        return starts.astype(np.int32), others[order].astype(np.int32), lengths[order], areas[order]


@cache
def spring_kernel(dtype: type) -> Any:
    """The kernel for numbers of ``dtype``; the tape derives its adjoint."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)

    @wp.kernel(module="unique")
    def spring_kernel(
        # inputs
        positions: wp.array(dtype=vec3),
        velocities: wp.array(dtype=vec3),  # empty where springs have no dampers
        starts: wp.array(dtype=wp.int32),
        others: wp.array(dtype=wp.int32),
        lengths: wp.array(dtype=real),
        areas: wp.array(dtype=real),
        stiffness: wp.array(dtype=real),
        damping: wp.array(dtype=real),
        row: int,
        # outputs
        forces: wp.array(dtype=vec3),
    ):
        i = row + wp.tid()
        force = vec3(real(0.0), real(0.0), real(0.0))
        for s in range(starts[i], starts[i + 1]):
            j = others[s]
            offset = positions[j] - positions[i]
            distance = wp.length(offset)
            along = offset / wp.max(distance, real(1e-12))
            tension = distance - lengths[s]
            if velocities.shape[0] > 0:
                tension = tension + damping[0] * wp.dot(velocities[j] - velocities[i], along)
            # the tape sees what is summed, not what becomes of a sum
            force += stiffness[0] * areas[s] / lengths[s] * tension * along
        forces[i] = force

    return spring_kernel
