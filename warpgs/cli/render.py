"""``warpgs render``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional

from warpgs.cli.shared import Flag, Verb, open_tracks_and_scene, progress_bar

if TYPE_CHECKING:
    from warpgs.types import Camera, Scene, Tracks


STILL_TURN = 90
"""Pictures of one turn around a file that holds a single instant."""


@dataclass(frozen=True)
class Render:
    """Draw a run, or a file of Gaussians: from held-out or training cameras, or a camera that orbits what moves.

    The output is a folder of <camera>/<timestep>.png, or a video by suffix (.mp4, .gif; several cameras stand side
    by side). Depth is drawn from red (near) to blue (far), black where there is nothing; masks show the foreground
    white.

    A file has no cameras of its own: it is orbited, in 90 pictures where it holds one instant, unless --scene says
    whose cameras to take.

    Example: warpgs render runs/tumble --output orbit.mp4 --cameras orbit
    """

    run: Positional[Path]
    """The run directory, or a file: .usd .usda .usdc .usdz, .npz (Dynamic3DGaussians), .ply (3DGS)."""
    output: Path
    """A folder, or a file ending in .mp4 or .gif."""
    cameras: Literal["test", "train", "orbit"] | None = None
    """Where to look from; test where there is a scene, orbit where there is none."""
    channels: Literal["color", "depth", "mask"] = "color"
    """What to show."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="SCENE")] = None
    """Where the scene is now, if it moved since it was tracked; the scene of a file."""
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
    from warpgs.view import check_output, held, save_views

    check_output(arguments.output, arguments.overwrite)
    tracks, scene = open_tracks_and_scene(arguments.run, arguments.scene)
    if scene is None and len(tracks) == 1:
        tracks = held(tracks, STILL_TURN)
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


def _views(arguments: Render, scene: Scene | None, tracks: Tracks) -> list[tuple[Camera, ...]]:
    """Cameras of each instant, at the size asked for."""
    from warpgs.checks import refuse
    from warpgs.view import foreground_center, orbit, orbit_whole

    if not arguments.image_scale > 0.0:
        refuse("--image-scale", "a positive number", arguments.image_scale)
    if scene is None:
        if arguments.cameras in ("test", "train"):
            refuse(arguments.run, "a scene with cameras", "a file without", "pass --scene or --cameras orbit")
        views = [(camera,) for camera in orbit_whole(tracks)]
    elif arguments.cameras == "orbit":
        path = orbit(scene.cameras("train", tracks.timesteps[0]), foreground_center(tracks), len(tracks))
        views = [(camera,) for camera in path]
    else:
        split = arguments.cameras or "test"
        views = [scene.cameras(split, timestep) for timestep in tracks.timesteps]
        if not views[0]:
            refuse(scene.name, f"cameras of the {split} split", "none", "pass --cameras train or orbit")
    return [tuple(_resized(camera, arguments.image_scale) for camera in cameras) for cameras in views]


def _resized(camera: Camera, scale: float) -> Camera:
    return camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))


RENDER = Verb(Render, render_run)
