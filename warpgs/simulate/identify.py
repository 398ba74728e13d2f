"""What things are made of, from how they moved: parameters with which a simulation follows the tracks.

The tracks are cut into short windows that overlap; each is simulated from where and how fast the tracks say, so that no
error grows beyond a window. Gauss-Newton on the distances between simulated and tracked particles, robust to what no
parameter explains, after a coarse look at the whole range: a bounce that comes a little late is a local minimum.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from warpgs.bodies import DEFORMABLE, Parts, find_parts
from warpgs.checks import refuse
from warpgs.devices import pick_device
from warpgs.priors import Prior
from warpgs.simulate.forward import simulate
from warpgs.simulate.material import Material
from warpgs.simulate.setup import Setup, set_up
from warpgs.simulate.stability import stable_substeps
from warpgs.simulate.step import Explicit
from warpgs.simulate.stride import Stride
from warpgs.simulate.world import World
from warpgs.types import Tracks

WINDOW = 12
"""Instants of a window."""
STRIDE = 6
"""Instants from the start of a window to that of the next."""
MARKS = 64
"""Most particles of each body that are compared, and of all that bends."""
TOLERANCE_M = 0.02
"""Distance [m] beyond which an error counts by its size, no longer by its square."""
FAR_M = 10.0
"""What a simulation that fails counts as [m]."""


@dataclass(frozen=True)
class Range:
    """Where a parameter may lie, and what is tried first."""

    least: float
    """Smallest value."""
    most: float
    """Largest value."""
    tried: int
    """Values that are tried, evenly over the range or over its logarithm."""
    logarithmic: bool = False
    """Whether it is fitted by its logarithm."""

    def inside(self, value: float) -> float:
        """Nearest value of the range, as it is fitted."""
        clipped = float(np.clip(value, self.least, self.most))
        return float(np.log(clipped)) if self.logarithmic else clipped

    def outside(self, fitted: float) -> float:
        """From what is fitted to the value."""
        return float(np.exp(fitted)) if self.logarithmic else float(fitted)

    def bounds(self) -> tuple[float, float]:
        """Of what is fitted."""
        return self.inside(self.least), self.inside(self.most)


RANGES = {
    "friction": Range(0.0, 1.5, 6),
    "restitution": Range(0.0, 1.0, 11),
    "stiffness": Range(1e2, 1e7, 11, logarithmic=True),
    "damping_s": Range(1e-5, 1e-1, 3, logarithmic=True),
    "drag": Range(0.0, 10.0, 3),
}
"""What can be identified."""


@dataclass(frozen=True)
class Identified:
    """Parameters and how good they are."""

    material: Material
    """With the values found."""
    values: dict[str, float]
    """By name."""
    deviations: dict[str, float]
    """Standard deviation of each value, from how much the errors that are left say about it; infinite where nothing in
    the tracks depends on it."""
    error_m: float
    """Root mean square distance within the windows [m]."""
    error_before_m: float
    """The same with the material as it was [m]."""
    forecast_m: float | None
    """Median distance over the instants that were held out [m]; None where none were."""
    forecast_worst_m: float | None
    """The largest distance of any body's center from the tracked one over these instants [m]."""
    forecast_before_m: float | None
    """``forecast_m`` with the material as it was."""


