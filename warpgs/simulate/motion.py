"""Bodies in flight: drift, kick, drift (position Verlet). Second order, symplectic; free fall and momenta are exact.
What a contact holds at rest does not creep, since it is held between kick and drift.

The turning of a rigid body keeps its angular momentum by construction, which is the state; its angular velocity halfway
through the step turns it (midpoint).
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.math.rotation import rotation_funcs


@cache
def body_funcs(dtype: type) -> SimpleNamespace:
    """Functions on bodies.

    - ``turned(rotation, matrix, vector)``: R M R^T v, a tensor of the body's frame applied in the world.
    - ``spin(rotation, inverse_inertia, momentum, driven)``: angular velocity [rad/s], world frame.
    """
    vec3, quat, mat33 = wp.types.vector(3, dtype), wp.types.quaternion(dtype), wp.types.matrix((3, 3), dtype)

    @wp.func
    def turned(rotation: quat, matrix: mat33, vector: vec3):
        return wp.quat_rotate(rotation, matrix * wp.quat_rotate_inv(rotation, vector))

    @wp.func
    def spin(rotation: quat, inverse_inertia: mat33, momentum: vec3, driven: int):
        omega = turned(rotation, inverse_inertia, momentum)
        if driven >= 0:
            omega = momentum
        return omega

    return SimpleNamespace(turned=turned, spin=spin)


@cache
def motion_kernels(dtype: type) -> SimpleNamespace:
    """The kernels of flight, for numbers of ``dtype``; the tape derives their adjoints."""
    real = dtype
    vec3, quat, mat33 = wp.types.vector(3, dtype), wp.types.quaternion(dtype), wp.types.matrix((3, 3), dtype)
    exp_map = rotation_funcs(dtype).exp_map
    turned, spin = body_funcs(dtype).turned, body_funcs(dtype).spin

    @wp.func
    def acceleration(force: vec3, inverse_mass: real, gravity: vec3):
        fall = gravity
        if inverse_mass == real(0.0):
            fall = vec3(real(0.0), real(0.0), real(0.0))
        return fall + force * inverse_mass

    @wp.func
    def slerp(a: quat, b: quat, share: real):
        # The shorter way round: q and -q are one rotation.
        nearer = b * wp.where(wp.dot(a, b) < real(0.0), real(-1.0), real(1.0))
        angle = wp.acos(wp.clamp(wp.dot(a, nearer), real(-1.0), real(1.0)))
        blend = a * (real(1.0) - share) + nearer * share
        if angle > real(1e-3):
            blend = (a * wp.sin((real(1.0) - share) * angle) + nearer * wp.sin(share * angle)) / wp.sin(angle)
        return wp.normalize(blend)

    @wp.kernel(module="unique")
    def drift_kernel(
        # inputs
        centers: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        velocities: wp.array(dtype=vec3),
        momenta: wp.array(dtype=vec3),
        inverse_inertias: wp.array(dtype=mat33),
        driven: wp.array(dtype=wp.int32),
        dt: real,
        # outputs
        new_centers: wp.array(dtype=vec3),
        new_rotations: wp.array(dtype=quat),
    ):
        i = wp.tid()
        if driven[i] >= 0:
            return
        new_centers[i] = centers[i] + dt * velocities[i]
        rotation = rotations[i]
        if wp.ddot(inverse_inertias[i], inverse_inertias[i]) == real(0.0):  # a free particle
            new_rotations[i] = rotation
            return
        halfway = exp_map(real(0.5) * dt * turned(rotation, inverse_inertias[i], momenta[i])) * rotation
        new_rotations[i] = wp.normalize(exp_map(dt * turned(halfway, inverse_inertias[i], momenta[i])) * rotation)

    @wp.kernel(module="unique", enable_backward=False)
    def drive_kernel(
        # inputs
        driven_bodies: wp.array(dtype=wp.int32),
        path_centers: wp.array2d(dtype=vec3),
        path_rotations: wp.array2d(dtype=quat),
        instant: int,
        share: real,
        rate: real,
        # outputs
        new_centers: wp.array(dtype=vec3),
        new_rotations: wp.array(dtype=quat),
        new_velocities: wp.array(dtype=vec3),
        new_momenta: wp.array(dtype=vec3),
    ):
        d = wp.tid()
        i = driven_bodies[d]
        last = path_centers.shape[0] - 1
        before, after = wp.min(instant, last), wp.min(instant + 1, last)
        shift = path_centers[after, d] - path_centers[before, d]
        new_centers[i] = path_centers[before, d] + share * shift
        new_velocities[i] = rate * shift
        new_rotations[i] = slerp(path_rotations[before, d], path_rotations[after, d], share)
        turn = path_rotations[after, d] * wp.quat_inverse(path_rotations[before, d])
        turn = turn * wp.where(turn[3] < real(0.0), real(-1.0), real(1.0))
        axis = vec3(turn[0], turn[1], turn[2])
        sine = wp.length(axis)
        factor = real(2.0)  # angle / sin(angle / 2) where both vanish
        if sine > real(1e-6):
            factor = real(2.0) * wp.atan2(sine, turn[3]) / sine
        new_momenta[i] = rate * factor * axis

    @wp.kernel(module="unique")
    def kick_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        velocities: wp.array(dtype=vec3),
        momenta: wp.array(dtype=vec3),
        forces: wp.array(dtype=vec3),
        torques: wp.array(dtype=vec3),
        inverse_masses: wp.array(dtype=real),
        levers: wp.array(dtype=vec3),
        driven: wp.array(dtype=wp.int32),
        gravity: wp.array(dtype=vec3),
        drag: wp.array(dtype=real),
        dt: real,
        # outputs
        new_velocities: wp.array(dtype=vec3),
        new_momenta: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        if driven[i] >= 0:
            return
        slower = wp.exp(-drag[0] * dt)
        new_velocities[i] = slower * (velocities[i] + dt * acceleration(forces[i], inverse_masses[i], gravity[0]))
        weight = wp.cross(wp.quat_rotate(rotations[i], levers[i]), gravity[0])
        new_momenta[i] = slower * (momenta[i] + dt * (torques[i] + weight))

    @wp.kernel(module="unique")
    def pose_kernel(
        # inputs
        centers: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        bodies: wp.array(dtype=wp.int32),
        offsets: wp.array(dtype=vec3),
        # outputs
        positions: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        body = bodies[i]
        positions[i] = centers[body] + wp.quat_rotate(rotations[body], offsets[i])

    @wp.kernel(module="unique")
    def velocity_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        velocities: wp.array(dtype=vec3),
        momenta: wp.array(dtype=vec3),
        inverse_inertias: wp.array(dtype=mat33),
        driven: wp.array(dtype=wp.int32),
        bodies: wp.array(dtype=wp.int32),
        offsets: wp.array(dtype=vec3),
        # outputs
        particle_velocities: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        b = bodies[i]
        velocity = velocities[b]
        if wp.length_sq(offsets[i]) > real(0.0):
            arm = wp.quat_rotate(rotations[b], offsets[i])
            velocity = velocity + wp.cross(spin(rotations[b], inverse_inertias[b], momenta[b], driven[b]), arm)
        particle_velocities[i] = velocity

    @wp.kernel(module="unique")
    def gather_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        bodies: wp.array(dtype=wp.int32),
        offsets: wp.array(dtype=vec3),
        particle_forces: wp.array(dtype=vec3),
        # outputs, accumulated
        forces: wp.array(dtype=vec3),
        torques: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        body = bodies[i]
        wp.atomic_add(forces, body, particle_forces[i])
        if wp.length_sq(offsets[i]) > real(0.0):
            arm = wp.quat_rotate(rotations[body], offsets[i])
            wp.atomic_add(torques, body, wp.cross(arm, particle_forces[i]))

    @wp.kernel(module="unique")
    def attitude_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        bodies: wp.array(dtype=wp.int32),
        turns: wp.array(dtype=quat),
        # outputs
        attitudes: wp.array(dtype=quat),
    ):
        i = wp.tid()
        attitudes[i] = rotations[bodies[i]] * turns[i]

    @wp.kernel(module="unique")
    def gather_energy_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        bodies: wp.array(dtype=wp.int32),
        offsets: wp.array(dtype=vec3),
        attitudes: wp.array(dtype=quat),
        particle_forces: wp.array(dtype=vec3),
        particle_twists: wp.array(dtype=quat),
        stiffness: wp.array(dtype=real),
        # outputs, accumulated
        forces: wp.array(dtype=vec3),
        torques: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        body = bodies[i]
        force = stiffness[0] * particle_forces[i]
        wp.atomic_add(forces, body, force)
        # a small rotation vector v moves q by (v / 2, 0) q, and multiplying by q^-1 is the adjoint of that by q
        twist = particle_twists[i] * wp.quat_inverse(attitudes[i])
        torque = real(0.5) * stiffness[0] * vec3(twist[0], twist[1], twist[2])
        arm = wp.quat_rotate(rotations[body], offsets[i])
        wp.atomic_add(torques, body, torque + wp.cross(arm, force))

    return SimpleNamespace(
        drift=drift_kernel,
        drive=drive_kernel,
        kick=kick_kernel,
        pose=pose_kernel,
        velocity=velocity_kernel,
        gather=gather_kernel,
        attitude=attitude_kernel,
        gather_energy=gather_energy_kernel,
    )
