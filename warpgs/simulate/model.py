"""What a simulation is of, in NumPy: bodies, the particles and feelers on them, springs, colliders, parameters."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from warpgs.checks import check_finite, check_shape, refuse
from warpgs.simulate.colliders import WORLD, Collider
from warpgs.simulate.energy import PriorEnergy
from warpgs.simulate.springs import Springs

EARTH = (0.0, 0.0, -9.81)
"""Acceleration of gravity [m/s^2], world frame, which is z up."""


@dataclass(frozen=True, eq=False)
class Path:
    """Where driven bodies are at instants of a constant rate; in between along straight lines and great circles, after
    the last at rest."""

    bodies: np.ndarray
    """Indices of the driven bodies, d of them, shape [d]."""
    centers: np.ndarray
    """Of these [m], shape [t, d, 3]."""
    rotations_wxyz: np.ndarray
    """Of these, shape [t, d, 4]."""
    rate: float
    """Instants per second [1/s]."""


@dataclass(frozen=True, eq=False)
class Model:
    """m bodies that carry n particles and touch with f feelers. A free particle is a body without inertia."""

    masses: np.ndarray
    """[kg], shape [m]; infinite where a body is pinned or driven."""
    inertias: np.ndarray
    """About the reference point, body frame [kg m^2], shape [m, 3, 3]; zero for free particles and driven bodies."""
    bodies: np.ndarray
    """The body that carries each particle, shape [n]."""
    offsets: np.ndarray
    """Of particles from the reference point, body frame [m], shape [n, 3]; zero for free particles."""
    levers: np.ndarray | None = None
    """Mass times center of mass as seen from the reference point, body frame [kg m], shape [m, 3]; only pinned bodies
    have any."""
    feeler_bodies: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    """The body of each feeler, shape [f]."""
    feeler_offsets: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    """From the reference point, body frame [m], shape [f, 3]."""
    feeler_radii: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """[m], shape [f]."""
    colliders: tuple[Collider, ...] = ()
    """What feelers touch; those of their own body aside."""
    apart: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), int))
    """Bodies whose feelers do not touch the colliders of another: pairs of the two, shape [q, 2]."""
    springs: Springs = field(default_factory=Springs.none)
    """Between particles."""
    energy: PriorEnergy | None = None
    """Of priors on all particles."""
    path: Path | None = None
    """Motion of driven bodies."""
    friction: float | np.ndarray = 0.5
    """Coulomb's coefficient of each body, or of all; two bodies rub with the mean of theirs."""
    restitution: float | np.ndarray = 0.0
    """Speed after a bounce over that before it, of each body or of all; two bodies have the mean of theirs."""
    gravity: tuple[float, float, float] = EARTH
    """[m/s^2], world frame."""
    stiffness: float = 1e5
    """Young's modulus of what springs hold together, energy density of priors [Pa]."""
    damping_s: float = 0.0
    """Time constant of the springs' dampers [s]: viscosity over stiffness."""
    drag: float = 0.0
    """Rate at which all motion dies down [1/s]."""

    def __post_init__(self) -> None:
        m, n, f = len(self.masses), len(self.bodies), len(self.feeler_bodies)
        check_shape("Model: inertias", self.inertias, (m, 3, 3))
        check_shape("Model: offsets", self.offsets, (n, 3))
        check_shape("Model: feeler_offsets", self.feeler_offsets, (f, 3))
        check_shape("Model: feeler_radii", self.feeler_radii, (f,))
        if self.levers is not None:
            check_shape("Model: levers", self.levers, (m, 3))
        if m == 0 or n == 0:
            refuse("Model", "at least one body and one particle", f"{m} bodies, {n} particles")
        if not (np.asarray(self.masses) > 0.0).all():
            refuse("Model: masses", "more than 0 [kg]", float(np.min(self.masses)))
        for name in ("inertias", "offsets", "feeler_offsets", "gravity"):
            check_finite(f"Model: {name}", np.asarray(getattr(self, name), np.float64))
        for what, indices in (("bodies", self.bodies), ("feeler_bodies", self.feeler_bodies)):
            if len(indices) and (np.min(indices) < 0 or np.max(indices) >= m):
                refuse(f"Model: {what}", f"indices 0 to {m - 1}", f"{np.min(indices)} to {np.max(indices)}")
        for name, least, most in (
            ("friction", 0.0, np.inf), ("restitution", 0.0, 1.0), ("stiffness", 0.0, np.inf),
            ("damping_s", 0.0, np.inf), ("drag", 0.0, np.inf),
        ):  # fmt: skip
            values = np.asarray(getattr(self, name), np.float64)
            if not (np.isfinite(values).all() and (values >= least).all() and (values <= most).all()):
                refuse(f"Model: {name}", f"from {least} to {most}", values.ravel()[:4].tolist())

    @property
    def spacing(self) -> float:
        """Typical distance between particles that springs or priors hold together [m]."""
        if self.energy is not None:
            return (self.energy.volume / len(self.bodies)) ** (1.0 / 3.0)
        return float(np.median(self.springs.lengths)) if len(self.springs.lengths) else 1.0

    def contacts(self) -> tuple[np.ndarray, np.ndarray]:
        """Every feeler with every collider that it may touch: indices of feelers and of colliders, shape [p] each.

        Not those of its own body, nor of two bodies that cannot move.
        """
        owners = np.array([collider.body for collider in self.colliders], int)
        free = np.isfinite(self.masses) | (np.asarray(self.inertias).reshape(len(self.masses), 9) != 0.0).any(axis=1)
        mine = free[self.feeler_bodies][:, None] if len(self.feeler_bodies) else np.zeros((0, 1), bool)
        theirs = np.where(owners == WORLD, False, free[np.maximum(owners, 0)])[None]
        others = np.asarray(self.feeler_bodies)[:, None] != owners[None]
        feelers, colliders = np.nonzero(others & (mine | theirs))
        if len(self.apart):
            m = len(self.masses)
            met = np.asarray(self.feeler_bodies, np.int64)[feelers] * m + owners[colliders]
            met[owners[colliders] == WORLD] = -1
            kept = ~np.isin(met, self.apart[:, 0] * m + self.apart[:, 1])
            feelers, colliders = feelers[kept], colliders[kept]
        return feelers.astype(np.int32), colliders.astype(np.int32)
