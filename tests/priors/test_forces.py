"""Priors as forces: values, and gradients through them by poses and parameters."""

import numpy as np
import pytest
import warp as wp

from warpgs.priors import ContactPrior, ElasticPrior, Parameter, RigidityPrior, ShapeMatchingPrior, SpringPrior
from warpgs.priors.forces import Forces
from warpgs.priors.trial import Result, World

SCALE = 3.0


def make_priors(dtype, device):
    stiffness = Parameter.of(np.linspace(0.5, 2.0, 16), dtype=dtype, device=device)
    friction = Parameter.of(0.4, dtype=dtype, device=device)
    return [
        RigidityPrior(0.3),
        SpringPrior(2.0, stiffness),
        ElasticPrior(0.5),
        ShapeMatchingPrior(1.5),
        ContactPrior(1.0, friction=friction, creep_per_s=4.0),
    ], {"stiffness": stiffness, "friction": friction}


def pushed(world, dtype, device, *, differentiate=False):
    """A number made of all forces, and its gradients by poses and parameters."""
    priors, learned = make_priors(dtype, device)
    state, rest = world.upload(dtype, device)
    means, rotations = state.means, state.rotations
    forces, twists = wp.zeros_like(means, requires_grad=True), wp.zeros_like(rotations, requires_grad=True)
    means.requires_grad = rotations.requires_grad = True
    tape = wp.Tape() if differentiate else None
    Forces(priors, rest, scale=SCALE).accumulate(means, rotations, forces, twists, motion=state.motion, tape=tape)
    rng = np.random.default_rng(1)
    along = [rng.normal(size=forces.numpy().shape), rng.normal(size=twists.numpy().shape)]
    value = sum(float((a * b.numpy()).sum()) for a, b in zip(along, (forces, twists), strict=True))
    if not differentiate:
        return value
    forces.grad.assign(along[0])
    twists.grad.assign(along[1])
    tape.backward()
    gradients = {"means": means.grad.numpy(), "rotations": rotations.grad.numpy()}
    return value, gradients | {name: item.gradient.numpy() for name, item in learned.items()}


def test_forces_are_minus_the_gradients_of_the_priors_and_leave_parameters_alone(device):
    world = World.random()
    priors, learned = make_priors(wp.float64, device)
    state, rest = world.upload(wp.float64, device)
    forces, twists = wp.zeros_like(state.means), wp.zeros_like(state.rotations)
    push = Forces(priors, rest, scale=SCALE)
    for times in (1, 2):
        push.accumulate(state.means, state.rotations, forces, twists, motion=state.motion)
        results = [Result.of(prior, world, wp.float64, device) for prior in make_priors(wp.float64, device)[0]]
        expected = -times * SCALE * sum(result.adj_means for result in results)
        np.testing.assert_allclose(forces.numpy(), expected, rtol=0, atol=1e-12)
        expected = -times * SCALE * sum(result.adj_rotations for result in results)
        np.testing.assert_allclose(twists.numpy(), expected, rtol=0, atol=1e-12)
    assert not any(item.gradient.numpy().any() for item in learned.values())


@pytest.mark.parametrize(("dtype", "tolerance"), [(wp.float64, 1e-6), (wp.float32, 1e-3)])
def test_gradients_through_forces_match_finite_differences(dtype, tolerance, device):
    world, step = World.random(), 1e-5
    _, gradients = pushed(world, dtype, device, differentiate=True)
    rng = np.random.default_rng(2)
    for name, place in (("means", 0), ("rotations", 1)):
        direction = rng.normal(size=world.now[place].shape)
        values = []
        for sign in (1.0, -1.0):
            now = list(world.now)
            now[place] = now[place] + sign * step * direction
            values.append(pushed(World(**vars(world) | {"now": tuple(now)}), wp.float64, device))
        expected = (values[0] - values[1]) / (2.0 * step)
        assert (gradients[name] * direction).sum() == pytest.approx(expected, rel=tolerance)


