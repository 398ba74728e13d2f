"""How well built-in scenes are tracked: one table of accuracy, pictures and seconds. Nothing is asserted.

    python -m tests.benchmarks.accuracy                                        # the suite, preset fast
    python -m tests.benchmarks.accuracy --scenes tumble arm+exposure --settings fast fast:follow.free.steps=120
    python -m tests.benchmarks.accuracy --scenes tumble cloth --ablation --json results --resume

Lengths are in the metres of the scene as it was made, whatever its variant's unit. Seconds mean something only on a
machine that does nothing else.
"""

from __future__ import annotations

import ast
import json
import math
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
import warp as wp

from scenes import SyntheticScene, VariedScene, open_scene
from warpgs.checks import refuse
from warpgs.evaluate import evaluate
from warpgs.evaluate.scores import SURVIVAL_M, THRESHOLDS_M, TrackErrors, score
from warpgs.evaluate.trajectories import errors_in_space
from warpgs.files import whole_file
from warpgs.priors import PRIORS
from warpgs.priors.load import load_prior
from warpgs.render import Renderer
from warpgs.run import Run
from warpgs.track import PRESETS, TrackConfig, track
from warpgs.types import GroundTruth, Scene, Tracks

SUITE = (
    "tumble", "arm", "cloth", "plain", "stack", "thin", "enter", "hidden", "tumble+four", "tumble+exposure",
    "tumble+ragged_masks", "tumble+no_masks", "tumble+noisy_cloud", "tumble+no_cloud", "tumble+calibration",
    "tumble+small", "tumble+large", "tumble+turned", "tumble+far", "tumble+shuffled",
)  # fmt: skip
"""Scenes of the whole suite."""
ABLATION = {
    "full": "fast",
    "no rigidity": "fast:follow.priors.rigidity=0",
    "no rotation": "fast:follow.priors.rotation=0",
    "no isometry": "fast:follow.priors.isometry=0",
    "ground": "fast:follow.priors.ground=7",
    "no mask": "fast:reconstruct.mask_weight=0,follow.mask_weight=0",
    "no prediction": "fast:follow.prediction='none'",
    "linear prediction": "fast:follow.prediction='linear'",
    "no freezing": "fast:follow.freeze_background=False",
    "no momentum": "fast:follow.priors.momentum=0",
    "no search": "fast:follow.search.draws=0",
    "no pre-alignment": "fast:follow.rigid.steps=0,follow.rigid.first_steps=0",
    "previous reference": "fast:follow.priors.reference='previous'",
    "no regrouping": "fast:follow.regroup=False",
    "mask weight 3": "fast:reconstruct.mask_weight=3,follow.mask_weight=3",
    "cameras as calibrated": "fast:reconstruct.refine_cameras=False",
    "no local rotations": "fast:follow.priors.tracked_rotation=1",
}
"""Settings of the ablation: each switches one thing off, or back to the published choice."""
SETTLED = 3
"""Timesteps a body has, after it came into view, until its particles are asked for."""
COLUMNS = (
    ("mean cm", "mte_mean_m", 100.0, 2), ("median cm", "mte_median_m", 100.0, 2), ("delta %", "delta", 100.0, 1),
    ("surv. %", "survival", 100.0, 1), ("rot. deg", "rotation_deg", 1.0, 1), ("worst cm", "worst_m", 100.0, 2),
    ("end cm", "end_m", 100.0, 2), ("entered cm", "entered_m", 100.0, 2), ("PSNR", "psnr", 1.0, 1),
    ("fg PSNR", "foreground_psnr", 1.0, 1), ("first s", "seconds_first", 1.0, 0), ("later s", "seconds_later", 1.0, 1),
)  # fmt: skip
"""Heading, figure, factor and digits."""


