import numpy as np
import pytest

from warpgs.math.order import morton_codes


def test_morton_codes_visit_the_octants_of_a_cube_in_turn():
    corners = np.array([[x, y, z] for z in (0.0, 1.0) for y in (0.0, 1.0) for x in (0.0, 1.0)])
    assert (np.diff(morton_codes(corners)) > 0).all()
    assert morton_codes(corners)[0] == 0 and morton_codes(corners)[-1] == 2**60 - 1


def test_morton_codes_keep_every_aligned_block_together():
    grid = np.stack(np.meshgrid(*3 * [np.arange(16.0)], indexing="ij"), axis=-1).reshape(-1, 3)
    order = np.argsort(morton_codes(grid), kind="stable")
    for side in (2, 4, 8):
        blocks = grid[order].reshape(-1, side**3, 3)
        np.testing.assert_array_equal(np.ptp(blocks, axis=1), side - 1.0)


def test_morton_codes_do_not_depend_on_place_or_unit():
    points = np.random.default_rng(0).uniform(size=(200, 3))
    np.testing.assert_array_equal(morton_codes(points * 8.0 - 4.0), morton_codes(points))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_morton_codes_of_coincident_points_are_zero(count):
    np.testing.assert_array_equal(morton_codes(np.full((count, 3), 7.0)), np.zeros(count))


def test_morton_codes_refuse_what_is_not_a_cloud():
    with pytest.raises(ValueError, match="shape"):
        morton_codes(np.zeros((4, 2)))
    with pytest.raises(ValueError, match="finite"):
        morton_codes(np.array([[0.0, np.inf, 0.0]]))
