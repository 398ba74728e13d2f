"""``warpgs plot``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from warpgs.cli.shared import Flag, Verb, open_run

if TYPE_CHECKING:
    from warpgs.bodies import Parts
    from warpgs.run import Run
    from warpgs.types import Scene, Tracks
    from warpgs.view import Section

MOST_CAMERAS = 4
LOGGED = {"psnr": "PSNR of training pictures [dB]", "loss": "image loss", "seconds": "time to track [s]"}
"""What the log's metrics are; others are plotted under their own names."""


@dataclass(frozen=True)
class Plot:
    """Draw one page about a run: its log over time, confidence, errors where the truth is known, the motion of each
    rigid part, tracks over the pictures of the last timestep.

    Writes an .html that needs no other file, and a .png of the same figures beside it.

    Example: warpgs plot runs/tumble --output tumble.html
    """

    run: Positional[Path]
    """The run directory."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="HTML")] = None
    """The page, an .html; named like the run when not given, in this folder."""
    parts: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """Take the parts of this file of warpgs parts instead of finding them."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="SCENE")] = None
    """Where the scene is now, if it moved since it was tracked."""
    overwrite: Flag = False
    """Replace existing files."""
    debug: Flag = False
    """Show where an error came from."""


def plot_run(arguments: Plot) -> None:
    from warpgs.bodies import find_parts, read_parts
    from warpgs.checks import check_absent, check_suffix
    from warpgs.view import save_page

    output = arguments.output or Path(f"{arguments.run.resolve().name}.html")
    check_suffix(output, (".html",))
    for file in (output, output.with_suffix(".png")):
        check_absent(file, arguments.overwrite)
    run, scene = open_run(arguments.run, arguments.scene)
    tracks = run.tracks()
    parts = find_parts(tracks) if arguments.parts is None else read_parts(arguments.parts, tracks)
    sections = [*_over_time(run, scene, tracks), *_motion(tracks, parts), *_pictures(scene, tracks)]
    facts = {
        "scene": run.scene_name,
        "timesteps": f"{len(tracks)} of {len(run.timesteps)}, {tracks.fps:g} per second",
        "particles": f"{len(tracks.foreground)}, {int((tracks.foreground > 0.5).sum())} of them foreground",
        "rigid parts": " ".join(parts.names) or "none",
    }
    for path in save_page(output, str(arguments.run), facts, sections, overwrite=arguments.overwrite):
        print(path)


def _over_time(run: Run, scene: Scene, tracks: Tracks) -> list[Section]:
    """What there is one number of at each timestep."""
    from warpgs.evaluate.plots import error_panels
    from warpgs.view import Panel, over_time, trust_panel

    logged = [run.read_pose(timestep).metrics for timestep in tracks.timesteps]
    names = list(dict.fromkeys(name for metrics in logged for name in metrics))
    panels = [
        Panel(LOGGED.get(name, name), {name: [metrics.get(name, float("nan")) for metrics in logged]})
        for name in sorted(names, key=lambda name: (name not in LOGGED, name))
    ]
    sections = [over_time("Log", tracks.timesteps, panels)] if panels else []
    trust = trust_panel(tracks)
    if trust is not None:
        sections.append(over_time("Trust", tracks.timesteps, [trust], "How far the run itself trusts what moves."))
    truth = scene.ground_truth()
    if truth is not None:
        note = "True points against where the particles that they lay on at the first timestep carry them."
        sections.append(over_time("Errors", tracks.timesteps, error_panels(tracks, truth), note))
    return sections


def _motion(tracks: Tracks, parts: Parts) -> list[Section]:
    from warpgs.view import motion_panels, over_time

    if not len(parts):
        return []
    note = "Centers, rotations since a part's first timestep, and how far its particles are from where it has them."
    return [over_time("Motion of rigid parts", tracks.timesteps, motion_panels(parts), note)]


def _pictures(scene: Scene, tracks: Tracks) -> list[Section]:
    from warpgs.evaluate.pictures import refined
    from warpgs.types import Split
    from warpgs.view import Section, draw_particles

    split: Split = "test" if scene.cameras("test", tracks.timesteps[0]) else "train"
    frame = scene.frame(tracks.timesteps[-1], split)
    cameras = [refined(camera, tracks) if split == "train" else camera for camera in frame.cameras]
    return [
        Section(f"Tracks, {split} camera {camera.name}", draw_particles(image, tracks, camera))
        for camera, image in list(zip(cameras, frame.images, strict=True))[:MOST_CAMERAS]
    ]


PLOT = Verb(Plot, plot_run)