@dataclass(frozen=True)
class Benchmark:
    """Track scenes under settings, measure them, print one table."""

    scenes: tuple[str, ...] = SUITE
    """Built-in scenes, with variants after plus signs."""
    settings: tuple[str, ...] = ("fast",)
    """Presets, with changes after a colon: fast:follow.free.steps=120,seed=1"""
    ablation: bool = False
    """Use the settings of the ablation of preset fast instead."""
    priors: tuple[str, ...] = ()
    """Priors beside those of the settings, as for warpgs track --prior: contact,weight=0.01"""
    timesteps: int = 30
    """How many, from the first."""
    json: Path | None = None
    """Folder for the figures: one file per scene, setting and number of timesteps."""
    resume: bool = False
    """Take what the folder holds already instead of tracking it again."""
    runs: Path | None = None
    """Folder that keeps the runs; by default they are thrown away."""


def main(benchmark: Benchmark) -> None:
    """Run what is not known yet; print the table."""
    wp.config.log_level = wp.LOG_ERROR
    settings = ABLATION if benchmark.ablation else {text: text for text in benchmark.settings}
    configs = {name: parse_setting(text) for name, text in settings.items()}
    for name in benchmark.scenes:
        open_scene(name)  # a misspelled name is refused now, not in an hour
    rows = []
    for scene in benchmark.scenes:
        for setting, config in configs.items():
            stem = file_stem(scene, " ".join([setting, *benchmark.priors]), benchmark.timesteps)
            stored = benchmark.json / f"{stem}.json" if benchmark.json is not None else None
            if stored is not None and benchmark.resume and stored.exists():
                figures = json.loads(stored.read_text(encoding="utf-8"))
            else:
                print(f"{scene}, {setting}: tracking", file=sys.stderr, flush=True)
                figures = run_one(scene, config, benchmark, stem)
                if stored is not None:
                    stored.parent.mkdir(parents=True, exist_ok=True)
                    with whole_file(stored) as file:
                        file.write_text(json.dumps(finite(figures), indent=2) + "\n", encoding="utf-8")
                print(table([(scene, setting, figures)]).splitlines()[-1], file=sys.stderr, flush=True)
            rows.append((scene, setting, figures))
    print(table(rows))


def run_one(scene_name: str, config: TrackConfig, benchmark: Benchmark, stem: str) -> dict[str, Any]:
    """Track and measure."""
    scene = open_scene(scene_name, use_cloud=config.use_cloud)
    priors = [load_prior(text, PRIORS) for text in benchmark.priors]
    with tempfile.TemporaryDirectory() as folder:
        path = (benchmark.runs or Path(folder)) / stem
        with Run.create(path, scene, config, timesteps=range(benchmark.timesteps), overwrite=path.exists()) as run:
            for _ in track(scene, config, run=run, priors=priors):
                pass
        return measure(run, scene, Renderer(config.device, config.threads))


def measure(run: Run, scene: Scene, renderer: Renderer) -> dict[str, Any]:
    """All figures of the table, and those of each body."""
    report, tracks = evaluate(run, scene, renderer), run.tracks()
    truth, unit = scene.ground_truth(), unit_m(scene)
    errors = in_metres(errors_in_space(tracks, truth), unit)
    space = score([errors], THRESHOLDS_M, SURVIVAL_M)
    bodies = {}
    for index, name in enumerate(truth.body_names):
        chosen = truth.body_index == index
        if chosen.any():
            body = score([errors.select(chosen)], THRESHOLDS_M, SURVIVAL_M)
            last = float(np.median(errors.distance[-1, chosen]))
            bodies[name] = {"mte_mean_m": body.mte_mean, "end_m": last, "rotation_deg": body.rotation_median_deg}
    worst = max(bodies, key=lambda name: bodies[name]["mte_mean_m"])
    return {
        "mte_mean_m": space.mte_mean,
        "mte_median_m": space.mte_median,
        "delta": space.delta,
        "survival": space.survival,
        "rotation_deg": space.rotation_median_deg,
        "worst_body": worst,
        "worst_m": bodies[worst]["mte_mean_m"],
        "end_m": max(body["end_m"] for body in bodies.values()),
        "entered_m": entered(tracks, scene, truth, unit),
        "psnr": report.psnr,
        "foreground_psnr": report.foreground_psnr,
        "seconds_first": report.seconds_first,
        "seconds_later": report.seconds_per_timestep,
        "gaussians": report.gaussian_count,
        "moving": report.foreground_count,
        "bodies": bodies,
        "error_over_time_m": [float(np.median(row)) for row in errors.distance],
    }


