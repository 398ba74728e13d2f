"""Adam against a float64 oracle written from the paper's algorithm 1."""

import numpy as np
import pytest
import warp as wp

from warpgs.optimize import Adam

KINDS = {
    "float32": wp.float32,
    "vec3": wp.vec3,
    "quat": wp.quat,
    "vec3 of a factory": wp.types.vector(3, wp.float32),
    "float64": wp.float64,
    "vec3d": wp.vec3d,
    "quatd": wp.quatd,
}


class AdamOracle:
    """One parameter in float64."""

    def __init__(self, value, rate, betas=(0.9, 0.999), epsilon=1e-15):
        self.value, self.rate, self.betas, self.epsilon = np.array(value, np.float64), rate, betas, epsilon
        self.m, self.v, self.t = np.zeros_like(self.value), np.zeros_like(self.value), 0

    def step(self, gradient, scale=1.0):
        self.t += 1
        self.m = self.betas[0] * self.m + (1 - self.betas[0]) * gradient
        self.v = self.betas[1] * self.v + (1 - self.betas[1]) * gradient**2
        m_hat = self.m / (1 - self.betas[0] ** self.t)
        v_hat = self.v / (1 - self.betas[1] ** self.t)
        self.value = self.value - scale * self.rate * m_hat / (np.sqrt(v_hat) + self.epsilon)


def values_like(kind, rows, seed):
    """Random numbers that fill ``rows`` rows of a Warp type."""
    shape = wp.zeros(rows, dtype=kind, device="cpu").numpy().shape
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_adam_matches_oracle(kind):
    value = values_like(kind, 7, 0)
    parameter, gradient = wp.array(value, dtype=kind, device="cpu"), wp.zeros(7, dtype=kind, device="cpu")
    adam, oracle = Adam({"x": parameter}, {"x": 0.05}), AdamOracle(parameter.numpy(), 0.05)
    adam.decay(30, 0.2)
    double = parameter.numpy().dtype == np.float64
    for i in range(40):
        g = (values_like(kind, 7, i + 1) * 10.0 ** (i % 5 - 3)).astype(parameter.numpy().dtype)
        gradient.assign(g)
        adam.step({"x": gradient})
        oracle.step(g.astype(np.float64), 0.2 ** min(i / 29, 1.0))
    np.testing.assert_allclose(parameter.numpy(), oracle.value, rtol=0, atol=1e-13 if double else 1e-6)


def test_adam_matches_oracle_with_other_betas_and_a_large_epsilon():
    parameter = wp.array([1.0, -2.0], dtype=wp.float64, device="cpu")
    adam = Adam({"x": parameter}, {"x": 0.1}, betas=(0.5, 0.8), epsilon=0.3)
    oracle = AdamOracle([1.0, -2.0], 0.1, betas=(0.5, 0.8), epsilon=0.3)
    for g in ([0.2, -1.0], [0.0, 3.0], [-5.0, 0.1]):
        adam.step({"x": wp.array(g, dtype=wp.float64, device="cpu")})
        oracle.step(np.array(g))
    np.testing.assert_allclose(parameter.numpy(), oracle.value, rtol=1e-14)


def test_adam_clears_the_gradient_it_used():
    parameter = wp.ones(5, dtype=wp.quat, device="cpu")
    gradient = wp.ones(5, dtype=wp.quat, device="cpu")
    Adam({"x": parameter}, {"x": 1e-3}).step({"x": gradient})
    assert not gradient.numpy().any()


def test_adam_leaves_a_zero_gradient_at_rest():
    parameter = wp.ones(5, dtype=wp.vec3, device="cpu")
    adam = Adam({"x": parameter}, {"x": 1.0})
    for _ in range(3):
        adam.step({"x": wp.zeros(5, dtype=wp.vec3, device="cpu")})
    assert (parameter.numpy() == 1.0).all()


def test_adam_touches_neither_parameter_nor_gradient_when_the_rate_is_zero():
    arrays = {name: wp.ones(4, dtype=wp.vec3, device="cpu") for name in "ab"}
    gradients = {name: wp.full(4, wp.vec3(2.0), dtype=wp.vec3, device="cpu") for name in "ab"}
    Adam(arrays, {"a": 0.0, "b": 0.1}).step(gradients)
    assert (arrays["a"].numpy() == 1.0).all() and (gradients["a"].numpy() == 2.0).all()
    assert (arrays["b"].numpy() != 1.0).all() and not gradients["b"].numpy().any()


