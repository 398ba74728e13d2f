"""The nearest rotation against a singular value decomposition in NumPy."""

import numpy as np
import pytest
import warp as wp

from warpgs.math.polar import nearest_rotation

RNG = np.random.default_rng(0)
COUNT = 10_000
MATRICES = {
    "any": RNG.normal(size=(COUNT, 3, 3)),
    "nearly turned": np.eye(3) + 0.1 * RNG.normal(size=(COUNT, 3, 3)),
    "of a sheet": 1e-6 * RNG.normal(size=(COUNT, 3, 2)) @ RNG.normal(size=(COUNT, 2, 3)),
    "mirrored": np.diag([1e6, 2e6, -0.1e6]) + 1e4 * RNG.normal(size=(COUNT, 3, 3)),
    "nearly open": np.diag([1.0, 1e-4, 1e-4]) @ (np.eye(3) + 0.1 * RNG.normal(size=(COUNT, 3, 3))),
}


@wp.kernel(enable_backward=False)
def rotation_kernel(matrices: wp.array[wp.mat33d], rotations: wp.array[wp.mat33d]):
    i = wp.tid()
    rotations[i] = nearest_rotation(matrices[i])


@pytest.mark.parametrize("name", MATRICES)
def test_nearest_rotation_is_that_of_the_decomposition(name, device):
    matrices = MATRICES[name]
    found = wp.zeros(COUNT, dtype=wp.mat33d, device=device)
    wp.launch(rotation_kernel, COUNT, [wp.array(matrices, dtype=wp.mat33d, device=device)], [found], device=device)
    u, spread, vt = np.linalg.svd(matrices)
    sign = np.sign(np.linalg.det(u @ vt))
    u[:, :, 2] *= sign[:, None]
    determined = (spread[:, 1] + sign * spread[:, 2]) / spread[:, 0]
    off = np.abs(found.numpy() - u @ vt).max(axis=(1, 2))
    assert (off * determined).max() < 1e-12
    turned = found.numpy() @ np.swapaxes(found.numpy(), 1, 2)
    np.testing.assert_allclose(turned, np.tile(np.eye(3), (COUNT, 1, 1)), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(found.numpy()), 1.0, atol=1e-9)
