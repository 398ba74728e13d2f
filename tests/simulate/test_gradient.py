"""Gradients through sixty steps against finite differences, in float64 to 1e-6 and in float32 to 1e-3."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import warp as wp

from tests.simulate.worlds import ball_points, box_points, free_model, lattice, lattice_springs, let_go, solid_model
from warpgs.simulate import BackInTime, Model, Solid, State, World, mesh, plane

STEPS = 60


@dataclass(frozen=True)
class Case:
    """A world, where it starts, and which of its numbers matter to where it ends."""

    model: Callable[[], Model]
    centers: np.ndarray
    velocities: np.ndarray
    spins: np.ndarray | None
    dt: float
    numbers: dict[str, float]


@cache
def ball_and_floor() -> Model:
    ball = Solid.of(ball_points(0.1), 300.0)
    return solid_model([ball], colliders=(plane(),), restitution=0.7, friction=0.02)


@cache
def box_on_mesh() -> Model:
    floor = mesh(np.array([[-3.0, -3, 0], [3, -3, 0], [0, 5, 0]]), np.array([[0, 1, 2]]))
    return solid_model([Solid.of(box_points((0.3, 0.2, 0.1), 0.1), 300.0)], colliders=(floor,), friction=0.3)


POINTS = lattice((4, 3, 2), 0.05)


@cache
def jelly() -> Model:
    count = len(POINTS)
    return free_model(
        POINTS, 0.04, springs=lattice_springs(POINTS, 0.05), stiffness=2e4, damping_s=1e-3, friction=0.3,
        feeler_bodies=np.arange(count), feeler_offsets=np.zeros((count, 3)), feeler_radii=np.zeros(count),
        colliders=(plane(),), drag=0.3,
    )  # fmt: skip


WOBBLE = np.random.default_rng(1).normal(0, 0.2, POINTS.shape)
CASES = {
    "bounce": Case(
        model=ball_and_floor, centers=np.array([[0, 0, 0.25]]), velocities=np.array([[1.0, 0.3, -1.0]]),
        spins=np.array([[0.0, 1.0, 2.0]]), dt=1 / 480, numbers={"friction": 0.02, "restitution": 0.7},
    ),
    "slide": Case(
        model=box_on_mesh, centers=np.array([[0, 0, 0.0495]]), velocities=np.array([[1.0, 0.3, 0.0]]),
        spins=np.array([[0.0, 0.0, 2.0]]), dt=1 / 480, numbers={"friction": 0.3},
    ),
    "jelly": Case(
        model=jelly, centers=POINTS + np.array([0, 0, 0.003]), velocities=WOBBLE + np.array([0.5, 0, -0.3]),
        spins=None, dt=1 / 960, numbers={"friction": 0.3, "stiffness": 2e4, "damping_s": 1e-3, "drag": 0.3},
    ),
}  # fmt: skip
ARRAYS = {"damping_s": "damping"}


def final(case: Case, model: Model, velocities: np.ndarray, weights: np.ndarray) -> float:
    """The loss, in float64."""
    world = World(model, "cpu", wp.float64)
    start = world.start(case.centers, None, velocities, case.spins)
    return float((let_go(world, start, STEPS * case.dt, case.dt, every=STEPS)["centers"][-1] * weights).sum())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(wp.float64, 1e-6), (wp.float32, 1e-3)])
def test_gradient_through_time_matches_finite_differences(name, dtype, tolerance):
    case, model = CASES[name], CASES[name].model()
    rng = np.random.default_rng(0)
    weights, along = rng.normal(size=case.centers.shape), rng.normal(size=case.centers.shape)
    world = World(model, "cpu", dtype)

    def loss(step: int, state: State) -> float:
        if step < STEPS:
            return 0.0
        state.centers.grad.assign(state.centers.grad.numpy() + weights)
        return float((state.centers.numpy() * weights).sum())

    start = world.start(case.centers, None, case.velocities, case.spins)
    gradients = BackInTime(world, STEPS, case.dt).run(start, loss)
    assert gradients.loss == pytest.approx(final(case, model, case.velocities, weights), rel=1e-4)

    def slope(value: Callable[[float], float], eps: float) -> float:
        return (value(eps) - value(-eps)) / (2 * eps)

    expected = slope(lambda eps: final(case, model, case.velocities + eps * along, weights), 1e-6)
    assert (gradients.start["velocities"] * along).sum() == pytest.approx(expected, rel=tolerance)
    down = model.gravity[2]
    expected = slope(
        lambda eps: final(case, replace(model, gravity=(0.0, 0.0, down + eps)), case.velocities, weights), 1e-5
    )
    assert gradients.parameters["gravity"][0, 2] == pytest.approx(expected, rel=tolerance)
    for number, at in case.numbers.items():
        expected = slope(
            lambda eps, number=number, at=at: final(
                case, replace(model, **{number: at + at * eps}), case.velocities, weights
            ),
            1e-5,
        )
        found = at * gradients.parameters[ARRAYS.get(number, number)].sum()
        assert found == pytest.approx(expected, rel=tolerance), number
        assert abs(expected) > 1e-9, number  # a number that does not matter would prove nothing


def test_losses_along_the_way_add_up():
    """The gradient of the sum over all steps, stretches included, is the sum of the gradients."""
    case, model = CASES["bounce"], CASES["bounce"].model()
    world = World(model, "cpu", wp.float64)
    start = world.start(case.centers, None, case.velocities, case.spins)
    back = BackInTime(world, 10, case.dt)  # stretches of 4, 4 and 2

    def loss_at(steps: set[int]):
        def loss(step: int, state: State) -> float:
            if step in steps:
                state.centers.grad.assign(state.centers.grad.numpy() + 1.0)
                return float(state.centers.numpy().sum())
            return 0.0

        return loss

    whole = back.run(start, loss_at(set(range(1, 11))))
    single = [back.run(start, loss_at({step})) for step in range(1, 11)]
    np.testing.assert_allclose(whole.start["velocities"], sum(s.start["velocities"] for s in single), rtol=1e-12)
    np.testing.assert_allclose(
        whole.parameters["gravity"], sum(s.parameters["gravity"] for s in single), rtol=1e-12
    )  # fmt: skip
    assert whole.loss == pytest.approx(sum(s.loss for s in single))
    # in flight, the sum of centers moves by t for each unit of velocity
    np.testing.assert_allclose(whole.start["velocities"], case.dt * 55, rtol=1e-12)


def test_memory_grows_with_the_square_root_of_the_steps():
    world = World(jelly(), "cpu")
    few, many = BackInTime(world, 60, 1 / 480).bytes, BackInTime(world, 600, 1 / 480).bytes
    assert many < 1.1 * np.sqrt(10) * few
