"""Sums over the neighbors of a particle that co-rotated elasticity needs, for the CPU: the three coordinates of a
neighbor at a time, in clang vector types (``wp.func_native``). Their twins for CUDA are in elastic.py."""

from functools import cache
from types import SimpleNamespace
from typing import Any

import warp as wp

from warpgs.math.lanes import LANES, lanes

_COMMON = (
    LANES
    + """
typedef Real Real4 __attribute__((ext_vector_type(4), aligned(sizeof(Real))));
auto triple = [](const Real* at) -> Real4 { return {at[0], at[1], at[2], 0}; };
auto column = [](const auto& m, int c) -> Real4 { return {m.data[0][c], m.data[1][c], m.data[2][c], 0}; };
const int count = neighbors.shape[1];
const int* neighbor = neighbors.data + (size_t)i * count;
const Real* slope = (const Real*)slopes.data + (size_t)i * count * 4;
const Real* x = (const Real*)means.data;
const Real4 here = triple(x + (size_t)i * 3);
"""
)
_DEFORMATION = (
    _COMMON
    + """
Real4 a = 0, b = 0, c = 0;
for (int j = 0; j < count; j++, slope += 4) {
    const Real4 offset = triple(x + (size_t)neighbor[j] * 3) - here;
    a += offset * slope[0];
    b += offset * slope[1];
    c += offset * slope[2];
}
return wp::mat_t<3, 3, Real>(a[0], b[0], c[0], a[1], b[1], c[1], a[2], b[2], c[2]);
"""
)
_PULL = (
    _COMMON
    + """
const Real4 fa = column(strained, 0), fb = column(strained, 1), fc = column(strained, 2);
Real4 a = column(stress, 0), b = column(stress, 1), c = column(stress, 2), astray = 0, force = 0;
const Real* before = (const Real*)reference_offsets.data + (size_t)i * count * 3;
for (int j = 0; j < count; j++) {
    const Real* r = before + j * 3;
    const Real4 off = triple(x + (size_t)neighbor[j] * 3) - here - fa * r[0] - fb * r[1] - fc * r[2];
    const Real4 weighted = off * (solid * slope[j * 4 + 3]);
    astray += weighted * off;
    a -= weighted * r[0];
    b -= weighted * r[1];
    c -= weighted * r[2];
}
for (int j = 0; j < count; j++) {
    const Real *r = before + j * 3, *s = slope + j * 4;
    const Real4 off = triple(x + (size_t)neighbor[j] * 3) - here - fa * r[0] - fb * r[1] - fc * r[2];
    const Real4 gradient = (a * s[0] + b * s[1] + c * s[2] + off * (solid * s[3])) * factor;
    force += gradient;
    Real* at = (Real*)mean_gradients.data + (size_t)neighbor[j] * 3;
    at[0] += gradient[0];
    at[1] += gradient[1];
    at[2] += gradient[2];
}
Real* at = (Real*)mean_gradients.data + (size_t)i * 3;
at[0] -= force[0];
at[1] -= force[1];
at[2] -= force[2];
return astray[0] + astray[1] + astray[2];
"""
)


@cache
def neighbor_sums(dtype: type) -> SimpleNamespace:
    """For numbers of ``dtype``: ``deformation`` and ``pull`` as in elastic.py."""
    real: Any = dtype
    vec3, vec4 = wp.types.vector(3, dtype), wp.types.vector(4, dtype)
    mat33: Any = wp.types.matrix((3, 3), dtype)
    means, pairs = wp.array(dtype=vec3), wp.array2d(dtype=vec3)
    indices, rows = wp.array2d(dtype=wp.int32), wp.array2d(dtype=vec4)

    @wp.func_native(lanes(_DEFORMATION, dtype))
    def deformation(i: int, means: means, neighbors: indices, slopes: rows) -> mat33: ...

    # named *_gradients: Warp declares an adj_ twin of every argument of a native function
    @wp.func_native(lanes(_PULL, dtype))
    def pull(
        i: int, means: means, neighbors: indices, reference_offsets: pairs, slopes: rows, strained: mat33,
        stress: mat33, factor: real, solid: real, mean_gradients: means,
    ) -> real: ...  # fmt: skip

    return SimpleNamespace(deformation=deformation, pull=pull)
