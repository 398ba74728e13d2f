"""Pictures and masks on disk: sizes, whole files, pixels."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from scenes.recording import refuse_size
from warpgs.checks import refuse, sentence
from warpgs.types import Camera

DECODERS = min(4, os.cpu_count() or 1)
"""Threads that decode the pictures of one timestep."""
END_MARKERS = (b"\xff\xd9", b"IEND")
"""What the last bytes of a whole JPEG or PNG hold."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""What pictures are called where a folder is searched for them."""
GRAY_16 = "I;16"
"""What Pillow's modes of gray pictures of 16 bits begin with; of those in color it gives the upper 8."""
DEEP = ("I", "F")
"""First letters of its modes of 32 bits."""
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)
"""The EXIF tag of how a picture was held, and its values for a quarter of a turn."""
_Taken = TypeVar("_Taken")


def decode_all(
    read: Callable[[Path, _Taken], np.ndarray], paths: Sequence[Path], taken: Sequence[_Taken]
) -> tuple[np.ndarray, ...]:
    """Read the pictures of one timestep side by side; ``taken`` says how each of them was taken."""
    with ThreadPoolExecutor(DECODERS) as pool:
        return tuple(pool.map(read, paths, taken))


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height [px] that a picture's header states."""
    with _open(path) as picture:
        return picture.size


def _open(path: Path) -> Image.Image:
    """Open a picture; its header is read, its pixels are not."""
    try:
        return Image.open(path)
    except FileNotFoundError as error:
        got = "no such file"
        raise FileNotFoundError(
            sentence(path, "a picture", got, "copy it or drop its entry from the calibration")
        ) from error
    except (UnidentifiedImageError, ValueError) as error:
        raise OSError(sentence(path, "a JPEG or PNG picture", "something else", "copy the file again")) from error
    except OSError as error:  # a header that breaks off, a file that may not be read
        raise OSError(sentence(path, "a whole picture", error, "copy the file again")) from error
    except Image.DecompressionBombError as error:
        raise OSError(
            sentence(path, "a picture", "a header that announces too many pixels", "copy it again")
        ) from error


def _open_picture(path: Path, camera: Camera, is_mask: bool) -> Image.Image:
    """Open a picture or a mask and check its size."""
    picture = _open(path)
    if picture.size != (camera.width, camera.height) and not _lies_on_its_side(picture, camera):
        picture.close()
        if is_mask:
            rule, got = (f"{width}x{height} pixels" for width, height in ((camera.width, camera.height), picture.size))
            refuse(path, f"{rule}, as the picture", got, "make masks of the size of the pictures")
        refuse_size(path, camera, picture.size)
    return picture


def _lies_on_its_side(picture: Image.Image, camera: Camera) -> bool:
    """Whether a picture has the camera's size once it is turned as its EXIF says. Where it has it unturned, the
    calibration is that of the stored pixels, as COLMAP's is, and EXIF does not count."""
    if picture.size != (camera.height, camera.width):
        return False
    try:
        return picture.getexif().get(ORIENTATION) in TURNED
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):  # damaged
        return False


def _pixels(path: Path, camera: Camera, mode: str | None, *, is_mask: bool = False) -> np.ndarray:
    """Decode a picture, upright, converted to ``mode`` where given."""
    with _open_picture(path, camera, is_mask) as picture:
        try:
            on_side = picture.size != (camera.width, camera.height)
            upright = ImageOps.exif_transpose(picture) if on_side else picture
            return np.array(upright.convert(mode) if mode else upright)
        except (OSError, SyntaxError, ValueError) as error:
            raise OSError(sentence(path, "a whole picture", error, "copy the file again")) from error


def read_values(path: Path, largest: tuple[int, int]) -> np.ndarray:
    """The numbers of a picture as they are stored, refused unread where it is larger than ``largest`` [px]."""
    with _open(path) as picture:
        if picture.width > largest[0] or picture.height > largest[1]:
            rule, got = ("{}x{} pixels".format(*size) for size in (largest, picture.size))
            refuse(path, f"at most {rule}", got, "make it no larger than the picture")
        try:
            return np.array(picture)
        except (OSError, SyntaxError, ValueError) as error:
            raise OSError(sentence(path, "a whole picture", error, "copy the file again")) from error


def read_image(path: Path, camera: Camera) -> np.ndarray:
    """A picture as RGB, uint8, shape [height, width, 3]."""
    with _open_picture(path, camera, is_mask=False) as picture:
        mode, has_alpha = picture.mode, picture.has_transparency_data
    if mode.startswith(GRAY_16):
        gray = (_pixels(path, camera, None) >> 8).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    if mode.startswith(DEEP):
        refuse(path, "8 or 16 bits per channel", f"Pillow's mode {mode}", "convert the picture to 16 bits")
    if has_alpha and (_pixels(path, camera, "RGBA")[..., 3] < 255).any():
        refuse(path, "an opaque picture", "transparent pixels", "put it over a color; what was opaque can be its mask")
    return _pixels(path, camera, "RGB")


def read_mask(path: Path, camera: Camera) -> np.ndarray:
    """A mask as 0..255, whichever of the layout's three storages it has."""
    stored = _pixels(path, camera, None, is_mask=True)
    if stored.dtype == np.bool_:
        return stored.astype(np.uint8) * np.uint8(255)
    if stored.ndim == 3:
        stored = _pixels(path, camera, "L", is_mask=True)
    if stored.dtype != np.uint8:
        raise TypeError(sentence(path, "a mask of 1 or 8 bits", stored.dtype, "store it as 0/255"))
    return stored * np.uint8(255) if stored.max(initial=0) <= 1 else stored


def check_picture_file(path: Path, camera: Camera, *, is_mask: bool = False) -> None:
    """Header, size and end marker; a file that ends otherwise is decoded to find out whether it is whole."""
    _open_picture(path, camera, is_mask).close()
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64))
        tail = file.read()
    if not any(marker in tail for marker in END_MARKERS):
        _pixels(path, camera, None, is_mask=is_mask)
