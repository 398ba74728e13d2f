"""A small seeded simulation of boxes and balls: gravity, a floor, a round fence, impacts with friction. Float64 NumPy.

Contacts are points of one body inside another: a body is a sphere-swept box (a ball is a swept point), sampled by
points on its inner box. Impulses of one step are solved together by projected Gauss-Seidel on the contact space (Newton
restitution, Coulomb friction). What integration and penetration recovery would add to the energy is taken out of the
velocities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

GRAVITY = 9.81
"""Downward [m/s^2]."""
RATE = 480
"""Steps per second [1/s]."""
DENSITY = 300.0
"""Mass per volume [kg/m^3]."""
RESTITUTION = 0.5
"""Share of the approach speed with which bodies part."""
RESTING_SPEED = 0.3
"""Approaches slower than this do not bounce [m/s]."""
FRICTION = 0.35
"""Coulomb coefficient."""
SPIN_LIMIT = 10.0
"""Bodies that would turn faster are slowed to this [rad/s]: 19 degrees per frame at 30 frames per second."""
SLOP = 5e-4
"""Penetration that is left alone [m]."""
RECOVERY = 0.2
"""Share of the penetration beyond the slop undone per step."""
SWEEPS = 12
"""Gauss-Seidel sweeps over the contacts of one step."""
CONTACTS = 4
"""Deepest contact points kept per pair and direction."""
SPACING = 0.03
"""Of the sample points on a box [m]."""


@dataclass(frozen=True, eq=False)
class Shape:
    """A sphere-swept box, the inertia of a solid one."""

    half: np.ndarray
    """Half edge lengths of the inner box [m], shape [3]; zero for a ball."""
    radius: float
    """Of the sweeping sphere [m]; zero for a sharp box."""

    @property
    def mass(self) -> float:
        """[kg]."""
        return DENSITY * (8.0 * float(np.prod(self.half)) if self.half.any() else 4.0 / 3.0 * np.pi * self.radius**3)

    @property
    def inertia(self) -> np.ndarray:
        """Principal moments [kg m^2], shape [3]."""
        if not self.half.any():
            return np.full(3, 0.4 * self.mass * self.radius**2)
        squares = self.half**2
        return self.mass / 3.0 * (squares.sum() - squares)

    @property
    def reach(self) -> float:
        """Radius of the bounding sphere [m]."""
        return float(np.linalg.norm(self.half)) + self.radius

    def samples(self) -> np.ndarray:
        """Points on the inner box [m], body frame, shape [n, 3]; a ball has one."""
        if not self.half.any():
            return np.zeros((1, 3))
        axes = [np.linspace(-h, h, max(2, round(2.0 * h / SPACING) + 1)) for h in self.half]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        return grid[(np.abs(np.abs(grid) - self.half) < 1e-9).any(axis=1)]

    def corners(self) -> np.ndarray:
        """Corners of the inner box [m], body frame, shape [8 or 1, 3]: enough against a plane."""
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
        return signs * self.half if self.half.any() else np.zeros((1, 3))


@dataclass(eq=False)
class Motion:
    """What changes during a simulation; row b is body b."""

    position: np.ndarray
    """[m], shape [b, 3]."""
    rotation: np.ndarray
    """World from body, shape [b, 3, 3]."""
    velocity: np.ndarray
    """[m/s], shape [b, 3]."""
    spin: np.ndarray
    """Angular velocity, world frame [rad/s], shape [b, 3]."""


@dataclass(frozen=True, eq=False)
class Contacts:
    """Points where bodies touch; ``other`` is -1 for the floor and the fence."""

    body: np.ndarray
    """shape [n]."""
    other: np.ndarray
    """shape [n]."""
    point: np.ndarray
    """[m], world frame, shape [n, 3]."""
    normal: np.ndarray
    """From ``other`` to ``body``, shape [n, 3]."""
    depth: np.ndarray
    """Penetration [m], shape [n]."""


def simulate(shapes: tuple[Shape, ...], start: Motion, timesteps: int, fps: float, fence: float) -> np.ndarray:
    """Poses at ``timesteps`` instants.

    Args:
        shapes: The bodies.
        start: Where they begin; left unchanged.
        timesteps: Number of instants, the first at the start.
        fps: Instants per second [1/s].
        fence: Radius of the round fence, of any height, around the z axis [m].

    Returns:
        World from body, shape [timesteps, b, 4, 4].
    """
    motion = Motion(start.position.copy(), start.rotation.copy(), start.velocity.copy(), start.spin.copy())
    poses = np.tile(np.eye(4), (timesteps, len(shapes), 1, 1))
    steps = max(1, round(RATE / fps))
    for timestep in range(timesteps):
        poses[timestep, :, :3, :3] = motion.rotation
        poses[timestep, :, :3, 3] = motion.position
        for _ in range(steps if timestep + 1 < timesteps else 0):
            step(shapes, motion, 1.0 / (fps * steps), fence)
    return poses


def energy(shapes: tuple[Shape, ...], motion: Motion) -> float:
    """Kinetic and potential energy above the floor [J]."""
    mass, moments = np.array([s.mass for s in shapes]), np.array([s.inertia for s in shapes])
    spin_body = np.einsum("bji,bj->bi", motion.rotation, motion.spin)
    kinetic = 0.5 * (mass @ (motion.velocity**2).sum(axis=1) + (moments * spin_body**2).sum())
    return float(kinetic + GRAVITY * mass @ motion.position[:, 2])


def step(shapes: tuple[Shape, ...], motion: Motion, dt: float, fence: float) -> None:
    """Advance ``motion`` by ``dt`` [s]; the energy does not grow."""
    before = energy(shapes, motion)
    _fly(shapes, motion, dt)
    contacts = find_contacts(shapes, motion, fence)
    if len(contacts.body):
        _exchange_impulses(shapes, motion, contacts)
        _part(shapes, motion, contacts)
    speed = np.linalg.norm(motion.spin, axis=1, keepdims=True)
    motion.spin *= np.minimum(1.0, SPIN_LIMIT / np.maximum(speed, 1e-12))
    _limit_energy(shapes, motion, before)


def find_contacts(shapes: tuple[Shape, ...], motion: Motion, fence: float) -> Contacts:
    """All contacts of bodies with the floor, the fence and each other."""
    found: list[tuple[int, int, np.ndarray, np.ndarray, np.ndarray]] = []
    for b, shape in enumerate(shapes):
        if motion.position[b, 2] < shape.reach:
            points = shape.corners() @ motion.rotation[b].T + motion.position[b]
            normals = np.tile([0.0, 0.0, 1.0], (len(points), 1))
            found.append((b, -1, points - shape.radius * normals, normals, shape.radius - points[:, 2]))
        if np.linalg.norm(motion.position[b, :2]) > fence - shape.reach:
            points = shape.corners() @ motion.rotation[b].T + motion.position[b]
            distance = np.linalg.norm(points[:, :2], axis=1)
            normals = np.zeros_like(points)
            normals[:, :2] = -points[:, :2] / np.maximum(distance, 1e-9)[:, None]
            found.append((b, -1, points - shape.radius * normals, normals, distance + shape.radius - fence))
    for b in range(len(shapes)):
        for other in range(len(shapes)):
            gap = np.linalg.norm(motion.position[b] - motion.position[other])
            if b != other and gap < shapes[b].reach + shapes[other].reach:
                found.append((b, other, *_touch(shapes[b], shapes[other], motion, b, other)))
    deepest = []
    for b, other, points, normals, depth in found:
        order = np.argsort(-depth, kind="stable")[:CONTACTS]
        order = order[depth[order] > 0.0]
        deepest.append(
            (np.full(len(order), b), np.full(len(order), other), points[order], normals[order], depth[order])
        )
    if not deepest:
        return Contacts(np.empty(0, int), np.empty(0, int), np.empty((0, 3)), np.empty((0, 3)), np.empty(0))
    return Contacts(*(np.concatenate(column) for column in zip(*deepest, strict=True)))


def _touch(
    shape: Shape, other_shape: Shape, motion: Motion, b: int, other: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contact points, normals and depths of the sample points of ``b`` in ``other``."""
    world = shape.samples() @ motion.rotation[b].T + motion.position[b]
    local = (world - motion.position[other]) @ motion.rotation[other]
    excess = np.abs(local) - other_shape.half
    outside = np.maximum(excess, 0.0)
    distance = np.linalg.norm(outside, axis=1)
    inside = distance == 0.0
    normals = np.sign(local) * outside / np.where(inside, 1.0, distance)[:, None]
    axis = excess.argmax(axis=1)
    rows = np.flatnonzero(inside)
    normals[rows, axis[rows]] = np.where(local[rows, axis[rows]] < 0.0, -1.0, 1.0)
    signed = np.where(inside, excess.max(axis=1), distance)
    normals = normals @ motion.rotation[other].T
    return world - shape.radius * normals, normals, shape.radius + other_shape.radius - signed


