from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import warp as wp

from tests.render.worlds import Driver, World, look_at, random_parameters

STRIPS = Driver("cpu", portable=False)
CHANNELS = 4


def large_world() -> World:
    """Eighteen tiles, some of them empty, most pixels several splats deep."""
    camera = look_at((0.0, -2.5, 0.6), width=330, height=90, focal=(120.0, 120.0))
    return World(random_parameters(51, 400, spread=0.3, log_scale=-2.6), camera)


def everything(world: World, **options) -> dict[str, np.ndarray]:
    """All results of a forward and a backward pass."""
    adj_image = np.random.default_rng(52).normal(size=(CHANNELS, world.camera.height, world.camera.width))
    rasterizer = STRIPS.render(world, channels=CHANNELS, dtype=wp.float32, **options)
    gradients = STRIPS.gradients(world, adj_image, dtype=wp.float32, **options)
    return {"image": rasterizer.image.numpy(), "transmittance": rasterizer.transmittance.numpy(), **gradients}


def assert_same_bits(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, array in expected.items():
        assert array.any()
        assert got[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("bands", [1, 4, 8, 40])
def test_results_do_not_depend_on_threads_or_bands(threads, bands):
    world = large_world()
    with ThreadPoolExecutor(threads) as executor:
        assert_same_bits(everything(world, executor=executor, bands=bands), everything(world))


def test_bands_draw_a_picture_that_holds_nothing():
    world = large_world()
    blind = world.with_parameters(opacity_logits=np.full(400, -20.0))
    with ThreadPoolExecutor(2) as executor:
        rasterizer = STRIPS.render(world, executor=executor, bands=4)
        rasterizer.render(STRIPS.particles(blind), STRIPS.views(blind), STRIPS.first_view())
    assert not rasterizer.image.numpy().any()
    assert (rasterizer.transmittance.numpy() == 1.0).all()


def test_rasterizers_on_two_threads_do_not_disturb_each_other():
    worlds = [large_world(), World(random_parameters(53, 400, spread=0.3, log_scale=-2.6), large_world().camera)]
    expected = [everything(world) for world in worlds]
    with ThreadPoolExecutor(2) as executor:
        for _ in range(5):
            for got, alone in zip(executor.map(everything, worlds), expected, strict=True):
                assert_same_bits(got, alone)
