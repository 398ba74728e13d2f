"""Parts do not enter each other: particles of different parts keep a distance, found on a hash grid (Teschner et al.,
"Optimized spatial hashing for collision detection of deformable objects", 2003).

What was closer at the first timestep may stay so: parts that touch there are not pushed apart.
"""

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.checks import refuse
from warpgs.priors.base import Prior, State, check_weight
from warpgs.priors.rest import TINY, Rest

CELLS = 64
"""Of the grid along each axis; what is farther away shares them."""
SLACK = 1.01
"""The grid holds rounded coordinates: it is asked for a little more than the distance."""


@cache
def penetration_kernels(dtype: type) -> SimpleNamespace:
    """The kernels for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    tiny = wp.constant(dtype(TINY))

    @wp.kernel(module="unique", enable_backward=False)
    def points_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        # outputs
        points: wp.array(dtype=wp.vec3),
    ):
        i = wp.tid()
        points[i] = wp.vec3(float(means[i][0]), float(means[i][1]), float(means[i][2]))

    @wp.kernel(module="unique", enable_backward=False)
    def penetration_kernel(
        # inputs
        grid: wp.uint64,
        points: wp.array(dtype=wp.vec3),
        means: wp.array(dtype=vec3),
        first_means: wp.array(dtype=vec3),
        parts: wp.array(dtype=wp.int32),
        distance: real,
        reach: float,
        scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        energy = real(0.0)
        force = vec3()
        for j in wp.hash_grid_query(grid, points[i], reach):
            if parts[j] != parts[i]:
                offset = means[j] - means[i]
                length = wp.length(offset)
                depth = wp.min(distance, wp.length(first_means[j] - first_means[i])) - length
                if depth > real(0.0):
                    energy += real(0.5) * depth * depth
                    force += offset * (real(2.0) * depth / wp.max(length, tiny))  # j sees the pair too
        wp.atomic_add(loss, 0, wp.float64(scale * energy))
        adj_means[i] = adj_means[i] + scale * force

    return SimpleNamespace(points=points_kernel, penetration=penetration_kernel)


@dataclass(frozen=True)
class PenetrationPrior(Prior):
    """Mean over particles of the sum over those of other parts of (min(d, |x_j - x_i|_first) - |x_j - x_i|)_+^2 / 2.

    In units of ``rest.spacing``; parts are ``rest.parts``.
    """

    weight: float = 1.0
    """Multiplier on the mean energy."""
    distance: float = 1.0
    """d, which particles of different parts keep [``rest.spacing``]."""

    def __post_init__(self):
        check_weight(self)
        if not 0.0 < self.distance < float("inf"):
            refuse("PenetrationPrior: distance", "more than 0", self.distance)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        count, device = rest.means.size, loss.device
        if count == 0:
            return
        kernels, distance = penetration_kernels(rest.dtype), self.distance * rest.spacing
        grid = rest.once((self, "grid"), lambda: wp.HashGrid(CELLS, CELLS, CELLS, device=device))
        points = rest.once((self, "points"), lambda: wp.zeros(count, dtype=wp.vec3, device=device))
        scale = self.weight / (count * rest.spacing**2)
        wp.launch(kernels.points, count, [state.means], [points], device=device, record_tape=False)
        grid.build(points, SLACK * distance)
        wp.launch(
            kernels.penetration,
            count,
            [grid.id, points, state.means, rest.means, rest.parts, distance, SLACK * distance, scale],
            [loss, state.adj_means],
            device=device,
            record_tape=False,
        )
