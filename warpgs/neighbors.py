"""Exact k nearest neighbors on a Warp hash grid, the same bits in every run."""

from __future__ import annotations

import numpy as np
import warp as wp

from warpgs.checks import check_array, check_finite, refuse

SAMPLE_COUNT = 96
"""Points whose neighbors are found by brute force to choose the first radius."""

BRUTE_FORCE_COUNT = 1024
"""Up to this many points a grid costs more than it saves."""

FIRST_QUANTILE = 0.1
"""The first radius serves this share of the points: a radius too large costs its cube, one too small another pass."""

GROWTH = 1.6
"""Factor from one radius to the next, for the points that still lack neighbors."""

SLACK = 1.0 / 64.0
"""Neighbors count as found within this much less than the radius: the grid's cells are those of rounded coordinates."""

FINEST_CELL = 2.0**-17
"""Smallest radius over the extent of the cloud: rounding of coordinates stays far below ``SLACK`` times the radius."""


@wp.func
def insert_neighbor(
    i: int,
    j: int,
    square: wp.float64,
    found: int,
    indices: wp.array2d[int],
    squares: wp.array2d[wp.float64],
):
    """Insert j into row i, which holds ``found`` neighbors ordered by (square, index); returns the new count."""
    count = indices.shape[1]
    slot = int(found)
    if found == count:
        last = squares[i, count - 1]
        if square > last or (square == last and j > indices[i, count - 1]):
            return found
        slot = count - 1
    while slot > 0 and (squares[i, slot - 1] > square or (squares[i, slot - 1] == square and indices[i, slot - 1] > j)):
        squares[i, slot] = squares[i, slot - 1]
        indices[i, slot] = indices[i, slot - 1]
        slot -= 1
    squares[i, slot] = square
    indices[i, slot] = j
    return wp.min(found + 1, count)


@wp.func
def squared_distance(a: wp.vec3, b: wp.vec3):
    """Squared distance in float64, where differences of float32 are exact and ties are ties."""
    x = wp.float64(a[0]) - wp.float64(b[0])
    y = wp.float64(a[1]) - wp.float64(b[1])
    z = wp.float64(a[2]) - wp.float64(b[2])
    return x * x + y * y + z * z


@wp.kernel(enable_backward=False)
def brute_force_kernel(
    # inputs
    points: wp.array[wp.vec3],
    rows: wp.array[int],
    # outputs
    indices: wp.array2d[int],
    squares: wp.array2d[wp.float64],
):
    i = rows[wp.tid()]
    found = int(0)
    for j in range(points.shape[0]):
        if j != i:
            found = insert_neighbor(i, j, squared_distance(points[i], points[j]), found, indices, squares)


@wp.kernel(enable_backward=False)
def grid_kernel(
    # inputs
    grid: wp.uint64,
    points: wp.array[wp.vec3],
    centered: wp.array[wp.vec3],
    rows: wp.array[int],
    radius: float,
    complete_radius: float,
    # outputs
    indices: wp.array2d[int],
    squares: wp.array2d[wp.float64],
    complete: wp.array[wp.uint8],
):
    i = rows[wp.tid()]
    point = points[i]
    found = int(0)
    limit = wp.float64(complete_radius) * wp.float64(complete_radius)
    j = int(0)
    query = wp.hash_grid_query(grid, centered[i], radius)
    while wp.hash_grid_query_next(query, j):
        if j != i:
            square = squared_distance(point, points[j])
            if square <= limit:
                found = insert_neighbor(i, j, square, found, indices, squares)
    complete[i] = wp.where(found == indices.shape[1], wp.uint8(1), wp.uint8(0))


@wp.kernel(enable_backward=False)
def center_kernel(
    # inputs
    points: wp.array[wp.vec3],
    origin: wp.vec3,
    # outputs
    centered: wp.array[wp.vec3],
):
    i = wp.tid()
    centered[i] = points[i] - origin


