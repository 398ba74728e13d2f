"""3D Gaussian splatting ``.ply``: one file per timestep, as splat viewers and editors read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usd_export.form import Progress, harmonics
from warpgs.types import Gaussians, Tracks

PROPERTIES = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
"""Columns, all float: center, an unused normal, degree-0 harmonics, logit, logarithmic sizes, quaternion w, x, y, z."""


def write_ply(tracks: Tracks, path: Path, progress: Progress) -> list[Path]:
    """Write ``<stem>_<timestep>.ply`` beside ``path`` for every timestep; binary, little endian.

    In the world frame (z up, metres), not the source's: files to look at, and viewers want an upright scene.

    Raises:
        OSError: no room on the disk.
    """
    files = []
    for i, timestep in enumerate(tracks.timesteps):
        file = path.with_name(f"{path.stem}_{timestep:06d}{path.suffix}")
        file.write_bytes(_header(tracks.means.shape[1]) + _columns(tracks.at(i)).tobytes())
        files.append(file)
        progress(i + 1, len(tracks))
    return files


def _header(count: int) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    lines += [f"property float {name}" for name in PROPERTIES]
    return ("\n".join([*lines, "end_header"]) + "\n").encode("ascii")


def _columns(gaussians: Gaussians) -> np.ndarray:
    """Shape [n, 17]."""
    normals = np.zeros_like(gaussians.means)
    columns = (
        *(gaussians.means, normals, harmonics(gaussians.colors), gaussians.opacity_logits[:, None]),
        *(gaussians.log_scales, gaussians.rotations_wxyz),
    )
    return np.concatenate(columns, axis=1, dtype="<f4")
