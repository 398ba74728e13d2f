"""Connected pieces against those drawn by hand."""

import numpy as np

from warpgs.math.graph import connected_pieces, members


def test_chains_of_links_join():
    labels = connected_pieces(np.array([4, 1, 1, 4]), np.array([2, 3, 3, 0]), 6)
    pieces = sorted(members(labels), key=len)
    assert [piece.tolist() for piece in pieces] == [[5], [1, 3], [0, 2, 4]]


def test_without_links_everything_is_alone():
    none = np.zeros(0, int)
    np.testing.assert_array_equal(connected_pieces(none, none, 3), [0, 1, 2])
    assert [piece.tolist() for piece in members(np.array([1, 0, 1]))] == [[1], [0, 2]]
