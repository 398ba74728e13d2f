"""Kernels of conjugate gradients on the equations of an implicit step.

Vectors hold the linear parts of all m bodies, then the angular ones. What cannot move has no part in them.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.math.rotation import rotation_funcs
from warpgs.simulate.motion import body_funcs

PRECISE = {wp.float64: 1e-24, wp.float32: 1e-7}
"""Share of the first steepness, which is the square of an error, below which differences of forces are noise."""


@cache
def conjugate_kernels(dtype: type) -> SimpleNamespace:
    """The kernels for numbers of ``dtype``; the tape derives the adjoint of ``blend``, the others have none."""
    real = dtype
    vec3, quat, mat33 = wp.types.vector(3, dtype), wp.types.quaternion(dtype), wp.types.matrix((3, 3), dtype)
    precise = wp.constant(wp.float64(PRECISE[dtype]))
    exp_map = rotation_funcs(dtype).exp_map
    turned, spin = body_funcs(dtype).turned, body_funcs(dtype).spin

    @wp.func
    def lighter(rotation: quat, inverse_mass: real, inverse_inertia: mat33, pull: vec3, twist: vec3):
        """Inverse mass times forces."""
        return inverse_mass * pull, turned(rotation, inverse_inertia, twist)

    @wp.func
    def heavier(rotation: quat, inverse_mass: real, inverse_inertia: mat33, linear: vec3, angular: vec3):
        """Mass times accelerations; nothing where it is infinite, and for what does not turn."""
        pull = vec3()
        twist = vec3()
        if inverse_mass > real(0.0):
            pull = linear / inverse_mass
        if wp.ddot(inverse_inertia, inverse_inertia) > real(0.0):
            twist = turned(rotation, wp.inverse(inverse_inertia), angular)
        return pull, twist

    @wp.func
    def product(a: vec3, b: vec3, c: vec3, d: vec3):
        return wp.float64(wp.dot(a, b) + wp.dot(c, d))

    @wp.kernel(module="unique")
    def blend_kernel(
        # inputs
        velocities: wp.array(dtype=vec3),
        momenta: wp.array(dtype=vec3),
        new_velocities: wp.array(dtype=vec3),
        new_momenta: wp.array(dtype=vec3),
        old_share: real,
        new_share: real,
        # outputs
        blended_velocities: wp.array(dtype=vec3),
        blended_momenta: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        blended_velocities[i] = old_share * velocities[i] + new_share * new_velocities[i]
        blended_momenta[i] = old_share * momenta[i] + new_share * new_momenta[i]

    @wp.kernel(module="unique", enable_backward=False)
    def residual_kernel(
        # inputs
        found_forces: wp.array(dtype=vec3),
        found_torques: wp.array(dtype=vec3),
        forces: wp.array(dtype=vec3),
        torques: wp.array(dtype=vec3),
        # outputs
        residual: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        residual[i] = found_forces[i] - forces[i]
        residual[forces.shape[0] + i] = found_torques[i] - torques[i]

    @wp.kernel(module="unique", enable_backward=False)
    def way_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        velocities: wp.array(dtype=vec3),
        momenta: wp.array(dtype=vec3),
        inverse_inertias: wp.array(dtype=mat33),
        driven: wp.array(dtype=wp.int32),
        elapsed: real,
        # outputs
        direction: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        direction[i] = elapsed * velocities[i]
        direction[rotations.shape[0] + i] = elapsed * spin(rotations[i], inverse_inertias[i], momenta[i], driven[i])

    @wp.kernel(module="unique", enable_backward=False)
    def extrapolate_kernel(
        # inputs
        ahead_forces: wp.array(dtype=vec3),
        ahead_torques: wp.array(dtype=vec3),
        behind_forces: wp.array(dtype=vec3),
        behind_torques: wp.array(dtype=vec3),
        largest: wp.array(dtype=real),
        nudge: real,
        # outputs
        residual: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        j = ahead_forces.shape[0] + i
        far = largest[0] / nudge
        residual[i] = real(0.5) * (ahead_forces[i] + behind_forces[i] + far * (ahead_forces[i] - behind_forces[i]))
        residual[j] = real(0.5) * (ahead_torques[i] + behind_torques[i] + far * (ahead_torques[i] - behind_torques[i]))

    @wp.kernel(module="unique", enable_backward=False)
    def weigh_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        inverse_masses: wp.array(dtype=real),
        inverse_inertias: wp.array(dtype=mat33),
        adj_forces: wp.array(dtype=vec3),
        adj_torques: wp.array(dtype=vec3),
        # outputs
        residual: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        pull, twist = heavier(rotations[i], inverse_masses[i], inverse_inertias[i], adj_forces[i], adj_torques[i])
        residual[i] = pull
        residual[rotations.shape[0] + i] = twist

    @wp.kernel(module="unique", enable_backward=False)
    def split_kernel(
        # inputs
        solution: wp.array(dtype=vec3),
        # outputs
        linear: wp.array(dtype=vec3),
        angular: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        linear[i] = solution[i]
        angular[i] = solution[linear.shape[0] + i]

    @wp.kernel(module="unique", enable_backward=False)
    def accept_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        inverse_masses: wp.array(dtype=real),
        inverse_inertias: wp.array(dtype=mat33),
        solution: wp.array(dtype=vec3),
        # outputs, accumulated
        forces: wp.array(dtype=vec3),
        torques: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        angular = solution[forces.shape[0] + i]
        pull, twist = heavier(rotations[i], inverse_masses[i], inverse_inertias[i], solution[i], angular)
        forces[i] = forces[i] + pull
        torques[i] = torques[i] + twist

    @wp.kernel(module="unique", enable_backward=False)
    def start_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        inverse_masses: wp.array(dtype=real),
        inverse_inertias: wp.array(dtype=mat33),
        residual: wp.array(dtype=vec3),
        # outputs: where to go first, residual times that, accumulated
        direction: wp.array(dtype=vec3),
        steepness: wp.array(dtype=wp.float64),
    ):
        i = wp.tid()
        j = rotations.shape[0] + i
        linear, angular = lighter(rotations[i], inverse_masses[i], inverse_inertias[i], residual[i], residual[j])
        direction[i] = linear
        direction[j] = angular
        wp.atomic_add(steepness, 0, product(residual[i], linear, residual[j], angular))

    @wp.kernel(module="unique", enable_backward=False)
    def largest_kernel(
        # inputs
        direction: wp.array(dtype=vec3),
        spacing: real,
        k: int,
        # outputs: the largest coordinate, angles as arcs between neighbors
        largest: wp.array(dtype=real),
    ):
        i = wp.tid()
        angular = spacing * wp.max(wp.abs(direction[direction.shape[0] // 2 + i]))
        wp.atomic_max(largest, k, wp.max(wp.max(wp.abs(direction[i])), angular))

    @wp.kernel(module="unique", enable_backward=False)
    def nudge_kernel(
        # inputs
        centers: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        velocities: wp.array(dtype=vec3),
        direction: wp.array(dtype=vec3),
        largest: wp.array(dtype=real),
        k: int,
        nudge: real,
        elapsed: real,
        # outputs
        new_centers: wp.array(dtype=vec3),
        new_rotations: wp.array(dtype=quat),
        new_velocities: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        step = nudge / wp.max(largest[k], real(1e-30))
        shift = step * direction[i]
        new_centers[i] = centers[i] + shift
        new_velocities[i] = velocities[i] + shift / elapsed
        new_rotations[i] = exp_map(step * direction[rotations.shape[0] + i]) * rotations[i]

    @wp.kernel(module="unique", enable_backward=False)
    def product_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        inverse_masses: wp.array(dtype=real),
        inverse_inertias: wp.array(dtype=mat33),
        direction: wp.array(dtype=vec3),
        ahead_forces: wp.array(dtype=vec3),
        ahead_torques: wp.array(dtype=vec3),
        behind_forces: wp.array(dtype=vec3),
        behind_torques: wp.array(dtype=vec3),
        largest: wp.array(dtype=real),
        k: int,
        nudge: real,
        drag: wp.array(dtype=real),
        dt: real,
        moved: real,
        # outputs: the matrix times the direction; the direction times that and times the mass alone, accumulated
        result: wp.array(dtype=vec3),
        curvature: wp.array(dtype=wp.float64),
        inertia: wp.array(dtype=wp.float64),
    ):
        i = wp.tid()
        j = rotations.shape[0] + i
        pull, twist = heavier(rotations[i], inverse_masses[i], inverse_inertias[i], direction[i], direction[j])
        wp.atomic_add(inertia, k, product(direction[i], pull, direction[j], twist))
        factor = moved * wp.exp(-drag[0] * dt) * largest[k] / (real(2.0) * nudge)
        pull = pull - factor * (ahead_forces[i] - behind_forces[i])
        twist = twist - factor * (ahead_torques[i] - behind_torques[i])
        result[i] = pull
        result[j] = twist
        wp.atomic_add(curvature, k, product(direction[i], pull, direction[j], twist))

    @wp.kernel(module="unique", enable_backward=False)
    def advance_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        inverse_masses: wp.array(dtype=real),
        inverse_inertias: wp.array(dtype=mat33),
        direction: wp.array(dtype=vec3),
        products: wp.array(dtype=vec3),
        k: int,
        curvature: wp.array(dtype=wp.float64),
        inertia: wp.array(dtype=wp.float64),
        # outputs, accumulated; steepness is read at k and summed up at k + 1
        solution: wp.array(dtype=vec3),
        residual: wp.array(dtype=vec3),
        steepness: wp.array(dtype=wp.float64),
    ):
        i = wp.tid()
        j = rotations.shape[0] + i
        # Less curved than by inertia alone: springs that are pressed together, or the noise of differences. What has
        # been found so far stands: without steepness nothing moves any more.
        if curvature[k] <= wp.float64(0.5) * inertia[k] or steepness[k] <= precise * steepness[0]:
            return
        length = real(steepness[k] / curvature[k])
        solution[i] = solution[i] + length * direction[i]
        solution[j] = solution[j] + length * direction[j]
        residual[i] = residual[i] - length * products[i]
        residual[j] = residual[j] - length * products[j]
        linear, angular = lighter(rotations[i], inverse_masses[i], inverse_inertias[i], residual[i], residual[j])
        wp.atomic_add(steepness, k + 1, product(residual[i], linear, residual[j], angular))

    @wp.kernel(module="unique", enable_backward=False)
    def turn_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        inverse_masses: wp.array(dtype=real),
        inverse_inertias: wp.array(dtype=mat33),
        residual: wp.array(dtype=vec3),
        k: int,
        steepness: wp.array(dtype=wp.float64),
        # outputs
        direction: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        j = rotations.shape[0] + i
        share = real(0.0)
        if steepness[k] > wp.float64(0.0):
            share = real(steepness[k + 1] / steepness[k])
        linear, angular = lighter(rotations[i], inverse_masses[i], inverse_inertias[i], residual[i], residual[j])
        direction[i] = linear + share * direction[i]
        direction[j] = angular + share * direction[j]

    return SimpleNamespace(
        blend=blend_kernel,
        residual=residual_kernel,
        way=way_kernel,
        extrapolate=extrapolate_kernel,
        weigh=weigh_kernel,
        split=split_kernel,
        accept=accept_kernel,
        start=start_kernel,
        largest=largest_kernel,
        nudge=nudge_kernel,
        product=product_kernel,
        advance=advance_kernel,
        turn=turn_kernel,
    )
