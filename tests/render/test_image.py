import numpy as np
import warp as wp

from tests.reference.rasterize import project
from tests.render.worlds import NEAR, WORLDS, assert_pictures


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
    assert_pictures(driver.render(world), world.draw(), atol=1e-12)


def test_image_matches_oracle_in_float32(world, driver):
    assert_pictures(driver.render(world, dtype=wp.float32), world.draw(), atol=1e-5)
