from dataclasses import dataclass, replace

import numpy as np
import pytest
import warp as wp

from tests.reference.photometric import corrected, photometric, psnr
from warpgs.losses.photometric import PhotometricLoss

SIZES = [(1, 1), (3, 7), (17, 23), (3, 200), (300, 5), (12, 11)]  # height, width; 200 > one block of a row
STEP = 1e-6
CAMERA = 2


@dataclass(frozen=True)
class Pictures:
    """A rendered image, what it should be, and the correction between them."""

    image: np.ndarray
    target: np.ndarray
    weights: np.ndarray
    log_gains: np.ndarray
    offsets: np.ndarray

    def loss(self) -> float:
        return photometric(self.image, self.target, self.weights, self.log_gains[CAMERA], self.offsets[CAMERA])


@dataclass(frozen=True)
class Result:
    value: float
    psnr: float
    adj_image: np.ndarray
    adj_log_gains: np.ndarray
    adj_offsets: np.ndarray


def random_pictures(size: tuple[int, int], channels: int = 4, seed: int = 0) -> Pictures:
    """Smooth and noisy parts; no pixel within 1e-3 of its target, where the derivative of |x| jumps."""
    rng = np.random.default_rng([seed, *size])
    height, width = size
    y, x = np.mgrid[:height, :width]
    waves = np.stack([0.5 + 0.4 * np.sin(0.3 * x + 0.2 * c * y + c) for c in range(channels)])
    log_gains, offsets = 0.2 * rng.normal(size=(4, 3)), 0.1 * rng.normal(size=(4, 3))
    image = waves + 0.15 * rng.normal(size=waves.shape)
    target = np.clip(waves + 0.1 * rng.normal(size=waves.shape), 0.0, 1.0)
    difference = corrected(image, log_gains[CAMERA], offsets[CAMERA]) - target
    target -= np.where(np.abs(difference) < 2e-3, 0.01, 0.0)
    assert np.abs(corrected(image, log_gains[CAMERA], offsets[CAMERA]) - target).min() > 1e-3
    return Pictures(image, target, rng.uniform(0.5, 3.0, channels), log_gains, offsets)


@dataclass(frozen=True)
class Driver:
    """Where and how the loss runs."""

    device: str
    portable: bool = False

    def loss(self, shape: tuple[int, int, int], dtype: type = wp.float64) -> PhotometricLoss:
        return PhotometricLoss(shape, self.device, dtype, portable=self.portable)

    def index(self, value: int) -> wp.array:
        return wp.array([value], dtype=wp.int32, device=self.device)


DRIVERS = {
    "rows": Driver("cpu"),
    "portable": Driver("cpu", portable=True),
    **{device.alias: Driver(device.alias) for device in wp.get_cuda_devices()},
}


@pytest.fixture(params=DRIVERS)
def driver(request) -> Driver:
    """Both ways to compute on the CPU, and every CUDA device present."""
    return DRIVERS[request.param]


def evaluate(
    pictures: Pictures,
    driver: Driver,
    dtype: type = wp.float64,
    loss: PhotometricLoss | None = None,
    area: tuple[int, int, int, int] | None = None,
) -> Result:
    """The last of three pictures, the others of which are noise."""

    def upload(array):
        return wp.array(array, dtype=dtype, device=driver.device)

    shape = pictures.image.shape
    loss = loss or driver.loss(shape, dtype)
    others = np.random.default_rng(9).random((2, *shape))
    targets = upload(np.concatenate([others, pictures.target[None]]))
    moments = wp.zeros((3, 2 * shape[0], *shape[1:]), dtype=dtype, device=driver.device)
    loss.prepare(targets, moments)
    log_gains, offsets = upload(pictures.log_gains), upload(pictures.offsets)
    loss.evaluate(
        upload(pictures.image), targets, moments, driver.index(2), upload(pictures.weights), log_gains, offsets,
        driver.index(CAMERA), area=None if area is None else wp.array(area, dtype=wp.int32, device=driver.device),
    )  # fmt: skip
    adj_log_gains, adj_offsets = wp.zeros_like(log_gains), wp.zeros_like(offsets)
    loss.correction_backward(driver.index(CAMERA), adj_log_gains, adj_offsets)
    return Result(loss.value(), loss.psnr(), loss.adj_image.numpy().copy(), adj_log_gains.numpy(), adj_offsets.numpy())


