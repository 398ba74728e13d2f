"""Connected pieces of graphs. NumPy."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def connected_pieces(here: np.ndarray, there: np.ndarray, count: int) -> np.ndarray:
    """Which connected piece each of some things belongs to, from 0, shape [count].

    Args:
        here: One end of each link, shape [k].
        there: The other, shape [k].
        count: How many things.
    """
    graph = coo_matrix((np.ones(len(here), bool), (here, there)), (count, count))
    return connected_components(graph, directed=False)[1]


def members(labels: np.ndarray) -> list[np.ndarray]:
    """The indices that have each label, from 0 up, in rising order."""
    return np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])