def test_adam_touches_nothing_outside_a_slice():
    whole, whole_gradient = (wp.ones(9, dtype=wp.vec3, device="cpu") for _ in range(2))
    adam = Adam({"x": whole[2:6]}, {"x": 0.5})
    adam.step({"x": whole_gradient[2:6]})
    inside = np.zeros(9, bool)
    inside[2:6] = True
    np.testing.assert_allclose(whole.numpy()[inside], 0.5, rtol=1e-6)
    assert (whole.numpy()[~inside] == 1.0).all()
    assert (whole_gradient.numpy()[~inside] == 1.0).all() and not whole_gradient.numpy()[inside].any()


def test_adam_decays_rates_by_name_from_the_last_reset():
    arrays = {name: wp.zeros(1, dtype=float, device="cpu") for name in "abc"}
    gradients = {name: wp.ones(1, dtype=float, device="cpu") for name in "abc"}
    adam = Adam(arrays, {"a": 1.0, "b": 1.0, "c": 0.0})
    adam.decay(3, {"a": 0.25})
    for _ in range(5):
        adam.step({name: wp.ones(1, dtype=float, device="cpu") for name in "abc"})
    assert [float(arrays[name].numpy()[0]) for name in "abc"] == pytest.approx([-2.25, -5.0, 0.0])
    adam.reset()
    adam.step(gradients)
    assert [float(arrays[name].numpy()[0]) for name in "abc"] == pytest.approx([-3.25, -6.0, 0.0])


@pytest.mark.parametrize("final", [1.0, 0.3])
def test_adam_does_not_decay_a_single_step(final):
    x = wp.zeros(1, dtype=float, device="cpu")
    adam = Adam({"x": x}, {"x": 1.0})
    adam.decay(1, final)
    adam.step({"x": wp.ones(1, dtype=float, device="cpu")})
    assert float(x.numpy()[0]) == pytest.approx(-1.0)


@pytest.mark.parametrize(("steps", "final"), [(0, 1.0), (5, 0.0), (5, float("nan")), (5, -1.0), (5, float("inf"))])
def test_adam_refuses_to_decay_without_a_schedule(steps, final):
    with pytest.raises(ValueError, match=r"Adam: (steps of the decay|final share)"):
        Adam({"x": wp.zeros(1, device="cpu")}, {"x": 1.0}).decay(steps, final)


def test_adam_gives_the_same_bits_when_a_captured_step_is_replayed():
    value, gradient = values_like(wp.vec3, 50, 0), values_like(wp.vec3, 50, 1)
    results = []
    for captured in (False, True):
        parameter, g = wp.array(value, dtype=wp.vec3, device="cpu"), wp.zeros(50, dtype=wp.vec3, device="cpu")
        adam = Adam({"x": parameter}, {"x": 0.05})
        adam.decay(7, 0.1)
        with wp.ScopedCapture(device="cpu") as capture:
            adam.step({"x": g})
        for i in range(10):
            g.assign(gradient * (1 + i % 3))
            if captured:
                wp.capture_launch(capture.graph)
            else:
                adam.step({"x": g})
        assert adam.step_count == 10
        results.append(parameter.numpy().copy())
    np.testing.assert_array_equal(*results)


def test_adam_reset_repeats_the_first_step():
    parameter, oracle = wp.zeros(3, dtype=wp.float64, device="cpu"), AdamOracle(np.zeros(3), 0.1)
    adam = Adam({"x": parameter}, {"x": 0.1})
    for g in (1.0, -4.0, 9.0):
        adam.step({"x": wp.full(3, g, dtype=wp.float64, device="cpu")})
    adam.reset()
    parameter.zero_()
    g = np.array([1.0, -2.0, 0.5])
    adam.step({"x": wp.array(g, device="cpu")})
    oracle.step(g)
    assert adam.step_count == 1
    np.testing.assert_array_equal(parameter.numpy(), oracle.value)


def test_adam_reset_moments_of_one_parameter_spares_the_others():
    arrays = {name: wp.zeros(2, dtype=wp.float64, device="cpu") for name in "ab"}
    adam = Adam(arrays, {"a": 0.1, "b": 0.1})
    oracles = {name: AdamOracle(np.zeros(2), 0.1) for name in "ab"}
    for step, g in enumerate((1.0, -4.0, 9.0, 2.0)):
        if step == 2:
            adam.reset_moments("a")
            oracles["a"].m[:] = oracles["a"].v[:] = 0.0
        adam.step({name: wp.full(2, g, dtype=wp.float64, device="cpu") for name in "ab"})
        for name in "ab":
            oracles[name].step(np.full(2, g))
    for name in "ab":
        np.testing.assert_allclose(arrays[name].numpy(), oracles[name].value, rtol=1e-13)


