"""The ``.npz`` of Dynamic3DGaussians, in the frame and unit of the recording's own files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from usd_export.form import Progress
from warpgs.similarity import Similarity
from warpgs.types import Tracks


def write_dynamic3dgs(tracks: Tracks, path: Path, progress: Progress) -> list[Path]:
    """Write the arrays that its users have tools for, uncompressed, float32, without pickled objects.

    ================  =========  =======================================================================
    means3D           [t, n, 3]  centers, source frame and unit
    unnorm_rotations  [t, n, 4]  quaternions w, x, y, z, source from particle
    rgb_colors        [t, n, 3]  RGB, the same at every timestep
    seg_colors        [n, 3]     foreground, 0, 1 - foreground
    logit_opacities   [n, 1]
    log_scales        [n, 3]     logarithm of one standard deviation, source unit
    cam_m, cam_c      [c, 3]     picture = exp(cam_m) * color + cam_c, in the order of the training cameras
    ================  =========  =======================================================================

    The format has no place for colors that depend on the direction of sight: harmonics are left out. Nor has it one for
    particles that are born later: they wait at the pose of their birth, and ``birth`` [n], the instant from which each
    is to be drawn, is written beside the others where it is not 0 for all. ``confidence`` and ``visibility`` [t, n],
    see Judgment, are written where the tracks know them, with ``tolerance`` [1] in the source's unit. For the way back
    ``source_from_world`` [4, 4], ``timesteps`` [t] and ``fps`` [1] are there too. The latter, and ``tolerance``, are
    float64.

    Raises:
        OSError: no room on the disk.
    """
    steps, count = tracks.means.shape[:2]
    source = Similarity.of(tracks.source_from_world, "tracks.source_from_world")
    zero = np.zeros_like(tracks.foreground)
    constant = {
        "seg_colors": np.stack([tracks.foreground, zero, 1.0 - tracks.foreground], axis=1),
        "logit_opacities": tracks.opacity_logits[:, None],
        "log_scales": source.log_scales(tracks.log_scales),
        "cam_m": tracks.camera_log_gains,
        "cam_c": tracks.camera_offsets,
    }
    way_back = {
        "source_from_world": tracks.source_from_world,
        "timesteps": np.array(tracks.timesteps),
        "fps": np.array([tracks.fps]),
    }
    if tracks.birth is not None and tracks.birth.any():
        constant["birth"] = tracks.birth
    if tracks.confidence is not None and tracks.visibility is not None and tracks.tolerance is not None:
        constant |= {"confidence": tracks.confidence, "visibility": tracks.visibility}
        way_back["tolerance"] = np.array([source.scale * tracks.tolerance])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _stream(archive, "means3D", (steps, count, 3), map(source.points, tracks.means))
        _stream(archive, "unnorm_rotations", (steps, count, 4), map(source.rotations_wxyz, tracks.rotations_wxyz))
        _stream(archive, "rgb_colors", (steps, count, 3), (tracks.colors for _ in range(steps)))
        for name, array in constant.items():
            _stream(archive, name, array.shape, [array])
        for name, array in way_back.items():
            _stream(archive, name, array.shape, [array], "<f8")
    progress(steps, steps)
    return [path]


def _stream(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], parts: Iterable[np.ndarray], kind: str = "<f4"
) -> None:
    """Add one array of an ``.npz``, part by part: a long recording is never held a second time."""
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for part in parts:
            member.write(np.ascontiguousarray(part, kind).tobytes())
