"""What Blender makes of our files: points that it reads exactly, and bodies that move."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.interop.bodies import NAMES, make_parts, make_tracks
from usd_export import UsdOptions, export

if importlib.util.find_spec("bpy") is None:
    pytest.skip(
        "Blender is not installed: make check-interop, with a Python that bpy exists for", allow_module_level=True
    )

TIMESTEPS = (0, 2, 5)
# Blender brings a USD of its own, which a process holds beside no other.
SCRIPT = """
import sys
import bpy
import numpy as np

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.wm.usd_import(filepath=sys.argv[1])
seen = {"span": [bpy.context.scene.frame_start, bpy.context.scene.frame_end]}
for timestep in map(int, sys.argv[3:]):
    bpy.context.scene.frame_set(timestep)
    graph = bpy.context.evaluated_depsgraph_get()
    for item in bpy.data.objects:
        there = item.evaluated_get(graph)
        seen[f"{item.name} pose {timestep}"] = np.array(there.matrix_world)
        if item.type == "POINTCLOUD":
            for name, width in (("position", 3), ("radius", 1)):
                values = np.empty(width * len(there.data.points), np.float32)
                there.data.attributes[name].data.foreach_get("vector" if width == 3 else "value", values)
                seen[f"{item.name} {name} {timestep}"] = values.reshape(-1, width)
np.savez(sys.argv[2], **seen)
"""


def seen_by_blender(path: Path) -> dict[str, np.ndarray]:
    """Poses of all objects, and points of point clouds, at TIMESTEPS."""
    out = path.with_suffix(".npz")
    command = [sys.executable, "-c", SCRIPT, str(path), str(out), *map(str, TIMESTEPS)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    with np.load(out) as arrays:
        return dict(arrays)


def test_blender_shows_points_exactly_where_they_were_tracked(tmp_path: Path):
    tracks = make_tracks(make_parts())
    files = export(tracks, tmp_path / "box.usdc", options=UsdOptions(form="dcc"))
    seen = seen_by_blender(files[1])
    moving = (tracks.means != tracks.means[0]).any(axis=(0, 2))
    assert seen["span"].tolist() == [tracks.timesteps[0], tracks.timesteps[-1]]
    for timestep in TIMESTEPS:
        for name, ids in (("Moving", moving), ("Static", ~moving)):
            np.testing.assert_array_equal(seen[f"{name} pose {timestep}"], np.eye(4))
            np.testing.assert_array_equal(seen[f"{name} position {timestep}"], tracks.means[timestep, ids])
            radius = np.exp(tracks.log_scales[ids].mean(axis=1))
            np.testing.assert_allclose(seen[f"{name} radius {timestep}"][:, 0], radius, rtol=1e-5)


def test_blender_moves_kinematic_parts(tmp_path: Path):
    parts = make_parts()
    path = export(make_tracks(parts), tmp_path / "box.usdc", parts=parts)[0]
    seen = seen_by_blender(path)
    for timestep in TIMESTEPS:
        for index, name in enumerate(NAMES):
            expected = parts.world_from_part[timestep, index]
            np.testing.assert_allclose(seen[f"{name} pose {timestep}"], expected, atol=1e-6)
