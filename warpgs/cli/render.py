"""``warpgs render``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional

from warpgs.cli.shared import Flag, UsageError, Verb, open_tracks_and_scene, progress_bar

if TYPE_CHECKING:
    import numpy as np

    from warpgs.bodies import Parts
    from warpgs.types import Camera, Scene, Tracks
    from warpgs.view import Channel, Trails


STILL_TURN = 90
"""Pictures of one turn around a file that holds a single instant."""
FIXED = ("test", "train", "orbit", "spiral")
RIDES = ("follow", "attach")
POINT = re.compile(r"([-+.0-9eE]+),([-+.0-9eE]+),([-+.0-9eE]+)(?:@([0-9]+))?")


@dataclass(frozen=True)
class Render:
    """Draw a run, or a file of Gaussians, from its cameras, along a path, or from what moves, first person.

    The output is a folder of <camera>/<timestep>.png, or a video by suffix (.mp4, .gif; several cameras stand side
    by side). Depth is drawn from red (near) to blue (far), black where there is nothing; masks show the foreground
    white; normals show x, y, z of the world as red, green, blue; trajectories are the last timesteps of some
    particles, hidden where something stands in front.

    --cameras: test or train (those of the scene, train as tracking refined them); orbit (a turn around what moves);
    spiral (small turns about the first camera); FILE.json (keyframes, see warpgs/view/keyframes.py); follow:WHAT (goes
    along and does not turn); attach:WHAT (first person: goes along and turns). WHAT is the name of a rigid part, see
    warpgs parts, or a point x,y,z or x,y,z@TIMESTEP [m].

    A file has no cameras of its own: it is orbited, in 90 pictures where it holds one instant, unless --scene says
    whose cameras to take.

    Example: warpgs render runs/tumble --output ride.mp4 --cameras attach:part_00 --offset 0 -1 0.3 --slow 4
    """

    run: Positional[Path]
    """The run directory, or a file: .usd .usda .usdc .usdz, .npz (Dynamic3DGaussians), .ply (3DGS)."""
    output: Path
    """A folder, or a file ending in .mp4 or .gif."""
    cameras: Annotated[str | None, tyro.conf.arg(metavar="CAMERAS")] = None
    """Where to look from; test where there is a scene, orbit where there is none."""
    channels: Literal["color", "depth", "mask", "normals", "trajectories"] = "color"
    """What to show."""
    slow: int = 1
    """Slow motion: this many pictures per timestep; rigid parts stay rigid."""
    offset: Annotated[tuple[float, float, float] | None, tyro.conf.arg(metavar="X Y Z")] = None
    """Of the camera from what it follows or is attached to [m]; axes are the world's, when attached turned with it.
    Without, the first camera's place."""
    look: Annotated[tuple[float, float, float], tyro.conf.arg(metavar="X Y Z")] = (0.0, 0.0, 0.0)
    """What an attached camera looks at [m], as --offset."""
    smooth: float = 0.0
    """Time constant over which the motion of a camera that follows or is attached is smoothed [timesteps]."""
    parts: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """Take the parts of this file of warpgs parts instead of finding them."""
    trajectory_count: int = 60
    """Trajectories: of how many particles."""
    tail: int = 10
    """Trajectories: how many timesteps back."""
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
    import numpy as np

    from warpgs.render import Renderer
    from warpgs.view import check_output, save_views, slowed

    _check(arguments)
    check_output(arguments.output, arguments.overwrite)
    tracks, scene = open_tracks_and_scene(arguments.run, arguments.scene)
    still = scene is None and len(tracks) == 1
    times = np.zeros(STILL_TURN) if still else slowed(len(tracks), arguments.slow)
    parts = cache(lambda: _parts(arguments, tracks))
    views = [
        tuple(_resized(camera, arguments.image_scale) for camera in cameras)
        for cameras in _views(arguments, scene, tracks, times, parts)
    ]
    renderer = Renderer(device=arguments.device, threads=arguments.threads)
    with progress_bar("render", len(views)) as bar:
        save_views(
            tracks,
            renderer,
            views,
            arguments.output,
            channel=_channel(arguments, tracks),
            times=times if still or arguments.slow > 1 else None,
            parts=parts() if arguments.slow > 1 and len(tracks) > 1 else None,
            overwrite=arguments.overwrite,
            progress=lambda done, _: bar.update(done - bar.n),
        )
    print(arguments.output)


