"""Readers: recordings on disk and synthetic scenes as lazy streams of frames. NumPy only; nothing here writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from scenes.colmap import ColmapScene
from scenes.llff import LlffScene
from scenes.masked import MaskedScene
from scenes.panoptic import PanopticScene
from scenes.placed import PlacedScene, placed
from scenes.ros import RosScene
from scenes.synthetic import (
    DEFAULTS,
    VARIANTS,
    SyntheticOptions,
    SyntheticScene,
    VariedScene,
    arm,
    cloth,
    enter,
    hidden,
    plain,
    stack,
    thin,
    tumble,
)
from scenes.transforms import TransformsScene
from scenes.videos import VideosScene
from warpgs.checks import refuse, sentence
from warpgs.types import Scene

__all__ = [
    "BUILT_IN",
    "READERS",
    "VARIANTS",
    "ColmapScene",
    "LlffScene",
    "MaskedScene",
    "PanopticScene",
    "PlacedScene",
    "RosScene",
    "SyntheticOptions",
    "SyntheticScene",
    "TransformsScene",
    "VariedScene",
    "VideosScene",
    "built_in_scene",
    "open_scene",
]


class Reader(Protocol):
    """A class of scenes that reads one layout."""

    def recognizes(self, root: Path, /) -> bool:
        """True where ``root`` looks like the layout."""
        ...

    def __call__(self, root: Path, *, use_cloud: bool) -> Scene:
        """Open the folder ``root``."""
        ...


READERS: dict[str, Reader] = {
    "panoptic": PanopticScene,
    "transforms": TransformsScene,
    "llff": LlffScene,
    "colmap": ColmapScene,
    "ros": RosScene,
    "videos": VideosScene,
}
"""Readable layouts by name; ``recognizes(root)`` picks one. The first line of each docstring describes the layout."""

BUILT_IN: dict[str, Callable[[SyntheticOptions], SyntheticScene]] = {
    "tumble": tumble,
    "arm": arm,
    "cloth": cloth,
    "plain": plain,
    "stack": stack,
    "thin": thin,
    "enter": enter,
    "hidden": hidden,
}
"""Built-in scenes by name; the first line of each docstring describes the scene."""


def open_scene(
    source: str | Path,
    *,
    layout: str | None = None,
    use_cloud: bool = True,
    masks: Path | None = None,
    meters_per_unit: float | None = None,
    up: str | None = None,
) -> Scene:
    """Open a recording or a built-in scene.

    Args:
        source: A folder in a layout of ``READERS`` or a name of ``BUILT_IN``, perhaps with names of ``VARIANTS``
            after plus signs: ``tumble+exposure``. A folder named like a built-in scene is opened as ``./name``.
        layout: A name of ``READERS``, for a folder that holds several or is not recognized; recognized when None.
        use_cloud: False ignores the source's starting point cloud.
        masks: A folder of masks that take the place of the source's, see ``scenes.masked``.
        meters_per_unit: Of the source's files; what the reader assumes when None, which for structure from motion is 1.
        up: The axis of the source's files that points up, x y z -x -y or -z; what the reader assumes when None.

    Raises:
        FileNotFoundError: neither a folder nor a built-in scene.
        ValueError: an unknown variant or layout, a folder in no known layout, or broken calibration files.
    """
    scene = placed(_open(source, layout, use_cloud), meters_per_unit, up)
    return scene if masks is None else MaskedScene(scene, masks)


def _open(source: str | Path, layout: str | None, use_cloud: bool) -> Scene:
    if layout is not None and layout not in READERS:
        refuse("layout", "one of " + ", ".join(READERS), layout, "`warpgs scenes` says what each is")
    if isinstance(source, str) and source.split("+")[0] in BUILT_IN:
        if layout is not None:
            refuse(source, f"a folder to read as {layout}", "a built-in scene", f"call the folder ./{source}")
        return built_in_scene(source, replace(DEFAULTS, has_cloud=use_cloud))
    root = Path(source)
    if not root.is_dir():
        rule = "a folder or a built-in scene (" + ", ".join(BUILT_IN) + ")"
        raise FileNotFoundError(
            sentence(root, rule, "neither", "check the path; `warpgs scenes` lists what can be opened")
        )
    name = layout or next((name for name, reader in READERS.items() if reader.recognizes(root)), None)
    if name is not None:
        return READERS[name](root, use_cloud=use_cloud)
    layouts = "; ".join(
        f"{name}: {reader.__doc__.splitlines()[0]}" for name, reader in READERS.items() if reader.__doc__
    )
    refuse(root, f"a folder in a readable layout ({layouts})", "another layout", "convert the recording")


def built_in_scene(name: str, options: SyntheticOptions = DEFAULTS) -> SyntheticScene | VariedScene:
    """A built-in scene with options.

    Args:
        name: A name of ``BUILT_IN``, then names of ``VARIANTS``, all joined by plus signs.
        options: Pictures, cameras, length; variants change them where they must.

    Raises:
        ValueError: no such scene or variant, or a variant twice.
    """
    base, *changes = name.split("+")
    if base not in BUILT_IN:
        refuse(name, "a built-in scene (" + ", ".join(BUILT_IN) + ")", base, "`warpgs scenes` lists them")
    for index, change in enumerate(changes):
        if change not in VARIANTS:
            rule = f"variants of {base} among " + ", ".join(VARIANTS)
            refuse(name, rule, change or "nothing after a plus sign", "`warpgs scenes` lists them")
        if change in changes[:index]:
            refuse(name, "each variant once", f"{change} again")
        options = VARIANTS[change].options(options)
    scene: SyntheticScene | VariedScene = BUILT_IN[base](options)
    for change in changes:
        scene = VariedScene(scene, VARIANTS[change], name, seed=options.seed)
    return scene
