"""config.json: what a run was asked to do, compared on resume."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from warpgs.checks import check_finite, check_shape, refuse, sentence
from warpgs.types import Scene

logger = logging.getLogger(__name__)

MARKER = "warpgs-run-1"
"""Value of ``format``: the kind of folder and the version of its layout."""

INDIFFERENT = ("config.threads",)
"""What may differ when a run is resumed: it changes nothing but the time."""

Manifest = dict[str, Any]
"""JSON values: format, warpgs_version, scene, layout, fps, timesteps [start, stop, step], source_from_world, config."""


def make_manifest(scene: Scene, config: Any, timesteps: range | None) -> Manifest:
    """What config.json will hold, as it will read back from JSON.

    Raises:
        ValueError: timesteps that the scene does not have.
        TypeError: ``config`` is no dataclass instance, or holds what JSON cannot.
    """
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(sentence("config", "a dataclass instance", type(config).__name__))
    count = scene.timestep_count
    steps = range(count) if timesteps is None else timesteps
    if not steps or steps.step < 1 or steps[0] < 0 or steps[-1] >= count:
        refuse("timesteps", f"a rising, non-empty range within 0:{count}, what {scene.name} has", steps)
    # A folder may be named like a scene that is generated; only these know the truth.
    is_folder = Path(scene.name).exists() and scene.ground_truth() is None
    manifest = {
        "format": MARKER,
        "warpgs_version": version("warpgs"),
        "scene": str(Path(scene.name).resolve()) if is_folder else scene.name,
        "layout": scene.layout,
        "fps": float(scene.fps),
        "timesteps": [steps.start, steps[-1] + steps.step, steps.step],
        "source_from_world": np.asarray(scene.source_from_world, np.float64).tolist(),
        "config": dataclasses.asdict(config),
    }
    return json.loads(json.dumps(manifest, default=_plain))


def _plain(value: object) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(sentence("config", "numbers, text, booleans, tuples, dicts and paths", f"a {type(value).__name__}"))


def read_manifest(path: Path) -> Manifest:
    """config.json of the run at ``path``.

    Raises:
        FileNotFoundError: not a run.
        ValueError: not a run of this version, or a damaged config.json.
    """
    file = path / "config.json"
    if not file.is_file():
        got = "a folder without config.json" if path.is_dir() else "no such folder"
        raise FileNotFoundError(sentence(path, "a run directory", got, "make one with warpgs track --run"))
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        refuse(file, "JSON", error, "restore the file; without it the run cannot be read")
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != MARKER:
        refuse(file, f"the format {MARKER!r}", repr(found), "name a run directory made by this version of warpgs")
    _check_manifest(file, manifest)
    return manifest


def _check_manifest(file: Path, manifest: Manifest) -> None:
    kinds = {"scene": str, "fps": float, "timesteps": list, "source_from_world": list, "config": dict}
    for name, kind in kinds.items():
        if not isinstance(manifest.get(name), kind):
            refuse(f"{file}: {name}", f"a {kind.__name__}", repr(manifest.get(name)), "restore the file")
    steps = manifest["timesteps"]
    if len(steps) != 3 or not all(isinstance(step, int) for step in steps) or steps[0] < 0 or steps[2] < 1:
        refuse(f"{file}: timesteps", "[start, stop, step]", steps, "restore the file")
    if manifest["fps"] <= 0.0:
        refuse(f"{file}: fps", "more than 0", manifest["fps"], "restore the file")
    transform = np.array(manifest["source_from_world"], np.float64)
    check_shape(f"{file}: source_from_world", transform, (4, 4))
    check_finite(f"{file}: source_from_world", transform, "restore the file")


def check_same(file: Path, asked: Manifest, stored: Manifest) -> None:
    """Refuse to go on with something else than ``file`` stores, naming the first difference."""
    for name, wanted, found in _differences("", asked, stored):
        if name in INDIFFERENT:
            continue
        # the same settings may still mean the same; bits are only promised within a version
        if name == "warpgs_version":
            logger.warning("%s: stored by warpgs %s, going on with %s", file, found, wanted)
        else:
            remedy = "resume with the stored one, or start again with --overwrite"
            refuse(f"{file}: {name}", f"{found!r}, as stored", repr(wanted), remedy)


def _differences(name: str, asked: Any, stored: Any) -> Iterator[tuple[str, Any, Any]]:
    """(dotted name, asked, stored) wherever two JSON values differ."""
    if isinstance(asked, dict) and isinstance(stored, dict):
        for key in [*asked, *(key for key in stored if key not in asked)]:
            inner = f"{name}.{key}" if name else key
            yield from _differences(inner, asked.get(key, "nothing"), stored.get(key, "nothing"))
    elif asked != stored:
        yield name, asked, stored