def identify(
    tracks: Tracks,
    parameters: Sequence[str],
    material: Material | None = None,
    *,
    parts: Parts | None = None,
    hold: Collection[str] = (),
    priors: Sequence[Prior] = (),
    rest: int | None = None,
    fitted: int | None = None,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Identified:
    """Fit parameters so that simulation follows the tracks.

    Args:
        tracks: What was seen.
        parameters: Names in RANGES.
        material: What is known, and where parameters start.
        parts: Rigid parts; found when None.
        hold: Names of parts that move as tracked, as in ``simulate``.
        priors: As in ``simulate``; ``stiffness`` is theirs too.
        rest: Index of the stored instant whose shape what bends returns to, as in ``set_up``.
        fitted: Instants that the fit sees, the first ones; the first 60 % when None. The rest is forecast from the
            last of them, to see how good the parameters are.
        device: Where it runs.
        progress: Called with the number of simulated windows so far.

    Raises:
        ValueError: names that are none or no parameters, too few instants.
    """
    material = material or Material()
    for name in parameters:
        if name not in RANGES:
            refuse("parameters", "names among " + ", ".join(RANGES), repr(name))
    if not parameters:
        refuse("parameters", "at least one of " + ", ".join(RANGES), "none")
    count = max(4, round(0.6 * len(tracks))) if fitted is None else fitted
    if not 4 <= count <= len(tracks):
        refuse("instants to fit to", f"4 to {len(tracks)}", count, "track more timesteps")
    parts = find_parts(tracks) if parts is None else parts
    names = list(dict.fromkeys(parameters))
    windows = _Windows(tracks, parts, material, hold, priors, rest, count, device, progress)
    ranges = [RANGES[name] for name in names]

    def errors(fit: np.ndarray) -> np.ndarray:
        return windows.errors({name: r.outside(x) for name, r, x in zip(names, ranges, fit, strict=True)})

    start = min(_tried(ranges, [getattr(material, name) for name in names]), key=lambda fit: _cost(errors(fit)))
    low, high = np.transpose([r.bounds() for r in ranges])
    best = least_squares(
        errors, np.clip(start, low, high), bounds=(low - 1e-9, high + 1e-9), loss="soft_l1", f_scale=TOLERANCE_M,
        diff_step=5e-3, x_scale=(high - low) / 10.0, max_nfev=12,
    )  # fmt: skip
    values = {name: r.outside(x) for name, r, x in zip(names, ranges, np.clip(best.x, low, high), strict=True)}
    found = replace(material, **values)
    left = windows.errors(values)
    forecast = _forecast(tracks, parts, found, hold, priors, rest, count, device)
    before = _forecast(tracks, parts, material, hold, priors, rest, count, device)
    return Identified(
        material=found,
        values=values,
        deviations=_deviations(best.jac, left, names, values),
        error_m=_root_mean_square(left),
        error_before_m=_root_mean_square(windows.errors({name: getattr(material, name) for name in names})),
        forecast_m=None if forecast is None else forecast[0],
        forecast_worst_m=None if forecast is None else forecast[1],
        forecast_before_m=None if before is None else before[0],
    )


def _tried(ranges: list[Range], known: list[float]) -> list[np.ndarray]:
    """What is known, and a grid over all ranges."""
    axes = [np.linspace(*r.bounds(), r.tried) for r in ranges]
    grid = [np.array(values) for values in product(*axes)]
    return [np.array([r.inside(value) for r, value in zip(ranges, known, strict=True)]), *grid]


def _cost(errors: np.ndarray) -> float:
    return float((np.sqrt(1.0 + (errors / TOLERANCE_M) ** 2) - 1.0).sum())


def _root_mean_square(errors: np.ndarray) -> float:
    """Of points from their coordinates."""
    return float(np.sqrt(3.0 * np.mean(errors**2)))


def _deviations(
    jacobian: np.ndarray, errors: np.ndarray, names: list[str], values: dict[str, float]
) -> dict[str, float]:
    """Standard deviations of the values; marks of one body err together, hence one observation per body and instant."""
    information = jacobian.T @ jacobian
    variance = float(errors @ errors) / max(len(errors) - len(names), 1) * MARKS
    spread = np.full(len(names), np.inf)
    alive = np.diag(information) > 1e-12 * max(np.diag(information).max(), 1e-300)
    if alive.any():
        spread[alive] = np.sqrt(np.diag(np.linalg.pinv(information[np.ix_(alive, alive)])) * variance)
    return {
        name: float(s * values[name]) if RANGES[name].logarithmic else float(s)
        for name, s in zip(names, spread, strict=True)
    }  # fmt: skip


class _Windows:
    """Every window of the tracks, ready to be simulated again and again."""

    def __init__(
        self, tracks: Tracks, parts: Parts, material: Material, hold: Collection[str], priors: Sequence[Prior],
        rest: int | None, count: int, device: str, progress: Callable[[int], None] | None,
    ) -> None:  # fmt: skip
        self._tracks, self._progress, self._done = tracks, progress, 0
        starts = range(0, max(1, count - 3), STRIDE)
        self._windows, self._strides = [], {}
        for start in starts:
            setup = set_up(tracks, parts, start, material, hold, priors=priors, rest=rest, ahead=True)
            stop = min(start + WINDOW, count - 1)
            self._windows.append((start, stop, setup, World(setup.model, pick_device(device)), _marks(setup)))

    def errors(self, values: dict[str, float]) -> np.ndarray:
        """Simulated minus tracked positions of all marks [m], coordinates in one row."""
        found = []
        for start, stop, setup, world, marks in self._windows:
            for name, value in values.items():
                getattr(world.parameters, "damping" if name == "damping_s" else name).fill_(value)
            model = replace(setup.model, **{n: v for n, v in values.items() if n in ("stiffness", "damping_s")})
            steps = stable_substeps(model, 1.0 / self._tracks.fps)
            if (start, steps) not in self._strides:
                self._strides[start, steps] = Stride(world, Explicit(), steps, 1.0 / (self._tracks.fps * steps))
            stride = self._strides[start, steps]
            stride.state.assign(world.start(setup.centers, None, setup.velocities, setup.spins))
            paths = _paths(stride, setup, marks, stop - start)
            error = paths - self._tracks.means[start + 1 : stop + 1, setup.rows[marks]]
            found.append(np.nan_to_num(error, nan=FAR_M).clip(-FAR_M, FAR_M).ravel())
            self._done += 1
            if self._progress is not None:
                self._progress(self._done)
        return np.concatenate(found)


def _marks(setup: Setup) -> np.ndarray:
    """Which of the model's particles are compared: some of each rigid part, some of all that bends."""
    owners = np.where(setup.model.inertias[setup.model.bodies].any(axis=(1, 2)), setup.model.bodies, -1)
    chosen = []
    for owner in np.unique(owners):
        members = np.flatnonzero(owners == owner)
        chosen.append(members[np.linspace(0, len(members) - 1, min(MARKS, len(members))).astype(int)])
    return np.concatenate(chosen)


def _paths(stride: Stride, setup: Setup, marks: np.ndarray, instants: int) -> np.ndarray:
    """Positions of marks at each instant after the start [m], shape [instants, k, 3]."""
    bodies, offsets, paths = setup.model.bodies[marks], setup.model.offsets[marks], []
    for instant in range(instants):
        stride.run(instant)
        turns = stride.state.rotations.numpy()[bodies].astype(np.float64)
        turns = Rotation.from_quat(np.where(np.isfinite(turns), turns, 1.0))
        paths.append(stride.state.centers.numpy()[bodies] + turns.apply(offsets))
    return np.array(paths)


def _forecast(
    tracks: Tracks,
    parts: Parts,
    material: Material,
    hold: Collection[str],
    priors: Sequence[Prior],
    rest: int | None,
    count: int,
    device: str,
) -> tuple[float, float] | None:
    """Median distance of what moves from the tracks, and the largest of a part's mean, over the instants after the
    fit; None where there are none."""
    if count >= len(tracks):
        return None
    free = [part for part, name in enumerate(parts.names) if name not in hold]
    moving = np.isin(parts.part_index, free) | (parts.part_index == DEFORMABLE)
    distances, worst = [], 0.0
    start = count - 1
    for instant in simulate(
        tracks,
        material,
        parts=parts,
        start=start,
        instants=len(tracks) - count,
        hold=hold,
        priors=priors,
        rest=rest,
        device=device,
    ):
        error = instant.means - tracks.means[start + instant.index]
        distances.append(np.linalg.norm(error[moving], axis=1))
        for part in free:
            worst = max(worst, float(np.linalg.norm(error[parts.members(part)].mean(axis=0))))
    median = float(np.median(np.concatenate(distances[1:])))
    return median, worst if free else float(np.concatenate(distances[1:]).max())
