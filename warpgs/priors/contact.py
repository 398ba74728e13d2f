"""Contact with what stands in the scene, with friction.

The push is a quadratic penalty. Friction is Coulomb's, made smooth and explicit in the normal force as in incremental
potential contact (Li et al. 2020): it opposes the displacement since the last instant, with the normal and the push
that the particle had then; displacements of less than ``creep`` meet only part of it.

What was inside at the first timestep may be as deep later: particles of what stands on a floor lie below it by their
errors, and pushed out they would lift it.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import warp as wp

from warpgs.checks import refuse
from warpgs.priors.base import Parameter, Prior, State, check_weight, parameter
from warpgs.priors.distance import signed_distances
from warpgs.priors.ground import GROUND_AT_ZERO
from warpgs.priors.rest import Rest
from warpgs.priors.surfaces import Surface, surface_of


@cache
def contact_kernel(dtype: type) -> Any:
    """The kernel for numbers of ``dtype``."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)

    @wp.func
    def slip(length: real, creep: real):
        """Smooth |u|: 0 at 0, of slope 1 from ``creep`` on; and its slope over |u|."""
        share = length / creep
        value = length - creep / real(3.0)
        slope = real(1.0) / wp.max(length, creep)
        if length < creep:
            value = length * share * (real(1.0) - share / real(3.0))
            slope = (real(2.0) - share) / creep
        return value, slope

    @wp.kernel(module="unique", enable_backward=False)
    def contact_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        last_means: wp.array(dtype=vec3),
        normals: wp.array(dtype=vec3),
        distances: wp.array(dtype=real),
        last_normals: wp.array(dtype=vec3),
        last_distances: wp.array(dtype=real),
        first_distances: wp.array(dtype=real),
        radius: real,
        friction: wp.array(dtype=real),
        creep: real,
        scale: real,
        # outputs, accumulated: other terms share them
        loss: wp.array(dtype=wp.float64),
        adj_means: wp.array(dtype=vec3),
        adj_friction: wp.array(dtype=real),
    ):
        i = wp.tid()
        energy = real(0.0)
        gradient = vec3()
        begins = wp.min(radius, first_distances[i])
        depth = begins - distances[i]
        if depth > real(0.0):
            energy += real(0.5) * scale * depth * depth
            gradient -= (scale * depth) * normals[i]
        last_depth = begins - last_distances[i]
        if creep > real(0.0) and last_depth > real(0.0):
            moved = means[i] - last_means[i]
            across = moved - last_normals[i] * wp.dot(last_normals[i], moved)
            value, slope = slip(wp.length(across), creep)
            grip = wp.min(i, friction.shape[0] - 1)
            push = scale * last_depth
            energy += friction[grip] * push * value
            gradient += (friction[grip] * push * slope) * across
            wp.atomic_add(adj_friction, grip, push * value)
        wp.atomic_add(loss, 0, wp.float64(energy))
        adj_means[i] = adj_means[i] + gradient

    return contact_kernel


@dataclass(frozen=True)
class ContactPrior(Prior):
    """Mean over particles of depth^2 / 2 plus friction, depth in units of ``rest.spacing`` and beyond that at first.

    Friction: mu_i times the last depth times the displacement along the surface since then. ``weight`` over the number
    of particles is the stiffness against which a particle rests.
    """

    weight: float = 1.0
    """Multiplier on the mean energy."""
    surface: Surface = GROUND_AT_ZERO
    """What particles do not enter, in the frame of the scene. Four numbers are the normal and the offset of a plane,
    text is the name of a mesh file."""
    radius: float = 0.0
    """How far from the surface contact begins [``rest.spacing``], unless a particle was closer at first."""
    friction: float | Parameter = 0.0
    """mu, Coulomb's ratio, of each particle or of all. Acts where the state knows its motion."""
    creep_per_s: float = 0.1
    """Speed below which friction fades [``rest.spacing`` per s]: what rests on a slope creeps at up to this speed."""

    def __post_init__(self):
        check_weight(self)
        object.__setattr__(self, "surface", surface_of(self.surface))
        if not (0.0 <= self.radius < np.inf and 0.0 < self.creep_per_s < np.inf):
            refuse("ContactPrior: radius and creep_per_s", ">= 0 and > 0", (self.radius, self.creep_per_s))
        if not isinstance(self.friction, Parameter) and not 0.0 <= self.friction < np.inf:
            refuse("ContactPrior: friction", "a finite number >= 0", self.friction)

    def accumulate(self, state: State, rest: Rest, loss: wp.array) -> None:
        count, radius, friction = rest.means.size, self.radius * rest.spacing, parameter(self.friction, rest)
        found = rest.once((self, "found"), lambda: _Found.of(self.surface, rest, radius))
        signed_distances(self.surface, state.means, rest, found.normals, found.distances, within=radius)
        creep, last_means = 0.0, state.means
        if state.motion is not None and (isinstance(self.friction, Parameter) or self.friction > 0.0):
            creep, last_means = self.creep_per_s * rest.spacing * state.motion.step_s, state.motion.last_means
            signed_distances(self.surface, last_means, rest, found.last_normals, found.last_distances, within=radius)
        wp.launch(
            contact_kernel(rest.dtype),
            count,
            [
                *(state.means, last_means),
                *(found.normals, found.distances, found.last_normals, found.last_distances, found.first_distances),
                *(radius, friction.values, creep, self.weight / (max(count, 1) * rest.spacing**2)),
            ],
            [loss, state.adj_means, friction.gradient],
            device=loss.device,
            record_tape=False,
        )


@dataclass(frozen=True, eq=False)
class _Found:
    """Normals and distances [unit of ``rest``] of the surface now, at the last instant and at rest, shape [n]."""

    normals: wp.array
    distances: wp.array
    last_normals: wp.array
    last_distances: wp.array
    first_distances: wp.array

    @staticmethod
    def of(surface: Surface, rest: Rest, within: float) -> "_Found":
        vec3 = wp.types.vector(3, rest.dtype)
        kinds = [vec3, rest.dtype, vec3, rest.dtype, rest.dtype]
        found = _Found(*(wp.zeros(rest.means.size, dtype=kind, device=rest.means.device) for kind in kinds))
        signed_distances(surface, rest.means, rest, found.normals, found.first_distances, within=within)
        return found
