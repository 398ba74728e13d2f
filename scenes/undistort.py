"""Lens distortion, removed where pictures are read: what comes out was taken by a pinhole.

Two models, with the formulas and the order of coefficients of OpenCV; (x, y) = (X/Z, Y/Z) of a ray, camera frame:

    brown    x' = x q + 2 p1 x y + p2 (r^2 + 2 x^2),  y' = y q + p1 (r^2 + 2 y^2) + 2 p2 x y,  r^2 = x^2 + y^2,
             q = (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6)
    fisheye  (x', y') = (x, y) / r * (a + k1 a^3 + k2 a^5 + k3 a^7 + k4 a^9),  a = atan(r)

The pinhole picture has the size and the principal point of the one taken, and the smallest focal lengths for which
every pixel has data: what the lens showed beyond that rectangle is cut away. So there are no empty pixels that a loss
would have to leave out, at the price of the outermost field of view (a few per cent for usual lenses).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import cv2
import numpy as np

from warpgs.checks import check_picture, refuse
from warpgs.types import Camera

LensModel = Literal["brown", "fisheye"]
COEFFICIENT_COUNTS: dict[LensModel, tuple[int, ...]] = {"brown": (4, 5, 8), "fisheye": (4,)}
WIDEST = np.tan(np.radians(80.0))
"""Tangent of the farthest angle off axis that is kept: a pinhole picture has no 90 degrees."""
LARGEST_SCALE = 8.0
"""The pinhole picture shows at most this many times the tangents that its undistorted size suggests."""
SIDE, INNER = 129, 33
"""Points along each side of the rectangle that is fitted, and along each side of the grid within."""
STEP = 1e-5
"""Half of the central difference that tells whether a lens folds over."""
RECALIBRATE = "calibrate again with points close to the corners, or with fewer coefficients"


@dataclass(frozen=True)
class Lens:
    """How a lens departs from a pinhole."""

    model: LensModel
    """Which of the formulas above."""
    coefficients: tuple[float, ...]
    """k1 k2 p1 p2 [k3 [k4 k5 k6]] of brown, k1 k2 k3 k4 of fisheye."""

    @property
    def is_pinhole(self) -> bool:
        """True where there is nothing to remove. A fisheye lens bends lines even where its coefficients are 0."""
        return self.model == "brown" and not any(self.coefficients)

    def distort(self, tangents: np.ndarray) -> np.ndarray:
        """Where rays (x, y) hit the plane of unit focal length behind the lens: (x', y'), shape [n, 2], float64."""
        points = np.concatenate([tangents, np.ones((len(tangents), 1))], axis=1).reshape(-1, 1, 3)
        project = cv2.projectPoints if self.model == "brown" else cv2.fisheye.projectPoints
        still = np.zeros(3)
        return project(points, still, still, np.eye(3), np.array(self.coefficients, np.float64))[0].reshape(-1, 2)

    def is_one_to_one(self, tangents: np.ndarray) -> np.ndarray:
        """True where the map keeps its orientation, shape [n], bool; elsewhere the lens shows a ray twice."""
        dx, dy = (self.distort(tangents + step) - self.distort(tangents - step) for step in STEP * np.eye(2))
        return dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0] > 0.0


@dataclass(frozen=True, eq=False)
class Undistortion:
    """From a picture through a lens to a picture through a pinhole."""

    taken: Camera
    """The camera as calibrated: its intrinsics hold behind the lens."""
    lens: Lens
    """What the light went through."""

    @cached_property
    def camera(self) -> Camera:
        """The pinhole camera of the resampled pictures.

        Raises:
            ValueError: a principal point outside the picture, or a lens that folds over inside it.
        """
        scale = np.ones(2)
        # Both axes together, then each as far as it goes alone. Edges are sampled: each step leaves the next a margin.
        for axes, margin_px in (([True, True], 0.02), ([True, False], 0.01), ([False, True], 0.0)):
            scale = self._grow(scale, np.array(axes), margin_px)
        intrinsics = np.diag([1.0 / scale[0], 1.0 / scale[1], 1.0]) @ self.taken.intrinsics
        intrinsics[:2, 2] = self.taken.intrinsics[:2, 2]
        return replace(self.taken, intrinsics=intrinsics)

    def taken_px(self, tangents: np.ndarray) -> np.ndarray:
        """Where rays (x, y) are in the picture taken [px], shape [n, 2]."""
        k = self.taken.intrinsics
        return self.lens.distort(tangents) * [k[0, 0], k[1, 1]] + k[:2, 2]

    def resample(self, picture: np.ndarray) -> np.ndarray:
        """The picture that the pinhole camera sees, bilinear.

        Args:
            picture: As taken, uint8, shape [height, width] or [height, width, 3].
        """
        check_picture("picture to undistort", picture, self.taken, picture.shape[2:])
        # OpenCV counts pixel centers from 0. Its maps are made for each picture: that takes as long as decoding it.
        shift = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
        taken, pinhole = self.taken.intrinsics - shift, self.camera.intrinsics - shift
        size, coefficients = (self.taken.width, self.taken.height), np.array(self.lens.coefficients, np.float64)
        make = cv2.initUndistortRectifyMap if self.lens.model == "brown" else cv2.fisheye.initUndistortRectifyMap
        columns, rows = make(taken, coefficients, np.eye(3), pinhole, size, cv2.CV_32FC1)
        return cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def _grow(self, scale: np.ndarray, axes: np.ndarray, margin_px: float) -> np.ndarray:
        """``scale``, along ``axes`` as large as the picture taken allows; along both axes it may also shrink."""
        both = bool(axes.all())
        low = 1e-6 if both else 1.0
        if both and not self._fits(low * scale, margin_px):
            got = tuple(map(float, self.taken.intrinsics[:2, 2]))
            size = f"{self.taken.width}x{self.taken.height}"
            refuse(f"{self.taken.name}: cx and cy", f"a point inside the picture of {size} [px]", got, RECALIBRATE)
        high = LARGEST_SCALE
        for _ in range(32):
            middle = 0.5 * (low + high)
            grown = scale * np.where(axes, middle, 1.0)
            low, high = (middle, high) if self._fits(grown, margin_px) else (low, middle)
        if both:
            self._check_fold(self._rays(scale * high))
        return scale * np.where(axes, low, 1.0)

    def _fits(self, scale: np.ndarray, margin_px: float) -> bool:
        """Whether a pinhole picture of this scale shows only what the picture taken has between its pixel centers."""
        low = 0.5 + margin_px
        rays = self._rays(scale)
        if (rays**2).sum(axis=1).max() > WIDEST**2 or not self.lens.is_one_to_one(rays).all():
            return False
        pixels = self.taken_px(rays)
        return bool((pixels >= low).all() and (pixels <= [self.taken.width - low, self.taken.height - low]).all())

    def _rays(self, scale: np.ndarray) -> np.ndarray:
        """Rays through the outermost pixel centers of a pinhole picture, and through a grid within; shape [n, 2]."""
        k, side, inner = self.taken.intrinsics, np.linspace(0.0, 1.0, SIDE), np.linspace(0.0, 1.0, INNER)
        ends = np.array([0.0, 1.0])
        grids = (
            np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2) for u, v in ((side, ends), (ends, side), (inner,) * 2)
        )
        pixels = 0.5 + np.concatenate(list(grids)) * [self.taken.width - 1, self.taken.height - 1]
        return (pixels - k[:2, 2]) / [k[0, 0], k[1, 1]] * scale

    def _check_fold(self, rays: np.ndarray) -> None:
        """Refuse a lens whose formula turns back before the edge of the picture is reached."""
        folded = rays[~self.lens.is_one_to_one(rays)]
        if len(folded) and (rays**2).sum(axis=1).max() <= WIDEST**2:
            degrees = np.degrees(np.arctan(np.linalg.norm(folded, axis=1).min()))
            rule = f"a {self.lens.model} lens that is one-to-one as far as the edge of the picture"
            refuse(
                f"{self.taken.name}: distortion",
                rule,
                f"one that folds over {degrees:.1f} degrees off axis",
                RECALIBRATE,
            )


def check_lens(what: object, lens: Lens) -> None:
    """Refuse coefficients that are no numbers or too few or many."""
    counts = COEFFICIENT_COUNTS[lens.model]
    if len(lens.coefficients) not in counts:
        rule = " or ".join(map(str, counts)) + f" coefficients of a {lens.model} lens"
        refuse(f"{what}: distortion", rule, len(lens.coefficients), "set those that are not known to 0")
    if not np.isfinite(lens.coefficients).all():
        refuse(f"{what}: distortion", "finite coefficients", list(lens.coefficients), "re-run the calibration")
