import numpy as np
import pytest
import warp as wp

from tests.reference.rasterize import project
from tests.render.worlds import NEAR, WORLDS, assert_pictures, with_more


def test_worlds_hold_what_they_are_for():
    drawings = {name: build().draw() for name, build in WORLDS.items()}
    splats = {name: project(world().parameters, world().camera, NEAR) for name, world in WORLDS.items()}
    assert all((drawing.transmittance < 0.9).mean() > 0.4 for drawing in drawings.values())
    assert drawings["dense"].stopped.sum() > 100
    assert drawings["dense"].capped.sum() > 30
    assert len(splats["rolled"].index) < 60  # some are behind the near plane
    clamped = splats["wide"].index[splats["wide"].clamped.any(axis=1)]
    seen = np.zeros(40)
    for i in clamped:
        without = WORLDS["wide"]()
        without.parameters["opacity_logits"][i] = -20.0
        seen[i] = np.abs(without.draw().image - drawings["wide"].image).max()
    assert (seen > 0.01).sum() >= 5


def test_image_matches_oracle(world, driver):
    assert_pictures(driver.render(world, channels=9), world.draw(), atol=1e-12)


def test_image_matches_oracle_in_float32(world, driver):
    assert_pictures(driver.render(world, dtype=wp.float32), world.draw(), atol=1e-5)


@pytest.mark.parametrize("features", [1, 2, 5, 23])
def test_features_match_oracle(features, world, driver):
    """Behind all channels of their own; the last are 32 in all."""
    world = with_more(world, features=features)
    assert_pictures(driver.render(world, channels=9), world.draw(), atol=1e-12)


@pytest.mark.parametrize("dtype", [wp.float32, wp.float64])
@pytest.mark.parametrize("harmonics", [3, 8, 15])
def test_harmonics_match_oracle(harmonics, dtype, world, driver):
    world = with_more(world, harmonics=harmonics)
    assert_pictures(driver.render(world, dtype=dtype), world.draw(), {wp.float32: 1e-5, wp.float64: 1e-12}[dtype])
