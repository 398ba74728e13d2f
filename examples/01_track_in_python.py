"""Track a scene in five lines, and look into the result, which is plain NumPy.

python examples/01_track_in_python.py --scene tumble --timesteps 4
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import tyro

from scenes import open_scene
from usd_export import export_usd
from warpgs.run import Run
from warpgs.track import PRESETS, TrackConfig, track
from warpgs.types import Scene


def follow(scene: Scene, config: TrackConfig, folder: Path, timesteps: range) -> None:
    """The five lines, and what they must have left behind."""
    with Run.create(folder / "run", scene, config, timesteps=timesteps) as run:
        for state in track(scene, config, run=run, timesteps=timesteps):
            print(f"timestep {state.timestep}: {state.psnr:.1f} dB, {state.seconds:.1f} s")
    tracks = run.tracks()
    usd = export_usd(tracks, folder / "scene.usdc")

    moving = tracks.foreground > 0.5
    distance = np.linalg.norm(tracks.means[-1, moving] - tracks.means[0, moving], axis=1)
    print(f"{moving.sum()} of {len(moving)} Gaussians are foreground; half of them moved {np.median(distance):.3f} m")

    assert tracks.timesteps == tuple(timesteps)
    np.testing.assert_allclose(np.linalg.norm(tracks.rotations_wxyz, axis=2), 1.0, atol=1e-5)
    # The background is static, the foreground is not.
    np.testing.assert_array_equal(tracks.means[-1, ~moving], tracks.means[0, ~moving])
    assert np.median(distance) > 0.0
    assert usd.stat().st_size > 0


def main(scene: str = "tumble", timesteps: int = 4, quick: bool = False) -> None:
    """Track the first timesteps of a scene into a temporary folder.

    Args:
        scene: A folder or the name of a built-in scene.
        timesteps: How many.
        quick: Few steps on pictures of half the size; shows that everything runs, not how well.
    """
    config = PRESETS["fast"]
    if quick:  # every setting is a field of a frozen dataclass
        rigid = replace(config.follow.rigid, steps=5, first_steps=10)
        follow_config = replace(config.follow, rigid=rigid, free=replace(config.follow.free, steps=5))
        reconstruct = replace(config.reconstruct, steps=20)
        config = replace(config, image_scale=0.5, reconstruct=reconstruct, follow=follow_config)
        timesteps = min(timesteps, 2)
    with tempfile.TemporaryDirectory() as folder:
        follow(open_scene(scene), config, Path(folder), range(timesteps))


if __name__ == "__main__":
    tyro.cli(main)