def test_gradients_of_parameters_through_forces_match_what_doubles_with_them(device):
    """Forces are linear in stiffness and friction: the gradient times the parameter is their share of the value."""
    world = World.random()
    state, rest = world.upload(wp.float64, device)
    _, gradients = pushed(world, wp.float64, device, differentiate=True)
    rng = np.random.default_rng(1)
    along = rng.normal(size=(16, 3))
    priors, learned = make_priors(wp.float64, device)
    for prior, name in ((priors[1], "stiffness"), (priors[4], "friction")):
        values = []
        for factor in (1.0, 2.0):
            item = learned[name]
            item.values.assign(factor * item.values.numpy())
            forces, twists = wp.zeros_like(state.means), wp.zeros_like(state.rotations)
            push = Forces([prior], rest, scale=SCALE)
            push.accumulate(state.means, state.rotations, forces, twists, motion=state.motion)
            values.append((along * forces.numpy()).sum())
            item.values.assign(item.values.numpy() / factor)
        share = (gradients[name] * learned[name].values.numpy()).sum()
        assert share == pytest.approx(values[1] - values[0], rel=1e-6)


@wp.kernel
def step_kernel(
    means: wp.array(dtype=wp.vec3d), velocities: wp.array(dtype=wp.vec3d), forces: wp.array(dtype=wp.vec3d),
    step_s: wp.float64, new_means: wp.array(dtype=wp.vec3d), new_velocities: wp.array(dtype=wp.vec3d),
):  # fmt: skip
    i = wp.tid()
    velocity = velocities[i] + step_s * forces[i]
    new_velocities[i] = velocity
    new_means[i] = means[i] + step_s * velocity


def fly(velocities, stiffness, device, *, differentiate=False):
    """The first coordinate of the first particle after 60 steps under springs and elasticity, and its gradients."""
    state, rest = World.random().at_rest().upload(wp.float64, device)
    learned = Parameter.of(stiffness, dtype=wp.float64, device=device)
    push = Forces([SpringPrior(1.0, learned), ElasticPrior(2.0)], rest, scale=16.0)
    means = wp.clone(state.means, requires_grad=True)
    start = speed = wp.array(velocities, dtype=wp.vec3d, device=device, requires_grad=True)
    rotations = wp.clone(state.rotations, requires_grad=True)
    tape = wp.Tape()
    for _ in range(60):
        forces, twists = wp.zeros_like(means, requires_grad=True), wp.zeros_like(rotations, requires_grad=True)
        following = [wp.zeros_like(means, requires_grad=True) for _ in range(2)]
        push.accumulate(means, rotations, forces, twists, tape=tape if differentiate else None)
        with tape:
            wp.launch(step_kernel, 16, [means, speed, forces, 0.02], following, device=device)
        means, speed = following
    if not differentiate:
        return means.numpy()[0, 0]
    seed = np.zeros((16, 3))
    seed[0, 0] = 1.0
    tape.backward(grads={means: wp.array(seed, dtype=wp.vec3d, device=device)})
    return start.grad.numpy(), learned.gradient.numpy()[0]


def test_gradients_through_sixty_steps_match_finite_differences(device):
    rng = np.random.default_rng(3)
    velocities, direction, step = rng.normal(size=(16, 3)), rng.normal(size=(16, 3)), 1e-5
    by_velocity, by_stiffness = fly(velocities, 1.5, device, differentiate=True)
    ahead, behind = (fly(velocities + sign * step * direction, 1.5, device) for sign in (1.0, -1.0))
    assert (by_velocity * direction).sum() == pytest.approx((ahead - behind) / (2.0 * step), rel=1e-6)
    ahead, behind = (fly(velocities, 1.5 + sign * step, device) for sign in (1.0, -1.0))
    assert by_stiffness == pytest.approx((ahead - behind) / (2.0 * step), rel=1e-6)
