"""The ``warpgs`` command: one subcommand per verb. Parsing and printing only.

A verb imports what it needs when it runs, so that ``warpgs --help`` answers at once.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union

import tyro
from tqdm import tqdm
from tyro.conf import FlagCreatePairsOff, Positional, Suppress

if TYPE_CHECKING:
    from warpgs.run import Run
    from warpgs.types import Camera, Scene, Tracks

OK, FAILED, USAGE = 0, 1, 2
STDERR = 2

DESCRIPTION = """Dense 6-DOF tracking of dynamic 3D Gaussians: calibrated pictures in, tracks and USD out.

Scenes are named by their folder or, if built in, by their name. Start with: warpgs track tumble --run runs/tumble"""

Flag = FlagCreatePairsOff[bool]


class UsageError(ValueError):
    """A command line that makes no sense, whatever the data."""


@dataclass(frozen=True)
class Scenes:
    """List what can be tracked: the built-in synthetic scenes, and the layouts of folders that can be read.

    Example: warpgs scenes
    """

    debug: Flag = False
    """Show where an error came from."""


@dataclass(frozen=True)
class Inspect:
    """Look at a scene before tracking it: cameras, timesteps, image sizes, masks, point cloud, and what is missing.

    Every calibration and picture is checked, and the camera poses are drawn from above and from the side, so that
    a wrong pose convention shows at once.

    Example: warpgs inspect captures/juggle --plot cameras.png
    """

    scene: Positional[str]
    """A folder or the name of a built-in scene."""
    plot: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """Where to draw the camera poses, a .png; <scene>_cameras.png in the current folder when not given."""
    overwrite: Flag = False
    """Replace an existing plot."""
    debug: Flag = False
    """Show where an error came from."""


@dataclass(frozen=True)
class Track:
    """Track a scene: reconstruct its first timestep as 3D Gaussians, then follow each of them through the others.

    The run directory holds whole timesteps only. A run that was stopped, however hard, goes on with --resume and
    ends in the same bits. Preset fast is meant for a laptop; paper is the published protocol. All settings of the
    method are options below, and their defaults are those of the preset.

    Example: warpgs track tumble --run runs/tumble --timesteps 0:12
    """

    scene: Positional[str]
    """A folder or the name of a built-in scene."""
    run: Path
    """The run directory to write."""
    preset: Literal["fast", "paper"] = "fast"
    """Where the defaults of all settings come from."""
    timesteps: Annotated[str | None, tyro.conf.arg(metavar="START:STOP")] = None
    """Which instants, as START:STOP; 0:12 tracks the first twelve. All when not given."""
    cloud: bool = True
    """Start from the scene's point cloud where it has one."""
    resume: Flag = False
    """Go on with an existing run of the same scene and settings."""
    overwrite: Flag = False
    """Replace an existing run."""
    debug: Flag = False
    """Show where an error came from."""
    settings: Suppress[Any] = None
    """The TrackConfig made from all other options."""


