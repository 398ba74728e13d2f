"""Film a scene in slow motion along a path made by hand, with the paths of particles hidden where they should be.

The tracks are imagined, as perfect tracking of a synthetic scene would give them; a run of your own does as well:

    warpgs render runs/tumble --output paths.mp4 --cameras keyframes.json --channels trajectories --slow 4

    python examples/06_trajectories.py --output trajectories.png
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tyro
from scipy.spatial import cKDTree

from scenes.synthetic import SyntheticOptions, perfect_tracks, tumble
from warpgs.query.geometry import project
from warpgs.render import Renderer
from warpgs.view import Trails, camera_through, look_at, random_trails, render_views, save_picture, slowed, strip
from warpgs.view.keyframes import Keyframe

TIMESTEPS = 8
SLOW = 3
"""Pictures per timestep."""


def main(output: Path | None = None) -> None:
    """Follow sixty particles of bodies that are thrown together.

    Args:
        output: Where to write the picture, a .png; a temporary folder when not given.
    """
    options = SyntheticOptions(
        width=320, height=180, timesteps=TIMESTEPS, train_cameras=8, test_cameras=0, cloud_noise_m=0.0
    )
    scene = tumble(options)
    tracks = perfect_tracks(scene)

    middle = np.array([0.0, 0.0, 0.5])
    keyframes = [
        Keyframe(0, look_at(np.array([2.0, -0.6, 1.0]), middle)),
        Keyframe(4, look_at(np.array([1.6, 1.0, 0.8]), middle)),
        Keyframe(7, look_at(np.array([0.7, 1.7, 0.6]), middle), fov_deg=50.0),
    ]
    times = slowed(TIMESTEPS, SLOW)
    cameras = camera_through(keyframes, scene.cameras("train")[0], times)
    views = [(camera,) for camera in cameras]
    trails = random_trails(tracks, 60, tail=6)
    renderer = Renderer()
    plain = [pictures[0] for pictures in render_views(tracks, renderer, views, times=times)]
    drawn = [pictures[0] for pictures in render_views(tracks, renderer, views, trails, times=times)]
    assert len(drawn) == (TIMESTEPS - 1) * SLOW + 1

    # At the end of each path there is a dot, exactly if one can see the particle: as the scene's meshes say.
    right, asked, camera = 0, 0, cameras[-1]
    places = tracks.means[-1, trails.particles].astype(np.float64)
    nearest = cKDTree(scene.ground_truth().points[-1]).query(places)[1]
    seen, pixels = scene.visible(TIMESTEPS - 1, camera)[nearest], project(places, camera)[0]
    for number, (x, y) in enumerate(np.floor(pixels).astype(int)):
        if 2 <= x < camera.width - 2 and 2 <= y < camera.height - 2:
            alone = Trails(trails.particles[number : number + 1], trails.colors[number : number + 1], tail=0)
            (picture,) = next(render_views(tracks, renderer, views[-1:], alone, times=times[-1:]))
            right += bool((picture[y, x] != plain[-1][y, x]).any()) == bool(seen[number])
            asked += 1
    print(f"{asked} particles: {right} of the dots are there exactly if the particle is seen; {int(seen.sum())} are")
    assert asked > 40 and right >= 0.9 * asked and 10 < seen.sum() < 50

    with tempfile.TemporaryDirectory() as folder:
        chosen = [SLOW * 3, SLOW * 5, len(times) - 1]
        picture = output or Path(folder) / "trajectories.png"
        save_picture(picture, strip([[drawn[i] for i in chosen]]))
        assert picture.stat().st_size > 0


if __name__ == "__main__":
    tyro.cli(main)
