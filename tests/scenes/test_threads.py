import numpy as np
import pytest

from scenes.synthetic.rigid import GRAVITY
from scenes.synthetic.threads import DRAG, sheet_threads, simulate


def grid(rows: int, columns: int, spacing: float = 0.1) -> np.ndarray:
    """Particles of a level sheet, row by row."""
    v, u = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    return spacing * np.stack([u.ravel(), v.ravel(), np.full(u.size, 200.0)], axis=1)


@pytest.mark.parametrize(("rows", "columns"), [(5, 7), (1, 9), (2, 2)])
def test_threads_join_each_pair_once_and_no_particle_twice_in_a_group(rows, columns):
    groups = sheet_threads(rows, columns, grid(rows, columns))
    for group in groups:
        assert len(np.unique(group.pairs)) == group.pairs.size
    joined = {tuple(sorted(pair)) for group in groups for pair in group.pairs.tolist()}
    assert len(joined) == sum(len(group.pairs) for group in groups)
    cells = [divmod(index, columns) for index in range(rows * columns)]
    steps = {(0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (0, 4), (4, 0)}
    expected = {
        tuple(sorted((i, j)))
        for i, (r, c) in enumerate(cells)
        for j, (s, d) in enumerate(cells)
        if (s - r, d - c) in steps
    }
    assert joined == expected


def test_a_sheet_that_nothing_holds_falls_as_it_is():
    start = grid(4, 5)
    path = simulate(start, sheet_threads(4, 5, start), np.empty(0, int), lambda _: np.empty((0, 3)), 16, 30.0)
    np.testing.assert_allclose(path - path[:, :1], np.broadcast_to(start - start[0], path.shape), atol=1e-9)
    time_s = np.arange(16) / 30.0
    drag = (GRAVITY / DRAG) * (time_s - (1.0 - np.exp(-DRAG * time_s)) / DRAG)
    np.testing.assert_allclose(path[:, 0, 2], 20.0 - drag, atol=0.01)


def test_a_held_rope_follows_the_hand_and_keeps_its_length():
    start = grid(1, 21, 0.05)

    def hand(time_s: float) -> np.ndarray:
        return start[:1] + np.array([[0.0, 0.3 * time_s, 0.0]])

    path = simulate(start, sheet_threads(1, 21, start), np.array([0]), hand, 31, 30.0)
    np.testing.assert_allclose(path[30, 0], start[0] + [0.0, 0.3, 0.0], atol=1e-12)
    lengths = np.linalg.norm(np.diff(path, axis=1), axis=2).sum(axis=1)
    np.testing.assert_allclose(lengths, 1.0, rtol=0.02)
    assert path[30, -1, 2] < 19.7, "the free end swings down"
