import numpy as np
import pytest

from scenes.undistort import Lens, Undistortion, check_lens
from tests.reference.distortion import distort, undistort
from warpgs.checks import check_camera
from warpgs.types import Camera

WIDTH, HEIGHT = 160, 120
LENSES = {
    "phone": Lens("brown", (0.0578421, -0.0805099, -0.000980296, 0.00015575)),
    "barrel": Lens("brown", (-0.28, 0.09, 0.001, -0.0007, -0.013)),
    "pincushion": Lens("brown", (0.2, 0.03, -0.001, 0.0005)),
    "rational": Lens("brown", (0.31, 0.1, 0.0008, 0.0003, 0.01, 0.62, 0.2, 0.02)),
    "equidistant": Lens("fisheye", (0.0, 0.0, 0.0, 0.0)),
    "fisheye": Lens("fisheye", (-0.035, 0.012, -0.006, 0.001)),
}


@pytest.fixture(params=LENSES)
def lens(request) -> Lens:
    return LENSES[request.param]


def camera(width: int = WIDTH, height: int = HEIGHT) -> Camera:
    intrinsics = np.array([[0.8 * width, 0, 0.52 * width], [0, 0.81 * width, 0.49 * height], [0, 0, 1.0]])
    return Camera("cam", width, height, intrinsics, np.eye(4))


def rays_of(pinhole: Camera, pixels: np.ndarray) -> np.ndarray:
    k = pinhole.intrinsics
    return (pixels - k[:2, 2]) / [k[0, 0], k[1, 1]]


def centers() -> np.ndarray:
    """All pixel centers, row by row, shape [n, 2]."""
    return np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), axis=-1).reshape(-1, 2)


def texture(rays: np.ndarray) -> np.ndarray:
    """A smooth picture of the plane z = 1, 0..255, shape [n, 3]."""
    x, y = 7.0 * rays.T
    return 127.5 + 120.0 * np.stack([np.sin(x) * np.cos(y), np.cos(x + 0.5 * y), np.sin(y - 0.3 * x)], axis=-1)


def test_distortion_matches_the_formula(lens):
    rays = np.random.default_rng(0).uniform(-0.7, 0.7, (300, 2))
    np.testing.assert_allclose(
        lens.distort(rays),
        distort(lens.model, lens.coefficients, rays),
        rtol=0,
        atol=1e-14 if lens.model == "brown" else 1e-12,
    )


def test_pixels_there_and_back_are_the_same(lens):
    undistortion = Undistortion(camera(), lens)
    pixels = centers()[::97]
    taken = undistortion.taken_px(rays_of(undistortion.camera, pixels))
    k = undistortion.taken.intrinsics
    back = undistort(lens.model, lens.coefficients, (taken - k[:2, 2]) / [k[0, 0], k[1, 1]])
    again = back @ undistortion.camera.intrinsics[:2, :2].T + undistortion.camera.intrinsics[:2, 2]
    np.testing.assert_allclose(again, pixels, rtol=0, atol=1e-9)


def test_every_pixel_has_data_and_no_more_would_fit(lens):
    undistortion = Undistortion(camera(), lens)
    pinhole = undistortion.camera
    check_camera("pinhole", pinhole)
    assert (pinhole.width, pinhole.height) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(pinhole.intrinsics[:, 2], camera().intrinsics[:, 2])
    pixels = undistortion.taken_px(rays_of(pinhole, centers()))
    margin = np.array([pixels - 0.5, [WIDTH - 0.5, HEIGHT - 0.5] - pixels])
    assert margin.min() > -1e-3, "half a pixel off the edge is where the outermost centers are"
    for axis in range(2):
        smaller = pinhole.intrinsics.copy()
        smaller[axis, axis] /= 1.01
        wider = undistortion.taken_px((centers() - smaller[:2, 2]) / [smaller[0, 0], smaller[1, 1]])
        outside = (wider < 0.5) | (wider > [WIDTH - 0.5, HEIGHT - 0.5])
        assert outside.any(), "a wider picture would have empty pixels"


