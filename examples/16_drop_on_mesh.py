"""Drop a tracked box on a mesh: tracked in flight over a bare floor, it lands on a pedestal that was never there.

The scene is synthetic and the tracks are perfect; the pedestal is a collider of a material file.

    python examples/16_drop_on_mesh.py --output pedestal.png
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import trimesh
import tyro

from scenes.synthetic import Pattern, SyntheticOptions, SyntheticScene, Texture, box, perfect_tracks
from scenes.synthetic.rigid import Motion, Shape
from scenes.synthetic.rigid import simulate as true_motion
from warpgs.render import Renderer
from warpgs.simulate import read_material, simulate
from warpgs.types import Gaussians, Tracks
from warpgs.view import render_views, save_picture, strip

TIMESTEPS, INSTANTS = 8, 75
EDGES_M = (0.36, 0.28, 0.2)
RADIUS_M, HEIGHT_M = 0.5, 0.25
SHOWN = (0, 15, 30, 75)
"""Instants of the picture."""


def make_scene() -> SyntheticScene:
    """A box in flight."""
    paint = Texture(Pattern.CHECKER, 0.07, ((0.9, 0.2, 0.1), (0.95, 0.9, 0.3), (0.1, 0.2, 0.7)))
    options = SyntheticOptions(
        width=240, height=135, timesteps=TIMESTEPS, train_cameras=12, test_cameras=0, samples=1, cloud_noise_m=0.0,
        cloud_background=12_000, cloud_foreground=2_500,
    )  # fmt: skip
    start = Motion(
        np.array([[-0.35, 0, 0.75]]), np.eye(3)[None], np.array([[0.5, 0, 0.3]]), np.array([[1.0, 2.0, 0.5]])
    )
    poses = true_motion((Shape(0.5 * np.array(EDGES_M), 0.0),), start, TIMESTEPS, options.fps, 5.0)
    return SyntheticScene("box", (box("box", EDGES_M, paint),), poses, options)


def pedestal() -> trimesh.Trimesh:
    """A round one, closed."""
    mesh = trimesh.creation.cylinder(RADIUS_M, HEIGHT_M, sections=48)
    mesh.apply_translation([0.0, 0.0, 0.5 * HEIGHT_M])
    return mesh


def painted(mesh: trimesh.Trimesh, like: Tracks) -> Gaussians:
    """A mesh as gray particles, to be seen."""
    points, faces = trimesh.sample.sample_surface(mesh, 6000, seed=0)
    shade = 0.35 + 0.4 * np.abs(mesh.face_normals[faces] @ [0.2, 0.4, 0.9])
    count = len(points)
    return Gaussians(
        means=np.asarray(points, np.float32),
        rotations_wxyz=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        log_scales=np.full((count, 3), np.log(0.008), np.float32),
        colors=np.repeat(shade[:, None], 3, axis=1).astype(np.float32),
        opacity_logits=np.full(count, like.opacity_logits.max(), np.float32),
        foreground=np.zeros(count, np.float32),
    )


def main(output: Path | None = None) -> None:
    """Drop the box, check that it lies on the pedestal, and show it.

    Args:
        output: A .png; a temporary one when not given.
    """
    scene = make_scene()
    tracks = perfect_tracks(scene)
    mesh = pedestal()
    with tempfile.TemporaryDirectory() as folder:
        mesh.export(Path(folder) / "pedestal.obj")
        content = {"friction": 0.6, "restitution": 0.1, "colliders": [{"shape": "mesh", "file": "pedestal.obj"}]}
        (Path(folder) / "material.json").write_text(json.dumps(content))
        material = read_material(Path(folder) / "material.json")
        instants = list(simulate(tracks, material, start=TIMESTEPS - 1, instants=INSTANTS))
        future = replace(
            tracks,
            means=np.stack([instant.means for instant in instants]),
            rotations_wxyz=np.stack([instant.rotations_wxyz for instant in instants]),
            timesteps=tuple(range(TIMESTEPS - 1, TIMESTEPS + INSTANTS)),
        )
        moving = tracks.foreground > 0.5
        speed = np.linalg.norm(future.means[-1, moving] - future.means[-2, moving], axis=1).max() * scene.fps
        lowest = future.means[-1, moving, 2].min()
        print(f"after {INSTANTS / scene.fps:.1f} s the box moves at {100 * speed:.2f} cm/s, {100 * lowest:.1f} cm up")
        assert speed < 0.01
        assert abs(lowest - HEIGHT_M) < 0.01  # on the pedestal, not in it

        path = output or Path(folder) / "pedestal.png"
        save_picture(path, strip([_pictures(future, painted(mesh, tracks), scene)]))
        assert path.stat().st_size > 0


def _pictures(tracks: Tracks, still: Gaussians, scene: SyntheticScene) -> list[np.ndarray]:
    """Some instants of tracks, with particles that stand still among them."""
    shown = [
        replace(
            tracks,
            means=np.concatenate([tracks.means[i], still.means])[None],
            rotations_wxyz=np.concatenate([tracks.rotations_wxyz[i], still.rotations_wxyz])[None],
            timesteps=tracks.timesteps[i : i + 1],
            **{
                name: np.concatenate([getattr(tracks, name), getattr(still, name)])
                for name in ("log_scales", "colors", "opacity_logits", "foreground")
            },
        )
        for i in SHOWN
    ]
    camera = scene.cameras("train")[9]
    return [picture for each in shown for (picture,) in render_views(each, Renderer(), [(camera,)])]


if __name__ == "__main__":
    tyro.cli(main)
