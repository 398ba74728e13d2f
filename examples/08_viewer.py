"""Show tracks on a page in the browser, as `warpgs view` does, from a program of your own.

    python examples/08_viewer.py --output viewer.png              # draws what a visitor would see, and ends
    python examples/08_viewer.py --serve                          # serves the page until Ctrl-C

The tracks are imagined, as perfect tracking of a synthetic scene would give them.
"""

from __future__ import annotations

import tempfile
import threading
import urllib.request
from pathlib import Path

import numpy as np
import tyro

from scenes.synthetic import SyntheticOptions, perfect_tracks, tumble
from warpgs.bodies import find_parts
from warpgs.render import Renderer
from warpgs.view import save_picture, strip
from warpgs.view.web import Viewer
from warpgs.view.web.draw import Wish, draw, particles

TIMESTEPS = 8


def main(output: Path | None = None, serve: bool = False, port: int = 8080) -> None:
    """Serve a page, look at it, and draw what its visitors can choose to see.

    Args:
        output: Where to write a picture of it, a .png; a temporary folder when not given.
        serve: Go on until Ctrl-C.
        port: Of the page; the next free one where it is taken.
    """
    options = SyntheticOptions(
        width=320, height=180, timesteps=TIMESTEPS, train_cameras=8, test_cameras=1, cloud_noise_m=0.0
    )
    scene = tumble(options)
    tracks = perfect_tracks(scene)
    viewer = Viewer(scene, port=port)
    try:
        viewer.show(tracks)
        with urllib.request.urlopen(viewer.url, timeout=10.0) as page:
            assert page.status == 200 and b"<html" in page.read()
        print(f"{viewer.url} shows {len(tracks)} timesteps of {len(tracks.foreground)} particles", flush=True)

        # The same pictures without the page: what a visitor sees, in three of the ways that can be chosen.
        camera, renderer, parts = scene.cameras("test")[0], Renderer(), find_parts(tracks)
        assert len(parts) == len(scene.ground_truth().body_names)
        drawn = {}
        for show in ("color", "parts", "depth"):
            wish = Wish(TIMESTEPS // 2, show)
            drawn[show], _ = draw(particles(tracks, parts, wish), wish, camera, renderer)
        assert all(np.abs(drawn[a] - drawn["color"].astype(int)).mean() > 10.0 for a in ("parts", "depth"))
        with tempfile.TemporaryDirectory() as folder:
            save_picture(output or Path(folder) / "viewer.png", strip([[*drawn.values()]]))
        if serve:
            threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        viewer.close()


if __name__ == "__main__":
    tyro.cli(main)
