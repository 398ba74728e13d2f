"""``warpgs track``."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional, Suppress

from warpgs.cli.priors import PriorTexts, load_priors
from warpgs.cli.shared import Flag, LayoutName, Verb, description, parse_timesteps, progress_bar

if TYPE_CHECKING:  # loaded where they are needed: --help must not wait for them
    from warpgs.run import Run
    from warpgs.types import Scene


@dataclass(frozen=True)
class Track:
    """Track a scene: reconstruct its first timestep as 3D Gaussians, then follow each of them through the others.

    The run directory holds whole timesteps only. A run that was stopped, however hard, goes on with --resume and
    ends in the same bits. Preset fast is meant for a laptop; accurate takes twice the time and is worth it where bodies
    hit each other; few-view is for about four cameras; paper is the published protocol. All settings of the method are
    options below, and their defaults are those of the preset.

    Example: warpgs track tumble --run runs/tumble --timesteps 0:12
    """

    scene: Positional[str]
    """A folder or the name of a built-in scene."""
    run: Path
    """The run directory to write."""
    layout: LayoutName | None = None
    """The layout of the folder, where its files could be read in several; recognized when not given. `warpgs scenes`
    says what each is."""
    preset: Literal["fast", "accurate", "few-view", "paper"] = "fast"
    """Where the defaults of all settings come from."""
    timesteps: Annotated[str | None, tyro.conf.arg(metavar="START:STOP")] = None
    """Which instants, as START:STOP; 0:12 tracks the first twelve. All when not given."""
    cloud: bool = True
    """Start from the scene's point cloud where it has one."""
    masks: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Masks of your own: <camera>/<timestep>.png, as `warpgs masks` writes them."""
    meters_per_unit: float | None = None
    """The unit of the recording's files [m], where they do not tell: 1 is assumed of structure from motion."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """The axis of the recording's files that points up, where the reader takes another."""
    resume: Flag = False
    """Go on with an existing run of the same scene and settings."""
    prior: PriorTexts = ()
    """A prior on what moves, beside those of the settings; may be given several times. NAME or FILE.py:CLASS, with
    settings after commas: my_file.py:MyPrior,weight=2.5. See docs/priors.md."""
    overwrite: Flag = False
    """Replace an existing run."""
    debug: Flag = False
    """Show where an error came from."""
    settings: Suppress[Any] = None
    """The TrackConfig made from all other options."""


def parse(argv: list[str]) -> Track:
    """Track's own options and, beside them, every setting of the method with the preset's defaults."""
    from warpgs.track import PRESETS, TrackConfig

    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--preset", default="fast")
    preset = PRESETS.get(early.parse_known_args(argv)[0].preset, PRESETS["fast"])  # the full parser refuses others
    names = [field.name for field in fields(TrackConfig)]
    # --cloud stands for use_cloud, since it also decides how the scene is opened.
    settings_type = make_dataclass("Settings", [("use_cloud", Suppress[bool], True)], bases=(TrackConfig,), frozen=True)
    settings = settings_type(**{name: getattr(preset, name) for name in names})
    command_type = make_dataclass(
        "Command",
        [
            ("own", Annotated[Track, tyro.conf.arg(name="")]),
            ("settings", Annotated[settings_type, tyro.conf.arg(name="")], settings),
        ],
    )
    parsed = tyro.cli(command_type, args=argv, prog="warpgs track", description=description(Track))
    values = {name: getattr(parsed.settings, name) for name in names} | {"use_cloud": parsed.own.cloud}
    return replace(parsed.own, settings=TrackConfig(**values))


def track_scene(arguments: Track) -> None:
    from scenes import open_scene
    from warpgs.run import Run
    from warpgs.track import track

    config = arguments.settings
    priors, stored = load_priors(arguments.prior, config)
    scene = open_scene(
        arguments.scene,
        layout=arguments.layout,
        use_cloud=config.use_cloud,
        masks=arguments.masks,
        meters_per_unit=arguments.meters_per_unit,
        up=arguments.up,
    )
    timesteps = parse_timesteps(arguments.timesteps, scene.timestep_count)
    run = Run.create(
        arguments.run, scene, stored, timesteps=timesteps, overwrite=arguments.overwrite, resume=arguments.resume
    )
    with run, progress_bar("track", len(timesteps), initial=len(run.completed)) as bar:

        def show(timestep: int, step: int, step_count: int, psnr: float) -> None:
            bar.set_postfix_str(f"timestep {timestep}, step {step}/{step_count}, {psnr:.1f} dB")

        for state in track(scene, config, run=run, timesteps=timesteps, progress=show, priors=priors):
            bar.update()
            bar.set_postfix_str(f"timestep {state.timestep}, {state.psnr:.1f} dB, {state.seconds:.1f} s")
    tell_of_turns(run, scene)
    print(f"{len(run.completed)} timesteps in {arguments.run}; next: warpgs evaluate {shlex.quote(str(arguments.run))}")


def tell_of_turns(run: Run, scene: Scene) -> None:
    """How far the calibration was off, where cameras were refined."""
    import numpy as np

    first = run.tracks(range(run.timesteps[0], run.timesteps[0] + 1))
    if first.camera_turns is None:
        return
    focal = {camera.name: camera.intrinsics[0, 0] for camera in scene.cameras("train", run.timesteps[0])}
    pixels = np.linalg.norm(first.camera_turns, axis=1) * [focal[name] for name in first.camera_names]
    worst = int(pixels.argmax())
    print(
        f"cameras turned by {np.sqrt((pixels**2).mean()):.2f} px from their calibration to fit the first timestep, "
        f"at most {pixels[worst]:.2f} px ({first.camera_names[worst]})"
    )


def how_to_go_on(arguments: Track, argv: list[str]) -> str:
    from warpgs.run import Run

    try:
        done = len(Run.open(arguments.run).completed)
    except (OSError, ValueError):
        return "interrupted; nothing is stored yet"
    again = [word for word in argv if word not in ("--overwrite", "--resume")]
    return f"interrupted; {done} timesteps are stored, go on with: {shlex.join(['warpgs', *again, '--resume'])}"


TRACK = Verb(Track, track_scene, parse=parse, after_interrupt=how_to_go_on)
