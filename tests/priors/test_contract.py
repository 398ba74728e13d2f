"""The contract of warpgs.priors.base, for every prior of the package; and that its check tells who breaks it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import warp as wp

from tests.reference.priors import ORACLES
from warpgs.priors import PRIORS, Prior, accumulate_energy
from warpgs.priors.contract import ON_THE_FLOOR, BrokenPromise, check
from warpgs.priors.trial import Result, World
from warpgs.similarity import Similarity

PLACES = {
    "background": {"motion": None, "any_frame": False},  # sums of absolute coordinates depend on the axes
    "ground": {"motion": ON_THE_FLOOR, "any_frame": False},  # its plane is in the frame of the particles
}
"""What does not hold for every prior."""


@pytest.mark.parametrize("name", PRIORS)
def test_prior_keeps_the_contract(name, device):
    check(PRIORS[name], device=device, **PLACES.get(name, {}))


@pytest.mark.parametrize("name", PRIORS)
def test_prior_matches_oracle(name, device):
    for seed in range(3):
        world = World.random(24, seed=seed)
        expected = ORACLES[name](world)
        assert expected > 1e-3
        value = Result.of(PRIORS[name](weight=2.5), world, wp.float64, device).value
        np.testing.assert_allclose(value, 2.5 * expected, rtol=1e-11)


@pytest.mark.parametrize("name", [name for name in PRIORS if "any_frame" in PLACES.get(name, {})])
def test_prior_is_unchanged_by_the_unit_of_length(name, device):
    world, unit = World.random(), Similarity(250.0)
    result, expected = (
        Result.of(PRIORS[name](), w, wp.float64, device) for w in (world.moved(unit), world)
    )  # fmt: skip
    assert not replace(result, adj_means=unit.scale * result.adj_means).differs(expected, 1e-12)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", PRIORS)
def test_prior_refuses_a_weight_without_meaning(name, weight):
    with pytest.raises(ValueError, match="weight: expected a finite number >= 0"):
        PRIORS[name](weight=weight)


@wp.kernel
def leash_kernel(
    means: wp.array(dtype=Any),
    first: wp.array(dtype=Any),
    scale: Any,
    length: Any,
    loss: wp.array(dtype=wp.float64),
):
    i = wp.tid()
    stretch = wp.length(means[i] - first[i]) - length
    wp.atomic_add(loss, 0, wp.float64(scale * stretch * stretch))


@dataclass(frozen=True)
class Leash(Prior):
    """Holds particles where they were at first, unless one of its flaws is switched on."""

    weight: float = 1.0
    flaw: str = ""

    def accumulate(self, state, rest, loss):
        count = max(rest.means.size, 1)
        scale = self.weight / (count * (1.0 if self.flaw == "fixed unit" else rest.spacing) ** 2)
        if self.flaw == "square of weight":
            scale *= self.weight
        first = rest.means
        if self.flaw == "fixed place":
            first = wp.zeros_like(rest.means)
        if self.flaw == "forgets what was there":
            loss.zero_()
            state.adj_means.zero_()
        length = rest.dtype(rest.spacing if self.flaw == "stretched at rest" else 0.0)
        inputs = [state.means, first, rest.dtype(scale), length]
        if self.flaw == "no gradient":
            wp.launch(leash_kernel, rest.means.size, inputs, [loss])
            return
        accumulate_energy(leash_kernel, rest.means.size, inputs, state, rest, loss)
        if self.flaw == "half a gradient" and rest.means.size:
            accumulate_energy(leash_kernel, rest.means.size, inputs, state, rest, wp.zeros_like(loss))


def test_check_accepts_a_good_prior(device):
    check(Leash, device=device)


@pytest.mark.parametrize(
    ("flaw", "promise"),
    [
        ("stretched at rest", "zero at rest"),
        ("square of weight", "linear in its weight"),
        ("half a gradient", "a gradient of means like finite differences"),
        ("no gradient", "at work on disturbed particles"),
        ("forgets what was there", "three times as much"),
        ("fixed unit", "in any frame and unit"),
        ("fixed place", "zero at rest"),
    ],
)
def test_check_names_the_promise_that_is_broken(flaw, promise):
    with pytest.raises(BrokenPromise, match=promise):
        check(lambda weight: Leash(weight, flaw))
