"""Ask where pixels go: click a few in one picture, get their 6-DOF paths in space, and see them from another camera.

The run is imagined, so that the answers are known: a die of opaque particles spins and drifts in front of two cameras.

    python examples/03_query.py --output paths.png
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tyro
from scipy.ndimage import binary_erosion
from scipy.spatial.transform import Rotation

from scenes.synthetic import Pattern, SyntheticOptions, SyntheticScene, Texture, box
from warpgs.query import PixelQuery, look, query, write_paths
from warpgs.query.geometry import angles_deg
from warpgs.types import Tracks
from warpgs.view import distinct_colors, draw_paths, save_picture, strip

TIMESTEPS = 10
SIDE_M = 0.5
SPACING_M = 0.0125
SIGMA_M = 0.008
"""The size of a particle: how far the die's fuzzy surface may reach."""
ASKED_AT = 4
"""The instant of the pixels: paths reach before and after it."""


def make_scene() -> SyntheticScene:
    """A die that turns by 8 degrees and drifts by 4 cm per timestep."""
    paint = Texture(Pattern.CHECKER, 0.06, ((0.9, 0.2, 0.1), (0.95, 0.9, 0.3), (0.1, 0.2, 0.7)))
    poses = np.tile(np.eye(4), (TIMESTEPS, 1, 1, 1))
    for timestep in range(TIMESTEPS):
        poses[timestep, 0, :3, :3] = Rotation.from_euler("z", 8.0 * timestep, degrees=True).as_matrix()
        poses[timestep, 0, :3, 3] = [0.04 * timestep - 0.2, 0.0, 0.6]
    options = SyntheticOptions(
        width=160, height=90, timesteps=TIMESTEPS, train_cameras=12, test_cameras=0, cloud_background=500
    )
    return SyntheticScene("die", (box("die", (SIDE_M,) * 3, paint),), poses, options)


def imagine_tracks(scene: SyntheticScene) -> Tracks:
    """Opaque particles that cover the sides of the die and move with it."""
    steps = np.arange(-SIDE_M / 2, SIDE_M / 2 + 1e-9, SPACING_M)
    u, v = (grid.ravel() for grid in np.meshgrid(steps, steps))
    side = np.stack([u, v, np.full(u.size, SIDE_M / 2)], axis=1)
    turns = Rotation.from_euler("xyz", [[0, 0, 0], [180, 0, 0], [90, 0, 0], [-90, 0, 0], [0, 90, 0], [0, -90, 0]], True)
    centers = np.concatenate([turn.apply(side) for turn in turns])
    facing = Rotation.concatenate([turn for turn in turns for _ in side])
    poses = scene.ground_truth().world_from_body[:, 0]
    bodies = [Rotation.from_matrix(pose[:3, :3]) for pose in poses]
    count = len(centers)
    return Tracks(
        means=np.stack([b.apply(centers) + p[:3, 3] for b, p in zip(bodies, poses, strict=True)]).astype(np.float32),
        rotations_wxyz=np.stack([np.roll((b * facing).as_quat(), 1, axis=1) for b in bodies]).astype(np.float32),
        log_scales=np.tile(np.log([SIGMA_M] * 3), (count, 1)).astype(np.float32),
        colors=np.full((count, 3), 0.5, np.float32),
        opacity_logits=np.full(count, 4.0, np.float32),
        foreground=np.ones(count, np.float32),
        timesteps=tuple(range(TIMESTEPS)),
        fps=scene.fps,
        source_from_world=scene.source_from_world,
        camera_names=(),
        camera_log_gains=np.zeros((0, 3), np.float32),
        camera_offsets=np.zeros((0, 3), np.float32),
    )


def main(output: Path | None = None) -> None:
    """Follow a few pixels of the die.

    Args:
        output: Where to write the picture, a .png; a temporary folder when not given.
    """
    scene = make_scene()
    tracks = imagine_tracks(scene)
    here, *others = scene.cameras("train")
    there = min(others, key=lambda camera: np.linalg.norm(camera.center_world - here.center_world))

    # Pixels of the die in one picture, as a user would click them: not on its outline.
    mask = binary_erosion(scene.frame(ASKED_AT).masks[0] == 255, iterations=3)
    rows, columns = np.nonzero(mask)
    chosen = np.linspace(0, len(rows) - 1, 12).astype(int)
    pixels = np.stack([columns[chosen], rows[chosen]], axis=1) + 0.5
    queries = [PixelQuery(here.name, ASKED_AT, x, y) for x, y in pixels.tolist()]

    paths = query(tracks, queries, scene)
    sights = {camera.name: look(paths, tracks, scene, camera.name) for camera in (here, there)}

    # Every point moves with the die, whose motion is known, and passes through its pixel.
    poses = scene.ground_truth().world_from_body[:, 0]
    since = poses @ np.linalg.inv(poses[ASKED_AT])
    asked = paths.positions[ASKED_AT]
    expected = np.einsum("tij,mj->tmi", since[:, :3, :3], asked) + since[:, None, :3, 3]
    turned = np.roll(Rotation.from_matrix(since[:, :3, :3]).as_quat(), 1, axis=1)
    error_m = np.linalg.norm(paths.positions - expected, axis=2).max()
    surface_m = np.abs(_distance_from_die(asked, poses[ASKED_AT])).max()
    seen = {name: int(sight.visible.sum()) for name, sight in sights.items()}
    print(f"{len(queries)} paths, {1000 * error_m:.3f} mm off; the pixels hit the die within {1000 * surface_m:.1f} mm")
    print(f"seen in {seen} of {paths.positions.shape[0] * len(queries)} instants")
    assert paths.assigned.all() and error_m < 1e-5 and surface_m < 3.0 * SIGMA_M
    assert angles_deg(paths.rotations_wxyz, turned[:, None]).max() < 1e-3
    assert sights[here.name].visible[ASKED_AT].all()
    np.testing.assert_allclose(sights[here.name].points_px[ASKED_AT], pixels, atol=1e-6)

    with tempfile.TemporaryDirectory() as folder:
        picture = output or Path(folder) / "paths.png"
        frame = scene.frame(TIMESTEPS - 1)
        images = {camera.name: image for camera, image in zip(frame.cameras, frame.images, strict=True)}
        colors = distinct_colors(len(queries))
        drawn = [
            draw_paths(images[name], sight.points_px, sight.visible, colors, scale=4) for name, sight in sights.items()
        ]
        save_picture(picture, strip([drawn]))
        with (Path(folder) / "paths.csv").open("w", encoding="utf-8") as file:
            write_paths(file, paths, sights)
        lines = (Path(folder) / "paths.csv").read_text(encoding="utf-8").splitlines()
        assert len(lines) == 1 + len(queries) * TIMESTEPS * len(sights) and picture.stat().st_size > 0
    print("\n".join(lines[:3]))


def _distance_from_die(points: np.ndarray, world_from_die: np.ndarray) -> np.ndarray:
    """How far points are outside the nearest side of the die [m]."""
    in_die = (points - world_from_die[:3, 3]) @ world_from_die[:3, :3]
    return np.abs(in_die).max(axis=1) - SIDE_M / 2


if __name__ == "__main__":
    tyro.cli(main)