def slope(pictures: Pictures, name: str, direction: np.ndarray) -> float:
    """Central difference of the oracle along ``direction`` of one input."""
    here = getattr(pictures, name)
    ahead = replace(pictures, **{name: here + STEP * direction}).loss()
    behind = replace(pictures, **{name: here - STEP * direction}).loss()
    return (ahead - behind) / (2.0 * STEP)


@pytest.mark.parametrize("channels", [3, 4, 6])
@pytest.mark.parametrize("size", SIZES)
def test_loss_matches_oracle(size, channels, driver):
    pictures = random_pictures(size, channels)
    result = evaluate(pictures, driver)
    np.testing.assert_allclose(result.value, pictures.loss(), rtol=1e-12)
    expected = psnr(pictures.image, pictures.target, pictures.log_gains[CAMERA], pictures.offsets[CAMERA])
    np.testing.assert_allclose(result.psnr, expected, rtol=1e-12)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_loss_gradient_by_the_image_matches_finite_differences(size, channels, driver):
    pictures = random_pictures(size, channels)
    result = evaluate(pictures, driver)
    rng = np.random.default_rng(1)
    for _ in range(3):
        direction = rng.normal(size=pictures.image.shape)
        expected = slope(pictures, "image", direction)
        np.testing.assert_allclose(np.sum(result.adj_image * direction), expected, rtol=1e-6, atol=1e-10)