def test_adam_gather_carries_moments_to_new_rows():
    value = values_like(wp.vec3d, 4, 0)
    gradients = [values_like(wp.vec3d, 4, 1), values_like(wp.vec3d, 4, 2)]
    adam = Adam(
        {"x": wp.array(value, dtype=wp.vec3d, device="cpu"), "y": wp.zeros(4, device="cpu")}, {"x": 0.1, "y": 0.0}
    )
    oracle = AdamOracle(value, 0.1)
    for g in gradients:
        adam.step({"x": wp.array(g, dtype=wp.vec3d, device="cpu")})
        oracle.step(g)
    index = np.array([3, -1, 0, 0, 2, -1])
    resized = np.where(index[:, None] >= 0, oracle.value[index], 7.0)
    x = wp.array(resized, dtype=wp.vec3d, device="cpu")
    adam.gather({"x": x, "y": wp.zeros(6, device="cpu")}, index)
    expected = AdamOracle(resized, 0.1)
    expected.t = 2
    expected.m = np.where(index[:, None] >= 0, oracle.m[index], 0.0)
    expected.v = np.where(index[:, None] >= 0, oracle.v[index], 0.0)
    g = values_like(wp.vec3d, 6, 3)
    adam.step({"x": wp.array(g, dtype=wp.vec3d, device="cpu")})
    expected.step(g)
    np.testing.assert_allclose(x.numpy(), expected.value, rtol=1e-13)


def test_adam_gather_to_nothing_and_back():
    adam = Adam({"x": wp.zeros(2, dtype=wp.vec3, device="cpu")}, {"x": 1.0})
    empty = wp.zeros(0, dtype=wp.vec3, device="cpu")
    adam.gather({"x": empty}, np.zeros(0, int))
    adam.step({"x": wp.zeros(0, dtype=wp.vec3, device="cpu")})
    one = wp.zeros(1, dtype=wp.vec3, device="cpu")
    adam.gather({"x": one}, np.array([-1]))
    adam.step({"x": wp.ones(1, dtype=wp.vec3, device="cpu")})
    assert (one.numpy() < 0.0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rates": {}}, "rates"),
        ({"rates": {"x": -1.0}}, "rate of x"),
        ({"rates": {"x": float("nan")}}, "rate of x"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"parameters": {"x": wp.zeros((4, 2), device="cpu")[:, 1]}}, "contiguous"),
        ({"parameters": {"x": wp.zeros(4, dtype=int, device="cpu")}}, "float32"),
    ],
)
def test_adam_refuses_what_it_cannot_step(arguments, message):
    with pytest.raises(ValueError, match=message):
        Adam(**{"parameters": {"x": wp.zeros(4, device="cpu")}, "rates": {"x": 1.0}, **arguments})


@pytest.mark.parametrize(
    "gradients",
    [
        {},
        {"x": wp.zeros(3, dtype=wp.vec3, device="cpu")},
        {"x": wp.zeros(4, dtype=wp.quat, device="cpu")},
        {"x": wp.zeros(8, dtype=wp.vec3, device="cpu")[::2]},
    ],
    ids=["missing", "shorter", "wider", "strided"],
)
def test_adam_refuses_a_gradient_that_does_not_fit(gradients):
    adam = Adam({"x": wp.zeros(4, dtype=wp.vec3, device="cpu")}, {"x": 1.0})
    with pytest.raises(ValueError, match="gradient of x"):
        adam.step(gradients)
    assert adam.step_count == 0


@pytest.mark.parametrize("index", [[0, 1], [0, 1, 2, 4], [0, -2, 1, 1], [0.0, 1.0, 2.0, 3.0]])
def test_adam_refuses_to_gather_rows_that_do_not_exist(index):
    adam = Adam({"x": wp.zeros(4, dtype=wp.vec3, device="cpu")}, {"x": 1.0})
    with pytest.raises(ValueError, match="index"):
        adam.gather({"x": wp.zeros(4, dtype=wp.vec3, device="cpu")}, np.array(index))
