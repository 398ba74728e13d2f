"""How sure is sure: fits the model of confidence on some scenes, and checks it on others. Nothing is asserted.

    python -m tests.benchmarks.calibration --folder samples

What was tracked is kept in the folder and not tracked again. Prints the lines to paste into
warpgs/track/confidence.py, and how well those that stand there now do.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import tyro
import warp as wp
from scipy.optimize import minimize, minimize_scalar

from scenes import open_scene
from tests.benchmarks.accuracy import file_stem, parse_setting
from warpgs.evaluate.reliability import Reliability, reliability
from warpgs.evaluate.trajectories import follow_in_space
from warpgs.files import whole_file
from warpgs.run import Run
from warpgs.track import track
from warpgs.track.confidence import RANGES, TOLERANCE_RADII, Model, confidence, features, sight
from warpgs.track.evidence import Evidence
from warpgs.types import GroundTruth, Tracks

FIT = ("tumble", "plain", "thin", "cloth", "stack", "hidden", "enter+take2", "tumble+four")
"""Scenes that the coefficients are fitted on."""
LOST = ("thin",)
"""Those of them that are tracked without the search too, so that something is lost: the model must see what that looks
like."""
WITHOUT_SEARCH = "follow.search.draws=0"
VANISH = ("hidden", "enter+take2")
"""Those of them in which something goes out of sight, which memory is fitted on."""
VERIFY = (
    "arm", "enter", "hidden+take2", "cloth+take2", "plain+take2", "stack+take2", "tumble+take2+ragged_masks",
)  # fmt: skip
"""Others, to check them on."""
RIDGE = 3e-4
"""Weight of the squared coefficients of standardized features."""


@dataclass(frozen=True)
class Calibration:
    """Fit the model of confidence, and check it on recordings that took no part."""

    folder: Path
    """Keeps what was tracked: one file per recording and setting."""
    fit: tuple[str, ...] = FIT
    """Scenes to fit the coefficients on."""
    lost: tuple[str, ...] = LOST
    """Scenes that are fitted to as they are tracked without the search too."""
    vanish: tuple[str, ...] = VANISH
    """Those to fit memory on: something goes out of sight there."""
    verify: tuple[str, ...] = VERIFY
    """Others, to check both on."""
    setting: str = "fast"
    """Preset, with changes after a colon, as in the benchmark of accuracy."""
    timesteps: int = 30
    """How many of each recording, from the first."""


@dataclass(frozen=True, eq=False)
class Samples:
    """All (instant, track) of one recording after the first instant."""

    evidence: Evidence
    """Of the particles that carry the tracks, shape [instants, tracks] each."""
    error: np.ndarray
    """Distance from the truth [scene radii], shape [instants, tracks]."""

    @property
    def right(self) -> np.ndarray:
        """Whether the track is where it should be, shape [instants, tracks], bool."""
        return self.error <= TOLERANCE_RADII


def main(calibration: Calibration) -> None:
    """Collect what is missing, fit, check."""
    wp.config.log_level = wp.LOG_ERROR
    fitted, vanish, checked = (
        {scene: collect(scene, calibration) for scene in scenes}
        for scenes in (calibration.fit, calibration.vanish, calibration.verify)
    )
    setting = calibration.setting + ("," if ":" in calibration.setting else ":") + WITHOUT_SEARCH
    for scene in calibration.lost:
        fitted[f"{scene} without the search"] = collect(scene, replace(calibration, setting=setting))
    model = fit_memory(list(vanish.values()), fit(list(fitted.values())))
    for name, value in asdict(model).items():
        print(f"    {name}: float = {value:.4g}")
    for title, samples in (("fitted on", fitted), ("checked on", checked)):
        print(f"{title}, with these and with those in warpgs/track/confidence.py")
        for name, of_one in samples.items():
            print(f"  {name}: {line(judge(of_one, model))}")
            print(f"  {'':>{len(name)}}  {line(judge(of_one, Model()))}")


def collect(scene_name: str, calibration: Calibration) -> Samples:
    """Track a recording, or read what was kept of it."""
    path = calibration.folder / f"{file_stem(scene_name, calibration.setting, calibration.timesteps)}.npz"
    if not path.exists():
        print(f"{scene_name}: tracking", file=sys.stderr, flush=True)
        samples = follow(scene_name, calibration.setting, calibration.timesteps)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            np.savez(temporary, error=samples.error, **vars(samples.evidence))
    with np.load(path) as arrays:
        return Samples(Evidence(**{field.name: arrays[field.name] for field in fields(Evidence)}), arrays["error"])


def follow(scene_name: str, setting: str, count: int) -> Samples:
    """Track, and compare with the truth. Tracks of particles that stand still are left out: they are not judged."""
    config, scene = parse_setting(setting), open_scene(scene_name)
    count = min(count, scene.timestep_count)
    with tempfile.TemporaryDirectory() as folder:
        with Run.create(Path(folder) / "run", scene, config, timesteps=range(count)) as run:
            seen = [state.evidence for state in track(scene, config, run=run)]
        return samples_of(run.tracks(), scene.ground_truth(), seen)


def samples_of(tracks: Tracks, truth: GroundTruth, seen: Sequence[Evidence]) -> Samples:
    """Compare what was tracked, with the evidence of each timestep, with the truth."""
    followed = follow_in_space(tracks, truth)
    judged = followed.particle < len(seen[0].visibility)
    rows = followed.particle[judged]
    over_time = {f.name: np.stack([getattr(each, f.name)[rows] for each in seen[1:]]) for f in fields(Evidence)}
    radius = tracks.tolerance / TOLERANCE_RADII
    return Samples(Evidence(**over_time), followed.errors().distance[:, judged] / radius)


def fit(samples: Sequence[Samples]) -> Model:
    """What pictures tell, where they decide, with the largest likelihood; every recording weighs the same."""
    x = np.concatenate([features(each.evidence).reshape(-1, len(RANGES)) for each in samples])
    y = np.concatenate([each.right.ravel() for each in samples]).astype(np.float64)
    even = np.concatenate([np.full(each.error.size, 1.0 / (each.error.size * len(samples))) for each in samples])
    weight = even * np.concatenate([sight(each.evidence).ravel() for each in samples])
    mean, spread = np.average(x, axis=0, weights=weight), x.std(axis=0) + 1e-9
    z = (x - mean) / spread

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slopes, logits = parameters[:-1], z @ parameters[:-1] + parameters[-1]
        residual = weight * (0.5 + 0.5 * np.tanh(0.5 * logits) - y)
        value = float((weight * (np.logaddexp(0.0, logits) - y * logits)).sum() + RIDGE * slopes @ slopes)
        return value, np.append(z.T @ residual + 2.0 * RIDGE * slopes, residual.sum())

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    slopes = found[:-1] / spread
    return Model(**dict(zip(RANGES, slopes.tolist(), strict=True)), intercept=float(found[-1] - slopes @ mean))


def fit_memory(samples: Sequence[Samples], model: Model) -> Model:
    """The same with the likeliest ``memory``."""
    right = np.concatenate([each.right.ravel() for each in samples])

    def unlikely(memory: float) -> float:
        called = np.concatenate([said(each, replace(model, memory=memory)).ravel() for each in samples])
        return float(-np.log(np.clip(np.where(right, called, 1.0 - called), 1e-3, 1.0)).mean())

    return replace(model, memory=float(minimize_scalar(unlikely, bounds=(1.0, 30.0), method="bounded").x))


def said(samples: Samples, model: Model) -> np.ndarray:
    """What a model says of all samples, shape [instants, tracks]."""
    called, before = [], np.ones(samples.error.shape[1], np.float32)
    for index in range(len(samples.error)):
        now = Evidence(**{field.name: getattr(samples.evidence, field.name)[index] for field in fields(Evidence)})
        before = confidence(now, before, model)
        called.append(before)
    return np.stack(called)


def judge(samples: Samples, model: Model) -> Reliability:
    """How a model does on a recording."""
    return reliability(said(samples, model), samples.error, TOLERANCE_RADII)


def line(found: Reliability) -> str:
    """One recording in one line; of 100."""
    figures = {
        "error": found.error, "sure": found.sure, "of them right": found.sure_right,
        "called lost": found.called_lost, "lost": found.lost,
    }  # fmt: skip
    return ", ".join(f"{name} {100.0 * value:.1f}" for name, value in figures.items())


if __name__ == "__main__":
    main(tyro.cli(Calibration))
