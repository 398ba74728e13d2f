import numpy as np
import pytest
from PIL import Image

from scenes.pictures import check_picture_file, read_image, read_mask
from warpgs.types import Camera

UPRIGHT = np.random.default_rng(0).integers(0, 256, (24, 16, 3), np.uint8)
CAMERA = Camera("c", 16, 24, np.diag([20.0, 20.0, 1.0]), np.eye(4))
STORED = {
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT),
    7: np.rot90(UPRIGHT[:, ::-1], -1),
    8: np.rot90(UPRIGHT, -1),
}
"""By orientation: pixels that a viewer turns into ``UPRIGHT``, from the definition of EXIF 2.3."""


def save(path, pixels, orientation=None):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, exif=exif)
    return path


@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_on_its_side_is_turned_where_the_calibration_is_upright(tmp_path, orientation):
    path = save(tmp_path / "a.png", STORED[orientation], orientation)
    check_picture_file(path, CAMERA)
    np.testing.assert_array_equal(read_image(path, CAMERA), UPRIGHT)
    mask = save(tmp_path / "m.png", STORED[orientation][..., 0], orientation)
    np.testing.assert_array_equal(read_mask(mask, CAMERA), UPRIGHT[..., 0])


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_picture_is_not_turned_where_the_calibration_fits_as_it_is(tmp_path, orientation):
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", UPRIGHT, orientation), CAMERA), UPRIGHT)


@pytest.mark.parametrize("orientation", [None, 1, 3])
def test_a_picture_on_its_side_that_does_not_say_so_is_refused(tmp_path, orientation):
    path = save(tmp_path / "a.png", np.rot90(UPRIGHT), orientation)
    with pytest.raises(ValueError, match="expected 16x24 pixels, as camera c was calibrated, got 24x16; turn it"):
        read_image(path, CAMERA)


def test_gray_pictures_of_8_and_16_bits_are_read(tmp_path):
    gray = UPRIGHT[..., 0]
    for name, pixels in (("8.png", gray), ("16.png", gray.astype(np.uint16) * 257)):
        Image.fromarray(pixels).save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name, CAMERA), np.repeat(gray[..., None], 3, axis=2))


def test_a_header_that_breaks_off_is_told_in_a_sentence(tmp_path):
    whole = save(tmp_path / "a.png", UPRIGHT).read_bytes()
    (tmp_path / "a.png").write_bytes(whole.replace(b"IHDR", b"9HDR")[:40])
    with pytest.raises(OSError, match=r"a.png: expected a (whole|JPEG or PNG) picture, got .*; copy the file again"):
        read_image(tmp_path / "a.png", CAMERA)
