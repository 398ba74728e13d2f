"""Readers: recordings on disk and synthetic scenes as lazy streams of frames. NumPy only; nothing here writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from scenes.panoptic import PanopticScene
from scenes.synthetic import (
    DEFAULTS,
    SyntheticOptions,
    SyntheticScene,
    arm,
    cloth,
    enter,
    hidden,
    plain,
    thin,
    tumble,
)
from scenes.transforms import TransformsScene
from warpgs.checks import refuse, sentence
from warpgs.types import Scene

__all__ = [
    "BUILT_IN",
    "READERS",
    "PanopticScene",
    "SyntheticOptions",
    "SyntheticScene",
    "TransformsScene",
    "open_scene",
]

READERS: dict[str, type[PanopticScene] | type[TransformsScene]] = {
    "panoptic": PanopticScene,
    "transforms": TransformsScene,
}
"""Readable layouts by name; ``recognizes(root)`` picks one. The first line of each docstring describes the layout."""

BUILT_IN: dict[str, Callable[[SyntheticOptions], SyntheticScene]] = {
    "tumble": tumble,
    "arm": arm,
    "cloth": cloth,
    "plain": plain,
    "thin": thin,
    "enter": enter,
    "hidden": hidden,
}
"""Built-in scenes by name; the first line of each docstring describes the scene."""


def open_scene(source: str | Path, *, use_cloud: bool = True) -> Scene:
    """Open a recording or a built-in scene.

    Args:
        source: A folder in a layout of ``READERS`` or a name of ``BUILT_IN``. A folder named like a built-in
            scene is opened as ``./name``.
        use_cloud: False ignores the source's starting point cloud.

    Raises:
        FileNotFoundError: neither a folder nor a built-in scene.
        ValueError: a folder in no known layout, or broken calibration files.
    """
    if isinstance(source, str) and source in BUILT_IN:
        return BUILT_IN[source](replace(DEFAULTS, has_cloud=use_cloud))
    root = Path(source)
    if not root.exists():
        rule = "a folder or a built-in scene (" + ", ".join(BUILT_IN) + ")"
        raise FileNotFoundError(
            sentence(root, rule, "neither", "check the path; `warpgs scenes` lists what can be opened")
        )
    for reader in READERS.values():
        if reader.recognizes(root):
            return reader(root, use_cloud=use_cloud)
    layouts = "; ".join(
        f"{name}: {reader.__doc__.splitlines()[0]}" for name, reader in READERS.items() if reader.__doc__
    )
    refuse(root, f"a folder in a readable layout ({layouts})", "another layout", "convert the recording")
