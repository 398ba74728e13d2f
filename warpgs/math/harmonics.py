"""Color that depends on the direction of sight: real spherical harmonics of degree 1 to 3 (degree 0 is the color).

The basis stands here twice, for kernels and for NumPy; the tests hold both to one oracle.
"""

from functools import cache
from types import SimpleNamespace

import numpy as np
import warp as wp

HARMONICS = (0, 3, 8, 15)
"""How many coefficients there are up to degree 0, 1, 2 and 3, that of degree 0 left out."""


@cache
def harmonics_funcs(dtype: type) -> SimpleNamespace:
    """Functions for numbers of ``dtype``, wp.float32 or wp.float64.

    The basis is that of 3D Gaussian splatting: orthonormal on the sphere, with the phase (-1)^m (Condon and Shortley),
    order m = -l .. l for l = 1, 2, 3; as polynomials in the unit direction x, y, z.

    - ``radiance(coefficients, i, toward)``: what row i of ``coefficients`` [n, 0, 3, 8 or 15] adds to the color seen
      along ``toward``, of any length, from the camera to the particle.
    - ``radiance_adjoint(coefficients, i, toward, adj_color, adj_coefficients)``: adds to row i of
      ``adj_coefficients`` and returns the gradient by ``toward``.
    """
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    vec15 = wp.types.vector(15, dtype)
    mat15 = wp.types.matrix((15, 3), dtype)
    c1 = wp.constant(dtype(0.4886025119029199))  # sqrt(3 / (4 pi))
    c2 = wp.constant(dtype(1.0925484305920792))  # sqrt(15 / (4 pi))
    c2_0 = wp.constant(dtype(0.31539156525252005))  # sqrt(5 / (16 pi))
    c2_2 = wp.constant(dtype(0.5462742152960396))  # sqrt(15 / (16 pi))
    c3_0 = wp.constant(dtype(0.3731763325901154))  # sqrt(7 / (16 pi))
    c3_1 = wp.constant(dtype(0.4570457994644658))  # sqrt(21 / (32 pi))
    c3_2 = wp.constant(dtype(1.445305721320277))  # sqrt(105 / (16 pi))
    c3_3 = wp.constant(dtype(0.5900435899266435))  # sqrt(35 / (32 pi))

    @wp.func
    def basis(u: vec3):
        x, y, z = u[0], u[1], u[2]
        xx, yy, zz = x * x, y * y, z * z
        two, three, four = real(2.0), real(3.0), real(4.0)
        return vec15(
            -c1 * y,
            c1 * z,
            -c1 * x,
            c2 * x * y,
            -c2 * y * z,
            c2_0 * (two * zz - xx - yy),
            -c2 * x * z,
            c2_2 * (xx - yy),
            -c3_3 * y * (three * xx - yy),
            two * c3_2 * x * y * z,
            -c3_1 * y * (four * zz - xx - yy),
            c3_0 * z * (two * zz - three * (xx + yy)),
            -c3_1 * x * (four * zz - xx - yy),
            c3_2 * z * (xx - yy),
            -c3_3 * x * (xx - three * yy),
        )

    @wp.func
    def basis_slopes(u: vec3):
        """Derivatives of the polynomials by x, y, z; of no meaning across the sphere."""
        x, y, z = u[0], u[1], u[2]
        xx, yy, zz = x * x, y * y, z * z
        zero, two, three, four = real(0.0), real(2.0), real(3.0), real(4.0)
        six, eight = real(6.0), real(8.0)
        across = four * zz - xx - yy
        slopes = mat15()
        slopes[0] = vec3(zero, -c1, zero)
        slopes[1] = vec3(zero, zero, c1)
        slopes[2] = vec3(-c1, zero, zero)
        slopes[3] = c2 * vec3(y, x, zero)
        slopes[4] = -c2 * vec3(zero, z, y)
        slopes[5] = two * c2_0 * vec3(-x, -y, two * z)
        slopes[6] = -c2 * vec3(z, zero, x)
        slopes[7] = two * c2_2 * vec3(x, -y, zero)
        slopes[8] = -three * c3_3 * vec3(two * x * y, xx - yy, zero)
        slopes[9] = two * c3_2 * vec3(y * z, x * z, x * y)
        slopes[10] = -c3_1 * vec3(-two * x * y, across - two * yy, eight * y * z)
        slopes[11] = c3_0 * vec3(-six * x * z, -six * y * z, six * zz - three * (xx + yy))
        slopes[12] = -c3_1 * vec3(across - two * xx, -two * x * y, eight * x * z)
        slopes[13] = c3_2 * vec3(two * x * z, -two * y * z, xx - yy)
        slopes[14] = -three * c3_3 * vec3(xx - yy, -two * x * y, zero)
        return slopes

    @wp.func
    def radiance(coefficients: wp.array2d(dtype=vec3), i: int, toward: vec3):
        values = basis(wp.normalize(toward))
        color = vec3()
        for k in range(15):
            if k < coefficients.shape[1]:
                color += values[k] * coefficients[i, k]
        return color

    @wp.func
    def radiance_adjoint(
        coefficients: wp.array2d(dtype=vec3),
        i: int,
        toward: vec3,
        adj_color: vec3,
        adj_coefficients: wp.array2d(dtype=vec3),
    ):
        unit = wp.normalize(toward)
        values = basis(unit)
        slopes = basis_slopes(unit)
        g = vec3()
        for k in range(15):
            if k < coefficients.shape[1]:
                g += wp.dot(adj_color, coefficients[i, k]) * slopes[k]
                adj_coefficients[i, k] += values[k] * adj_color
        return (g - unit * wp.dot(unit, g)) / wp.length(toward)

    return SimpleNamespace(radiance=radiance, radiance_adjoint=radiance_adjoint)


