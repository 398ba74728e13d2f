"""Convex pieces: they hold what a body is made of, and leave open what can be gripped."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path

import numpy as np
import pytest
from pxr import Usd, UsdGeom, UsdPhysics
from scipy.spatial import ConvexHull

from tests.tracks_by_hand import make_tracks
from usd_export import UsdOptions, export_usd
from usd_export.checking import check_usd
from usd_export.decomposition import solid_cells
from warpgs.bodies import fit_parts

SPACING = 0.01
WALLS = (
    ((0.0, 0.0, 0.0), (0.3, 0.3, 0.06)),
    ((0.0, 0.0, 0.06), (0.06, 0.3, 0.3)),
    ((0.24, 0.0, 0.06), (0.3, 0.3, 0.3)),
)
"""Corners of the boxes of a U, open at the top and on two sides [m]."""


def u_shape() -> np.ndarray:
    """Points on its surface, shape [n, 3]."""
    grid = np.stack(np.meshgrid(*3 * [np.arange(0.0, 0.3 + SPACING / 2, SPACING)], indexing="ij"), axis=-1)
    walls = [((grid > np.array(low) - 1e-9) & (grid < np.array(high) + 1e-9)).all(axis=-1) for low, high in WALLS]
    solid = np.any(walls, axis=0)
    padded = np.pad(solid, 1)
    inner = np.all([np.roll(padded, shift, axis)[1:-1, 1:-1, 1:-1] for axis in range(3) for shift in (-1, 1)], axis=0)
    return grid[solid & ~inner]


def inside(vertices: np.ndarray, points: np.ndarray, slack: float) -> np.ndarray:
    planes = ConvexHull(vertices).equations
    return (points @ planes[:, :3].T + planes[:, 3] <= slack).all(axis=1)


def test_export_writes_a_collider_for_each_piece_and_leaves_the_hollow_open(tmp_path: Path):
    pytest.importorskip("coacd", reason="coacd is not installed: pip install 'warpgs[decomposition]'")
    points = u_shape()
    tracks = make_tracks(np.stack([points, points + np.array([0.1, 0.0, 0.0])]), sigma=0.4 * SPACING)
    parts = fit_parts(tracks, np.zeros(len(points), np.int32), ["gripped"])
    path = export_usd(tracks, tmp_path / "u.usdc", parts=parts, options=UsdOptions(collider="decomposition"))
    assert check_usd(path, tracks).failed() == set()
    stage = Usd.Stage.Open(str(path))
    meshes = [prim for prim in stage.GetPrimAtPath("/World/Parts/gripped").GetChildren() if prim.IsA(UsdGeom.Mesh)]
    assert [mesh.GetName() for mesh in meshes] == [f"Collider_{i:02d}" for i in range(len(meshes))] and len(meshes) >= 3
    assert all(mesh.HasAPI(UsdPhysics.CollisionAPI) for mesh in meshes)
    center = parts.world_from_part[0, 0, :3, 3]
    pieces = [np.array(UsdGeom.Mesh(mesh).GetPointsAttr().Get(), float) + center for mesh in meshes]
    assert max(map(len, pieces)) <= 64
    held = np.any([inside(piece, points, 1.5 * SPACING) for piece in pieces], axis=0)
    assert held.mean() > 0.99
    hollow = np.stack(np.meshgrid([0.1, 0.15, 0.2], [0.05, 0.15, 0.25], [0.12, 0.2, 0.27]), axis=-1).reshape(-1, 3)
    assert inside(points, hollow, 0.0).all()  # which one hull would fill
    assert not np.any([inside(piece, hollow, 0.0) for piece in pieces])
    volume = sum(ConvexHull(piece).volume for piece in pieces)
    true = sum(np.prod(np.subtract(high, low)) for low, high in WALLS)
    assert 0.8 * true < volume < 1.5 * true


def skin(shape: str, count: int) -> np.ndarray:
    """Random points on a ball of 20 cm, or on a box of 30 x 20 x 20 cm, around the origin, shape [count, 3]."""
    rng = np.random.default_rng(0)
    if shape == "ball":
        directions = rng.normal(size=(count, 3))
        return 0.1 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    half = np.array([0.15, 0.1, 0.1])
    points = rng.uniform(-half, half, size=(count, 3))
    areas = np.array([half[1] * half[2], half[0] * half[2], half[0] * half[1]])
    axis = rng.choice(3, size=count, p=areas / areas.sum())
    points[np.arange(count), axis] = rng.choice([-1.0, 1.0], count) * half[axis]
    return points


@pytest.mark.parametrize("axis, side", [(2, -1.0), (0, 1.0), (1, -1.0)], ids=["lower", "right", "front"])
@pytest.mark.parametrize("count", [1000, 3000])
@pytest.mark.parametrize("shape, volume", [("ball", 4.0 / 3.0 * np.pi * 0.1**3), ("box", 0.3 * 0.2 * 0.2)])
def test_solid_is_whole_where_nobody_saw_one_side_of_it(shape: str, volume: float, count: int, axis: int, side: float):
    points = skin(shape, count)
    up_to = 0.08 if shape == "ball" else points[:, axis].max() - 1e-3
    seen = side * points[:, axis] < up_to
    inside, _, size = solid_cells(make_tracks(points[None, seen]).at(0))
    assert inside.sum() * size.prod() == pytest.approx(volume, rel=0.15)


def test_solid_of_a_cup_is_hollow():
    points = skin("box", 3000)
    inside, low, size = solid_cells(make_tracks(points[None, points[:, 2] < 0.099]).at(0))
    cells = np.floor((np.array([[0.0, 0.0, 0.0], [0.0, 0.0, -0.1], [0.15, 0.0, 0.0]]) - low) / size).astype(int)
    np.testing.assert_array_equal(inside[tuple(cells.T)], [False, True, True])


def test_decomposition_without_its_library_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def absent(name: str, *arguments: object, **keywords: object) -> object:
        if name == "coacd":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", absent)
    monkeypatch.delitem(sys.modules, "coacd", raising=False)
    tracks = make_tracks(np.zeros((2, 5, 3)))
    parts = fit_parts(tracks, np.zeros(5, np.int32), ["point"])
    with pytest.raises(ImportError, match=r"pip install 'warpgs\[decomposition\]'"):
        export_usd(tracks, tmp_path / "u.usdc", parts=parts, options=UsdOptions(collider="decomposition"))
    assert not any(tmp_path.iterdir())