def _fly(shapes: tuple[Shape, ...], motion: Motion, dt: float) -> None:
    """Free flight: exact parabolas; the angular momentum of each body is kept."""
    fall = np.array([0.0, 0.0, -GRAVITY])
    motion.position += dt * motion.velocity + 0.5 * dt * dt * fall
    motion.velocity += dt * fall
    moments = np.array([s.inertia for s in shapes])
    momentum = _turned(motion.rotation, moments, motion.spin)
    halfway = Rotation.from_rotvec(0.5 * dt * motion.spin).as_matrix() @ motion.rotation
    middle = _turned(halfway, 1.0 / moments, momentum)
    motion.rotation = Rotation.from_rotvec(dt * middle).as_matrix() @ motion.rotation
    motion.spin = _turned(motion.rotation, 1.0 / moments, momentum)


def _turned(rotation: np.ndarray, diagonal: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """R diag R^T v for each body."""
    return np.einsum("bij,bj,bkj,bk->bi", rotation, diagonal, rotation, vectors)


def _exchange_impulses(shapes: tuple[Shape, ...], motion: Motion, contacts: Contacts) -> None:
    """Stop, bounce and rub: solve the impulses of all contacts and add them to the velocities."""
    count, body_count = len(contacts.body), len(shapes)
    helper = np.where(np.abs(contacts.normal[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    first = np.cross(contacts.normal, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    frame = np.stack([contacts.normal, first, np.cross(contacts.normal, first)], axis=1)
    jacobian = np.zeros((count, 3, body_count, 6))
    for owner, sign in ((contacts.body, 1.0), (contacts.other, -1.0)):
        rows = np.flatnonzero(owner >= 0)
        arm = contacts.point[rows] - motion.position[owner[rows]]
        jacobian[rows, :, owner[rows], :3] += sign * frame[rows]
        jacobian[rows, :, owner[rows], 3:] += sign * np.cross(arm[:, None], frame[rows])
    jacobian = jacobian.reshape(3 * count, body_count * 6)
    inverse_mass = np.zeros((body_count, 6, 6))
    for b, shape in enumerate(shapes):
        inverse_mass[b, :3, :3] = np.eye(3) / shape.mass
        inverse_mass[b, 3:, 3:] = motion.rotation[b] / shape.inertia @ motion.rotation[b].T
    response = np.einsum("bij,kbj->kbi", inverse_mass, jacobian.reshape(-1, body_count, 6)).reshape(3 * count, -1)
    speeds = np.concatenate([motion.velocity, motion.spin], axis=1).ravel()
    impulses = _solve(jacobian @ response.T, jacobian @ speeds)
    change = (impulses @ response).reshape(body_count, 6)
    motion.velocity += change[:, :3]
    motion.spin += change[:, 3:]


def _solve(coupling: np.ndarray, approach: np.ndarray) -> np.ndarray:
    """Impulses (normal, two tangents per contact), normal ones pushing, tangent ones within the friction cone's box."""
    goal = np.zeros_like(approach)
    goal[::3] = np.where(approach[::3] < -RESTING_SPEED, -RESTITUTION * approach[::3], 0.0)
    impulses = np.zeros_like(approach)
    diagonal = np.diag(coupling)
    for _ in range(SWEEPS):
        for row in range(len(approach)):
            wanted = impulses[row] + (goal[row] - approach[row] - coupling[row] @ impulses) / diagonal[row]
            if row % 3 == 0:
                impulses[row] = max(0.0, wanted)
            else:
                most = FRICTION * impulses[row - row % 3]
                impulses[row] = min(max(wanted, -most), most)
    return impulses


def _part(shapes: tuple[Shape, ...], motion: Motion, contacts: Contacts) -> None:
    """Move bodies that penetrate apart, the lighter one more; a contact pushes by the share of its pair's contacts."""
    lightness = np.array([1.0 / s.mass for s in shapes] + [0.0])
    push = np.zeros((len(shapes) + 1, 3))
    weight = np.zeros(len(shapes) + 1)
    excess = np.maximum(contacts.depth - SLOP, 0.0)
    share = RECOVERY * excess / (lightness[contacts.body] + lightness[contacts.other])
    for owner, sign in ((contacts.body, 1.0), (contacts.other, -1.0)):
        np.add.at(push, owner, (sign * lightness[owner] * share)[:, None] * contacts.normal)
        np.add.at(weight, owner, (excess > 0.0).astype(float))
    motion.position += (push / np.maximum(weight, 1.0)[:, None])[:-1]


def _limit_energy(shapes: tuple[Shape, ...], motion: Motion, most: float) -> None:
    """Slow everything down where the energy exceeds ``most``."""
    mass = np.array([s.mass for s in shapes])
    potential = GRAVITY * float(mass @ motion.position[:, 2])
    total = energy(shapes, motion)
    if total > most and total > potential:
        slower = np.sqrt(max(most - potential, 0.0) / (total - potential))
        motion.velocity *= slower
        motion.spin *= slower
