"""The deformation gradient of a neighborhood: the linear map that best carries offsets of the reference to those now.

Least squares as in smoothed and point-based elasticity (Mueller et al., "Point based animation of elastic, plastic and
melting objects", 2004). Particles of a surface have no thickness: directions in which a neighborhood does not reach are
left out (pseudo-inverse), so a sheet is a membrane.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.priors.rest import Rest

FLAT = 1e-3
"""Directions are left out where the spread (length squared) is below this share of the largest."""


@cache
def deformation_kernels(dtype: type) -> SimpleNamespace:
    """For numbers of ``dtype``: the kernel of inverse moments, and two functions.

    - ``deformation(i, means, neighbors, weights, reference_offsets, inverse_moments)``: F, zero across a sheet.
    - ``pull(i, adj_deformation, ...)``: adds the gradient by F to that of the means.
    """
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    mat33 = wp.types.matrix((3, 3), dtype)

    @wp.kernel(module="unique", enable_backward=False)
    def moments_kernel(
        # inputs
        weights: wp.array2d(dtype=real),
        reference_offsets: wp.array2d(dtype=vec3),
        flat: wp.float64,
        # outputs: pseudo-inverses of moments [1/m^2], projections onto the directions that are kept
        inverse_moments: wp.array(dtype=mat33),
        projections: wp.array(dtype=mat33),
    ):
        i = wp.tid()
        moments = wp.mat33d()
        for j in range(weights.shape[1]):
            offset = wp.vec3d(reference_offsets[i, j])
            moments += wp.outer(wp.float64(weights[i, j]) * offset, offset)
        axes = wp.mat33d()
        spread = wp.vec3d()
        same = wp.mat33d()
        size = wp.max(wp.trace(moments), wp.float64(1e-300))
        wp.svd3(moments / size, axes, spread, same)
        inverse = wp.mat33d()
        projection = wp.mat33d()
        for axis in range(3):
            if spread[axis] > flat * spread[0]:
                direction = wp.vec3d(axes[0, axis], axes[1, axis], axes[2, axis])
                projection += wp.outer(direction, direction)
                inverse += wp.outer(direction, direction) / (spread[axis] * size)
        inverse_moments[i] = mat33(inverse)
        projections[i] = mat33(projection)

    @wp.func
    def deformation(
        i: int,
        means: wp.array(dtype=vec3),
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        reference_offsets: wp.array2d(dtype=vec3),
        inverse_moments: wp.array(dtype=mat33),
    ):
        products = mat33()
        for j in range(neighbors.shape[1]):
            products += wp.outer(weights[i, j] * (means[neighbors[i, j]] - means[i]), reference_offsets[i, j])
        return products * inverse_moments[i]

    @wp.func
    def pull(
        i: int,
        adj_deformation: mat33,
        neighbors: wp.array2d(dtype=wp.int32),
        weights: wp.array2d(dtype=real),
        reference_offsets: wp.array2d(dtype=vec3),
        inverse_moments: wp.array(dtype=mat33),
        adj_means: wp.array(dtype=vec3),
    ):
        adj_products = adj_deformation * inverse_moments[i]  # which is symmetric
        force = vec3()
        for j in range(neighbors.shape[1]):
            gradient = adj_products * (weights[i, j] * reference_offsets[i, j])
            force += gradient
            wp.atomic_add(adj_means, neighbors[i, j], gradient)
        wp.atomic_add(adj_means, i, -force)

    return SimpleNamespace(moments=moments_kernel, deformation=deformation, pull=pull)


def inverse_moments(rest: Rest) -> tuple[wp.array, wp.array]:
    """Pseudo-inverses of the moments of each neighborhood [1/m^2] and projections onto the directions it reaches
    in, mat33, shape [n] each; they follow the reference of ``rest``."""
    mat33 = wp.types.matrix((3, 3), rest.dtype)
    count, device = rest.means.size, rest.means.device

    def make() -> tuple[wp.array, wp.array]:
        return wp.zeros(count, dtype=mat33, device=device), wp.zeros(count, dtype=mat33, device=device)

    def fill(outputs: tuple[wp.array, wp.array]) -> None:
        kernel, inputs = deformation_kernels(rest.dtype).moments, [rest.weights, rest.reference_offsets, FLAT]
        wp.launch(kernel, count, inputs, list(outputs), device=device, record_tape=False)

    return rest.derived("inverse moments", make, fill)
