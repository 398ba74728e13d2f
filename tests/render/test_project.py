"""The projection of eight particles at a time, against its twin of one at a time and against the oracle."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import warp as wp
from numpy.random import default_rng

from tests.render.worlds import (
    WORLDS,
    Driver,
    World,
    fine,
    look_at,
    parallel,
    random_parameters,
    rolled,
    to_numpy,
    with_more,
)
from warpgs.math.lanes import LANES, LOGARITHMS, lanes
from warpgs.render.channels import CHANNELS
from warpgs.render.project import project, project_adjoint
from warpgs.render.project_cpu import BLOCK
from warpgs.render.shade import GRADIENT, HIDDEN_DEPTH, RECORD

LANES_DRIVER = Driver("cpu", portable=False)
TOLERANCE = {wp.float32: 2e-4, wp.float64: 1e-11}
"""Relative, where long thin splats amplify rounding."""
DTYPES = pytest.mark.parametrize("dtype", [wp.float32, wp.float64])
Splats = tuple[np.ndarray, np.ndarray, np.ndarray]


def crowd() -> World:
    """More than a thread takes, not a multiple of eight."""
    return World(random_parameters(11, BLOCK + 2 * 8 + 3, spread=1.5), rolled().camera)


ALL = WORLDS | {
    "crowd": crowd,
    "antialiased": fine,
    "parallel": lambda: parallel(rolled()),
    "fine parallel": lambda: parallel(fine()),
    "features": lambda: with_more(rolled(), features=3),
}


@pytest.fixture(params=ALL)
def build(request) -> Callable[[], World]:
    return ALL[request.param]


def splats(world: World, channels: tuple[str, ...], dtype: type, *, portable: bool) -> Splats:
    """Records, depth keys and order."""
    particles, features = LANES_DRIVER.particles(world, dtype), LANES_DRIVER.features(world, dtype)
    features = wp.zeros((0, 0), dtype=dtype, device="cpu") if features is None else features
    count = len(particles)
    records = wp.full((count, RECORD + len(channels) + features.shape[1]), np.nan, dtype=dtype, device="cpu")
    keys, order = (wp.full(count, -7, dtype=wp.int32, device="cpu") for _ in range(2))
    views = LANES_DRIVER.views(world, dtype), LANES_DRIVER.first_view()
    options = {"antialiased": world.antialiased, "portable": portable}
    project(particles, features, channels, *views, records, keys, order, **options)
    return records.numpy(), keys.numpy(), order.numpy()


def gradients(
    world: World,
    channels: tuple[str, ...],
    dtype: type,
    records: np.ndarray,
    *,
    portable: bool,
    count: int | None = None,
) -> dict[str, np.ndarray]:
    """Of a random gradient of ``records``, added to ones."""
    rng = default_rng(1)
    particles, features = LANES_DRIVER.particles(world, dtype), LANES_DRIVER.features(world, dtype)
    width = records.shape[1] - RECORD + GRADIENT
    adj_records, adj_depths = rng.normal(size=(len(records), width)), rng.normal(size=len(records))
    adj = [wp.array(array, dtype=dtype, device="cpu") for array in (records, adj_records, adj_depths)]
    found = particles.zeros_like(count)
    for array in found.named().values():
        array.fill_(1.0)
    shape = (0, 0) if features is None else features.shape
    adj_features, no_poses = wp.ones(shape, dtype=dtype, device="cpu"), wp.zeros((0, 6), dtype=wp.float64, device="cpu")
    views = LANES_DRIVER.views(world, dtype), LANES_DRIVER.first_view()
    options = {"antialiased": world.antialiased, "portable": portable}
    project_adjoint(particles, channels, *views, *adj, found, adj_features, no_poses, **options)
    return to_numpy(found) | {"features": adj_features.numpy()}


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
    """Row by row, relative to the largest number of the row."""
    found, expected = (array.reshape(len(array), -1) for array in (found, expected))
    scale = np.maximum(np.abs(expected).max(axis=1, initial=0.0, keepdims=True), 1.0)
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0.0, atol=tolerance, err_msg=what)


@DTYPES
def test_lanes_write_the_splats_of_single_particles(dtype, build):
    world = build()
    found, keys, order = splats(world, CHANNELS[:6], dtype, portable=False)
    expected, expected_keys, expected_order = splats(world, CHANNELS[:6], dtype, portable=True)
    drawn = expected[:, 6] >= 0.0
    assert drawn.sum() > 10
    np.testing.assert_array_equal(found[:, 6] >= 0.0, drawn)
    np.testing.assert_array_equal(order, expected_order)
    np.testing.assert_array_equal(keys[~drawn], HIDDEN_DEPTH)
    apart = np.abs(keys[drawn].astype(np.int64) - expected_keys[drawn])
    assert apart.max() <= (4 if dtype is wp.float32 else 1)
    for columns in (slice(0, 2), slice(2, 5), slice(5, 9), slice(9, None)):
        assert_close(found[drawn, columns], expected[drawn, columns], TOLERANCE[dtype], str(columns))


@DTYPES
def test_lanes_give_the_gradients_of_single_particles(dtype, build):
    world = build()
    records, *_ = splats(world, CHANNELS[:6], dtype, portable=True)
    expected = gradients(world, CHANNELS[:6], dtype, records, portable=True)
    for name, gradient in gradients(world, CHANNELS[:6], dtype, records, portable=False).items():
        if gradient.size:
            assert np.abs(expected[name] - 1.0).max() > 0.1
            assert_close(gradient, expected[name], TOLERANCE[dtype], name)
            np.testing.assert_array_equal(gradient[records[:, 6] < 0.0], 1.0)


@DTYPES
@pytest.mark.parametrize(
    ("channels", "features"), [((), 1), (("depth",), 0), (("background",), 12), (("blue", "depth", "red"), 2)]
)
def test_lanes_know_any_of_their_channels(channels, features, dtype):
    world = with_more(rolled(), features=features)
    records, *_ = splats(world, channels, dtype, portable=True)
    found, *_ = splats(world, channels, dtype, portable=False)
    drawn = records[:, 6] >= 0.0
    assert_close(found[drawn], records[drawn], TOLERANCE[dtype], "records")
    expected = gradients(world, channels, dtype, records, portable=True)
    for name, gradient in gradients(world, channels, dtype, records, portable=False).items():
        if gradient.size:
            assert_close(gradient, expected[name], TOLERANCE[dtype], name)


@DTYPES
def test_the_bits_of_a_particle_do_not_depend_on_its_lane(dtype, build):
    world = build()
    count = len(world.parameters["means"])
    records, keys, _ = splats(world, CHANNELS[:4], dtype, portable=False)
    full = gradients(world, CHANNELS[:4], dtype, records, portable=False)
    for first in (1, 3, count - 1):
        rest = world.with_parameters(**{name: array[first:] for name, array in world.parameters.items()})
        found, found_keys, _ = splats(rest, CHANNELS[:4], dtype, portable=False)
        np.testing.assert_array_equal(found, records[first:])
        np.testing.assert_array_equal(found_keys, keys[first:])
    for active in (0, 1, 8, 21):
        part = gradients(world, CHANNELS[:4], dtype, records, portable=False, count=active)
        for name in world.parameters.keys() - {"features"}:
            np.testing.assert_array_equal(part[name], full[name][:active], err_msg=name)


@DTYPES
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["means", "rotations", "log_scales", "opacity_logits"])
def test_lanes_hide_what_single_particles_hide(name, value, dtype):
    world = World(random_parameters(1, 19), look_at((0.0, -2.0, 0.3)))
    array = np.array(world.parameters[name])
    array.reshape(19, -1)[[0, 9, 18], 0] = value
    broken = replace(world, parameters=world.parameters | {name: array})
    found, expected = (splats(broken, CHANNELS[:3], dtype, portable=portable)[0] for portable in (False, True))
    np.testing.assert_array_equal(found[:, 6] >= 0.0, expected[:, 6] >= 0.0)
    assert np.isfinite(found[:, :8]).all()
    others = gradients(broken, CHANNELS[:3], dtype, found, portable=False)
    for gradient in others.values():
        assert np.isfinite(gradient).all()


@DTYPES
def test_logarithms_are_good_to_rounding(dtype):
    @wp.func_native("{" + lanes(LANES + LOGARITHMS, dtype) + "*(Real8*)&y.data[i] = exp(*(Real8*)&x.data[i]);}")
    def exponential(x: wp.array(dtype=dtype), y: wp.array(dtype=dtype), i: int): ...

    @wp.func_native("{" + lanes(LANES + LOGARITHMS, dtype) + "*(Real8*)&y.data[i] = log2(*(Real8*)&x.data[i]);}")
    def logarithm(x: wp.array(dtype=dtype), y: wp.array(dtype=dtype), i: int): ...

    @wp.kernel(module="unique", enable_backward=False)
    def evaluate_kernel(x: wp.array(dtype=dtype), exps: wp.array(dtype=dtype), logs: wp.array(dtype=dtype)):
        i = wp.tid() * 8
        exponential(x, exps, i)
        logarithm(exps, logs, i)

    size = 80_000
    x = wp.array(np.linspace(-80.0, 80.0, size), dtype=dtype, device="cpu")
    exps, logs = wp.empty_like(x), wp.empty_like(x)
    wp.launch(evaluate_kernel, size // 8, [x, exps, logs], device="cpu")
    ulp = np.finfo(exps.numpy().dtype).eps
    expected = np.exp(x.numpy().astype(np.longdouble))
    assert np.abs(exps.numpy() / expected - 1.0).max() <= 1.5 * ulp
    expected = np.log2(exps.numpy().astype(np.longdouble))
    assert (np.abs(logs.numpy() - expected) <= 2.0 * ulp * np.maximum(np.abs(expected), 0.1)).all()
