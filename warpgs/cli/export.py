"""``warpgs export``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tqdm import tqdm
from tyro.conf import Positional

from warpgs.cli.shared import Flag, UsageError, Verb, is_file_of_gaussians, scene_of

if TYPE_CHECKING:
    from usd_export import UsdOptions
    from warpgs.bodies import Parts
    from warpgs.run import Run
    from warpgs.types import Camera, Tracks


@dataclass(frozen=True)
class Export:
    """Write a run for other programs, by suffix: .usda .usdc .usdz (OpenUSD), .npz (Dynamic3DGaussians), .ply (3DGS).

    Converts files of these kinds too.

    The .npz is in the source's own frame and units; .ply writes one file per timestep.

    USD holds rigid bodies where the tracks have rigid parts (--form): they move as tracked, or with --dynamic freely.

    Example: warpgs export runs/tumble tumble.usdc
    """

    run: Positional[Path]
    """The run directory, or a file: .usd .usda .usdc .usdz, .npz (Dynamic3DGaussians), .ply (3DGS)."""
    out: Positional[Path]
    """The file to write."""
    form: Literal["auto", "rigid", "raw", "dcc"] = "auto"
    """USD: rigid bodies; every particle's pose at every timestep (raw); that, and as points for programs that know no
    Gaussians (dcc). auto: rigid where rigid parts are found, else raw."""
    parts: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """USD: take the rigid parts of this file, as warpgs parts writes it, instead of finding them."""
    dynamic: Flag = False
    """USD: bodies that fly on freely, with mass and velocity, over the ground."""
    start: Annotated[int | None, tyro.conf.arg(name="from", metavar="TIMESTEP")] = None
    """Where --dynamic starts; at the first timestep when not given."""
    density: float = 300.0
    """Of bodies [kg/m^3], for their mass."""
    collider: Literal["hull", "decomposition", "none"] = "hull"
    """What bodies collide with: their convex hull, convex pieces, nothing."""
    ground: Flag = False
    """USD: the ground as a collider, and gravity."""
    cameras: Flag = False
    """USD: the cameras of the scene."""
    half: Flag = False
    """USD: half precision, which not all readers know."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="SCENE")] = None
    """Where the scene is now, if it moved since it was tracked; for --cameras."""
    overwrite: Flag = False
    """Replace existing files."""
    debug: Flag = False
    """Show where an error came from."""


def export_run(arguments: Export) -> None:
    from usd_export import USD_SUFFIXES, WRITERS, check_options, export, read_tracks
    from warpgs.checks import check_absent, check_suffix, sentence
    from warpgs.run import Run

    check_suffix(arguments.out, tuple(WRITERS))  # before the run is read
    is_usd = arguments.out.suffix.lower() in USD_SUFFIXES
    if not is_usd and _asks_for_usd(arguments):
        raise UsageError(f"{arguments.out}: expected USD (.usda, .usdc, .usdz) for these options, got another kind")
    if arguments.form in ("raw", "dcc") and (arguments.dynamic or arguments.ground or arguments.parts is not None):
        raise UsageError(f"--dynamic, --ground and --parts: expected the form rigid, got {arguments.form}")
    if arguments.parts is not None and not arguments.parts.is_file():
        raise FileNotFoundError(sentence(arguments.parts, "a file of parts", "none", "warpgs parts --output writes it"))
    if arguments.out.suffix.lower() != ".ply":  # one name per timestep
        check_absent(arguments.out, arguments.overwrite)
    run = None if is_file_of_gaussians(arguments.run) else Run.open(arguments.run)
    tracks = read_tracks(arguments.run) if run is None else run.tracks()
    usd = {}
    if is_usd:
        options = _options(arguments, run)
        check_options(tracks, options)
        cameras = _cameras(arguments, run, tracks) if arguments.cameras else ()
        parts = _parts(arguments, tracks)
        if parts is not None and (arguments.ground or arguments.dynamic):
            options = replace(options, ground_height=_ground_height(tracks, parts))
        usd = {"parts": parts, "cameras": cameras, "options": options}
    with tqdm(desc="export", unit="step", dynamic_ncols=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        paths = export(tracks, arguments.out, **usd, overwrite=arguments.overwrite, progress=show)
    for path in paths:
        print(path)


def _asks_for_usd(arguments: Export) -> bool:
    """Whether any option is given that only USD has a place for."""
    plain = Export(arguments.run, arguments.out, scene=arguments.scene, overwrite=arguments.overwrite)
    return any(
        getattr(arguments, name) != getattr(plain, name)
        for name in ("form", "parts", "dynamic", "start", "density", "collider", "ground", "cameras", "half")
    )


def _parts(arguments: Export, tracks: Tracks) -> Parts | None:
    """The rigid parts, as far as they are wanted and there; says what was decided."""
    from warpgs.bodies import find_parts, read_parts

    wanted = arguments.form == "rigid" or arguments.dynamic or arguments.ground or arguments.parts is not None
    if arguments.form in ("raw", "dcc"):
        return None
    parts = find_parts(tracks) if arguments.parts is None else read_parts(arguments.parts, tracks)
    if len(parts) == 0 and wanted:
        raise ValueError(f"{arguments.run}: expected rigid parts, got none; export it with --form raw")
    print(f"form rigid: {len(parts)} parts" if len(parts) else "form raw: no rigid parts")
    return parts if len(parts) else None


def _ground_height(tracks: Tracks, parts: Parts) -> float | None:
    """Of the ground under the middle of the bodies [m], where it can be seen."""
    from warpgs.priors import find_ground

    first = tracks.at(0)
    floor = find_ground(first.means[first.opacity_logits >= 0.0])
    if floor is None:
        return None
    x, y = tracks.means[0][parts.part_index >= 0, :2].mean(axis=0)
    return float(-(floor.offset + floor.normal[0] * x + floor.normal[1] * y) / floor.normal[2])


def _options(arguments: Export, run: Run | None) -> UsdOptions:
    from usd_export import UsdOptions

    records = {}
    if run is not None:
        config = hashlib.sha256(json.dumps(run.config, sort_keys=True).encode()).hexdigest()
        records = {"scene": run.scene_name, "config_sha256": config}
    return UsdOptions(
        form=None if arguments.form == "auto" else arguments.form,
        collider=arguments.collider,
        dynamic=arguments.dynamic,
        start=arguments.start,
        density=arguments.density,
        ground=arguments.ground,
        half=arguments.half,
        records=records,
    )


def _cameras(arguments: Export, run: Run | None, tracks: Tracks) -> list[tuple[Camera, ...]]:
    """Those of the scene at every timestep, as they were turned while it was tracked, those held out last."""
    from warpgs.evaluate.pictures import refined

    if run is None:
        raise UsageError(f"--cameras: expected a run, got the file {arguments.run}")
    scene = scene_of(run, arguments.scene)
    return [
        (*(refined(camera, tracks) for camera in scene.cameras("train", timestep)), *scene.cameras("test", timestep))
        for timestep in tracks.timesteps
    ]


EXPORT = Verb(Export, export_run)
