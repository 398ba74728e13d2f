"""The deformation gradient of a neighborhood: the linear map that best carries offsets of the reference to those now.

Least squares as in point-based elasticity (Mueller et al., "Point based animation of elastic, plastic and melting
objects", 2004), but of a linear and a quadratic part (moving least squares, Levin 1998), of which the linear one
counts: it is the gradient at the particle itself. Without the quadratic part it is that of somewhere inside for all
particles on a surface, and what is six particles thick bends a fifth too easily. Particles of a surface have no
thickness: directions in which a neighborhood does not reach further than it is curved are left out.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.priors.rest import Rest

QUADRATIC = 6
"""Quadratic terms of three coordinates."""
ENOUGH = 14
"""Neighbors that a quadratic part is fitted to; fewer than one and a half times its terms would fit noise."""
FLAT = 1e-3
"""Directions are left out where the spread (length squared) is below this share of that of the whole neighborhood."""
RIDGE = 0.01
"""Added to the spread of quadratic terms, as a share of its mean: what neighbors cannot tell from a linear part counts
as linear, and particles at corners do not get ten times as stiff. A block six particles thick bends 0.7 % too easily by
it."""


@cache
def deformation_kernels(dtype: type) -> SimpleNamespace:
    """For numbers of ``dtype``: the kernel of slopes, and a function of them.

    - ``deformation(i, means, neighbors, slopes)``: F, zero across a sheet.
    """
    real = dtype
    vec3, vec4 = wp.types.vector(3, dtype), wp.types.vector(4, dtype)
    mat33 = wp.types.matrix((3, 3), dtype)
    vec9, mat99 = wp.types.vector(9, wp.float64), wp.types.matrix((9, 9), wp.float64)
    diagonal = wp.constant(wp.float64(2.0**0.5))  # the quadratic terms turn as one tensor

    @wp.func
    def terms(r: wp.vec3d):
        """Linear and quadratic."""
        return vec9(
            r[0], r[1], r[2], r[0] * r[0], r[1] * r[1], r[2] * r[2],
            diagonal * r[0] * r[1], diagonal * r[1] * r[2], diagonal * r[2] * r[0],
        )  # fmt: skip

    @wp.kernel(module="unique", enable_backward=False)
    def slopes_kernel(
        # inputs
        weights: wp.array2d(dtype=real),
        reference_offsets: wp.array2d(dtype=vec3),
        flat: wp.float64,
        ridge: wp.float64,
        enough: int,
        most: int,
        # outputs
        slopes: wp.array2d(dtype=vec4),
        projections: wp.array(dtype=mat33),
    ):
        i = wp.tid()
        size = wp.float64(0.0)
        total = wp.float64(1e-300)
        count = int(0)
        for j in range(weights.shape[1]):
            if weights[i, j] > real(0.0):
                count += 1
            size += wp.float64(weights[i, j]) * wp.length_sq(wp.vec3d(reference_offsets[i, j]))
            total += wp.float64(weights[i, j])
        unit = wp.sqrt(total / wp.max(size, wp.float64(1e-300)))
        moments = mat99()
        for j in range(weights.shape[1]):
            term = terms(unit * wp.vec3d(reference_offsets[i, j]))
            moments += wp.outer((wp.float64(weights[i, j]) / total) * term, term)
        quadratic = wp.where(count >= enough, most, 0)
        spread = wp.float64(0.0)
        for k in range(quadratic):
            spread += moments[3 + k, 3 + k] / wp.float64(quadratic)
        for k in range(quadratic):
            moments[3 + k, 3 + k] += ridge * spread
        # eliminate the quadratic part, of the moments and then of each neighbor's terms
        steps = mat99()
        for k in range(quadratic):
            row = moments[8 - k]
            steps[8 - k] = row / wp.max(row[8 - k], wp.float64(1e-300))
            moments -= wp.outer(row, steps[8 - k])
        left = wp.mat33d()
        for a in range(3):
            for b in range(3):
                left[a, b] = moments[a, b]
        axes = wp.mat33d()
        spreads = wp.vec3d()
        same = wp.mat33d()
        wp.svd3(left, axes, spreads, same)
        inverse = wp.mat33d()
        projection = wp.mat33d()
        for axis in range(3):
            if spreads[axis] > flat and size > wp.float64(0.0):
                direction = wp.vec3d(axes[0, axis], axes[1, axis], axes[2, axis])
                projection += wp.outer(direction, direction)
                inverse += wp.outer(direction, direction) / spreads[axis]
        projections[i] = mat33(projection)
        for j in range(weights.shape[1]):
            term = terms(unit * wp.vec3d(reference_offsets[i, j]))
            for k in range(quadratic):
                term -= term[8 - k] * steps[8 - k]
            share = unit * wp.float64(weights[i, j]) / total
            slope = inverse * wp.vec3d(term[0], term[1], term[2]) * share
            slopes[i, j] = vec4(real(slope[0]), real(slope[1]), real(slope[2]), real(unit * share))

    @wp.func
    def deformation(
        i: int,
        means: wp.array(dtype=vec3),
        neighbors: wp.array2d(dtype=wp.int32),
        slopes: wp.array2d(dtype=vec4),
    ):
        strained = mat33()
        for j in range(neighbors.shape[1]):
            slope = slopes[i, j]
            strained += wp.outer(means[neighbors[i, j]] - means[i], vec3(slope[0], slope[1], slope[2]))
        return strained

    return SimpleNamespace(slopes=slopes_kernel, deformation=deformation)


def deformation_slopes(rest: Rest) -> tuple[wp.array, wp.array]:
    """How F follows from the offsets to neighbors, and where it reaches; both follow the reference of ``rest``.

    Returns:
        F is the sum of the outer products of offsets with the first three numbers of these vectors [1/m]; the fourth is
        the weight of each neighbor over the sum of weights times squared offsets [1/m^2]. vec4, shape [n, k].
        And projections onto the directions that each neighborhood reaches in, mat33, shape [n].
    """
    vec4, mat33 = wp.types.vector(4, rest.dtype), wp.types.matrix((3, 3), rest.dtype)
    count, device = rest.means.size, rest.means.device

    def make() -> tuple[wp.array, wp.array]:
        return wp.zeros(rest.neighbors.shape, dtype=vec4, device=device), wp.zeros(count, dtype=mat33, device=device)

    def fill(outputs: tuple[wp.array, wp.array]) -> None:
        inputs = [rest.weights, rest.reference_offsets, FLAT, RIDGE, ENOUGH, QUADRATIC]
        kernel = deformation_kernels(rest.dtype).slopes
        wp.launch(kernel, count, inputs, list(outputs), device=device, record_tape=False)

    return rest.derived("deformation slopes", make, fill)