@wp.kernel(enable_backward=False)
def root_kernel(
    # inputs
    squares: wp.array2d[wp.float64],
    # outputs
    distances: wp.array2d[float],
):
    i, slot = wp.tid()
    distances[i, slot] = float(wp.sqrt(squares[i, slot]))


def nearest_neighbors(points: wp.array[wp.vec3], count: int) -> tuple[wp.array2d[int], wp.array2d[float]]:
    """The ``count`` nearest other points of every point, exact, in ascending order of (distance, index).

    Distances are compared in float64, so the result depends neither on the order of traversal nor on the device.
    Coincident points are neighbors at distance 0. Allocates: call it once per cloud, not inside an iteration.

    Args:
        points: Positions [m], any frame, shape [n], n > ``count``.
        count: Neighbors per point, k >= 1.

    Returns:
        Indices, shape [n, k], and distances [m], shape [n, k], on the device of ``points``.

    Raises:
        ValueError: too few points, ``count`` < 1, or a coordinate that is not finite.
    """
    check_array("points", points, wp.vec3, (points.size,))
    n, device = points.size, points.device
    if count < 1:
        refuse("neighbor count", "at least 1", count)
    if n <= count:
        refuse(
            "points",
            f"more than {count} to find {count} neighbors of each",
            n,
            "ask for fewer neighbors or give more points",
        )
    positions = points.numpy()
    check_finite("points", positions, "remove the broken points")
    indices = wp.empty((n, count), dtype=int, device=device)
    squares = wp.empty((n, count), dtype=wp.float64, device=device)
    if n <= BRUTE_FORCE_COUNT:
        _search_all(points, np.arange(n, dtype=np.int32), indices, squares)
    else:
        _search_grid(points, positions, _first_radius(points, indices, squares), indices, squares)
    distances = wp.empty((n, count), dtype=float, device=device)
    wp.launch(root_kernel, (n, count), [squares], [distances], device=device)
    return indices, distances


def _search_all(points: wp.array, rows: np.ndarray, indices: wp.array, squares: wp.array) -> None:
    """Fill ``rows`` by brute force."""
    device = points.device
    inputs = [points, wp.array(rows, dtype=int, device=device)]
    wp.launch(brute_force_kernel, len(rows), inputs, [indices, squares], device=device)


def _first_radius(points: wp.array, indices: wp.array, squares: wp.array) -> float:
    """A low quantile of the distance to the k-th neighbor [m], from a sample; 0 where the sample's are all 0."""
    rows = np.linspace(0, points.size - 1, SAMPLE_COUNT).astype(np.int32)
    _search_all(points, rows, indices, squares)
    farthest = np.sqrt(squares.numpy()[rows, -1])
    positive = farthest[farthest > 0.0]
    return float(np.quantile(positive, FIRST_QUANTILE)) if len(positive) else 0.0


def _search_grid(points: wp.array, positions: np.ndarray, radius: float, indices: wp.array, squares: wp.array) -> None:
    """Fill all rows on grids of growing cells; each serves the points that the finer ones left incomplete."""
    n, device = points.size, points.device
    low, high = positions.min(axis=0).astype(np.float64), positions.max(axis=0).astype(np.float64)
    extent = float(np.linalg.norm(high - low))
    if extent == 0.0:
        extent = 1.0
    radius = max(1.1 * radius, FINEST_CELL * extent)
    centered = wp.empty_like(points)
    wp.launch(center_kernel, n, [points, wp.vec3(*(0.5 * (low + high)))], [centered], device=device)
    complete = wp.zeros(n, dtype=wp.uint8, device=device)
    grid = wp.HashGrid(128, 128, 128, device=device)
    rows = np.arange(n, dtype=np.int32)
    while len(rows):
        grid.build(centered, radius)
        row_array = wp.array(rows, dtype=int, device=device)
        inputs = [grid.id, points, centered, row_array, radius, (1.0 - SLACK) * radius]
        wp.launch(grid_kernel, len(rows), inputs, [indices, squares, complete], device=device)
        rows = rows[complete.numpy()[rows] == 0]
        radius *= GROWTH