def test_undistorted_picture_is_what_the_pinhole_sees(lens):
    undistortion = Undistortion(camera(), lens)
    shown = undistort(lens.model, lens.coefficients, rays_of(undistortion.taken, centers()))
    taken = np.rint(texture(shown)).reshape(HEIGHT, WIDTH, 3).astype(np.uint8)
    expected = texture(rays_of(undistortion.camera, centers())).reshape(HEIGHT, WIDTH, 3)
    error = np.abs(undistortion.resample(taken) - expected)
    assert error.max() < 2.5 and error.mean() < 0.5
    naive = np.abs(taken - expected)
    assert naive.mean() > 2.0 * error.mean(), "the lens is worth removing"
    np.testing.assert_allclose(undistortion.resample(taken[..., 0]), undistortion.resample(taken)[..., 0], atol=1)


def test_masks_stay_shares_of_the_foreground():
    undistortion = Undistortion(camera(), LENSES["barrel"])
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[40:80, 60:100] = 255
    resampled = undistortion.resample(mask)
    assert resampled.dtype == np.uint8 and resampled.shape == mask.shape
    assert resampled[HEIGHT // 2, WIDTH // 2] == 255 and resampled[5, 5] == 0


def test_very_wide_fisheye_is_cut_to_what_a_pinhole_can_show():
    intrinsics = np.array([[40.0, 0, 80], [0, 40.0, 60], [0, 0, 1]])  # 229 degrees from corner to corner
    pinhole = Undistortion(Camera("cam", WIDTH, HEIGHT, intrinsics, np.eye(4)), Lens("fisheye", (0.0,) * 4)).camera
    corner = np.linalg.norm(rays_of(pinhole, np.array([[0.5, 0.5]])))
    assert 70.0 < np.degrees(np.arctan(corner)) <= 80.0


def test_only_a_brown_lens_without_coefficients_is_a_pinhole():
    assert Lens("brown", (0.0,) * 5).is_pinhole and not Lens("brown", (0.0, 0.0, 1e-6, 0.0)).is_pinhole
    assert not Lens("fisheye", (0.0,) * 4).is_pinhole


def test_lens_that_folds_over_is_refused():
    with pytest.raises(ValueError, match=r"cam: distortion: expected a brown lens .* folds over \d\d\.\d degrees off"):
        _ = Undistortion(camera(), Lens("brown", (-0.9, 0.0, 0.0, 0.0))).camera
    with pytest.raises(ValueError, match=r"folds over 30\.0 degrees"):  # r / (1 + 3 r^2) turns back at tan 30
        _ = Undistortion(camera(), Lens("brown", (0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0))).camera
    with pytest.raises(ValueError, match="folds over"):
        _ = Undistortion(camera(), Lens("fisheye", (-0.9, 0.0, 0.0, 0.0))).camera


def test_principal_point_outside_the_picture_is_refused():
    intrinsics = np.array([[128.0, 0, -3.0], [0, 128.0, 60], [0, 0, 1]])
    taken = Camera("cam", WIDTH, HEIGHT, intrinsics, np.eye(4))
    with pytest.raises(ValueError, match="cam: cx and cy: expected a point inside the picture of 160x120"):
        _ = Undistortion(taken, LENSES["barrel"]).camera


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_coefficients_that_are_no_numbers_are_refused(bad):
    with pytest.raises(ValueError, match="cam: distortion: expected finite coefficients"):
        check_lens("cam", Lens("brown", (0.1, bad, 0.0, 0.0)))


@pytest.mark.parametrize(("model", "count"), [("brown", 3), ("brown", 6), ("brown", 12), ("fisheye", 5)])
def test_wrong_number_of_coefficients_is_refused(model, count):
    with pytest.raises(ValueError, match=f"expected .* coefficients of a {model} lens, got {count}"):
        check_lens("cam", Lens(model, (0.0,) * count))