@dataclass(frozen=True)
class Evaluate:
    """Measure a run: PSNR and SSIM on held-out cameras; errors of the tracks where the scene knows the truth; cost.

    Good pictures do not prove good tracks. Without ground truth look at a rendered orbit as well.

    Example: warpgs evaluate runs/tumble --json report.json
    """

    run: Positional[Path]
    """The run directory."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write all figures to this file."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="SCENE")] = None
    """Where the scene is now, if it moved since it was tracked."""
    image_scale: float = 1.0
    """Compare pictures of this size relative to the source's, 0..1."""
    device: str = "auto"
    """auto, cpu or cuda:0."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""
    overwrite: Flag = False
    """Replace an existing JSON file."""
    debug: Flag = False
    """Show where an error came from."""


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


@dataclass(frozen=True)
class Export:
    """Write a run for other programs, by suffix: .usda .usdc .usdz (OpenUSD), .npz (Dynamic3DGaussians), .ply (3DGS).

    The .npz is in the source's own frame and units; .ply writes one file per timestep.

    Example: warpgs export runs/tumble tumble.usdc
    """

    run: Positional[Path]
    """The run directory."""
    out: Positional[Path]
    """The file to write."""
    overwrite: Flag = False
    """Replace existing files."""
    debug: Flag = False
    """Show where an error came from."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit status: 0 done, 1 the work or its input failed, 2 wrong usage.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        verb, arguments = _parse(argv)
    except SystemExit as stop:  # the parser has printed help or said what is wrong
        return stop.code if isinstance(stop.code, int) else OK
    except ValueError as error:  # a setting out of its range
        _complain(argv[0], f"{error}; see warpgs {argv[0]} --help")
        return USAGE
    _set_up(arguments.debug)
    try:
        _VERBS[verb].action(arguments)
    except KeyboardInterrupt:
        _complain(verb, _how_to_go_on(arguments, argv) if isinstance(arguments, Track) else "interrupted")
        return FAILED
    except UsageError as error:
        _complain(verb, f"{error}; see warpgs {verb} --help")
        return USAGE
    except Exception as error:
        if arguments.debug:
            raise
        expected = isinstance(error, ValueError | TypeError | OSError | ImportError | NotImplementedError)
        _complain(verb, str(error) if expected else f"{type(error).__name__}: {error}; pass --debug to see where")
        return FAILED
    return OK


def _complain(verb: str, message: str) -> None:
    print(f"warpgs {verb}: {' '.join(message.split())}", file=sys.stderr)


def _set_up(debug: bool) -> None:
    """Start Warp and the log; only errors are shown without ``debug``."""
    import warp as wp

    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(name)s: %(message)s")
    for chatty in ("matplotlib", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if debug:
        return
    wp.config.log_level = wp.LOG_ERROR
    # Warp's library reports a missing CUDA driver on stderr whatever the log level, and a CPU is a choice, not a fault.
    sys.stderr.flush()
    kept = os.dup(STDERR)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), STDERR)
    try:
        wp.init()
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)


# Parsing


def _parse(argv: list[str]) -> tuple[str, Any]:
    """The verb and its arguments; exits as parsers do after --help and wrong usage."""
    if argv == ["--version"]:
        from warpgs import __version__

        print(f"warpgs {__version__}")
        raise SystemExit(OK)
    if not argv or argv[0] not in _VERBS:
        choices = tuple(
            Annotated[verb.arguments, tyro.conf.subcommand(name, description=_summary(verb.arguments))]
            for name, verb in _VERBS.items()
        )
        tyro.cli(Union[choices], args=argv, prog="warpgs", description=DESCRIPTION)  # noqa: UP007, a tuple has no |
        raise SystemExit(USAGE)
    verb, rest = argv[0], argv[1:]
    if verb == "track":
        return verb, _parse_track(rest)
    return verb, tyro.cli(_VERBS[verb].arguments, args=rest, prog=f"warpgs {verb}")


def _parse_track(argv: list[str]) -> Track:
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
    parsed = tyro.cli(command_type, args=argv, prog="warpgs track", description=inspect.cleandoc(Track.__doc__ or ""))
    values = {name: getattr(parsed.settings, name) for name in names} | {"use_cloud": parsed.own.cloud}
    return replace(parsed.own, settings=TrackConfig(**values))


