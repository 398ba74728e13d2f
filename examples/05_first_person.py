"""Ride on a body in first person: its own surface stands still in the picture while the world tumbles around it.

The tracks are imagined, as perfect tracking of a synthetic scene would give them, or those of a run of it (--run):

    python examples/05_first_person.py --output first_person.png
    warpgs render runs/tumble --output ride.mp4 --cameras attach:part_00 --offset 0.7 -0.9 0.5 --slow 4
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tyro

from scenes.synthetic import SyntheticOptions, perfect_tracks, tumble
from warpgs.bodies import find_parts
from warpgs.render import Renderer
from warpgs.run import Run
from warpgs.view import attach, follow, part_ride, save_picture, save_views, strip

TIMESTEPS = 8
OFFSET_M = (0.7, -0.9, 0.5)
"""Where the camera sits, from the middle of the box."""
OWN = 0.95
"""Share of a pixel that the box must cover at all times to count as its own."""
AHEAD_M = 0.02
"""What stands farther in front of the box hides it."""


def main(output: Path | None = None, run: Path | None = None) -> None:
    """Film a box that is thrown, from a camera fixed to it and from one that goes along.

    Args:
        output: Where to write the picture, a .png; a temporary folder when not given.
        run: Take these tracks of the scene tumble.
    """
    options = SyntheticOptions(
        width=320, height=180, timesteps=TIMESTEPS, train_cameras=8, test_cameras=0, cloud_noise_m=0.0
    )
    scene = tumble(options)
    tracks = perfect_tracks(scene) if run is None else Run.open(run).tracks()
    parts = find_parts(tracks)
    ride = part_ride(parts, parts.names[0])
    lens = scene.cameras("train")[0]
    riding, beside = attach(lens, ride, OFFSET_M), follow(lens, ride, OFFSET_M)

    renderer = Renderer()
    members = parts.members(0)
    ridden = [renderer.view(tracks.at(i), camera) for i, camera in enumerate(riding)]
    alone = [renderer.view(tracks.at(i).select(members), camera) for i, camera in enumerate(riding)]
    # The box's own pixels are those that it always covers when it is alone; counted while nothing stands before it.
    own = np.min([picture.alpha for picture in alone], axis=0) > OWN
    seen = own & [np.abs(a.depth - b.depth) < AHEAD_M for a, b in zip(alone, ridden, strict=True)]
    colors = np.stack([np.clip(picture.color, 0.0, 1.0) for picture in ridden])
    change = np.abs(colors - colors[0]).mean(axis=3)
    around = np.max([picture.alpha for picture in alone], axis=0) < 1.0 - OWN
    shares = change[seen & seen[0]].mean(), change[:, around].mean()
    print(f"{own.sum()} pixels of the box change by {shares[0]:.2%}, those around it by {shares[1]:.0%}")
    assert (seen & seen[0]).sum() > 2000 * TIMESTEPS and shares[0] <= 0.02 and shares[1] > 0.1

    with tempfile.TemporaryDirectory() as folder:
        drawn = {}
        for name, cameras in (("beside", beside), ("riding", riding)):
            save_views(tracks, renderer, [(camera,) for camera in cameras], Path(folder) / f"{name}.mp4")
            chosen = [0, len(tracks) // 2, len(tracks) - 1]
            drawn[name] = [_bytes(renderer.view(tracks.at(i), cameras[i]).color) for i in chosen]
            assert (Path(folder) / f"{name}.mp4").stat().st_size > 0
        save_picture(output or Path(folder) / "first_person.png", strip([*drawn.values()]))


def _bytes(color: np.ndarray) -> np.ndarray:
    return np.round(255.0 * np.clip(color, 0.0, 1.0)).astype(np.uint8)


if __name__ == "__main__":
    tyro.cli(main)
