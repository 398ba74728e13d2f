import numpy as np
import pytest
import warp as wp
from scipy.spatial.transform import Rotation

from warpgs.math.numbers import number_type
from warpgs.math.rotation import rotation_funcs

exp_map_double = rotation_funcs(wp.float64).exp_map
exp_map_single = rotation_funcs(wp.float32).exp_map


@wp.kernel(enable_backward=False)
def exp_map_double_kernel(vectors: wp.array[wp.vec3d], quaternions: wp.array[wp.quatd]):
    i = wp.tid()
    quaternions[i] = exp_map_double(vectors[i])


@wp.kernel(enable_backward=False)
def exp_map_single_kernel(vectors: wp.array[wp.vec3], quaternions: wp.array[wp.quat]):
    i = wp.tid()
    quaternions[i] = exp_map_single(vectors[i])


@pytest.mark.parametrize(
    ("kernel", "kinds", "tolerance"),
    [(exp_map_double_kernel, (wp.vec3d, wp.quatd), 1e-15), (exp_map_single_kernel, (wp.vec3, wp.quat), 3e-7)],
    ids=["float64", "float32"],
)
def test_exp_map_matches_scipy_from_zero_to_a_whole_turn(kernel, kinds, tolerance):
    axis = np.array([0.36, -0.48, 0.8])
    angles = np.array([0.0, 1e-300, 1e-20, 1e-9, 1e-3, 0.0099, 0.0101, 0.5, 3.0, np.pi, 4.0, 6.28])
    vectors = angles[:, None] * axis
    quaternions = wp.zeros(len(angles), dtype=kinds[1], device="cpu")
    wp.launch(kernel, len(angles), [wp.array(vectors, dtype=kinds[0], device="cpu")], [quaternions], device="cpu")
    expected = np.concatenate([axis * np.sin(angles / 2)[:, None], np.cos(angles / 2)[:, None]], axis=1)
    np.testing.assert_allclose(quaternions.numpy(), expected, rtol=0, atol=tolerance)
    turned = (Rotation.from_quat(quaternions.numpy()) * Rotation.from_rotvec(vectors).inv()).magnitude()
    assert turned.max() < 4.0 * tolerance


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (wp.float32, wp.float32),
        (wp.vec3, wp.float32),
        (wp.types.vector(3, wp.float32), wp.float32),
        (wp.quatd, wp.float64),
        (wp.mat33d, wp.float64),
        (wp.int32, wp.int32),
    ],
)
def test_number_type_of_numbers_vectors_and_quaternions(kind, number):
    assert number_type(wp.zeros(2, dtype=kind, device="cpu")) is number
    assert number_type(wp.zeros(0, dtype=kind, device="cpu")) is number
