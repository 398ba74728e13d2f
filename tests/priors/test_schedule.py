import numpy as np
import pytest
import warp as wp

from warpgs.priors import IsometryPrior, Parameter, ScheduledPrior, SpringPrior
from warpgs.priors.contract import check
from warpgs.priors.trial import Result, World


def test_scheduled_prior_keeps_the_contract(device):
    check(lambda weight: ScheduledPrior(SpringPrior(2.0), 10, 0.5, 1.0, weight), device=device)


def test_scheduled_prior_goes_from_its_first_factor_to_its_last(device):
    world, prior = World.random(), ScheduledPrior(IsometryPrior(2.0), 4, 1.0, 0.2, weight=3.0)
    whole = Result.of(IsometryPrior(6.0), world, wp.float64, device)
    state, rest = world.upload(wp.float64, device)
    loss = wp.zeros(1, dtype=wp.float64, device=device)
    prior.accumulate(state, rest, loss)
    with wp.ScopedCapture(device=device) as capture:
        prior.accumulate(state, rest, loss)
        rest.advance()
    for factor in (1.0, 0.8, 0.6, 0.4, 0.2, 0.2):
        loss.zero_()
        state.adj_means.zero_()
        wp.capture_launch(capture.graph)
        assert loss.numpy()[0] == pytest.approx(factor * whole.value)
        np.testing.assert_allclose(state.adj_means.numpy(), factor * whole.adj_means, atol=1e-12)


def test_scheduled_prior_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="at least 1 step and factors >= 0"):
        ScheduledPrior(IsometryPrior(), 0)
    with pytest.raises(NotImplementedError, match="SpringPrior with a parameter that is learned"):
        ScheduledPrior(SpringPrior(1.0, Parameter.of(1.0)), 10)
