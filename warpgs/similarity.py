"""A change of frame and unit, and what it does to what flows between the rooms. NumPy, float64."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial.transform import Rotation

from warpgs.checks import check_finite, check_shape, refuse
from warpgs.math.harmonics import turned_harmonics
from warpgs.types import Gaussians


@dataclass(frozen=True, eq=False)
class Similarity:
    """p_new = scale * rotation @ p_old + translation. Named like a matrix: ``new_from_old``."""

    scale: float = 1.0
    """New units per old unit."""
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    """New from old, shape [3, 3], float64."""
    translation: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """Of the old origin [new units], shape [3], float64."""

    @classmethod
    def of(cls, matrix: np.ndarray, what: str) -> Similarity:
        """The parts of a homogeneous matrix, shape [4, 4]; ``what`` names it in errors.

        Raises:
            ValueError: not a similarity, or one that mirrors (Gaussians have no mirror image by rotation).
        """
        check_shape(what, matrix, (4, 4))
        check_finite(what, matrix)
        linear = matrix[:3, :3].astype(np.float64)
        scale = float(np.cbrt(np.linalg.det(linear)))
        rotation = linear / scale if scale > 0.0 else linear
        error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        if scale <= 0.0 or error > 1e-5 or not np.array_equal(matrix[3], [0.0, 0.0, 0.0, 1.0]):
            refuse(what, "a similarity that does not mirror", matrix.tolist())
        return cls(scale, rotation, matrix[:3, 3].astype(np.float64))

    @property
    def matrix(self) -> np.ndarray:
        """New from old, shape [4, 4]."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.scale * self.rotation, self.translation
        return matrix

    def inverse(self) -> Similarity:
        """Old from new."""
        back = self.rotation.T
        return Similarity(1.0 / self.scale, back, -back @ self.translation / self.scale)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points in the new frame, shape [..., 3]."""
        return points.astype(np.float64) @ (self.scale * self.rotation).T + self.translation

    def poses(self, poses: np.ndarray) -> np.ndarray:
        """Rigid transforms into the old frame as ones into the new, shape [..., 4, 4]."""
        moved = np.array(poses, np.float64)
        moved[..., :3, :3] = self.rotation @ moved[..., :3, :3]
        moved[..., :3, 3] = self.points(moved[..., :3, 3])
        return moved

    def rotations_wxyz(self, rotations_wxyz: np.ndarray) -> np.ndarray:
        """Quaternions, old frame from particle, as ones of the new frame, shape [..., 4]; they keep their lengths, and
        their signs towards each other."""
        w, x, y, z = Rotation.from_matrix(self.rotation).as_quat(canonical=True, scalar_first=True)
        left = np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])  # q -> (w, x, y, z) q
        return rotations_wxyz.astype(np.float64) @ left.T

    def log_scales(self, log_scales: np.ndarray) -> np.ndarray:
        """Logarithmic sizes in the new unit, shape [n, 3]."""
        return log_scales.astype(np.float64) + np.log(self.scale)

    def harmonics(self, harmonics: np.ndarray) -> np.ndarray:
        """Coefficients of the same radiance, seen along directions of the new frame, shape [n, m, 3], float32."""
        return turned_harmonics(harmonics, self.rotation)

    def gaussians(self, gaussians: Gaussians) -> Gaussians:
        """Particles in the new frame, float32."""
        return replace(
            gaussians,
            means=self.points(gaussians.means).astype(np.float32),
            rotations_wxyz=self.rotations_wxyz(gaussians.rotations_wxyz).astype(np.float32),
            log_scales=self.log_scales(gaussians.log_scales).astype(np.float32),
            harmonics=None if gaussians.harmonics is None else self.harmonics(gaussians.harmonics),
        )
