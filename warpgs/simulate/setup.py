"""From tracks to a model: rigid parts become bodies, what bends becomes free particles on springs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import warp as wp
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from warpgs.bodies import DEFORMABLE, Parts
from warpgs.checks import refuse
from warpgs.math.order import morton_codes
from warpgs.neighbors import nearest_neighbors
from warpgs.priors import Prior, find_ground
from warpgs.simulate.colliders import Collider, mesh, plane, sphere
from warpgs.simulate.energy import PriorEnergy
from warpgs.simulate.launch import WINDOW, spin, velocities
from warpgs.simulate.material import GRAVITY, Material
from warpgs.simulate.model import Model, Path
from warpgs.simulate.solid import Solid
from warpgs.simulate.springs import Springs
from warpgs.simulate.stability import fastest_rate
from warpgs.types import Tracks

NEIGHBORS = 20
"""Particles that each one of what bends is tied to."""
STRETCH = 0.3
"""Pairs whose distance has changed by more than this share along the tracks are not tied: they only met."""
OVERLAP = 0.03
"""Parts that lie deeper in each other than this share of the smaller one's size, as links do, do not touch."""
STILL = 1e-7
"""Held parts that move or turn by less than this [m, rad] have no path: steps that drive nothing can be recorded."""
STRAY = 5.0
"""A particle this many typical distances from its neighbors says nothing about the shape of its part."""
REST = "deformable"
"""What ``hold`` calls the particles in no part."""


@dataclass(frozen=True, eq=False)
class Setup:
    """A model and where it starts; particle i of the model is particle ``rows[i]`` of the tracks."""

    model: Model
    """What is simulated."""
    rows: np.ndarray
    """Which particles of the tracks, shape [n]."""
    turns_wxyz: np.ndarray
    """Of each particle in the frame of its body, shape [n, 4]."""
    names: tuple[str, ...]
    """Of each body, its part's; REST for particles in none; m of them."""
    centers: np.ndarray
    """Start [m], shape [m, 3]."""
    velocities: np.ndarray
    """Start [m/s], shape [m, 3]."""
    spins: np.ndarray
    """Start [rad/s], shape [m, 3]."""
    rest: np.ndarray
    """Neighbors of each particle that the shape around it is judged by, indices into ``rows``, shape [n, k]; no
    columns where nothing bends."""


def set_up(
    tracks: Tracks,
    parts: Parts,
    index: int,
    material: Material,
    hold: Collection[str] = (),
    *,
    priors: Sequence[Prior] = (),
    rest: int | None = None,
    ahead: bool = False,
) -> Setup:
    """What to simulate from the ``index``-th instant of some tracks on.

    Bodies start in the world's axes, so that a rotation of a body is the one since the start.

    Args:
        tracks: Where things were.
        parts: Their rigid parts. What is in none is simulated where it is foreground, unless it stands still while
            something moves.
        index: Of the stored instant to start from.
        material: What things are made of.
        hold: Names of parts, REST among them, that move as tracked and rest after the last instant.
        priors: On the poses of all particles, beside the springs.
        rest: Index of the stored instant at which nothing pulls: the shape that what bends returns to. When None,
            priors are at rest in the first instant that has all particles, and springs are as long as on average up to
            the start.
        ahead: Take the velocities from the instants after the start, not from those before, as only those may who do
            not forecast.

    Raises:
        ValueError: names that are no parts, nothing to simulate.
    """
    known = (*parts.names, REST)
    for what, names in (("hold", hold), ("material: parts", material.parts), ("material: pins", material.pins)):
        for name in names:
            if name not in known:
                refuse(what, "names of parts: " + ", ".join(known), repr(name), "list them with warpgs parts")
    gravity = np.array(material.gravity if material.gravity is not None else (0.0, 0.0, -GRAVITY))
    exists = np.arange(len(tracks.foreground)) < tracks.count_at(index)
    if rest is not None and not (0 <= rest < len(tracks) and tracks.count_at(rest) >= tracks.count_at(index)):
        refuse("rest", f"a stored instant, 0 to {len(tracks) - 1}, that has all particles of the start", rest)
    builder = _Builder(tracks, parts, index, material, gravity, priors, rest, ahead)
    loose = exists & (parts.part_index == DEFORMABLE)
    if not loose.any() and len(parts) == 0:  # a single instant, or nothing has moved yet
        foreground = tracks.foreground >= 0.5
        loose = exists & (foreground if foreground.any() else True)  # files of others do not know any
    for part in range(len(parts)):
        members = np.flatnonzero(exists & (parts.part_index == part))
        if not builder.add_part(part, members, held=parts.names[part] in hold):
            loose[members] = True
    builder.add_particles(np.flatnonzero(loose), held=REST in hold)
    return builder.finish(tuple(map(float, gravity)))


