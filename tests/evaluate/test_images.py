"""PSNR and SSIM against naive loops in float64."""

import numpy as np
import pytest

from warpgs.evaluate.images import psnr, ssim, ssim_map


def naive_ssim_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The formula, one pixel at a time: an 11x11 window of sigma 1.5 over pictures padded with zeros."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    padded_x, padded_y = (np.pad(p, ((5, 5), (5, 5), (0, 0))) for p in (x, y))
    result = np.zeros_like(x)
    for row, column, channel in np.ndindex(*x.shape):
        a = padded_x[row : row + 11, column : column + 11, channel]
        b = padded_y[row : row + 11, column : column + 11, channel]
        ma, mb = (window * a).sum(), (window * b).sum()
        va, vb = (window * a * a).sum() - ma * ma, (window * b * b).sum() - mb * mb
        cov = (window * a * b).sum() - ma * mb
        result[row, column, channel] = (
            (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
        )
    return result


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    truth = rng.random((17, 23, 3))
    return np.clip(truth + rng.normal(0, 0.1, truth.shape), 0, 1), truth


def test_ssim_map_matches_naive_loop(pair):
    image, truth = pair
    np.testing.assert_allclose(ssim_map(image, truth), naive_ssim_map(image, truth), rtol=0, atol=1e-12)


def test_ssim_inside_a_mask_is_the_mean_of_the_map_there(pair):
    image, truth = pair
    mask = np.random.default_rng(2).random(image.shape[:2])
    expected = (naive_ssim_map(image, truth).mean(axis=2) * mask).sum() / mask.sum()
    assert ssim(image, truth, mask) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_equal_pictures_is_one(pair):
    assert ssim(pair[0], pair[0]) == pytest.approx(1.0, abs=1e-12)


def test_psnr_of_a_constant_offset_is_exact():
    truth = np.full((8, 9, 3), 0.25)
    assert psnr(truth + 0.1, truth) == pytest.approx(20.0, abs=1e-9)


def test_psnr_of_equal_pictures_is_infinite():
    assert psnr(np.zeros((4, 4, 3)), np.zeros((4, 4, 3))) == np.inf


def test_psnr_inside_a_mask_ignores_errors_outside():
    truth = np.zeros((4, 6, 3))
    image = truth.copy()
    image[:, :3] = 0.1
    image[:, 3:] = 0.9
    left = np.zeros((4, 6), dtype=bool)
    left[:, :3] = True
    assert psnr(image, truth, left) == pytest.approx(20.0, abs=1e-9)
    assert psnr(image, truth) < 5.0


def test_psnr_weighs_half_covered_pixels_half():
    truth = np.zeros((1, 2, 3))
    image = np.array([[[0.2] * 3, [0.0] * 3]])
    expected = -10 * np.log10(0.5 * 0.04 / 1.5)
    assert psnr(image, truth, np.array([[0.5, 1.0]])) == pytest.approx(expected, abs=1e-9)


def test_figures_of_an_empty_mask_are_not_numbers(pair):
    mask = np.zeros(pair[0].shape[:2])
    assert np.isnan(psnr(*pair, mask))
    assert np.isnan(ssim(*pair, mask))


@pytest.mark.parametrize("broken", ["size", "bytes", "nan", "mask"])
def test_figures_refuse_pictures_that_do_not_compare(pair, broken):
    image, truth = pair
    mask = None
    if broken == "size":
        image = image[:-1]
    elif broken == "bytes":
        image = (image * 255).astype(np.uint8)
    elif broken == "nan":
        image[3, 4, 1] = np.nan
    else:
        mask = np.full(image.shape[:2], 255, dtype=np.uint8)
    with pytest.raises(ValueError, match="expected"):
        psnr(image, truth, mask)
