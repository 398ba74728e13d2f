"""What all writers share: the contract of tracks, and the forms in which other tools store Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from usd_export.survey import unsoundness
from warpgs.checks import check_finite, check_harmonics, check_shape, refuse, sentence
from warpgs.similarity import Similarity
from warpgs.types import Tracks

Progress = Callable[[int, int], None]
"""Called with (timesteps written, timesteps in all)."""

Writer = Callable[[Tracks, Path, Progress], list[Path]]
"""Writes checked tracks to a path and returns the files made, which lie beside it."""

SH_C0 = 0.28209479177387814
"""Spherical harmonic of degree 0, 1 / (2 sqrt(pi)): color = 0.5 + SH_C0 * coefficient."""

QUATERNION_ERROR = 1e-3
"""Most that the length of a quaternion may be off."""


def silent(done: int, total: int) -> None:
    """Report no progress."""


def check_tracks(tracks: Tracks) -> None:
    """Refuse tracks that are not what types.py says.

    Raises:
        ValueError, TypeError: naming the array.
    """
    steps, count, cameras = len(tracks.timesteps), tracks.means.shape[1:2], len(tracks.camera_names)
    if steps == 0 or count in ((), (0,)):
        refuse("tracks", "at least one timestep of one Gaussian", f"means of shape {list(tracks.means.shape)}")
    shapes = {
        "means": (steps, *count, 3),
        "rotations_wxyz": (steps, *count, 4),
        "log_scales": (*count, 3),
        "colors": (*count, 3),
        "opacity_logits": count,
        "foreground": count,
        "camera_log_gains": (cameras, 3),
        "camera_offsets": (cameras, 3),
    }
    for name, shape in shapes.items():
        array = getattr(tracks, name)
        if array.dtype != np.float32:
            raise TypeError(sentence(f"tracks.{name}", "float32", array.dtype))
        check_shape(f"tracks.{name}", array, shape)
        if array.ndim < 3:
            check_finite(f"tracks.{name}", array)
    _check_poses(tracks)
    if tracks.birth is not None:
        check_shape("tracks.birth", tracks.birth, count)
        if (np.diff(tracks.birth) < 0).any() or tracks.birth[0] != 0 or tracks.birth[-1] >= steps:
            refuse("tracks.birth", f"instants 0 to {steps - 1} that never fall, the first 0", tracks.birth.tolist())
    for name in ("confidence", "visibility"):
        shares = getattr(tracks, name)
        if shares is not None:
            check_shape(f"tracks.{name}", shares, (steps, *count))
            check_finite(f"tracks.{name}", shares)
    if tracks.harmonics is not None:
        check_harmonics("tracks.harmonics", tracks.harmonics, *count)
    if (np.diff(tracks.timesteps) <= 0).any():
        refuse("tracks.timesteps", "rising numbers", tracks.timesteps)
    if not (np.isfinite(tracks.fps) and tracks.fps > 0.0):
        refuse("tracks.fps", "a number above 0", tracks.fps)
    Similarity.of(tracks.source_from_world, "tracks.source_from_world")


def _check_poses(tracks: Tracks) -> None:
    errors = unsoundness(tracks)
    if np.isnan(errors).any():
        check_finite("tracks.means", tracks.means)
        check_finite("tracks.rotations_wxyz", tracks.rotations_wxyz)
    for timestep, error in zip(tracks.timesteps, errors, strict=True):
        if error > QUATERNION_ERROR:
            got = f"lengths off by {error:.3g} at timestep {timestep}"
            refuse("tracks.rotations_wxyz", "unit quaternions", got, "normalize them")


def harmonics(colors: np.ndarray) -> np.ndarray:
    """Degree-0 coefficients of RGB colors, shape [n, 3], float32; not clamped."""
    return ((colors.astype(np.float64) - 0.5) / SH_C0).astype(np.float32)


def opacities(logits: np.ndarray) -> np.ndarray:
    """Opacities 0..1 of logits, shape [n], float32."""
    return (0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))).astype(
        np.float32
    )  # a logistic that cannot overflow


def scales(log_scales: np.ndarray) -> np.ndarray:
    """Standard deviations [m] of their logarithms, shape [n, 3], float32."""
    return np.exp(log_scales.astype(np.float64)).astype(np.float32)
