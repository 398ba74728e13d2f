from dataclasses import replace

import numpy as np
import pytest

from tests.run.makers import make_gaussians
from warpgs.particles import Particles, add_particles


@pytest.mark.parametrize("coefficients", [0, 3, 8, 15])
def test_particles_come_back_as_they_went_up(coefficients, device):
    gaussians = make_gaussians()
    if coefficients:
        harmonics = np.random.default_rng(4).normal(size=(len(gaussians), coefficients, 3)).astype(np.float32)
        gaussians = replace(gaussians, harmonics=harmonics)
    back = Particles.upload(gaussians, device).download()
    assert back.arrays().keys() == gaussians.arrays().keys()
    for name, array in gaussians.arrays().items():
        np.testing.assert_allclose(back.arrays()[name], array, rtol=1e-6, atol=1e-6, err_msg=name)


def test_particles_have_a_row_per_number_that_is_not_constant(device):
    assert "harmonics" not in Particles.zeros(3, device).named()
    assert Particles.zeros(3, device, harmonics=8).named()["harmonics"].shape == (3, 8)


@pytest.mark.parametrize("coefficients", [0, 3])
def test_rows_of_particles_share_memory(coefficients, device):
    particles = Particles.zeros(5, device, harmonics=coefficients)
    rows = particles.rows(1, 3)
    for array in rows.named().values():
        array.fill_(1.0)
    for name, array in particles.named().items():
        assert array.numpy().reshape(5, -1).all(axis=1).tolist() == [False, True, True, False, False], name
    assert rows.harmonics.shape[1] == coefficients and len(particles.rows(2, 2)) == 0


def test_adding_particles_consumes_the_source(device):
    source, target = (Particles.zeros(4, device, harmonics=8) for _ in range(2))
    for k, particles in enumerate((source, target)):
        for array in particles.named().values():
            array.fill_(1.0 + k)
    add_particles(source, target)
    for name in source.named():
        assert (target.named()[name].numpy() == 3.0).all() and not source.named()[name].numpy().any(), name
