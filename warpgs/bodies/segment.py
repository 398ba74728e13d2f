"""Which particles move as one. NumPy, float64; the same parts in every run and on every machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warpgs.bodies.field import Field, make_field
from warpgs.bodies.fit import fit_parts
from warpgs.bodies.motion import distances, fit_generations, typical
from warpgs.bodies.parts import BACKGROUND, DEFORMABLE, Parts
from warpgs.bodies.patches import Moments, cut, grow
from warpgs.checks import check_finite, refuse
from warpgs.math.graph import connected_pieces, members
from warpgs.types import Tracks

LOOSE = -1
"""Region of particles that none explains."""
PATCH_SIZE, MOST_PATCHES = 16, 4000
"""Most particles of a patch: enough that its motion stands out of the noise, few enough that it lies on one body. More
where there would be too many patches."""
SPOKESMEN = 2000
"""Most particles of a region that its motion is fitted to while it changes."""
ROUNDS = 4
"""Times that regions are fitted and particles change between them."""
EXPLAINED = 0.8
"""Share of a region's particles that another's motion must explain for both to be one."""
SCALES = (0.5, 0.7, 1.0)
"""Tolerances, as shares of the tolerance, one of which must find the region no smaller than twice as large a one does:
small ones are within the noise of bad tracks, large ones reach into what moves almost alike."""
BAD = 3.0
"""Tolerances that a bad track in a small pocket of loose particles may be off."""
POCKET = 0.1
"""Most particles of a pocket, as share of those of the largest part beside it."""
TURNED = 4.0
"""Tolerances by which turning must have moved two pieces against each other that are one body with a gap."""


@dataclass(frozen=True)
class PartsConfig:
    """What counts as a rigid part. Lengths are relative to the particles' own."""

    neighbors: int = 20
    """Nearest foreground particles that count as the neighbors of each."""
    tolerance: float = 0.4
    """How far a particle may be from where its part's motion puts it [median distance of the last neighbor]."""
    noise: float = 4.0
    """The same, at least this many times the median distance by which small patches miss a rigid motion."""
    quantile: float = 0.9
    """Share of instants at which it must be so: tracks may be off for a moment."""
    widening: float = 1.2
    """Most growth of a part where twice the distance is tolerated. A rigid part ends somewhere; where something bends,
    what seems rigid is as large as is tolerated. Measured: rigid bodies up to 1.18, pieces of cloth and rope from 1.21
    on."""
    least_particles: int = 20
    """Fewest particles of a part."""
    least_share: float = 0.005
    """Fewest particles of a part, as share of the foreground."""
    least_confidence: float = 0.5
    """Particles whose median confidence is lower found no part; they may belong to one."""
    instants: int = 32
    """Most instants that are looked at, evenly spread, to find who belongs together; poses are fitted at all."""
    smooth: float = 0.0
    """See ``fit_parts``."""

    def __post_init__(self) -> None:
        for name, least in {"neighbors": 1, "least_particles": 3, "instants": 2}.items():
            if getattr(self, name) < least:
                refuse(f"parts.{name}", f"at least {least}", getattr(self, name))
        for name in ("tolerance", "noise", "smooth"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                refuse(f"parts.{name}", "a finite number, at least 0", getattr(self, name))
        for name in ("quantile", "least_share", "least_confidence"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                refuse(f"parts.{name}", "a share from 0 to 1", getattr(self, name))
        if not self.widening >= 1.0:
            refuse("parts.widening", "at least 1", self.widening)


@dataclass(frozen=True, eq=False)
class Region:
    """A rigid motion and whom it explains."""

    birth: int
    """Its first instant: younger particles may belong to it, older ones not."""
    motions: np.ndarray
    """world_from_rest at every instant, shape [t, 4, 4]; the identity up to its birth."""
    error: np.ndarray
    """Distance [m] that each particle of the field keeps from where the motion puts it, shape [m]; infinite where the
    particle is older."""


def find_parts(tracks: Tracks, config: PartsConfig | None = None) -> Parts:
    """The rigid parts of the foreground, and the pose of each over time.

    Patches of a few particles grow together into regions as long as their motions agree; then particles change to the
    neighboring region that explains them best. What is a part, and what is not:

    - Foreground that never moves is a part with a constant pose: a robot wants it as a body.
    - Two neighbors that never move against each other are one part, moving or resting: nothing tells them apart.
    - Bodies that are no neighbors stay apart though they move alike, as resting ones do, or those on one conveyor,
      unless they turn together: then a rigid body has a gap between its pieces.
    - What bends is no part, though small pieces of it are almost rigid: tolerate twice as much and they become larger,
      where a rigid part stays as it is (``PartsConfig.widening``). It stays DEFORMABLE, as do particles astray.
    - Particles that are born later join the part that explains them or found one of their own.

    Parts are ordered by birth, then by size, the largest first, and named part_00, part_01, ...

    Args:
        tracks: Of n particles at t instants; those with ``foreground`` of at least 0.5 are looked at.
        config: What counts as rigid.

    Raises:
        ValueError: positions of the foreground that are not finite.
    """
    config = PartsConfig() if config is None else config
    chosen = np.flatnonzero(tracks.foreground >= 0.5)
    part_index = np.full(len(tracks.foreground), BACKGROUND, np.int32)
    part_index[chosen] = DEFORMABLE
    if len(chosen):
        check_finite("tracks: means of the foreground", tracks.means[:, chosen])
        field = make_field(tracks, chosen, config.neighbors, config.instants, config.least_confidence)
        part_index[chosen] = _ordered(_segment(field, config), field.birth)
    names = tuple(f"part_{index:02d}" for index in range(part_index.max(initial=-1) + 1))
    return fit_parts(tracks, part_index, names, smooth=config.smooth)


def _segment(field: Field, config: PartsConfig) -> np.ndarray:
    """The region of each particle of the field, shape [m]; LOOSE for the rest."""
    least = max(config.least_particles, int(np.ceil(config.least_share * len(field.birth))))
    label, tolerance = _seeds(field, config)
    label = _without_small(field, label, least)
    regions = _fit(field, label, config.quantile)
    for _ in range(ROUNDS):
        before = label
        merged = _merge(field, label, regions, tolerance)
        if (merged != label).any():
            label = _without_small(field, merged, least)
            regions = _fit(field, label, config.quantile)
        label = _without_small(field, _assign(field, label, regions, tolerance), least)
        if (label == before).all():
            break
        regions = _fit(field, label, config.quantile)
    # one that grows where more is tolerated is a piece of something that bends
    for index, region in enumerate(regions):
        if _widening(field, label == index, region, tolerance) > config.widening:
            label = np.where(label == index, LOOSE, label)
    label = _assign(field, label, regions, tolerance)
    return _without_small(field, _without_pockets(field, label, regions, BAD * tolerance), least)


def _seeds(field: Field, config: PartsConfig) -> tuple[np.ndarray, float]:
    """Regions to start from, generation by generation, and the tolerance [m]."""
    label = np.full(len(field.birth), LOOSE)
    patches, misses = [], []
    for birth in np.unique(field.birth):
        rows = np.flatnonzero((field.birth == birth) & field.trusted)
        if len(rows) == 0:
            continue
        patch = cut(field.paths[birth:, rows], max(PATCH_SIZE, len(rows) // MOST_PATCHES))
        patch = _components(field, rows, patch)  # none spans a gap: resting bodies stay apart
        moments = Moments.of(field.paths[birth:, rows], patch)
        miss = typical(np.sqrt(moments.squared_error() / moments.count[:, None]), config.quantile, axis=1)
        patches.append((rows, patch, moments, miss))
        misses.append(miss)
    if not patches:
        return label, 0.0
    noise = float(np.median(np.concatenate(misses)))
    tolerance = max(config.tolerance * field.reach, config.noise * noise)
    for rows, patch, moments, miss in patches:
        place = np.full(len(field.birth), -1)
        place[rows] = patch
        a, b = np.repeat(place, field.neighbors.shape[1]), place[field.neighbors.ravel()]
        good = np.append(miss <= tolerance, False)
        both = good[a] & good[b]
        region = grow(moments, np.stack([a[both], b[both]], axis=1), tolerance, config.quantile)
        region = np.where(good[:-1], region, LOOSE)[patch]
        label[rows] = np.where(region >= 0, region + label.max() + 1, LOOSE)
    return label, tolerance


def _fit(field: Field, label: np.ndarray, quantile: float) -> list[Region]:
    """The regions of a labelling."""
    regions = []
    for index in range(label.max(initial=-1) + 1):
        members = np.flatnonzero((label == index) & field.trusted)
        birth = int(field.birth[members].min())
        members = members[:: -(-len(members) // SPOKESMEN)]  # births never fall: the first is among them
        paths, since = field.paths[birth:], field.birth - birth
        weights = np.ones((len(paths), len(members)))
        turns = np.zeros((len(paths), 3, 3))
        motions = np.tile(np.eye(4), (len(field.paths), 1, 1))
        motions[birth:] = fit_generations(paths[:, members], since[members], weights, turns)
        error = np.full(len(label), np.inf)
        for start in np.unique(since[since >= 0]):
            rows = np.flatnonzero(since == start)
            first = birth + start
            error[rows] = typical(distances(field.paths[first:, rows], motions[first:]), quantile, axis=0)
        regions.append(Region(birth, motions, error))
    return regions


def _merge(field: Field, label: np.ndarray, regions: list[Region], tolerance: float) -> np.ndarray:
    """Regions whose motion another explains join it, the smallest first."""
    count = len(regions)
    size = np.bincount(label[label >= 0], minlength=count)
    near = _neighboring(field, label, count)
    into = np.arange(count)
    for a in np.argsort(size, kind="stable"):
        members = label == a
        share = np.zeros(count)
        for b in range(count):
            larger = (size[b], -b) > (size[a], -a) and regions[b].birth <= regions[a].birth
            if larger and (near[a, b] or _turned(field, members, label == b, regions[b]) > TURNED * tolerance):
                share[b] = (regions[b].error[members] <= tolerance).mean()
        if share.max(initial=0.0) >= EXPLAINED:
            into[a] = int(np.argmax(share))
    for _ in range(count):  # chains
        into = into[into]
    return np.append(into, LOOSE)[label]


def _neighboring(field: Field, label: np.ndarray, count: int) -> np.ndarray:
    """Whether particles of two regions are neighbors, shape [r, r], bool."""
    a, b = np.repeat(label, field.neighbors.shape[1]), label[field.neighbors.ravel()]
    both = (a >= 0) & (b >= 0)
    near = np.zeros((count, count), bool)
    near[a[both], b[both]] = True
    return near | near.T


def _turned(field: Field, a: np.ndarray, b: np.ndarray, region: Region) -> float:
    """How far [m] the turning of a region's motion has moved two pieces against each other."""
    apart = field.paths[-1, a].mean(axis=0) - field.paths[-1, b].mean(axis=0)
    turns = region.motions[:, :3, :3] @ region.motions[-1, :3, :3].T
    return float(np.linalg.norm(turns @ apart - apart, axis=1).max())


def _assign(field: Field, label: np.ndarray, regions: list[Region], tolerance: float) -> np.ndarray:
    """Every particle goes to the region that explains it best, among those of its neighbors and its own."""
    if not regions:
        return label
    error = np.stack([region.error for region in regions] + [np.full(len(label), np.inf)], axis=1)
    row = np.arange(len(label))
    for _ in range(100):
        choice = np.column_stack([label, label[field.neighbors]])
        best = choice[row, np.argmin(error[row[:, None], choice], axis=1)]
        best = np.where(error[row, best] <= tolerance, best, LOOSE)
        if (best == label).all():
            break
        label = best
    return label


def _widening(field: Field, members: np.ndarray, region: Region, tolerance: float) -> float:
    """How many times more particles a region would have if twice as much were tolerated, whatever else they belong to:
    the least over SCALES."""
    ratios = []
    for limit in tolerance * np.array(SCALES):
        size, wide = (_flood(field, members, region.error <= most).sum() for most in (limit, 2.0 * limit))
        ratios.append(wide / size if size else np.inf)
    return min(ratios)


def _flood(field: Field, start: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """What can be reached from ``start`` from neighbor to neighbor, shape [m], bool."""
    reached = start & allowed
    while True:
        grown = reached | (allowed & reached[field.neighbors].any(axis=1))
        if (grown == reached).all():
            return reached
        reached = grown


def _without_pockets(field: Field, label: np.ndarray, regions: list[Region], limit: float) -> np.ndarray:
    """Loose particles in small pockets go to the part beside the pocket that explains them best: they are bad tracks,
    or near a joint, as long as they are not astray."""
    loose = np.flatnonzero(label == LOOSE)
    if not (len(loose) and regions):
        return label
    size = np.bincount(label[label >= 0], minlength=len(regions))
    error = np.stack([region.error for region in regions], axis=1)
    result = label.copy()
    for pocket in _pieces(field, loose):
        beside = np.unique(label[field.neighbors[pocket]])
        beside = beside[beside >= 0]
        if len(beside) and len(pocket) <= POCKET * size[beside].max():
            best = beside[np.argmin(error[pocket][:, beside], axis=1)]
            result[pocket] = np.where(error[pocket, best] <= limit, best, LOOSE)
    return result


def _pieces(field: Field, rows: np.ndarray) -> list[np.ndarray]:
    """Some particles, piece by connected piece."""
    return [rows[piece] for piece in members(_components(field, rows, np.zeros(len(rows), int)))]


def _components(field: Field, rows: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The connected piece of each of some particles, from 0, where only those of one group are neighbors."""
    place = np.full(len(field.birth), -1)
    place[rows] = np.arange(len(rows))
    here, to = np.repeat(np.arange(len(rows)), field.neighbors.shape[1]), place[field.neighbors[rows].ravel()]
    joined = (to >= 0) & (group[here] == group[to])
    return connected_pieces(here[joined], to[joined], len(rows))


def _without_small(field: Field, label: np.ndarray, least: int) -> np.ndarray:
    """Regions of fewer trusted particles are dissolved, the others numbered from 0."""
    sizes = np.bincount(label[(label >= 0) & field.trusted], minlength=label.max(initial=-1) + 1)
    number = np.append(np.where(sizes >= least, np.cumsum(sizes >= least) - 1, LOOSE), LOOSE)
    return number[label]


def _ordered(label: np.ndarray, birth: np.ndarray) -> np.ndarray:
    """Part of each particle: regions numbered by birth, then by size, the largest first; DEFORMABLE where loose."""
    count = label.max(initial=-1) + 1
    births = [birth[label == index].min() for index in range(count)]
    order = sorted(range(count), key=lambda index: (births[index], -int((label == index).sum())))
    number = np.full(count + 1, DEFORMABLE)
    number[order] = np.arange(count)
    return number[label]
