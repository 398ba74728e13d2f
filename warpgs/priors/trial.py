"""A small world in which priors are tried: random particles in NumPy, and what a prior says about them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import warp as wp
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from warpgs.checks import refuse
from warpgs.priors.base import Motion, Prior, State, parameters
from warpgs.priors.rest import Rest
from warpgs.similarity import Similarity

Poses: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Centers [m], shape [n, 3], and quaternions x, y, z, w of any length, shape [n, 4]."""


@dataclass(frozen=True)
class World:
    """Particles in NumPy: unrelated poses at rest, in the reference, at the last two instants and now."""

    first: Poses
    reference: Poses
    before: Poses
    last: Poses
    now: Poses
    neighbors: np.ndarray
    parts: np.ndarray
    scales: np.ndarray
    unit: float = 1.7
    sigma: float = 0.8
    world_from_rest: Similarity = field(default_factory=Similarity)

    @staticmethod
    def random(n: int = 16, k: int = 5, seed: int = 0) -> "World":
        """Far from every kink: above z = 0 at rest, partly below now; two parts that reach into each other."""
        rng = np.random.default_rng(seed)
        first = rng.uniform([-1, -1, 0.2], [1, 1, 1.7], (n, 3)), rng.normal(size=(n, 4))
        neighbors = cKDTree(first[0]).query(first[0], k + 1)[1][:, 1:]

        def disturbed(poses: Poses, size: float) -> Poses:
            turn = Rotation.from_rotvec(size * rng.normal(size=(n, 3))) * Rotation.from_quat(poses[1])
            return poses[0] + size * rng.normal(size=(n, 3)), turn.as_quat() * rng.uniform(0.5, 2.0, (n, 1))

        reference = disturbed(first, 0.3)
        before = disturbed(reference, 0.5)
        last = disturbed(before, 0.3)
        parts, scales = np.arange(n) % 2, rng.uniform(0.05, 0.4, (n, 3))
        return World(first, reference, before, last, disturbed(last, 0.5), neighbors, parts, scales)

    def each(self, change: Callable[[Poses], Poses]) -> "World":
        """The same change of all poses."""
        names = ("first", "reference", "before", "last", "now")
        return replace(self, **{name: change(getattr(self, name)) for name in names})

    def at_rest(self) -> "World":
        """Everything where it was at first, at all instants."""
        return self.each(lambda _: self.first)

    def moved(self, motion: Similarity) -> "World":
        """Everything moved, and no smaller or larger unless the unit is."""
        turn = Rotation.from_matrix(motion.rotation)

        def change(poses: Poses) -> Poses:
            lengths = np.linalg.norm(poses[1], axis=1, keepdims=True)
            turned = (turn * Rotation.from_quat(poses[1])).as_quat() * lengths if len(poses[1]) else poses[1]
            return motion.points(poses[0]), turned

        size = motion.scale
        return replace(
            self.each(change), scales=size * self.scales, unit=size * self.unit, sigma=size * self.sigma
        )  # fmt: skip

    def permuted(self, order: np.ndarray) -> "World":
        """The particles in another order."""
        neighbors = np.argsort(order)[self.neighbors[order]]
        shuffled = self.each(lambda poses: (poses[0][order], poses[1][order]))
        return replace(shuffled, neighbors=neighbors, parts=self.parts[order], scales=self.scales[order])

    def upload(self, dtype: type, device: wp.DeviceLike) -> tuple[State, Rest]:
        """Copy to a device."""
        vec3, quat = wp.types.vector(3, dtype), wp.types.quaternion(dtype)

        def arrays(poses: Poses, *, unit: bool = False) -> tuple[wp.array, wp.array]:
            rotations = poses[1] / np.linalg.norm(poses[1], axis=1, keepdims=True) if unit else poses[1]
            return wp.array(poses[0], dtype=vec3, device=device), wp.array(rotations, dtype=quat, device=device)

        rest = Rest.build(
            *arrays(self.first),
            wp.array(self.neighbors, dtype=wp.int32, device=device),
            weight_sigma=self.sigma,
            length_unit=self.unit,
            parts=self.parts,
            scales=self.scales,
            world_from_rest=self.world_from_rest,
        )
        rest.set_reference(*arrays(self.reference))
        known = wp.ones(len(self.parts), dtype=dtype, device=device)
        motion = Motion(*arrays(self.last, unit=True), *arrays(self.before, unit=True), known, step_s=0.5)
        means, rotations = arrays(self.now)
        return State(means, rotations, wp.zeros_like(means), wp.zeros_like(rotations), motion), rest


@dataclass(frozen=True)
class Result:
    """Value and gradients of a prior."""

    value: float
    adj_means: np.ndarray
    adj_rotations: np.ndarray
    adj_parameters: dict[str, np.ndarray]

    @staticmethod
    def of(prior: Prior, world: World, dtype: type, device: wp.DeviceLike) -> "Result":
        """Evaluate ``prior``."""
        state, rest = world.upload(dtype, device)
        loss = wp.zeros(1, dtype=wp.float64, device=device)
        learned = parameters(prior)
        for item in learned.values():
            item.gradient.zero_()
        prior.accumulate(state, rest, loss)
        adjoints = {name: item.gradient.numpy().copy() for name, item in learned.items()}
        return Result(float(loss.numpy()[0]), state.adj_means.numpy(), state.adj_rotations.numpy(), adjoints)

    def differs(self, other: "Result", tolerance: float) -> str:
        """What differs by more than ``tolerance`` of its largest number; empty when nothing does."""
        pairs = {
            "value": (self.value, other.value),
            "gradient of means": (self.adj_means, other.adj_means),
            "gradient of rotations": (self.adj_rotations, other.adj_rotations),
        }
        pairs |= {
            f"gradient of {name}": (ours, other.adj_parameters[name]) for name, ours in self.adj_parameters.items()
        }
        for name, (ours, theirs) in pairs.items():
            error, size = np.abs(np.subtract(ours, theirs)).max(initial=0.0), np.abs(theirs).max(initial=0.0)
            if not error <= tolerance * max(size, 1e-9):
                return f"{name} differs by {error:.3g} where its largest number is {size:.3g}"
        return ""


def check_usable(priors: Sequence[Prior], device: wp.DeviceLike) -> None:
    """Launch each prior on a few particles at rest, so that a broken one is refused before the work begins.

    Raises:
        TypeError: not a prior.
        ValueError: numbers that are not finite; and whatever the prior raises.
    """
    for prior in priors:
        if not isinstance(prior, Prior):
            raise TypeError(f"priors: expected instances of warpgs.priors.Prior, got {prior!r}")
        if any(item.values.size > 1 for item in parameters(prior).values()):
            continue  # one number for each of other particles
        value = Result.of(prior, World.random().at_rest(), wp.float32, device).value
        if not np.isfinite(value):
            refuse(f"{type(prior).__name__}: energy of particles at rest", "a finite number", value)
