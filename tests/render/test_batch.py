"""Several cameras in one call: what single calls give, one after the other."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import warp as wp

from tests.render.worlds import NEAR, Driver, look_at, upright, with_more
from warpgs.math.pinhole import upload_views
from warpgs.particles import Particles
from warpgs.render import Rasterizer, RasterizerBatch
from warpgs.render.channels import CHANNELS

WORLD = with_more(upright(), harmonics=3, features=2)
CAMERAS = [look_at(eye) for eye in ((0.0, -2.0, 0.3), (1.5, 0.7, 0.2), (-1.0, 1.4, -0.5))]
STRIPS = Driver("cpu", portable=False)
BACKGROUND = np.linspace(-0.3, 0.8, len(CHANNELS) + 2)


class Case:
    """Everything that both ways need."""

    def __init__(self, driver: Driver, dtype: type):
        self.particles, self.features = driver.particles(WORLD, dtype), driver.features(WORLD, dtype)
        self.views = upload_views(CAMERAS, NEAR, driver.device, dtype)
        self.background = wp.array(BACKGROUND, dtype=dtype, device=driver.device)
        shape = (len(CAMERAS), len(BACKGROUND), CAMERAS[0].height, CAMERAS[0].width)
        rng = np.random.default_rng(1)
        self.adj_image = wp.array(rng.normal(size=shape), dtype=dtype, device=driver.device)
        left = rng.normal(size=(shape[0], *shape[2:]))
        self.adj_transmittance = wp.array(left, dtype=dtype, device=driver.device)
        self.options = {"channels": CHANNELS, "features": 2, "device": driver.device, "dtype": dtype}
        self.options |= {"portable": driver.portable, "antialiased": True}
        self.gradients: Particles = self.particles.zeros_like()
        self.adj_features = wp.zeros_like(self.features)
        self.adj_views = wp.zeros((len(CAMERAS), 6), dtype=wp.float64, device=driver.device)

    def results(self, image: np.ndarray, transmittance: np.ndarray) -> dict[str, np.ndarray]:
        gradients = {name: array.numpy() for name, array in self.gradients.named().items()}
        others = {"adj_features": self.adj_features.numpy(), "adj_views": self.adj_views.numpy()}
        return {"image": image, "transmittance": transmittance, **gradients, **others}


def batched(driver: Driver, dtype: type, executor=None, times: int = 1) -> dict[str, np.ndarray]:
    camera = CAMERAS[0]
    count = len(WORLD.parameters["means"])
    options = Case(driver, dtype).options
    batch = RasterizerBatch(3, count, camera.width, camera.height, executor=executor, **options)
    for _ in range(times):
        case = Case(driver, dtype)
        batch.render(case.particles, case.views, features=case.features, background=case.background)
        batch.backward(
            case.particles,
            case.views,
            case.adj_image,
            case.gradients,
            adj_transmittance=case.adj_transmittance,
            adj_features=case.adj_features,
            adj_views=case.adj_views,
        )
    return case.results(batch.image.numpy(), batch.transmittance.numpy())


def single(driver: Driver, dtype: type) -> dict[str, np.ndarray]:
    case, images, left = Case(driver, dtype), [], []
    for i in range(len(CAMERAS)):
        camera = CAMERAS[i]
        rasterizer = Rasterizer(len(case.particles), camera.width, camera.height, **case.options)
        index = wp.array([i], dtype=wp.int32, device=driver.device)
        rasterizer.render(case.particles, case.views, index, features=case.features, background=case.background)
        rasterizer.backward(
            case.particles,
            case.views,
            index,
            case.adj_image[i],
            case.gradients,
            adj_transmittance=case.adj_transmittance[i],
            adj_features=case.adj_features,
            adj_views=case.adj_views,
        )
        images.append(rasterizer.image.numpy().copy())
        left.append(rasterizer.transmittance.numpy().copy())
    return case.results(np.stack(images), np.stack(left))


@pytest.mark.parametrize("dtype", [wp.float32, wp.float64])
def test_batch_gives_what_single_calls_give(dtype, driver):
    got, expected = batched(driver, dtype), single(driver, dtype)
    for name, array in expected.items():
        assert array.any(), name
        if driver.device == "cpu":
            assert got[name].tobytes() == array.tobytes(), name
        else:  # atomics are not ordered
            np.testing.assert_allclose(got[name], array, rtol=1e-3, atol=1e-3 * np.abs(array).max(), err_msg=name)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_batch_does_not_depend_on_threads(threads):
    expected = batched(STRIPS, wp.float32)
    with ThreadPoolExecutor(threads) as executor:
        got = batched(STRIPS, wp.float32, executor, times=3)
    for name, array in expected.items():
        assert got[name].tobytes() == array.tobytes(), name


def test_batch_refuses_another_number_of_views():
    camera = CAMERAS[0]
    batch = RasterizerBatch(2, 40, camera.width, camera.height)
    views = upload_views(CAMERAS, NEAR, "cpu")
    with pytest.raises(ValueError, match="views: expected 2, as allocated, got \\[3\\]; make a batch of that many"):
        batch.render(STRIPS.particles(upright(), wp.float32), views)
    with pytest.raises(ValueError, match="view_count: expected at least 1, got 0"):
        RasterizerBatch(0, 40, 8, 8)