def _check(arguments: Render) -> None:
    """Refuse what makes no sense whatever the run holds."""
    cameras = arguments.cameras
    kind, _, what = (cameras or "").partition(":")
    if cameras is not None and cameras not in FIXED and not cameras.endswith(".json") and not (kind in RIDES and what):
        raise UsageError(
            f"--cameras: expected {', '.join(FIXED)}, FILE.json, follow:WHAT or attach:WHAT, got {cameras}"
        )
    if kind not in RIDES and (arguments.offset is not None or arguments.smooth != 0.0):
        raise UsageError("--offset and --smooth: expected --cameras follow:WHAT or attach:WHAT")
    for name, least in (("slow", 1), ("trajectory_count", 1), ("tail", 0)):
        if getattr(arguments, name) < least:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option}: expected a number from {least} on, got {getattr(arguments, name)}")
    if not 0.0 < arguments.image_scale < float("inf"):
        raise UsageError(f"--image-scale: expected a positive number, got {arguments.image_scale}")


def _channel(arguments: Render, tracks: Tracks) -> Channel | Trails:
    from warpgs.view import random_trails

    if arguments.channels == "trajectories":
        return random_trails(tracks, arguments.trajectory_count, tail=arguments.tail)
    return arguments.channels


def _views(
    arguments: Render, scene: Scene | None, tracks: Tracks, times: np.ndarray, parts: Callable[[], Parts]
) -> list[tuple[Camera, ...]]:
    """Cameras of each time."""
    from warpgs.checks import refuse
    from warpgs.evaluate.pictures import refined
    from warpgs.view import foreground_center, orbit, orbit_whole, spiral

    wanted = arguments.cameras or ("orbit" if scene is None else "test")
    if wanted in ("test", "train"):
        if scene is None:
            refuse(arguments.run, "a scene with cameras", "a file without", "pass --scene or --cameras orbit")
        # Between two instants a camera stays where it was at the earlier one.
        views = [scene.cameras(wanted, tracks.timesteps[int(time)]) for time in times]
        if not views[0]:
            refuse(scene.name, f"cameras of the {wanted} split", "none", "pass --cameras train or orbit")
        return views if wanted == "test" else [tuple(refined(camera, tracks) for camera in seen) for seen in views]
    if scene is None:
        turn = orbit_whole(tracks, len(times))
    else:
        turn = orbit(scene.cameras("train", tracks.timesteps[0]), foreground_center(tracks), len(times))
    if wanted == "orbit":
        path = turn
    elif wanted == "spiral":
        first = turn[0] if scene is None else scene.cameras("train", tracks.timesteps[0])[0]
        path = spiral(first, foreground_center(tracks), len(times))
    else:
        path = _guided(arguments, wanted, tracks, times, turn[0], parts)
    return [(camera,) for camera in path]


def _guided(
    arguments: Render, wanted: str, tracks: Tracks, times: np.ndarray, camera: Camera, parts: Callable[[], Parts]
) -> tuple[Camera, ...]:
    """A path of keyframes, or of what moves; ``camera`` says what they leave open."""
    import numpy as np

    from warpgs.view import attach, camera_through, follow, part_ride, point_ride, poses_at, read_keyframes

    if wanted.endswith(".json"):
        timesteps = np.interp(times, np.arange(len(tracks)), tracks.timesteps)
        return camera_through(read_keyframes(Path(wanted)), camera, timesteps)
    kind, _, what = wanted.partition(":")
    point = POINT.fullmatch(what)
    if point is None:
        ride = part_ride(parts(), what, smooth=arguments.smooth)
    else:
        ride = point_ride(tracks, _point(what, point), smooth=arguments.smooth)
    ride = poses_at(ride, times)
    if kind == "follow":
        return follow(camera, ride, arguments.offset)
    return attach(camera, ride, arguments.offset, arguments.look)


def _point(text: str, match: re.Match[str]):
    from warpgs.query import PointQuery

    *position, timestep = match.groups()
    try:
        return PointQuery(*map(float, position), timestep=None if timestep is None else int(timestep))
    except ValueError as error:
        raise UsageError(f"--cameras: expected a point x,y,z or x,y,z@TIMESTEP, got {text}") from error


def _parts(arguments: Render, tracks: Tracks) -> Parts:
    from warpgs.bodies import find_parts, read_parts

    return find_parts(tracks) if arguments.parts is None else read_parts(arguments.parts, tracks)


def _resized(camera: Camera, scale: float) -> Camera:
    return camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))


RENDER = Verb(Render, render_run)
