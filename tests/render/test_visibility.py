from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import warp as wp

from tests.render.test_backdrop import part, tall
from tests.render.test_threads import large_world
from tests.render.worlds import AWAY, Driver, World

STRIPS = Driver("cpu", portable=False)


def visibility(driver: Driver, world: World, dtype: type = wp.float64, **options) -> np.ndarray:
    rasterizer = driver.render(world, dtype=dtype, **options)
    sums = wp.full((rasterizer.count, 2), 7.0, dtype=dtype, device=driver.device)
    rasterizer.visibility(sums)
    return sums.numpy()


def test_visibility_matches_oracle(world, driver):
    drawing = world.draw()
    # a pixel with a close decision may be in or out of either sum
    close = (drawing.margin <= 1e-9).sum()
    assert close == 0
    np.testing.assert_allclose(visibility(driver, world), drawing.visibility, rtol=1e-11, atol=1e-13)


def test_visibility_shares_sum_to_what_does_not_pass(world, driver):
    rasterizer = driver.render(world)
    sums = wp.zeros((rasterizer.count, 2), dtype=wp.float64, device=driver.device)
    rasterizer.visibility(sums)
    np.testing.assert_allclose(sums.numpy()[:, 1].sum(), (1.0 - rasterizer.transmittance.numpy()).sum(), rtol=1e-12)


def test_visibility_in_float32_agrees_with_float64(world, driver):
    expected = visibility(driver, world)
    np.testing.assert_allclose(visibility(driver, world, wp.float32), expected, rtol=1e-4, atol=2e-2)


def test_visibility_does_not_depend_on_threads():
    world = large_world()
    with ThreadPoolExecutor(3) as executor:
        got = visibility(STRIPS, world, wp.float32, executor=executor, bands=5)
    assert got.tobytes() == visibility(STRIPS, world, wp.float32).tobytes()


def test_visibility_among_a_backdrop_is_that_among_all_particles():
    world = tall()
    still, moving = STRIPS.render(part(world, slice(20, None))), part(world, slice(20))
    rasterizer = STRIPS.rasterizer(moving)
    rasterizer.render(STRIPS.particles(moving), STRIPS.views(moving), STRIPS.first_view(), backdrop=still.backdrop())
    sums = wp.zeros((20, 2), dtype=wp.float64)
    rasterizer.visibility(sums)
    np.testing.assert_allclose(sums.numpy(), visibility(STRIPS, world)[:20], rtol=1e-12, atol=1e-13)


def test_median_splat_is_where_half_of_the_light_is_gone(world, driver):
    drawing = world.draw()
    away = np.minimum(drawing.margin, drawing.median_margin) > AWAY
    got = driver.render(world, median_depth=True).median_splats.numpy()
    assert (drawing.median[away] >= 0).sum() > 50
    np.testing.assert_array_equal(got[away], drawing.median[away])


def test_median_splats_change_nothing_else(world, driver):
    plain, got = driver.render(world), driver.render(world, median_depth=True)
    np.testing.assert_array_equal(got.image.numpy(), plain.image.numpy())
    np.testing.assert_array_equal(got.transmittance.numpy(), plain.transmittance.numpy())
    assert plain.median_splats.size == 0


def test_median_splats_are_refused_among_a_backdrop():
    world = tall()
    still, moving = STRIPS.render(part(world, slice(20, None))), part(world, slice(20))
    rasterizer = STRIPS.rasterizer(moving, median_depth=True)
    with pytest.raises(NotImplementedError, match="backdrop: median depths need all particles; render without"):
        rasterizer.render(
            STRIPS.particles(moving), STRIPS.views(moving), STRIPS.first_view(), backdrop=still.backdrop()
        )
