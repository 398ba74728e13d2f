"""Readers: files of Gaussians, our own and those of others, to tracks. What ``WRITERS`` writes comes back.

=====================  ==========================================================================================
suffix                 content
=====================  ==========================================================================================
.usd .usda .usdc       every visible UsdVol.ParticleField3DGaussianSplat of a stage, still or moving
.usdz                  the same in a package
.npz                   the arrays of Dynamic3DGaussians, such as the ``params.npz`` of PanopticSports
.ply                   3D Gaussian splatting: one instant, or a series ``box_000000.ply`` ... under the name ``box.ply``
=====================  ==========================================================================================

Equal to what was exported, bit for bit: poses (in ``.npz``, where the source has a frame of its own, to a rounding and
the sign of a quaternion), foreground, births, timesteps, frame rate, the source's frame, and confidence and visibility
of what moves. To a rounding of float32: sizes and opacities of USD, which keeps them linear (an opacity beyond
1 - 3e-8 is 1 there), and colors of USD and PLY.

Not stored, so not back: color corrections and names of cameras (in ``.npz`` the corrections are, the names are not);
harmonics in ``.npz``; ``tolerance`` in USD; in ``.ply`` foreground (0), frame rate (30), the source's frame and
judgments. Harmonics whose highest degrees are all zero lose these. What stands still in a USD file has one instant.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from usd_export.form import check_tracks
from usd_export.reading.dynamic3dgs import read_dynamic3dgs
from usd_export.reading.ply import read_ply, series
from warpgs.checks import check_suffix, sentence
from warpgs.types import Tracks

__all__ = ["READERS", "read_tracks"]

Reader = Callable[[Path], Tracks]
"""Reads an existing file; the tracks are checked by ``read_tracks``."""


def _read_usd(path: Path) -> Tracks:
    from usd_export.reading.usd import read_usd  # pxr takes half a second to load

    return read_usd(path)


READERS: dict[str, Reader] = {
    ".usd": _read_usd,
    ".usda": _read_usd,
    ".usdc": _read_usd,
    ".usdz": _read_usd,
    ".npz": read_dynamic3dgs,
    ".ply": read_ply,
}
"""How each suffix is read."""


def read_tracks(path: str | Path) -> Tracks:
    """Read Gaussians from a file; its suffix says how, the table above what.

    Raises:
        FileNotFoundError: no such file.
        ValueError, TypeError: unknown suffix, or a file that is damaged, not what its suffix says, or
            larger than the memory.
        NotImplementedError: what Tracks cannot hold, such as particles that grow.
    """
    path = Path(path)
    check_suffix(path, tuple(READERS))
    if not path.is_file() and not (path.suffix.lower() == ".ply" and not path.exists() and series(path)):
        raise FileNotFoundError(sentence(path, "a file", "a folder" if path.is_dir() else "none"))
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large for float32 is refused below
        tracks = READERS[path.suffix.lower()](path)
    try:
        check_tracks(tracks)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from error
    return tracks
