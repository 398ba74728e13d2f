"""3D Gaussian splatting ``.ply``: one file per timestep, as splat viewers and editors read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usd_export.form import Progress, harmonics
from warpgs.types import Gaussians, Tracks

FIRST = ("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2")
LAST = ("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")
"""Columns, all float: center, an unused normal, degree-0 harmonics; between, ``f_rest_0`` ... where there are more: all
coefficients of red, then of green, then of blue; then logit, logarithmic sizes, quaternion w, x, y, z."""


def write_ply(tracks: Tracks, path: Path, progress: Progress) -> list[Path]:
    """Write ``<stem>_<timestep>.ply`` beside ``path`` for every timestep; binary, little endian.

    In the world frame (z up, metres), not the source's: files to look at, and viewers want an upright scene. A file
    holds the particles that exist at its timestep.

    Raises:
        OSError: no room on the disk.
    """
    files = []
    for i, timestep in enumerate(tracks.timesteps):
        file = path.with_name(f"{path.stem}_{timestep:06d}{path.suffix}")
        file.write_bytes(_header(tracks.at(i)) + _columns(tracks.at(i)).tobytes())
        files.append(file)
        progress(i + 1, len(tracks))
    return files


def _header(gaussians: Gaussians) -> bytes:
    rest = [f"f_rest_{i}" for i in range(_rest(gaussians).shape[1])]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(gaussians)}"]
    lines += [f"property float {name}" for name in (*FIRST, *rest, *LAST)]
    return ("\n".join([*lines, "end_header"]) + "\n").encode("ascii")


def _columns(gaussians: Gaussians) -> np.ndarray:
    """Shape [n, 17 or more]."""
    normals = np.zeros_like(gaussians.means)
    columns = (
        *(gaussians.means, normals, harmonics(gaussians.colors), _rest(gaussians)),
        *(gaussians.opacity_logits[:, None], gaussians.log_scales, gaussians.rotations_wxyz),
    )
    return np.concatenate(columns, axis=1, dtype="<f4")


def _rest(gaussians: Gaussians) -> np.ndarray:
    """Coefficients of degree 1 and more, channel by channel, shape [n, 3 m]; none where there are none."""
    coefficients = gaussians.harmonics
    if coefficients is None:
        return np.zeros((len(gaussians), 0), np.float32)
    return coefficients.transpose(0, 2, 1).reshape(len(gaussians), -1)
