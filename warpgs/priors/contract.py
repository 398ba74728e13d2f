"""The promises of a prior, tested: one function for the priors of this package and for those of users.

from warpgs.priors.contract import check

def test_my_prior():
    check(MyPrior)
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from warpgs.checks import sentence
from warpgs.priors.base import Prior, parameters
from warpgs.priors.trial import Result, World
from warpgs.similarity import Similarity

ANYWHERE = ((1.0, -2.0, 0.7), (0.4, -3.0, 1.3))
ON_THE_FLOOR = ((0.0, 0.0, 2.0), (0.4, -3.0, 0.0))
"""Rotation vector [rad] and translation [m] of a rigid motion; the latter leaves the plane z = 0 where it is."""
STEP = {wp.float64: 1e-6, wp.float32: 2e-3}
"""Of finite differences."""


class BrokenPromise(AssertionError):
    """A prior that breaks the contract."""


def check(
    make: Callable[..., Prior],
    *,
    motion: tuple[tuple[float, ...], tuple[float, ...]] | None = ANYWHERE,
    any_frame: bool = True,
    dtype: type = wp.float64,
    device: wp.DeviceLike = "cpu",
    seed: int = 0,
) -> None:
    """Hold a prior to the contract of ``warpgs.priors.base``.

    Args:
        make: The prior's class, or whatever makes it from ``weight=``. Particles of the test are about half a
            meter apart, 0.2 to 1.7 m above the plane z = 0 at rest, and partly below it after that.
        motion: Rotation vector and translation under which the prior must not change; ANYWHERE, ON_THE_FLOOR, your own,
            or None where it may.
        any_frame: Whether it must not change either when numbers are held in another frame and unit than the scene's.
        dtype: wp.float32 for priors that know no other.
        device: Where.
        seed: Of the random particles.

    Raises:
        BrokenPromise: with the promise that does not hold.
    """
    world = World.random(seed=seed)
    once = Result.of(make(weight=2.5), world, dtype, device)
    fine, fair = (1e-11, 1e-9) if dtype is wp.float64 else (1e-4, 1e-4)

    def promise(holds: str, other: Result, expected: Result = once, tolerance: float = fair) -> None:
        broken = other.differs(expected, tolerance)
        if broken:
            raise BrokenPromise(sentence(_name(make), holds, broken))

    def result(changed: World, weight: float = 2.5, number: type = dtype) -> Result:
        return Result.of(make(weight=weight), changed, number, device)

    _check_rest(make, world, dtype, device)
    thrice = Result(3 * once.value, 3 * once.adj_means, 3 * once.adj_rotations, _times(once.adj_parameters, 3))
    promise("linear in its weight", result(world, 7.5), thrice, fine)
    nothing = Result(0.0, 0 * once.adj_means, 0 * once.adj_rotations, _times(once.adj_parameters, 0))
    promise("zero where its weight is", result(world, 0.0), nothing)
    _check_gradient(make, world, once, dtype, device)
    if motion is not None:
        turn, shift = Rotation.from_rotvec(motion[0]), np.array(motion[1])
        moved = result(world.moved(Similarity(1.0, turn.as_matrix(), shift)))
        promise("unchanged by a rigid motion of the world", _turned_back(moved, turn), _without_rotations(once))
    if any_frame:
        turn, shift = Rotation.from_rotvec(ANYWHERE[0]), np.array(ANYWHERE[1])
        frame = Similarity(20.0, turn.as_matrix(), shift)
        held = result(replace(world.moved(frame), world_from_rest=frame.inverse()))
        held = replace(_turned_back(held, turn), adj_means=frame.scale * _turned_back(held, turn).adj_means)
        promise("the same in any frame and unit that rest.world_from_rest tells", held, _without_rotations(once))
    _check_order(make, world, once, dtype, device)
    factors = np.random.default_rng(seed).choice([-2.0, -0.5, 0.5, 2.0], (len(world.parts), 1))
    scaled = result(replace(world, now=(world.now[0], world.now[1] * factors)))
    promise("blind to length and sign of quaternions", replace(scaled, adj_rotations=scaled.adj_rotations * factors))
    _check_sums(make, world, once, dtype, device)
    _check_extremes(make, world, dtype, device)
    if dtype is wp.float64 and not once.adj_parameters:  # whose arrays are of one type
        promise("the same in float32", result(world, number=wp.float32), tolerance=1e-3)


def _check_rest(make: Callable[..., Prior], world: World, dtype: type, device: wp.DeviceLike) -> None:
    resting = Result.of(make(weight=1.0), world.at_rest(), dtype, device)
    if not abs(resting.value) < (1e-12 if dtype is wp.float64 else 1e-5):
        raise BrokenPromise(sentence(_name(make), "zero at rest", resting.value))


def _check_gradient(
    make: Callable[..., Prior], world: World, once: Result, dtype: type, device: wp.DeviceLike
) -> None:  # fmt: skip
    """The gradient by poses and parameters against central differences."""
    step, tolerance = STEP[dtype], 1e-7 if dtype is wp.float64 else 3e-2
    state, rest = world.upload(dtype, device)
    loss = wp.zeros(1, dtype=wp.float64, device=device)
    prior = make(weight=2.5)
    learned = parameters(prior)
    expected = {"means": once.adj_means, "rotations": once.adj_rotations} | once.adj_parameters
    varied = {"means": state.means, "rotations": state.rotations} | {n: p.values for n, p in learned.items()}
    largest = max(np.abs(gradient).max(initial=0.0) for gradient in (once.adj_means, once.adj_rotations))
    if not largest > 1e-6:
        raise BrokenPromise(sentence(_name(make), "at work on disturbed particles", f"no gradient over {largest:.3g}"))
    for name, array in varied.items():
        start = array.numpy().astype(np.float64)
        differences = np.zeros_like(start)
        for index in np.ndindex(start.shape):
            values = []
            for sign in (1.0, -1.0):
                nudged = start.copy()
                nudged[index] += sign * step
                array.assign(nudged)
                loss.zero_()
                prior.accumulate(state, rest, loss)
                values.append(float(loss.numpy()[0]))
            differences[index] = (values[0] - values[1]) / (2.0 * step)
        array.assign(start)
        error = np.abs(expected[name] - differences).max(initial=0.0)
        if not error <= tolerance * max(np.abs(differences).max(initial=0.0), largest):
            what = sentence(_name(make), f"a gradient of {name} like finite differences", f"an error of {error:.3g}")
            raise BrokenPromise(what)


def _check_order(
    make: Callable[..., Prior], world: World, once: Result, dtype: type, device: wp.DeviceLike
) -> None:  # fmt: skip
    order = np.random.default_rng(5).permutation(len(world.parts))
    prior = make(weight=2.5)
    for item in parameters(prior).values():
        if item.values.size > 1:
            item.values.assign(item.values.numpy()[order])
    other = Result.of(prior, world.permuted(order), dtype, device)
    adjoints = {name: a[order] if len(a) > 1 else a for name, a in once.adj_parameters.items()}
    expected = Result(once.value, once.adj_means[order], once.adj_rotations[order], adjoints)
    broken = other.differs(expected, 1e-9 if dtype is wp.float64 else 1e-4)
    if broken:
        raise BrokenPromise(sentence(_name(make), "the same for particles in another order", broken))


def _check_sums(
    make: Callable[..., Prior], world: World, once: Result, dtype: type, device: wp.DeviceLike
) -> None:  # fmt: skip
    """Called twice and replayed once it gives three times as much: nothing is overwritten, allocated or left over."""
    device = wp.get_device(device)
    state, rest = world.upload(dtype, device)
    loss, prior = wp.zeros(1, dtype=wp.float64, device=device), make(weight=2.5)
    for item in parameters(prior).values():
        item.gradient.zero_()
    for _ in range(2):
        prior.accumulate(state, rest, loss)
    with wp.ScopedCapture(device=device) as capture:
        prior.accumulate(state, rest, loss)
    wp.capture_launch(capture.graph)
    adjoints = {name: item.gradient.numpy() / 3.0 for name, item in parameters(prior).items()}
    third = Result(float(loss.numpy()[0]) / 3, state.adj_means.numpy() / 3, state.adj_rotations.numpy() / 3, adjoints)
    broken = third.differs(once, 1e-9 if dtype is wp.float64 else 1e-4)
    if broken:
        raise BrokenPromise(sentence(_name(make), "three times as much from two calls and a replay", broken))


def _check_extremes(make: Callable[..., Prior], world: World, dtype: type, device: wp.DeviceLike) -> None:
    count = len(world.parts)
    one = np.tile([0.5, 0.5, -0.5], (count, 1)), np.tile([0.0, 0.0, 0.0, 1.0], (count, 1))
    for collapsed in (world.each(lambda _: one), replace(world, now=one)):
        result = Result.of(make(weight=1.0), collapsed, dtype, device)
        if not (np.isfinite(result.value) and np.isfinite(result.adj_means).all()):
            raise BrokenPromise(sentence(_name(make), "finite numbers where all particles coincide", result.value))
    none = replace(
        world.each(lambda _: (np.zeros((0, 3)), np.zeros((0, 4)))),
        neighbors=np.zeros((0, world.neighbors.shape[1]), int),
        parts=np.zeros(0, int),
        scales=np.zeros((0, 3)),
    )
    if not parameters(make(weight=1.0)) and Result.of(make(weight=1.0), none, dtype, device).value != 0.0:
        raise BrokenPromise(sentence(_name(make), "zero for no particles", "another value"))


def _turned_back(result: Result, turn: Rotation) -> Result:
    return _without_rotations(replace(result, adj_means=turn.inv().apply(result.adj_means)))


def _without_rotations(result: Result) -> Result:
    return replace(result, adj_rotations=np.zeros((0, 4)))


def _times(gradients: dict[str, np.ndarray], factor: float) -> dict[str, np.ndarray]:
    return {name: factor * gradient for name, gradient in gradients.items()}


def _name(make: Callable[..., Prior]) -> str:
    return getattr(make, "__name__", repr(make))