def test_loss_gradient_of_every_pixel_matches_finite_differences(driver):
    pictures = random_pictures((9, 13), 4)
    result = evaluate(pictures, driver)
    pixels = np.eye(pictures.image.size).reshape(-1, *pictures.image.shape)
    expected = np.reshape([slope(pictures, "image", pixel) for pixel in pixels[::7]], -1)
    np.testing.assert_allclose(result.adj_image.ravel()[::7], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_loss_gradient_by_the_color_correction_matches_finite_differences(size, driver):
    pictures = random_pictures(size)
    result = evaluate(pictures, driver)
    for name, gradient in (("log_gains", result.adj_log_gains), ("offsets", result.adj_offsets)):
        numbers = np.eye(12).reshape(12, 4, 3)
        expected = np.reshape([slope(pictures, name, number) for number in numbers[6:9]], 3)
        np.testing.assert_allclose(gradient[CAMERA], expected, rtol=1e-6, atol=1e-9)
        assert not np.delete(gradient, CAMERA, axis=0).any()


@pytest.mark.parametrize("size", SIZES)
def test_loss_in_float32_agrees_with_float64(size, driver):
    pictures = random_pictures(size)
    wide, narrow = evaluate(pictures, driver), evaluate(pictures, driver, wp.float32)
    np.testing.assert_allclose(narrow.value, wide.value, rtol=1e-5)
    np.testing.assert_allclose(narrow.psnr, wide.psnr, rtol=1e-5)
    for name in ("adj_image", "adj_log_gains", "adj_offsets"):
        expected = getattr(wide, name)
        assert np.linalg.norm(getattr(narrow, name) - expected) <= 1e-4 * np.linalg.norm(expected), name


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_loss_of_equal_pictures_is_zero_and_flat(level, driver):
    rng = np.random.default_rng(3)
    for target in (np.full((4, 20, 30), level), rng.uniform(size=(4, 20, 30)) * level):
        same = Pictures(target, target, np.ones(4), np.zeros((4, 3)), np.zeros((4, 3)))
        result = evaluate(same, driver)
        assert abs(result.value) <= 1e-12
        assert result.psnr == 120.0
        assert np.abs(result.adj_image).max() <= 1e-12


def test_loss_is_linear_in_the_weight_of_each_channel(driver):
    pictures = random_pictures((17, 23))
    whole = evaluate(pictures, driver)
    ones = [evaluate(replace(pictures, weights=pictures.weights * row), driver) for row in np.eye(4)]
    np.testing.assert_allclose(sum(one.value for one in ones), whole.value, rtol=1e-12)
    np.testing.assert_allclose(sum(one.adj_image for one in ones), whole.adj_image, atol=1e-15)
    for channel, one in enumerate(ones):
        assert not np.delete(one.adj_image, channel, axis=0).any()


def test_loss_forgets_the_picture_before(driver):
    first, second = random_pictures((17, 23), seed=1), random_pictures((17, 23), seed=2)
    loss = driver.loss((4, 17, 23))
    evaluate(first, driver, loss=loss)
    again, fresh = evaluate(second, driver, loss=loss), evaluate(second, driver)
    assert again.value == fresh.value
    np.testing.assert_array_equal(again.adj_image, fresh.adj_image)


def test_correction_backward_adds_to_what_is_there(driver):
    pictures = random_pictures((17, 23))
    once = evaluate(pictures, driver)
    loss = driver.loss((4, 17, 23))
    evaluate(pictures, driver, loss=loss)
    adj_log_gains = wp.array(np.ones((4, 3)), dtype=wp.float64, device=driver.device)
    adj_offsets = wp.array(np.ones((4, 3)), dtype=wp.float64, device=driver.device)
    for _ in range(2):
        loss.correction_backward(driver.index(CAMERA), adj_log_gains, adj_offsets)
    np.testing.assert_allclose(adj_log_gains.numpy(), 1.0 + 2.0 * once.adj_log_gains, rtol=1e-12)
    np.testing.assert_allclose(adj_offsets.numpy(), 1.0 + 2.0 * once.adj_offsets, rtol=1e-12)


@pytest.mark.parametrize(
    "area",
    [(0, 0, 0, 0), (13, 30, 9, 20), (8, 15, 31, 31), (0, 44, 0, 31), (40, 44, 3, 12), (0, 21, 25, 31), (5, 4, 3, 2)],
)
def test_gradient_of_an_area_is_that_of_the_whole_picture(area, driver):
    pictures = random_pictures((32, 45))
    whole = evaluate(pictures, driver, wp.float32)
    loss = driver.loss((4, 32, 45), wp.float32)
    part = evaluate(pictures, driver, wp.float32, loss=loss, area=area)
    columns, rows = slice(area[0], area[1] + 1), slice(area[2], area[3] + 1)
    np.testing.assert_array_equal(part.adj_image[:, rows, columns], whole.adj_image[:, rows, columns])
    index, camera = driver.index(0), driver.index(CAMERA)
    image, target, log_gains, offsets = (
        wp.array(array, dtype=float, device=driver.device)
        for array in (pictures.image, pictures.target[None], pictures.log_gains, pictures.offsets)
    )
    loss.complete_squares(image, target, index, log_gains, offsets, camera)
    assert loss.psnr() == pytest.approx(whole.psnr, rel=1e-6)
    again = evaluate(pictures, driver, wp.float32, loss=loss)
    np.testing.assert_array_equal(again.adj_image, whole.adj_image)
    assert again.value == pytest.approx(whole.value, rel=1e-12)


def test_a_picture_is_prepared_in_place_of_another(driver):
    """What a new timestep does while captured steps hold on to the arrays."""
    rng = np.random.default_rng(4)
    pictures = wp.array(rng.random((3, 4, 12, 11)), dtype=wp.float64, device=driver.device)
    moments = wp.zeros((3, 8, 12, 11), dtype=wp.float64, device=driver.device)
    loss = driver.loss((4, 12, 11))
    loss.prepare(pictures, moments)
    before = moments.numpy().copy()
    pictures[1:2].assign(rng.random((1, 4, 12, 11)))
    loss.prepare(pictures[1:2], moments[1:2])
    after = moments.numpy()
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    loss.prepare(pictures, moments)
    np.testing.assert_array_equal(moments.numpy(), after)
    assert (after[1] != before[1]).any()


def test_loss_refuses_a_picture_of_another_size_or_type(driver):
    loss = driver.loss((4, 8, 9), wp.float32)
    moments = wp.zeros((1, 8, 8, 9), dtype=float, device=driver.device)
    with pytest.raises(ValueError, match=r"pictures: expected shape \[1, 4, 8, 9\], got \[1, 4, 9, 8\]"):
        loss.prepare(wp.zeros((1, 4, 9, 8), dtype=float, device=driver.device), moments)
    with pytest.raises(TypeError, match=r"pictures: expected a wp\.array of float32"):
        loss.prepare(wp.zeros((1, 4, 8, 9), dtype=wp.float64, device=driver.device), moments)