def turned_harmonics(harmonics: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Coefficients of the same radiance in a rotated frame.

    The radiance along d is sum_k c_k Y_k(R^T d) before and sum_k c'_k Y_k(d) after. Rotations do not mix degrees, and
    a few directions in general position determine c'.

    Args:
        harmonics: Of degree 1 and more, frame a, shape [n, m, 3], m = 3, 8 or 15.
        rotation: From frame a to frame b, shape [3, 3].

    Returns:
        The same in frame b, float32.
    """
    if np.array_equal(rotation, np.eye(3)):
        return harmonics
    directions = np.random.default_rng(0).normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    count = harmonics.shape[1]
    before, after = harmonics_basis(directions @ rotation)[:, :count], harmonics_basis(directions)[:, :count]
    change = np.linalg.lstsq(after, before, rcond=None)[0]
    return np.einsum("kl,nlc->nkc", change, harmonics.astype(np.float64)).astype(np.float32)


def harmonics_basis(directions: np.ndarray) -> np.ndarray:
    """Real spherical harmonics of degree 1 to 3 as 3DGS orders and signs them, as ``harmonics_funcs`` does.

    Args:
        directions: Unit vectors, shape [n, 3].

    Returns:
        Shape [n, 15], float64.
    """
    x, y, z = directions.T
    xx, yy, zz = x * x, y * y, z * z
    terms = (
        (-3, 4, y),
        (3, 4, z),
        (-3, 4, x),
        (15, 4, x * y),
        (-15, 4, y * z),
        (5, 16, 2.0 * zz - xx - yy),
        (-15, 4, x * z),
        (15, 16, xx - yy),
        (-35, 32, y * (3.0 * xx - yy)),
        (105, 4, x * y * z),
        (-21, 32, y * (4.0 * zz - xx - yy)),
        (7, 16, z * (2.0 * zz - 3.0 * (xx + yy))),
        (-21, 32, x * (4.0 * zz - xx - yy)),
        (105, 16, z * (xx - yy)),
        (-35, 32, x * (xx - 3.0 * yy)),
    )
    return np.stack([np.sign(a) * np.sqrt(abs(a) / (b * np.pi)) * value for a, b, value in terms], axis=1)
