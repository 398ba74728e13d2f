"""``warpgs view``."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import tyro
from tyro.conf import Positional

from warpgs.cli.shared import Flag, Verb, is_file_of_gaussians, open_run, open_tracks_and_scene

if TYPE_CHECKING:
    from warpgs.run import Run
    from warpgs.types import Scene, Tracks
    from warpgs.view.web import Viewer

POLL_S = 2.0
"""How often a run that is still being tracked is looked at."""


@dataclass(frozen=True)
class View:
    """Open a page in the browser on which a run, or a file of Gaussians, is played and turned around.

    Shows colors, rigid parts, confidence, depth, normals; trajectories and rotations of random or clicked particles;
    the cameras with their pictures. Saves screenshots, videos and camera paths for warpgs render.

    The page is for this machine alone unless --host says otherwise: whoever can reach it then can see everything and
    make the machine work. From afar, an SSH tunnel is the better way: ssh -L 8080:localhost:8080 MACHINE.

    Example: warpgs view runs/tumble
    """

    run: Positional[Path]
    """The run directory, or a file: .usd .usda .usdc .usdz, .npz (Dynamic3DGaussians), .ply (3DGS)."""
    port: int = 8080
    """Of the page; the next free one where it is taken."""
    host: str = "127.0.0.1"
    """Where to listen; 0.0.0.0 lets every machine in that can reach this one."""
    parts: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """Take the rigid parts of this file of warpgs parts instead of finding them."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="SCENE")] = None
    """Where the scene is now, if it moved since it was tracked; the scene of a file."""
    device: str = "auto"
    """auto, cpu or cuda:0."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""
    debug: Flag = False
    """Show where an error came from."""


def view_run(arguments: View) -> None:
    from warpgs.render import Renderer

    try:
        from warpgs.view.web import LOOPBACK, Viewer
    except ImportError as error:
        raise ImportError(f"the viewer: expected the extra [view], got {error}; pip install 'warpgs[view]'") from error

    run, scene, first = _open(arguments)
    if arguments.host not in LOOPBACK:
        warning = "everyone who reaches this machine can look at this run and make it work; ssh -L keeps it private"
        print(f"warpgs view: --host {arguments.host}: {warning}", file=sys.stderr)
    viewer = Viewer(
        scene,
        host=arguments.host,
        port=arguments.port,
        title=str(arguments.run),
        make_renderer=lambda: Renderer(device=arguments.device, threads=arguments.threads),
    )
    try:
        print(f"{viewer.url} shows {arguments.run}; Ctrl-C ends it", flush=True)
        _show(arguments, viewer, run, first)
    except KeyboardInterrupt:
        pass
    finally:
        viewer.close()


def _open(arguments: View) -> tuple[Run | None, Scene | None, Tracks]:
    """The run, None for a file; the scene, where there is one; and what can be shown at once."""
    if is_file_of_gaussians(arguments.run):
        tracks, scene = open_tracks_and_scene(arguments.run, arguments.scene)
        return None, scene, tracks
    run, scene = open_run(arguments.run, arguments.scene)
    first = run.timesteps[0]
    return run, scene, run.tracks(range(first, first + 1))


def _show(arguments: View, viewer: Viewer, run: Run | None, tracks: Tracks) -> NoReturn:
    """Show all there is, and of a run that is still being tracked what comes."""
    from warpgs.bodies import read_parts

    viewer.show(tracks, whole=False)
    shown = 0
    while True:
        there = len(tracks) if run is None else len(run.completed)
        if there > shown:
            tracks = tracks if run is None else run.tracks()
            parts = None if arguments.parts is None else read_parts(arguments.parts, tracks)
            viewer.show(tracks, parts=parts)
            shown = len(tracks)
        time.sleep(POLL_S)


VIEW = Verb(View, view_run)
