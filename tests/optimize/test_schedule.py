import numpy as np
import pytest

from warpgs.optimize import exponential_decay


def test_exponential_decay_falls_by_one_ratio_from_one_to_final():
    factors = np.array([exponential_decay(step, 60, 0.1) for step in range(60)])
    assert factors[0] == 1.0 and factors[-1] == pytest.approx(0.1, rel=1e-15)
    np.testing.assert_allclose(factors[1:] / factors[:-1], 0.1 ** (1 / 59), rtol=1e-12)


def test_exponential_decay_stays_at_final_beyond_the_end():
    assert exponential_decay(1000, 60, 0.1) == pytest.approx(0.1, rel=1e-15)


def test_exponential_decay_is_one_for_a_single_step():
    assert exponential_decay(0, 1, 0.1) == 1.0


@pytest.mark.parametrize(("step", "steps", "final"), [(-1, 10, 0.1), (0, 0, 0.1), (0, 10, 0.0), (0, 10, float("nan"))])
def test_exponential_decay_refuses_what_has_no_meaning(step, steps, final):
    with pytest.raises(ValueError, match="exponential_decay"):
        exponential_decay(step, steps, final)
