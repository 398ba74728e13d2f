"""Forecast a bouncing ball: what it is made of from the first part of its tracks, where it goes after that by physics.

The truth is a synthetic scene, whose bodies are moved by a generator of its own; the tracks are perfect.

    python examples/14_forecast.py --output forecast.mp4
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import tyro

from scenes.synthetic import Pattern, SyntheticOptions, SyntheticScene, Texture, ball, perfect_tracks
from scenes.synthetic.rigid import RESTITUTION, Motion, Shape
from scenes.synthetic.rigid import simulate as true_motion
from warpgs.render import Renderer
from warpgs.simulate import identify, simulate
from warpgs.types import Camera, Tracks
from warpgs.view import render_views, save_picture, strip
from warpgs.view.video import write_video

TIMESTEPS, SEEN = 40, 24
RADIUS_M = 0.2
SHOWN = (0, 5, 10, 15)
"""Forecast instants of the picture."""


def make_scene() -> SyntheticScene:
    """A ball that is thrown and bounces off the floor twice, the second time after what is seen."""
    paint = Texture(Pattern.STRIPES, 0.08, ((0.9, 0.3, 0.1), (0.95, 0.9, 0.8), (0.1, 0.3, 0.7)))
    options = SyntheticOptions(
        width=240, height=135, timesteps=TIMESTEPS, train_cameras=12, test_cameras=1, samples=1, cloud_noise_m=0.0,
        cloud_background=12_000, cloud_foreground=2_500,
    )  # fmt: skip
    start = Motion(np.array([[-0.8, 0, 0.9]]), np.eye(3)[None], np.array([[1.1, 0.2, 0.6]]), np.array([[0, 3.0, 1.0]]))
    poses = true_motion((Shape(np.zeros(3), RADIUS_M),), start, TIMESTEPS, options.fps, 5.0)
    return SyntheticScene("bounce", (ball("ball", RADIUS_M, paint),), poses, options)


def forecast(tracks: Tracks) -> Tracks:
    """What follows the part that is seen: friction and restitution as they fit it, and physics."""
    seen = replace(
        tracks, means=tracks.means[:SEEN], rotations_wxyz=tracks.rotations_wxyz[:SEEN],
        timesteps=tracks.timesteps[:SEEN],
    )  # fmt: skip
    found = identify(seen, ["restitution"], fitted=SEEN)
    print(f"restitution {found.values['restitution']:.3f}, truth {RESTITUTION}")
    assert abs(found.values["restitution"] - RESTITUTION) < 0.05
    instants = list(simulate(seen, found.material, instants=TIMESTEPS - SEEN))
    return replace(
        tracks,
        means=np.stack([instant.means for instant in instants]),
        rotations_wxyz=np.stack([instant.rotations_wxyz for instant in instants]),
        timesteps=tracks.timesteps[SEEN - 1 :],
    )


def main(output: Path | None = None) -> None:
    """Forecast, compare, and show both.

    Args:
        output: A .png with the truth above the forecast at four instants, or a video (.mp4, .gif) with the truth on
            the left; a temporary .png when not given.
    """
    scene = make_scene()
    tracks = perfect_tracks(scene)
    future, truth = forecast(tracks), tracks.since(SEEN - 1)
    moving = tracks.foreground > 0.5
    error = np.linalg.norm((future.means - truth.means)[:, moving].mean(axis=1), axis=1)
    print(f"the ball is forecast within {100 * error.max():.1f} cm over {len(error) - 1} instants")
    assert error.max() < 0.03

    camera = scene.cameras("train")[0]
    pictures = [_pictures(truth, camera), _pictures(future, camera)]
    with tempfile.TemporaryDirectory() as folder:
        path = output or Path(folder) / "forecast.png"
        if path.suffix == ".png":
            save_picture(path, strip([[row[instant] for instant in SHOWN] for row in pictures]))
        else:
            write_video(path, (np.concatenate(pair, axis=1) for pair in zip(*pictures, strict=True)), scene.fps)
        assert path.stat().st_size > 0


def _pictures(tracks: Tracks, camera: Camera) -> list[np.ndarray]:
    """Every instant of some tracks, seen by one camera."""
    return [picture for (picture,) in render_views(tracks, Renderer(), [(camera,)] * len(tracks))]


if __name__ == "__main__":
    tyro.cli(main)