def _summary(arguments: type) -> str:
    """The first sentence of a verb's description."""
    return inspect.cleandoc(arguments.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _parse_timesteps(text: str | None, count: int) -> range:
    """START:STOP as a range, either end left out meaning the scene's."""
    if text is None:
        return range(count)
    match = re.fullmatch(r"(\d*):(\d*)", text)
    if match is None:
        raise UsageError(f"--timesteps: expected START:STOP such as 0:12, got {text!r}")
    start, stop = match.groups()
    return range(int(start or 0), int(stop or count))


def _how_to_go_on(arguments: Track, argv: list[str]) -> str:
    from warpgs.run import Run

    try:
        done = len(Run.open(arguments.run).completed)
    except (OSError, ValueError):
        return "interrupted; nothing is stored yet"
    again = [word for word in argv if word not in ("--overwrite", "--resume")]
    return f"interrupted; {done} timesteps are stored, go on with: {shlex.join(['warpgs', *again, '--resume'])}"


# Verbs


def _list_scenes(arguments: Scenes) -> None:
    from scenes import BUILT_IN, READERS

    _print_table("Built-in scenes", {name: _first_line(factory) for name, factory in BUILT_IN.items()})
    _print_table("Layouts of folders that can be read", {name: _first_line(kind) for name, kind in READERS.items()})


def _inspect(arguments: Inspect) -> None:
    from scenes import open_scene
    from warpgs.checks import check_absent, check_suffix
    from warpgs.view import plot_cameras

    plot = arguments.plot or Path(f"{Path(arguments.scene).resolve().name}_cameras.png")
    check_suffix(plot, (".png",))
    if arguments.plot is not None:
        check_absent(plot, arguments.overwrite)
    scene = open_scene(arguments.scene)
    scene.validate(range(scene.timestep_count))
    rows, missing = _describe(scene)
    _print_table(scene.name, rows)
    if plot.exists() and not arguments.overwrite:
        print(f"plot: kept the existing {plot}; pass --overwrite to replace it")
    else:
        train, test = scene.cameras("train"), scene.cameras("test")
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot_cameras(plot, train, test, scene.point_cloud(), scene.name)
        print(f"plot: {plot}")
    print("missing: " + ("; ".join(missing) if missing else "nothing"))


def _track(arguments: Track) -> None:
    from scenes import open_scene
    from warpgs.run import Run
    from warpgs.track import track

    config = arguments.settings
    scene = open_scene(arguments.scene, use_cloud=config.use_cloud)
    timesteps = _parse_timesteps(arguments.timesteps, scene.timestep_count)
    run = Run.create(
        arguments.run, scene, config, timesteps=timesteps, overwrite=arguments.overwrite, resume=arguments.resume
    )
    with run, _bar("track", len(timesteps), initial=len(run.completed)) as bar:

        def show(timestep: int, step: int, step_count: int, psnr: float) -> None:
            bar.set_postfix_str(f"timestep {timestep}, step {step}/{step_count}, {psnr:.1f} dB")

        for state in track(scene, config, run=run, timesteps=timesteps, progress=show):
            bar.update()
            bar.set_postfix_str(f"timestep {state.timestep}, {state.psnr:.1f} dB, {state.seconds:.1f} s")
    print(f"{len(run.completed)} timesteps in {arguments.run}; next: warpgs evaluate {shlex.quote(str(arguments.run))}")


def _evaluate(arguments: Evaluate) -> None:
    from warpgs.checks import check_absent
    from warpgs.evaluate import evaluate
    from warpgs.files import whole_file
    from warpgs.render import Renderer

    if arguments.json is not None:
        check_absent(arguments.json, arguments.overwrite)
    run, scene = _open(arguments.run, arguments.scene)
    renderer = Renderer(device=arguments.device, threads=arguments.threads)
    with _bar("evaluate", len(run.completed)) as bar:
        report = evaluate(
            run, scene, renderer, image_scale=arguments.image_scale, progress=lambda done, _: bar.update(done - bar.n)
        )
    if len(run.completed) < len(run.timesteps):
        print(f"{len(run.completed)} of {len(run.timesteps)} timesteps are tracked so far.")
    print(report.table())
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(arguments.json) as temporary:
            temporary.write_text(report.to_json(), encoding="utf-8")


def _render(arguments: Render) -> None:
    from warpgs.render import Renderer
    from warpgs.view import check_output, save_views

    check_output(arguments.output, arguments.overwrite)
    run, scene = _open(arguments.run, arguments.scene)
    tracks = run.tracks()
    views = _views(arguments, scene, tracks)
    renderer = Renderer(device=arguments.device, threads=arguments.threads)
    with _bar("render", len(tracks)) as bar:
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


def _export(arguments: Export) -> None:
    from usd_export import WRITERS, export
    from warpgs.checks import check_suffix
    from warpgs.run import Run

    check_suffix(arguments.out, tuple(WRITERS))  # before the run is read
    tracks = Run.open(arguments.run).tracks()
    with _bar("export", len(tracks)) as bar:
        paths = export(
            tracks, arguments.out, overwrite=arguments.overwrite, progress=lambda done, _: bar.update(done - bar.n)
        )
    for path in paths:
        print(path)


class _Verb(NamedTuple):
    arguments: type
    action: Callable[[Any], None]


_VERBS = {
    "scenes": _Verb(Scenes, _list_scenes),
    "inspect": _Verb(Inspect, _inspect),
    "track": _Verb(Track, _track),
    "evaluate": _Verb(Evaluate, _evaluate),
    "render": _Verb(Render, _render),
    "export": _Verb(Export, _export),
}


# What the verbs share


def _open(path: Path, moved_to: str | None) -> tuple[Run, Scene]:
    """A run and its scene, which is where it was or where the user says it is now."""
    from scenes import open_scene
    from warpgs.run import Run

    run = Run.open(path)
    try:
        return run, open_scene(moved_to or run.scene_name)
    except FileNotFoundError as error:
        if moved_to is not None:
            raise
        raise FileNotFoundError(f"{error}; if the scene moved, say where it is with --scene") from error


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


def _describe(scene: Scene) -> tuple[dict[str, str], list[str]]:
    """What a scene has, and what it lacks and what that means."""
    train, test = scene.cameras("train"), scene.cameras("test")
    frame, cloud, truth = scene.frame(0), scene.point_cloud(), scene.ground_truth()
    sizes = sorted({f"{camera.width}x{camera.height}" for camera in (*train, *test)})
    count = scene.timestep_count
    rows = {
        "timesteps": f"{count} at {scene.fps:g} per second ({count / scene.fps:.2f} s)",
        "training cameras": f"{len(train)}: {' '.join(camera.name for camera in train)}",
        "held-out cameras": f"{len(test)}: {' '.join(camera.name for camera in test)}" if test else "none",
        "image size": ", ".join(sizes) + " pixels",
    }
    missing = [] if test else ["held-out cameras (evaluate will compare training pictures)"]
    if frame.masks is None:
        rows["masks"] = "none"
        missing.append("masks (moving and static are harder to tell apart)")
    else:
        share = sum(float(mask.mean()) for mask in frame.masks) / (255.0 * len(frame.masks))
        rows["masks"] = f"{100.0 * share:.1f} % of the pixels at timestep 0 are foreground"
    if cloud is None:
        rows["point cloud"] = "none"
        missing.append("point cloud (the first timestep starts from the masks)")
    else:
        known = "" if cloud.foreground is None else f", {int(cloud.foreground.sum())} of them foreground"
        rows["point cloud"] = f"{len(cloud.points)} points{known}"
    if truth is None:
        rows["ground truth"] = "none"
        missing.append("ground truth (tracks cannot be measured)")
    else:
        rows["ground truth"] = f"{truth.points.shape[1]} tracks on {len(truth.body_names)} bodies"
    return rows, missing


def _first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").split("\n")[0]


def _print_table(title: str, rows: dict[str, str]) -> None:
    width = max(len(name) for name in rows)
    print(title)
    for name, text in rows.items():
        print(f"  {name:<{width}}  {text}")


def _bar(verb: str, total: int, initial: int = 0) -> tqdm:
    """A progress bar on stderr."""
    return tqdm(total=total, initial=initial, desc=verb, unit="timestep", dynamic_ncols=True)
