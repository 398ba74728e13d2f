"""Contact of bodies with colliders: impulses that stop, bounce and rub, and the push that undoes penetration.

Bodies touch with feelers: points, or balls of a radius, fixed on them. All contacts of a step are solved together by
sweeps in which each contact answers the velocities that the last sweep left, as the only one of as many equal shares of
its bodies as they have contacts (mass splitting, Tonge et al. 2012), a little ahead of where the last two sweeps have
brought it (Nesterov 1983; Mazhar et al. 2015); normal impulses only push, friction stays in Coulomb's cone. A single
contact is exact after the first sweep; contacts that last start from the impulses of the step before.

A bounce (Newton's restitution) is dated back to the instant of the impact: the body is put where it would be had it
bounced in time, so that neither the height of a bounce nor its gradient depends on the length of the steps.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.simulate.motion import body_funcs

RECOVERY = 0.6
"""Share of the penetration of resting contacts that a step undoes."""
SLOP_M = 1e-4
"""Penetration that is left alone [m], so that what rests keeps touching."""


@cache
def contact_kernels(dtype: type) -> SimpleNamespace:
    """The kernels for numbers of ``dtype``; the tape derives the adjoints of those that have one."""
    real = dtype
    vec3, quat, mat33 = wp.types.vector(3, dtype), wp.types.quaternion(dtype), wp.types.matrix((3, 3), dtype)
    funcs = body_funcs(dtype)
    turned, spin = funcs.turned, funcs.spin

    @wp.func
    def response(rotation: quat, inverse_inertia: mat33, inverse_mass: real, arm: vec3, along: vec3):
        """Change of a point's velocity along a direction per impulse along it [1/kg]."""
        lever = wp.cross(arm, along)
        return inverse_mass + wp.dot(lever, turned(rotation, inverse_inertia, lever))

    @wp.func
    def exchange(
        a: int,
        b: int,
        impulse: vec3,
        arm: vec3,
        other_arm: vec3,
        pulls: wp.array(dtype=vec3),
        twists: wp.array(dtype=vec3),
    ):
        """Add an impulse on body ``a`` to its sums, and the opposite one to those of ``b`` unless that is the world."""
        wp.atomic_add(pulls, a, impulse)
        wp.atomic_add(twists, a, wp.cross(arm, impulse))
        if b >= 0:
            wp.atomic_add(pulls, b, -impulse)
            wp.atomic_add(twists, b, -wp.cross(other_arm, impulse))

    @wp.kernel(module="unique")
    def aim_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        velocities: wp.array(dtype=vec3),
        momenta: wp.array(dtype=vec3),
        inverse_inertias: wp.array(dtype=mat33),
        driven: wp.array(dtype=wp.int32),
        pair_bodies: wp.array(dtype=wp.int32),
        pair_colliders: wp.array(dtype=wp.int32),
        collider_bodies: wp.array(dtype=wp.int32),
        depths: wp.array(dtype=real),
        normals: wp.array(dtype=vec3),
        arms: wp.array(dtype=vec3),
        other_arms: wp.array(dtype=vec3),
        restitution: wp.array(dtype=real),
        gravity: wp.array(dtype=vec3),
        resting_speed: real,
        dt: real,
        # outputs: speed along the normal to reach [m/s], distance to be pushed along it [m]
        goals: wp.array(dtype=real),
        pushes: wp.array(dtype=real),
    ):
        p = wp.tid()
        depth = depths[p]
        if depth <= real(0.0):
            return
        a = pair_bodies[p]
        b = collider_bodies[pair_colliders[p]]
        u = velocities[a] + wp.cross(spin(rotations[a], inverse_inertias[a], momenta[a], driven[a]), arms[p])
        bounce = restitution[a]
        if b >= 0:
            turn = spin(rotations[b], inverse_inertias[b], momenta[b], driven[b])
            u = u - velocities[b] - wp.cross(turn, other_arms[p])
            bounce = real(0.5) * (bounce + restitution[b])
        fall = real(0.0)
        if b < 0:
            fall = -wp.dot(gravity[0], normals[p])
        # Bodies stand at the middle of the step, without what half a step of gravity adds there; velocities at its end.
        approach = -wp.dot(u, normals[p]) - real(0.5) * fall * dt
        goal = real(0.0)
        push = real(RECOVERY) * wp.max(depth - real(SLOP_M), real(0.0))
        if approach > resting_speed:
            # since the impact: depth = approach t - fall t^2 / 2; what is deeper than a step makes has been so before
            deep = depth + real(0.125) * fall * dt * dt
            rest = wp.max(approach * approach - real(2.0) * fall * deep, real(0.0))
            since = wp.min(real(2.0) * deep / (approach + wp.sqrt(rest)), dt)
            at_impact = approach - fall * since
            goal = bounce * at_impact - fall * (since + real(0.5) * dt)
            fresh = at_impact * since + real(0.5) * fall * since * since
            push = fresh + bounce * at_impact * since - real(0.5) * fall * since * since
            push += real(RECOVERY) * wp.max(deep - fresh - real(SLOP_M), real(0.0))
        goals[p] = goal
        pushes[p] = push

    @wp.kernel(module="unique")
    def recall_kernel(
        # inputs
        pair_bodies: wp.array(dtype=wp.int32),
        pair_colliders: wp.array(dtype=wp.int32),
        collider_bodies: wp.array(dtype=wp.int32),
        depths: wp.array(dtype=real),
        arms: wp.array(dtype=vec3),
        other_arms: wp.array(dtype=vec3),
        impulses: wp.array(dtype=vec3),
        # outputs
        new_impulses: wp.array(dtype=vec3),
        new_pulls: wp.array(dtype=vec3),
        new_twists: wp.array(dtype=vec3),
    ):
        p = wp.tid()
        if depths[p] <= real(0.0):
            return
        a = pair_bodies[p]
        b = collider_bodies[pair_colliders[p]]
        impulse = impulses[p]
        new_impulses[p] = impulse
        exchange(a, b, impulse, arms[p], other_arms[p], new_pulls, new_twists)

    @wp.kernel(module="unique")
    def sweep_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        velocities: wp.array(dtype=vec3),
        momenta: wp.array(dtype=vec3),
        inverse_masses: wp.array(dtype=real),
        inverse_inertias: wp.array(dtype=mat33),
        driven: wp.array(dtype=wp.int32),
        pair_bodies: wp.array(dtype=wp.int32),
        pair_colliders: wp.array(dtype=wp.int32),
        collider_bodies: wp.array(dtype=wp.int32),
        depths: wp.array(dtype=real),
        normals: wp.array(dtype=vec3),
        arms: wp.array(dtype=vec3),
        other_arms: wp.array(dtype=vec3),
        goals: wp.array(dtype=real),
        counts: wp.array(dtype=real),
        friction: wp.array(dtype=real),
        impulses: wp.array(dtype=vec3),
        pulls: wp.array(dtype=vec3),
        twists: wp.array(dtype=vec3),
        last_impulses: wp.array(dtype=vec3),
        last_pulls: wp.array(dtype=vec3),
        last_twists: wp.array(dtype=vec3),
        ahead: real,
        # outputs: impulse of each contact [kg m/s], and their sums for each body
        new_impulses: wp.array(dtype=vec3),
        new_pulls: wp.array(dtype=vec3),
        new_twists: wp.array(dtype=vec3),
    ):
        p = wp.tid()
        if depths[p] <= real(0.0):
            return
        a = pair_bodies[p]
        b = collider_bodies[pair_colliders[p]]
        n = normals[p]
        arm = arms[p]
        pull = pulls[a] + ahead * (pulls[a] - last_pulls[a])
        twist = twists[a] + ahead * (twists[a] - last_twists[a])
        omega = spin(rotations[a], inverse_inertias[a], momenta[a] + twist, driven[a])
        u = velocities[a] + inverse_masses[a] * pull + wp.cross(omega, arm)
        mu = friction[a]
        light = counts[a] * response(rotations[a], inverse_inertias[a], inverse_masses[a], arm, n)
        if b >= 0:
            other_pull = pulls[b] + ahead * (pulls[b] - last_pulls[b])
            other_twist = twists[b] + ahead * (twists[b] - last_twists[b])
            other_omega = spin(rotations[b], inverse_inertias[b], momenta[b] + other_twist, driven[b])
            u = u - velocities[b] - inverse_masses[b] * other_pull - wp.cross(other_omega, other_arms[p])
            light = light + counts[b] * response(
                rotations[b], inverse_inertias[b], inverse_masses[b], other_arms[p], n
            )  # fmt: skip
            mu = real(0.5) * (mu + friction[b])
        speed = wp.dot(u, n)
        old = impulses[p] + ahead * (impulses[p] - last_impulses[p])
        old_push = wp.dot(old, n)
        push = wp.max(old_push + (goals[p] - speed) / light, real(0.0))
        across = u - speed * n
        rub = old - old_push * n
        sliding = wp.length(across)
        if sliding > real(1e-9):
            along = across / sliding
            light_across = counts[a] * response(
                rotations[a], inverse_inertias[a], inverse_masses[a], arm, along
            )  # fmt: skip
            if b >= 0:
                light_across = light_across + counts[b] * response(
                    rotations[b], inverse_inertias[b], inverse_masses[b], other_arms[p], along
                )
            rub = rub - across / light_across
        most = mu * push
        size = wp.length(rub)
        if size > most:
            rub = rub * (most / size)
        impulse = push * n + rub
        new_impulses[p] = impulse
        exchange(a, b, impulse, arm, other_arms[p], new_pulls, new_twists)

    @wp.kernel(module="unique")
    def push_kernel(
        # inputs
        rotations: wp.array(dtype=quat),
        inverse_masses: wp.array(dtype=real),
        inverse_inertias: wp.array(dtype=mat33),
        pair_bodies: wp.array(dtype=wp.int32),
        pair_colliders: wp.array(dtype=wp.int32),
        collider_bodies: wp.array(dtype=wp.int32),
        depths: wp.array(dtype=real),
        normals: wp.array(dtype=vec3),
        arms: wp.array(dtype=vec3),
        other_arms: wp.array(dtype=vec3),
        pushes: wp.array(dtype=real),
        counts: wp.array(dtype=real),
        impulses: wp.array(dtype=vec3),
        # outputs: what the next step starts from; displacement [m] and rotation vector [rad] of each body, accumulated
        kept_impulses: wp.array(dtype=vec3),
        shifts: wp.array(dtype=vec3),
        turns: wp.array(dtype=vec3),
    ):
        p = wp.tid()
        if depths[p] <= real(0.0):
            kept_impulses[p] = vec3(real(0.0), real(0.0), real(0.0))
            return
        kept_impulses[p] = impulses[p]
        a = pair_bodies[p]
        b = collider_bodies[pair_colliders[p]]
        n = normals[p]
        light = counts[a] * response(rotations[a], inverse_inertias[a], inverse_masses[a], arms[p], n)
        if b >= 0:
            light = light + counts[b] * response(
                rotations[b], inverse_inertias[b], inverse_masses[b], other_arms[p], n
            )  # fmt: skip
        push = pushes[p] / light * n
        wp.atomic_add(shifts, a, inverse_masses[a] * push)
        wp.atomic_add(turns, a, turned(rotations[a], inverse_inertias[a], wp.cross(arms[p], push)))
        if b >= 0:
            wp.atomic_add(shifts, b, -inverse_masses[b] * push)
            wp.atomic_add(turns, b, -turned(rotations[b], inverse_inertias[b], wp.cross(other_arms[p], push)))

    @wp.kernel(module="unique")
    def settle_kernel(
        # inputs
        centers: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        velocities: wp.array(dtype=vec3),
        momenta: wp.array(dtype=vec3),
        inverse_masses: wp.array(dtype=real),
        driven: wp.array(dtype=wp.int32),
        pulls: wp.array(dtype=vec3),
        twists: wp.array(dtype=vec3),
        shifts: wp.array(dtype=vec3),
        turns: wp.array(dtype=vec3),
        # outputs
        new_centers: wp.array(dtype=vec3),
        new_rotations: wp.array(dtype=quat),
        new_velocities: wp.array(dtype=vec3),
        new_momenta: wp.array(dtype=vec3),
    ):
        i = wp.tid()
        new_centers[i] = centers[i] + shifts[i]
        new_velocities[i] = velocities[i] + inverse_masses[i] * pulls[i]
        momentum = momenta[i]
        if driven[i] < 0:
            momentum = momentum + twists[i]
        new_momenta[i] = momentum
        turn = real(0.5) * turns[i]
        new_rotations[i] = wp.normalize(quat(turn[0], turn[1], turn[2], real(1.0)) * rotations[i])

    return SimpleNamespace(
        aim=aim_kernel,
        recall=recall_kernel,
        sweep=sweep_kernel,
        push=push_kernel,
        settle=settle_kernel,
    )
