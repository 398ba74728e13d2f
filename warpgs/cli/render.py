"""``warpgs render``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional

from warpgs.cli.shared import Flag, Verb, open_run, progress_bar

if TYPE_CHECKING:
    from warpgs.types import Camera, Scene, Tracks


@dataclass(frozen=True)
class Render:
    """Draw a run: from its held-out cameras, its training cameras, or a camera that orbits what moves.

    The output is a folder of <camera>/<timestep>.png, or a video by suffix (.mp4, .gif; several cameras stand side
    by side). Depth is drawn from red (near) to blue (far), black where there is nothing; masks show the foreground
    white.

    Example: warpgs render runs/tumble --output orbit.mp4 --cameras orbit
    """

    run: Positional[Path]
    """The run directory."""
    output: Path
    """A folder, or a file ending in .mp4 or .gif."""
    cameras: Literal["test", "train", "orbit"] = "test"
    """Where to look from."""
    channels: Literal["color", "depth", "mask"] = "color"
    """What to show."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="SCENE")] = None
    """Where the scene is now, if it moved since it was tracked."""
    image_scale: float = 1.0
    """Size of the pictures relative to the source's."""
    device: str = "auto"
    """auto, cpu or cuda:0."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""
    overwrite: Flag = False
    """Replace an existing output."""
    debug: Flag = False
    """Show where an error came from."""


def render_run(arguments: Render) -> None:
    from warpgs.render import Renderer
    from warpgs.view import check_output, save_views

    check_output(arguments.output, arguments.overwrite)
    run, scene = open_run(arguments.run, arguments.scene)
    tracks = run.tracks()
    views = _views(arguments, scene, tracks)
    renderer = Renderer(device=arguments.device, threads=arguments.threads)
    with progress_bar("render", len(tracks)) as bar:
        save_views(
            tracks,
            renderer,
            views,
            arguments.output,
            channel=arguments.channels,
            overwrite=arguments.overwrite,
            progress=lambda done, _: bar.update(done - bar.n),
        )
    print(arguments.output)


def _views(arguments: Render, scene: Scene, tracks: Tracks) -> list[tuple[Camera, ...]]:
    """Cameras of each instant, at the size asked for."""
    from warpgs.checks import refuse
    from warpgs.view import foreground_center, orbit

    if not arguments.image_scale > 0.0:
        refuse("--image-scale", "a positive number", arguments.image_scale)
    if arguments.cameras == "orbit":
        path = orbit(scene.cameras("train", tracks.timesteps[0]), foreground_center(tracks), len(tracks))
        views = [(camera,) for camera in path]
    else:
        views = [scene.cameras(arguments.cameras, timestep) for timestep in tracks.timesteps]
    if not views[0]:
        refuse(scene.name, f"cameras of the {arguments.cameras} split", "none", "pass --cameras train or orbit")
    return [tuple(_resized(camera, arguments.image_scale) for camera in cameras) for cameras in views]


def _resized(camera: Camera, scale: float) -> Camera:
    return camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))


RENDER = Verb(Render, render_run)