class _Builder:
    """Collects bodies one after the other."""

    def __init__(
        self, tracks: Tracks, parts: Parts, index: int, material: Material, gravity: np.ndarray,
        priors: Sequence[Prior], rest: int | None, ahead: bool,
    ) -> None:  # fmt: skip
        self.tracks, self.parts, self.index, self.material = tracks, parts, index, material
        self.gravity, self.priors, self.rest, self.ahead = gravity, priors, rest, ahead
        self.dt = 1.0 / tracks.fps
        self.means = tracks.means[index].astype(np.float64)
        self.masses: list[float] = []
        self.names: list[str] = []
        self.vectors: dict[str, list[np.ndarray]] = {name: [] for name in ("center", "velocity", "spin", "lever")}
        self.inertias: list[np.ndarray] = []
        self.rows: list[np.ndarray] = []
        self.bodies: list[np.ndarray] = []
        self.offsets: list[np.ndarray] = []
        self.feelers: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.colliders: list[Collider] = []
        self.solids: dict[int, Solid] = {}
        self.volumes: list[float] = []
        self.volume = 0.0
        self.paths: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add_part(self, part: int, members: np.ndarray, *, held: bool) -> bool:
        """A rigid part as a body; False where its particles span no solid."""
        shape = members[self.tracks.opacity_logits[members] >= 0.0]
        shape = _without_strays(self._still(part, shape if len(shape) >= 4 else members))
        if len(shape) < 4:
            return False
        name = self.parts.names[part]
        made_of = self.material.of(name)
        solid = Solid.of(shape, made_of.density)
        reference, mass, inertia = solid.center, solid.mass, solid.inertia
        lever, now = np.zeros(3), len(self.masses)
        pinned = name in self.material.pins
        if pinned:
            reference = np.array(self.material.pins[name], np.float64)
            away = solid.center - reference
            lever, inertia = mass * away, inertia + mass * (away @ away * np.eye(3) - np.outer(away, away))
            mass = np.inf
        velocity, turning = self._launch(part, reference)
        if held:
            mass, inertia = np.inf, np.zeros((3, 3))
            later = self.parts.world_from_part[self.index :, part]
            later = later @ np.linalg.inv(later[0])  # world then from world now
            turns = np.roll(Rotation.from_matrix(later[:, :3, :3]).as_quat(), 1, axis=1)
            held_still = self._drive([now], (later[:, :3, :3] @ reference + later[:, :3, 3])[:, None], turns[:, None])
            velocity, turning = (np.zeros(3), np.zeros(3)) if held_still else (velocity, turning)
        self._add(name, mass, inertia, reference, np.zeros(3) if pinned else velocity, turning, lever)
        self.rows.append(members)
        self.bodies.append(np.full(len(members), now))
        self.offsets.append(self.means[members] - reference)
        count = len(solid.feelers)
        self.feelers.append((np.full(count, now), solid.feelers - reference, np.full(count, solid.radius)))
        self.solids[now] = solid
        self.volumes.append(solid.mass / made_of.density)
        if solid.radius > 0.0:
            self.colliders.append(sphere(solid.center - reference, solid.radius, body=now))
        else:
            middle = solid.vertices.mean(axis=0)
            self.colliders.append(mesh(solid.vertices - middle, solid.triangles, middle - reference, body=now))
        return True

    def _still(self, part: int, members: np.ndarray) -> np.ndarray:
        """Where members are at the start [m], on the mean over all instants that have them: their noise is less."""
        poses = self.parts.world_from_part[:, part]
        born = np.zeros(len(members), int) if self.tracks.birth is None else self.tracks.birth[members]
        local, seen = np.zeros((len(members), 3)), np.zeros(len(members))
        for at in range(len(self.tracks) if self.ahead else self.index + 1):
            there = born <= at
            turn, shift = poses[at, :3, :3], poses[at, :3, 3]
            local[there] += (self.tracks.means[at, members[there]] - shift) @ turn
            seen += there
        return local / seen[:, None] @ poses[self.index, :3, :3].T + poses[self.index, :3, 3]

    def _launch(self, part: int, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Velocity of a point of a part [m/s] and angular velocity [rad/s] at the start. Back in time both are turned
        round, and falling is falling."""
        poses = self.parts.world_from_part[self.parts.birth[part] :, part]
        now = max(0, self.index - int(self.parts.birth[part]))
        window = poses[now:][::-1] if self.ahead else poses[: now + 1]
        since = window @ np.linalg.inv(window[-1])
        path = since[:, :3, :3] @ reference + since[:, :3, 3]
        velocity, used = velocities(path[:, None], self.dt, self.gravity)
        turning = spin(window[:, :3, :3], self.dt, int(used[0]))
        return (-velocity[0], -turning) if self.ahead else (velocity[0], turning)

    def _speeds(self, members: np.ndarray) -> np.ndarray:
        """Velocities of free particles at the start [m/s]."""
        if self.ahead:
            path = self.tracks.means[self.index : self.index + 3, members].astype(np.float64)
            if len(path) == 3:  # second order: what swings is not mistaken for half an instant later
                return (4.0 * path[1] - 3.0 * path[0] - path[2]) / (2.0 * self.dt)
            return (path[-1] - path[0]) / (max(len(path) - 1, 1) * self.dt)
        path = self.tracks.means[max(0, self.index + 1 - WINDOW) : self.index + 1, members].astype(np.float64)
        return velocities(path, self.dt, self.gravity)[0]

    def add_particles(self, members: np.ndarray, *, held: bool) -> None:
        """Free particles, each a body of its own that is a feeler too."""
        count, first = len(members), len(self.masses)
        if count == 0:
            return
        order = np.argsort(morton_codes(self.means[members]))  # springs read their neighbors nearby in memory
        members = members[order]
        self.volume = _spacing(self.means[members]) ** 3
        speed = self._speeds(members)
        mass = np.inf if held else self.material.density * self.volume
        now = np.arange(first, first + count)
        if held:
            later = self.tracks.means[self.index :, members].astype(np.float64)
            speed = np.where(self._drive(now, later, np.tile([1.0, 0, 0, 0], (*later.shape[:2], 1))), 0.0, speed)
        # Priors may turn particles: cubes of their volume. Nothing turns them where there are springs alone.
        turns = bool(self.priors) and not held
        inertia = mass * self.volume ** (2.0 / 3.0) / 6.0 * np.eye(3) if turns else np.zeros((3, 3))
        for i, member in enumerate(members):
            self._add(REST, mass, inertia, self.means[member], speed[i], np.zeros(3), np.zeros(3))
        self.rows.append(members)
        self.bodies.append(now)
        self.offsets.append(np.zeros((count, 3)))
        self.feelers.append((now, np.zeros((count, 3)), np.zeros(count)))

    def _drive(self, bodies, centers: np.ndarray, turns_wxyz: np.ndarray) -> bool:
        """Have held bodies follow a path, unless they stand still; whether they do."""
        still = max(np.ptp(centers, axis=0).max(), np.ptp(turns_wxyz, axis=0).max()) < STILL
        if not still:
            self.paths.append((bodies, centers, turns_wxyz))
        return bool(still)

    def _add(self, name: str, mass: float, inertia: np.ndarray, center, velocity, turning, lever) -> None:
        self.names.append(name)
        self.masses.append(mass)
        self.inertias.append(inertia)
        for key, value in zip(self.vectors, (center, velocity, turning, lever), strict=True):
            self.vectors[key].append(value)

    def finish(self, gravity: tuple[float, float, float]) -> Setup:
        """The model of all that was added."""
        if not self.masses:
            refuse("tracks", "foreground", "none", "nothing here can be simulated")
        rows, bodies = np.concatenate(self.rows), np.concatenate(self.bodies)
        vectors = {key: np.array(values) for key, values in self.vectors.items()}
        rest, lengths, held = self._neighborhood(rows, bodies)
        springs, tied = self._tie(rest, lengths, held, bodies)
        own = [self.material.of(name) for name in self.names]
        turns_wxyz = self.tracks.rotations_wxyz[self.index][rows].astype(np.float64)
        model = Model(
            masses=np.array(self.masses),
            inertias=np.array(self.inertias),
            bodies=bodies,
            offsets=np.concatenate(self.offsets),
            levers=vectors["lever"],
            feeler_bodies=np.concatenate([feeler[0] for feeler in self.feelers]),
            feeler_offsets=np.concatenate([feeler[1] for feeler in self.feelers]),
            feeler_radii=np.concatenate([feeler[2] for feeler in self.feelers]),
            colliders=(*self._surroundings(), *self.colliders),
            apart=np.concatenate([tied, self._overlapping()]),
            springs=springs,
            energy=self._energy(rows, bodies, turns_wxyz, rest, held) if self.priors else None,
            path=self._path(),
            friction=np.array([material.friction for material in own]),
            restitution=np.array([material.restitution for material in own]),
            gravity=gravity,
            stiffness=self.material.stiffness,
            damping_s=self.material.damping_s,
            drag=self.material.drag,
        )
        if model.energy is not None:
            model = replace(model, energy=replace(model.energy, rate=fastest_rate(model, vectors["center"])))
        return Setup(
            model=model,
            rows=rows,
            turns_wxyz=turns_wxyz,
            names=tuple(self.names),
            centers=vectors["center"],
            velocities=vectors["velocity"],
            spins=vectors["spin"],
            rest=rest,
        )

    def _surroundings(self) -> list[Collider]:
        """The ground and what the material adds."""
        found = None
        if self.material.ground:
            solid = self.tracks.opacity_logits >= 0.0
            found = find_ground(self.means[solid] if solid.any() else self.means)
        ground = [] if found is None else [plane(np.array(found.normal), found.offset)]
        return [*ground, *self.material.colliders]

    def _path(self) -> Path | None:
        """Of all bodies that are held."""
        if not self.paths:
            return None
        bodies, centers, turns = (
            np.concatenate(column, axis=axis)
            for column, axis in zip(zip(*self.paths, strict=True), (0, 1, 1), strict=True)
        )
        return Path(bodies.astype(np.int32), centers, turns, self.tracks.fps)

    def _neighborhood(self, rows: np.ndarray, bodies: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Neighbors of each particle, distances at rest [m], and which are held together: those of one part, and what
        bends with all around it; shape [n, k] each, no columns where nothing is held."""
        loose = np.array(self.names)[bodies] == REST
        count = min(NEIGHBORS, len(rows) - 1) if loose.any() or self.priors else 0
        if count < 1:
            nothing = np.zeros((len(rows), 0))
            return nothing.astype(np.int32), nothing, nothing.astype(bool)
        neighbors = nearest_neighbors(wp.array(self.means[rows], dtype=wp.vec3, device="cpu"), count)[0].numpy()
        total, least, most = 0.0, np.inf, 0.0
        for at in self.tracks.means[: self.index + 1, rows]:
            lengths = _lengths(at, neighbors)
            total, least, most = total + lengths, np.minimum(least, lengths), np.maximum(most, lengths)
        mean = total / (self.index + 1)
        if self.rest is not None:
            mean = _lengths(self.tracks.means[self.rest, rows], neighbors)
        together = loose[:, None] | loose[neighbors] | (bodies[:, None] == bodies[neighbors])
        return neighbors, mean, together & (most - least <= STRETCH * mean) & (mean > 0.0)

    def _tie(
        self, neighbors: np.ndarray, lengths: np.ndarray, held: np.ndarray, bodies: np.ndarray
    ) -> tuple[Springs, np.ndarray]:
        """Springs of what bends to all around it, and which bodies are held together, shape [q, 2]."""
        ends = np.stack([np.repeat(np.arange(len(neighbors)), neighbors.shape[1]), neighbors.ravel()], axis=1)
        chosen = held.ravel() & (bodies[ends[:, 0]] != bodies[ends[:, 1]])
        pairs = ends[chosen]
        springs = Springs.none()
        if self.material.springs and len(pairs):
            springs = Springs.of(pairs, lengths.ravel()[chosen], np.full(len(neighbors), self.volume))
        tied = np.unique(np.sort(bodies[pairs], axis=1), axis=0)
        tied = tied[np.isin(tied, list(self.solids)).any(axis=1)]
        return springs, np.concatenate([tied, tied[:, ::-1]])

    def _energy(
        self, rows: np.ndarray, bodies: np.ndarray, turns_wxyz: np.ndarray, neighbors: np.ndarray, held: np.ndarray
    ) -> PriorEnergy:
        """Priors on all particles."""
        first = 0 if self.tracks.birth is None else int(self.tracks.birth[rows].max())
        first = first if self.rest is None else self.rest
        means = self.tracks.means[first, rows].astype(np.float64)
        lengths = _lengths(means, neighbors)
        sigma = np.median(lengths[:, -1]) if lengths.size else 1.0
        part = np.array([self.parts.names.index(name) if name != REST else len(self.parts) for name in self.names])
        return PriorEnergy(
            priors=tuple(self.priors),
            means=means,
            rotations_wxyz=self.tracks.rotations_wxyz[first, rows].astype(np.float64),
            turns_wxyz=turns_wxyz,
            scales=np.exp(self.tracks.log_scales[rows].astype(np.float64)),
            parts=part[bodies],
            neighbors=neighbors,
            weights=np.where(held, np.exp(-0.5 * (lengths / sigma) ** 2), 0.0),
            # of equal shares, those that free particles have their mass by, where there are any
            volume=float(len(rows) * self.volume if self.volume else sum(self.volumes)),
        )

    def _overlapping(self) -> np.ndarray:
        """Rigid parts that lie in each other at the start: pairs of bodies, either way round, shape [q, 2]."""
        found = []
        for a, solid in self.solids.items():
            for b, other in self.solids.items():
                if a != b and _depth(solid, other) > OVERLAP * min(
                    np.ptp(s.vertices, axis=0).max() for s in (solid, other)
                ):
                    found += [(a, b), (b, a)]
        return np.array(found, int).reshape(-1, 2)


def _depth(solid: Solid, other: Solid) -> float:
    """How deep feelers of one solid lie in the hull of another [m]."""
    points = solid.feelers if solid.radius == 0.0 else solid.vertices
    a, b, c = np.moveaxis(other.vertices[other.triangles], 1, 0)
    normals = np.cross(b - a, c - a)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    heights = points @ normals.T - np.einsum("fi,fi->f", normals, a)
    return float(-heights.max(axis=1).min())


def _without_strays(points: np.ndarray) -> np.ndarray:
    """Points that have others near them."""
    if len(points) < 10:
        return points
    distance = cKDTree(points).query(points, 5)[0][:, -1]
    return points[distance <= STRAY * np.median(distance)]


def _lengths(points: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
    """Distances to neighbors [m], shape [n, k]."""
    points = points.astype(np.float64)
    return np.linalg.norm(points[neighbors] - points[:, None], axis=2)


def _spacing(points: np.ndarray) -> float:
    """Median distance of the nearest other point [m]."""
    if len(points) < 2:
        return 0.01
    return max(float(np.median(cKDTree(points).query(points, 2)[0][:, 1])), 1e-6)
