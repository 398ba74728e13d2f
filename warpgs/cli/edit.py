"""``warpgs edit``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tqdm import tqdm
from tyro.conf import Positional

from warpgs.cli.shared import Flag, UsageError, Verb, is_file_of_gaussians, open_run, open_tracks

if TYPE_CHECKING:
    from warpgs.bodies import Parts
    from warpgs.edit.script import Script
    from warpgs.types import Scene, Tracks


@dataclass(frozen=True)
class Edit:
    """Change a run by a script: cut out, insert, move, retime, attach, recolor, relight, paint.

    The script is a TOML file: a base, and steps that are done one after the other. This one paints a crate red and
    turns it:

        base = "runs/tumble"          # a run or a file; paths start at the script's folder

        [[step]]
        do = "cut"                    # move to a piece of its own: by part, box, mask, mesh, where
        part = "part_00"
        piece = "crate"

        [[step]]
        do = "recolor"
        of = "crate"
        color = [0.9, 0.1, 0.1]

        [[step]]
        do = "transform"
        of = "crate"
        rotate_deg = [0, 0, 45]

    Steps: cut remove duplicate insert background; transform attach keyframes; shift stretch loop reverse freeze
    lengthen; recolor tint fade relight paint split. docs/editing.md lists their keys. All that a script names is looked
    for before anything is done.

    Example: warpgs edit red.toml --output runs/red
    """

    script: Positional[Path]
    """The .toml."""
    output: Path
    """A run directory, or a file as export writes it: .usda .usdc .usdz .npz .ply."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="SCENE")] = None
    """Where the scene is now, if it moved; instead of the script's."""
    overwrite: Flag = False
    """Replace an existing output."""
    debug: Flag = False
    """Show where an error came from."""


@dataclass(frozen=True)
class Edited:
    """The settings of an edited run."""

    edited: str
    """The script, as it was."""


def edit_run(arguments: Edit) -> None:
    from usd_export import WRITERS, export
    from warpgs.checks import check_absent, check_suffix, refuse
    from warpgs.edit.desk import Desk
    from warpgs.edit.script import read_script, run_script
    from warpgs.run import write_run

    check_absent(arguments.output, arguments.overwrite)
    is_file = arguments.output.suffix != ""
    if is_file:
        check_suffix(arguments.output, tuple(WRITERS))
    script = read_script(arguments.script)
    base = script.path.parent / script.base
    if base.resolve() == arguments.output.resolve():
        refuse(arguments.output, "another output than the base", "the same", "name a new one")
    tracks = open_tracks(base)
    desk = Desk(
        base=tracks,
        open_scene=cache(lambda: _open_scene(arguments, script, base)),
        folder=script.path.parent,
        open_tracks=open_tracks,
        find_parts=lambda: _parts(script, tracks),
    )
    if not is_file and desk.open_scene() is None:
        rule = "the cameras of a scene for a run"
        raise UsageError(f"{arguments.output}: expected {rule}, got none; pass --scene, or name a file such as a .usdc")
    with tqdm(total=len(script.steps), desc="edit", unit="step", dynamic_ncols=True) as bar:
        edited = run_script(script, desk, lambda done, _: bar.update(done - bar.n))
    if is_file:
        for path in export(edited, arguments.output, overwrite=arguments.overwrite):
            print(path)
        return
    settings = Edited(arguments.script.read_text(encoding="utf-8"))
    write_run(arguments.output, edited, desk.open_scene(), settings, overwrite=arguments.overwrite)
    print(arguments.output)


def _open_scene(arguments: Edit, script: Script, base: Path) -> Scene | None:
    """The scene that is asked for, or that of the base; None where nobody knows."""
    from scenes import open_scene

    name = arguments.scene
    if name is None and script.scene is not None:
        folder = script.path.parent / script.scene
        name = str(folder) if folder.exists() else script.scene
    if not is_file_of_gaussians(base):
        return open_run(base, name)[1]
    return None if name is None else open_scene(name)


def _parts(script: Script, tracks: Tracks) -> Parts:
    from warpgs.bodies import find_parts, read_parts

    return find_parts(tracks) if script.parts is None else read_parts(script.path.parent / script.parts, tracks)


EDIT = Verb(Edit, edit_run)
