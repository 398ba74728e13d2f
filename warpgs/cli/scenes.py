"""``warpgs scenes``."""

from __future__ import annotations

from dataclasses import dataclass

from warpgs.cli.shared import Flag, Verb, first_line, print_table


@dataclass(frozen=True)
class Scenes:
    """List what can be tracked: built-in synthetic scenes, their variants, and layouts of folders that can be read.

    Example: warpgs scenes
    """

    debug: Flag = False
    """Show where an error came from."""


def list_scenes(arguments: Scenes) -> None:
    from scenes import BUILT_IN, READERS, VARIANTS

    print_table("Built-in scenes", {name: first_line(factory) for name, factory in BUILT_IN.items()})
    summaries = {f"+{name}": variant.summary for name, variant in VARIANTS.items()}
    print_table("Variants of built-in scenes, such as tumble+exposure+no_cloud", summaries)
    print_table("Layouts of folders that can be read", {name: first_line(kind) for name, kind in READERS.items()})


SCENES = Verb(Scenes, list_scenes)