def entered(tracks: Tracks, scene: Scene, truth: GroundTruth, unit: float) -> float:
    """Mean over tracks of median errors [m] of the bodies that are out of view at the start.

    Points are asked for ``SETTLED`` timesteps after their body is seen; NaN where none has entered by then.
    """
    if not isinstance(scene, SyntheticScene | VariedScene):
        return math.nan
    known, medians = set(truth.body_index.tolist()), []
    for index, timestep in enumerate(tracks.timesteps):
        since = index + SETTLED
        if index == 0 or since >= len(tracks) - 1 or len(known) == len(truth.body_names):
            continue
        new = set(scene.truth_seen_at(timestep).body_index.tolist()) - known
        known |= new
        if new:
            seen = scene.truth_seen_at(tracks.timesteps[since])
            errors = in_metres(errors_in_space(tracks.since(since), seen), unit)
            medians.append(np.median(errors.distance[:, np.isin(seen.body_index, sorted(new))], axis=0))
    return float(np.concatenate(medians).mean()) if medians else math.nan


def unit_m(scene: Scene) -> float:
    """The scene's unit of length [m], as far as it says."""
    return float(np.cbrt(np.linalg.det(scene.source_from_world[:3, :3])))


def in_metres(errors: TrackErrors, unit: float) -> TrackErrors:
    """Distances times the unit [m]."""
    return replace(errors, distance=errors.distance * unit)


def parse_setting(text: str) -> TrackConfig:
    """A preset with changes: ``fast:follow.free.steps=120,follow.prediction='none'``."""
    preset, _, changes = text.partition(":")
    if preset not in PRESETS:
        refuse(f"setting {text}", "a preset (" + ", ".join(PRESETS) + ")", preset)
    config = PRESETS[preset]
    # a comma separates changes only where a name and an equals sign follow: values may be tuples
    for change in re.split(r",(?=[a-z_.]+=)", changes) if changes else []:
        path, _, value = change.partition("=")
        config = changed(config, path.split("."), value, text)
    return config


def changed(config: Any, path: Sequence[str], value: str, text: str) -> Any:
    """A dataclass with one field, perhaps deep inside, replaced by a Python literal."""
    names = [field.name for field in fields(config)] if is_dataclass(config) else []
    if path[0] not in names:
        refuse(f"setting {text}", "a field among " + ", ".join(names), path[0])
    if path[1:]:
        return replace(config, **{path[0]: changed(getattr(config, path[0]), path[1:], value, text)})
    try:
        literal = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        literal = value  # a bare word
    return replace(config, **{path[0]: literal})


def file_stem(scene: str, setting: str, timesteps: int) -> str:
    """A plain file name for a pair."""
    return re.sub(r"[^A-Za-z0-9_+.=-]", "_", f"{scene}__{setting}__{timesteps}")


def finite(value: Any) -> Any:
    """NaN and infinity as None, which JSON lacks words for."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(rows: Sequence[tuple[str, str, dict[str, Any]]]) -> str:
    """One line per scene and setting; a dash where a figure has nothing to count."""
    cells = [["scene", "setting", *(heading for heading, *_ in COLUMNS), "worst body"]]
    for scene, setting, figures in rows:
        values = []
        for _, name, factor, digits in COLUMNS:
            value = figures[name]
            values.append("-" if value is None or not math.isfinite(value) else f"{factor * value:.{digits}f}")
        cells.append([scene, setting, *values, figures["worst_body"]])
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
