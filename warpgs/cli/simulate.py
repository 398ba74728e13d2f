"""``warpgs simulate``."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from warpgs.cli.priors import PriorTexts, load_priors
from warpgs.cli.shared import (
    Flag,
    UsageError,
    Verb,
    is_file_of_gaussians,
    open_tracks_and_scene,
    progress_bar,
    stored_index,
)

if TYPE_CHECKING:
    from warpgs.bodies import Parts
    from warpgs.types import Scene, Tracks


@dataclass(frozen=True)
class Simulate:
    """Let what a run has tracked go on by physics: inertia, gravity, contact with the ground and with each other.

    Rigid parts move as rigid bodies; what bends hangs together by springs. Start and velocities are the tracks'.
    The result is a run like any other: render, evaluate (against what was recorded after the start) and export take it.

    A material file says what things are made of and what else stands there (docs/simulate.md):
    {"friction": 0.4, "restitution": 0.6, "parts": {"ball": {"restitution": 0.8}},
    "colliders": [{"shape": "mesh", "file": "ramp.obj"}]}

    Example: warpgs simulate runs/tumble --from 12 --duration 1.5 --run runs/forecast
    """

    tracked: Positional[Path]
    """The run directory, or a file: .usd .usda .usdc .usdz, .npz (Dynamic3DGaussians), .ply (3DGS)."""
    run: Path
    """The run directory to write."""
    start: Annotated[int | None, tyro.conf.arg(name="from", metavar="TIMESTEP")] = None
    """Where to start; at the last timestep when not given."""
    duration: float = 1.0
    """How long [s]."""
    material: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """What things are made of; foam on a dull floor when not given."""
    hold: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PART ...")] = ()
    """Parts that move as tracked while all others are free; "deformable" for what is in no part."""
    prior: PriorTexts = ()
    """What holds things together besides springs, may be given several times: elastic, or a class of your own, as in
    my_file.py:MyPrior; settings after commas. See docs/priors.md."""
    rest: Annotated[int | None, tyro.conf.arg(metavar="TIMESTEP")] = None
    """Timestep at which what bends is unbent, to which shape it returns; when not given, the first one for priors, and
    for springs the mean of all up to the start."""
    parts: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """Rigid parts, a file of warpgs parts; found when not given."""
    solver: Literal["explicit", "implicit"] = "explicit"
    """explicit: fast, but stiff things need short steps. implicit: any step holds, at about sixty times the price."""
    substeps: int | None = None
    """Steps per timestep; as many as contacts and springs need when not given."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="SCENE")] = None
    """Where the scene is now, if it moved since it was tracked."""
    device: str = "auto"
    """auto, cpu or cuda:0."""
    overwrite: Flag = False
    """Replace an existing run."""
    debug: Flag = False
    """Show where an error came from."""


@dataclass(frozen=True)
class Record:
    """What a simulated run remembers of how it was made."""

    simulated_from: str
    """The run or file."""
    timestep: int
    """That it started from."""
    substeps: int | None
    """As asked for."""
    solver: str
    """As asked for."""
    hold: tuple[str, ...] = ()
    """As asked for."""
    material: dict[str, Any] = field(default_factory=dict)
    """What things were made of."""
    rest: int | None = None
    """As asked for."""


def simulate_run(arguments: Simulate) -> None:
    from warpgs.run import Run
    from warpgs.simulate import Explicit, Implicit, Material, SimulationFailure, read_material, simulate

    if not arguments.duration > 0.0:
        raise UsageError(f"--duration: expected more than 0 s, got {arguments.duration}")
    if arguments.run.resolve() == arguments.tracked.resolve():
        raise UsageError("--run: expected another directory than that of the tracks, got the same")
    material = Material() if arguments.material is None else read_material(arguments.material)
    tracks, scene = open_tracks_and_scene(arguments.tracked, arguments.scene)
    index = stored_index("--from", tracks, tracks.timesteps[-1] if arguments.start is None else arguments.start)
    start = tracks.timesteps[index]
    rest = None if arguments.rest is None else stored_index("--rest", tracks, arguments.rest)
    instants = max(1, round(arguments.duration * tracks.fps))
    record = Record(
        str(arguments.tracked.resolve()),
        start,
        arguments.substeps,
        arguments.solver,
        arguments.hold,
        material.numbers(),
        arguments.rest,
    )
    priors, stored = load_priors(arguments.prior, record)
    future = _future(arguments, tracks, scene, start + instants + 1)
    steps = range(start, start + instants + 1)
    solver = Implicit() if arguments.solver == "implicit" else Explicit()
    simulation = simulate(
        tracks, material, parts=_parts(arguments, tracks), start=index, instants=instants, hold=arguments.hold,
        priors=priors, rest=rest, solver=solver, substeps=arguments.substeps, device=arguments.device,
    )  # fmt: skip
    first = next(simulation)  # whatever cannot be simulated is refused before anything is written
    with Run.create(arguments.run, future, stored, timesteps=steps, overwrite=arguments.overwrite) as run:
        run.write_gaussians(
            tracks.at(index),
            camera_names=tracks.camera_names,
            camera_log_gains=tracks.camera_log_gains,
            camera_offsets=tracks.camera_offsets,
        )
        count, clock = tracks.count_at(index), time.perf_counter()
        try:
            with progress_bar("simulate", instants + 1) as bar:
                for instant in chain([first], simulation):
                    seconds, clock = time.perf_counter() - clock, time.perf_counter()
                    poses = instant.means[:count], instant.rotations_wxyz[:count]
                    run.write_pose(start + instant.index, *poses, metrics={"seconds": seconds})
                    bar.update()
        except SimulationFailure as failure:
            raise ValueError(
                f"{failure}; the {len(run.completed)} timesteps before are in {arguments.run}"
            ) from failure
    where = shlex.quote(str(arguments.run))
    print(f"{instants + 1} timesteps in {arguments.run}; next: warpgs render {where} --output forecast.mp4")


def _future(arguments: Simulate, tracks: Tracks, scene: Scene | None, count: int) -> Scene:
    """The recording and what comes after it."""
    from warpgs.simulate import Forecast

    if scene is not None:
        return Forecast(scene, scene.name, tracks.fps, tracks.source_from_world, max(count, scene.timestep_count))
    assert is_file_of_gaussians(arguments.tracked)
    return Forecast(None, str(arguments.tracked), tracks.fps, tracks.source_from_world, count)


def _parts(arguments: Simulate, tracks: Tracks) -> Parts | None:
    from warpgs.bodies import read_parts

    return None if arguments.parts is None else read_parts(arguments.parts, tracks)


SIMULATE = Verb(Simulate, simulate_run)
