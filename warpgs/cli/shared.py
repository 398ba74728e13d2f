"""What the verbs of the command line share: what a verb is, opening a run, tables and progress."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tqdm import tqdm
from tyro.conf import FlagCreatePairsOff

if TYPE_CHECKING:
    from warpgs.run import Run
    from warpgs.types import Scene, Tracks

Flag = FlagCreatePairsOff[bool]
LayoutName = Literal["panoptic", "transforms", "llff", "colmap", "ros", "videos"]
"""Names of ``scenes.READERS``, which take too long to load for a help text."""


class UsageError(ValueError):
    """A command line that makes no sense, whatever the data."""


@dataclass(frozen=True)
class Verb:
    """One subcommand."""

    arguments: type
    """Its options: a frozen dataclass whose docstring is the help text; it has a field ``debug``."""
    action: Callable[[Any], None]
    """Does the work, given an ``arguments``."""
    parse: Callable[[list[str]], Any] | None = None
    """Makes an ``arguments`` from the words after the verb, where the dataclass alone cannot."""
    after_interrupt: Callable[[Any, list[str]], str] | None = None
    """What to say after Ctrl-C, given the arguments and all words of the command."""


def open_run(path: Path, moved_to: str | None, masks: Path | None = None) -> tuple[Run, Scene]:
    """A run and its scene, as ``scene_of`` finds it."""
    from warpgs.run import Run

    run = Run.open(path)
    return run, scene_of(run, moved_to, masks)


def scene_of(run: Run, moved_to: str | None, masks: Path | None = None) -> Scene:
    """The scene of a run, which is where it was or where the user says it is now."""
    from scenes import open_scene

    try:
        scene = _in_world_of(run, open_scene(moved_to or run.scene_name, layout=run.layout, masks=masks))
        return _with_future(scene, run) if "simulated_from" in run.config else scene
    except FileNotFoundError as error:
        if moved_to is not None:
            raise
        raise FileNotFoundError(f"{error}; if the scene moved, say where it is with --scene") from error


def _in_world_of(run: Run, scene: Scene) -> Scene:
    """A recording in the world that it was tracked in: its unit and its axis may have been given then."""
    import numpy as np

    from scenes import PlacedScene

    if np.allclose(scene.source_from_world, run.source_from_world) or scene.ground_truth() is not None:
        return scene
    return PlacedScene(scene, run.source_from_world)


def _with_future(scene: Scene, run: Run) -> Scene:
    """A recording and the instants that a simulated run has after its end, seen by the cameras of its last."""
    from warpgs.simulate import Forecast

    count = max(scene.timestep_count, run.timesteps[-1] + 1)
    return Forecast(scene, scene.name, run.fps, run.source_from_world, count)


def is_file_of_gaussians(path: Path) -> bool:
    """Whether a path names a file of tracks or Gaussians rather than a run directory."""
    from usd_export import READERS

    return path.suffix.lower() in READERS and not path.is_dir()


def open_tracks(path: Path) -> Tracks:
    """The tracks of a run, or what a file of Gaussians holds."""
    from usd_export import read_tracks
    from warpgs.run import Run

    return read_tracks(path) if is_file_of_gaussians(path) else Run.open(path).tracks()


def open_tracks_and_scene(path: Path, scene_name: str | None) -> tuple[Tracks, Scene | None]:
    """The same, with the scene: of a run, or the one that the user names for a file."""
    from scenes import open_scene
    from warpgs.run import Run

    if is_file_of_gaussians(path):
        return open_tracks(path), None if scene_name is None else open_scene(scene_name)
    if scene_name is None and is_file_of_gaussians(Path(Run.open(path).scene_name)):  # simulated from one
        return open_tracks(path), None
    run, scene = open_run(path, scene_name)
    return run.tracks(), scene


def stored_index(option: str, tracks: Tracks, timestep: int) -> int:
    """Where among the stored instants a timestep is."""
    from warpgs.checks import refuse

    if timestep not in tracks.timesteps:
        refuse(option, f"one of the timesteps {tracks.timesteps[0]} to {tracks.timesteps[-1]}", timestep)
    return tracks.timesteps.index(timestep)


def description(arguments: type) -> str:
    """The help text of a verb."""
    return inspect.cleandoc(arguments.__doc__ or "")


def first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").split("\n")[0]


def print_table(title: str, rows: dict[str, str]) -> None:
    width = max(len(name) for name in rows)
    print(title)
    for name, text in rows.items():
        print(f"  {name:<{width}}  {text}")


def progress_bar(verb: str, total: int, initial: int = 0) -> tqdm:
    """A progress bar on stderr."""
    return tqdm(total=total, initial=initial, desc=verb, unit="timestep", dynamic_ncols=True)


def parse_timesteps(text: str | None, count: int) -> range:
    """START:STOP as a range, either end left out meaning the scene's."""
    if text is None:
        return range(count)
    match = re.fullmatch(r"(\d*):(\d*)", text)
    if match is None:
        raise UsageError(f"--timesteps: expected START:STOP such as 0:12, got {text!r}")
    start, stop = match.groups()
    return range(int(start or 0), int(stop or count))
