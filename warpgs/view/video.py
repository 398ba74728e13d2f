"""Pictures to .mp4 (H.264, plays everywhere) or .gif."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from warpgs.checks import check_suffix
from warpgs.files import whole_file

VIDEO_SUFFIXES = (".mp4", ".gif")
QUALITY_CRF = 18
"""Constant rate factor of H.264: visually lossless."""


def write_video(path: Path, pictures: Iterator[np.ndarray], fps: float) -> None:
    """Encode 8-bit RGB pictures of one size, shape [h, w, 3], one at a time; the file is whole or absent.

    Sides of odd length lose their last row or column in .mp4, since its colors are stored at half the size.

    Raises:
        ValueError: a suffix other than .mp4 and .gif.
        OSError: the disk is full or refuses.
    """
    check_suffix(path, VIDEO_SUFFIXES)
    with whole_file(path) as temporary:
        if path.suffix.lower() == ".mp4":
            _write_mp4(temporary, pictures, fps)
        else:
            _write_gif(temporary, pictures, fps)


def tile(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of any sizes in a near-square grid on black, uint8 [h, w, 3]."""
    columns = int(np.ceil(np.sqrt(len(pictures))))
    rows = -(-len(pictures) // columns)
    height = max(picture.shape[0] for picture in pictures)
    width = max(picture.shape[1] for picture in pictures)
    canvas = np.zeros((rows * height, columns * width, 3), np.uint8)
    for i, picture in enumerate(pictures):
        y, x = (i // columns) * height, (i % columns) * width
        canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return canvas


def _write_mp4(path: Path, pictures: Iterator[np.ndarray], fps: float) -> None:
    with av.open(str(path), "w") as container:
        stream = None
        for picture in pictures:
            even = np.ascontiguousarray(_even(picture))
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
                stream.height, stream.width = even.shape[:2]
                stream.pix_fmt = "yuv420p"
                # A fixed number: the bits of the file shall not depend on the number of cores.
                stream.options = {"crf": str(QUALITY_CRF), "threads": "2"}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode(None))


def _even(picture: np.ndarray) -> np.ndarray:
    """At least 2x2, both sides even."""
    if min(picture.shape[:2]) < 2:
        picture = np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)
    return picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]


def _write_gif(path: Path, pictures: Iterator[np.ndarray], fps: float) -> None:
    first = Image.fromarray(next(pictures))
    rest = (Image.fromarray(picture) for picture in pictures)
    # Players treat delays below 20 ms as 100 ms.
    first.save(path, save_all=True, append_images=rest, duration=max(20, round(1000.0 / fps)), loop=0)
