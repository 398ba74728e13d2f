"""The ``.npz`` of Dynamic3DGaussians, by its authors' code or by ours, turned into our world."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

from usd_export.reading.form import FPS, RESTORE, check_memory, limited, unit
from warpgs.checks import check_finite, refuse
from warpgs.files import NPZ_DAMAGE, read_npz
from warpgs.similarity import Similarity
from warpgs.types import Tracks

SOURCE_FROM_WORLD = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""Our z up to the y down of PanopticSports: where a file does not say in which frame it is."""

Shape = tuple[int, ...]


def read_dynamic3dgs(path: Path) -> Tracks:
    """Read the arrays that ``write_dynamic3dgs`` lists; ``seg_colors``, ``cam_m`` and ``cam_c`` may be missing.

    Colors are those of the first instant. Quaternions may have any length. Without ``source_from_world``, which only
    our own files have, the frame is taken for that of PanopticSports: y down, and 30 instants per second from 0 on.

    Raises:
        ValueError, TypeError: not such a file, damaged, or arrays that do not fit together.
    """
    arrays = read_npz(path, RESTORE, only=_check_announced(path))
    for name, array in arrays.items():
        if name != "logit_opacities":  # infinite ones mean opacities 0 and 1
            check_finite(f"{path}: {name}", array, RESTORE)
    steps, count = arrays["means3D"].shape[:2]
    source_from_world = arrays.get("source_from_world", SOURCE_FROM_WORLD).astype(np.float64)
    world = Similarity.of(source_from_world, f"{path}: source_from_world").inverse()
    means, rotations_wxyz = (np.empty((steps, count, size), np.float32) for size in (3, 4))
    for i in range(steps):
        means[i] = world.points(arrays["means3D"][i])
        quaternions = unit(f"{path}: unnorm_rotations[{i}]", arrays["unnorm_rotations"][i])
        rotations_wxyz[i] = world.rotations_wxyz(quaternions)
    rgb = arrays["rgb_colors"]
    foreground = np.clip(arrays["seg_colors"][:, 0], 0.0, 1.0) if "seg_colors" in arrays else np.ones(count)
    gains = arrays.get("cam_m", np.zeros((0, 3)))
    judged = {name: arrays[name].astype(np.float32) for name in ("confidence", "visibility") if name in arrays}
    return Tracks(
        means=means,
        rotations_wxyz=rotations_wxyz,
        log_scales=world.log_scales(arrays["log_scales"]).astype(np.float32),
        colors=(rgb[0] if rgb.ndim == 3 else rgb).astype(np.float32),
        opacity_logits=limited(arrays["logit_opacities"].reshape(count)),
        foreground=foreground.astype(np.float32),
        timesteps=tuple(map(int, arrays.get("timesteps", range(steps)))),
        fps=float(arrays.get("fps", np.array([FPS]))[0]),
        source_from_world=source_from_world,
        camera_names=tuple(map(str, range(len(gains)))),
        camera_log_gains=gains.astype(np.float32),
        camera_offsets=arrays.get("cam_c", np.zeros_like(gains)).astype(np.float32),
        birth=arrays["birth"].astype(np.int32) if "birth" in arrays else None,
        tolerance=world.scale * float(arrays["tolerance"][0]) if judged and "tolerance" in arrays else None,
        **judged,
    )


def _check_announced(path: Path) -> list[str]:
    """Refuse arrays that are missing, do not fit together, or hold less than they announce; before any is read.

    Returns:
        The names to read: nobody's other arrays are touched.
    """
    announced = _announced(path)
    for name in ("means3D", "unnorm_rotations", "rgb_colors", "logit_opacities", "log_scales"):
        if name not in announced:
            refuse(path, f"an array {name}", "only " + (", ".join(announced)[:200] or "an empty archive"), RESTORE)
    shape = announced["means3D"]
    if len(shape) != 3 or min(shape) < 1:
        refuse(f"{path}: means3D", "shape [t, n, 3] of one or more", list(shape), RESTORE)
    steps, count, cameras = *shape[:2], announced.get("cam_m", (0,))[0]
    fitting: dict[str, tuple[Shape, ...]] = {
        "means3D": ((steps, count, 3),),
        "unnorm_rotations": ((steps, count, 4),),
        "rgb_colors": ((steps, count, 3), (count, 3)),
        "logit_opacities": ((count, 1), (count,)),
        "log_scales": ((count, 3),),
        "seg_colors": ((count, 3),),
        "cam_m": ((cameras, 3),),
        "cam_c": ((cameras, 3),),
        "birth": ((count,),),
        "confidence": ((steps, count),),
        "visibility": ((steps, count),),
        "tolerance": ((1,),),
        "source_from_world": ((4, 4),),
        "timesteps": ((steps,),),
        "fps": ((1,),),
    }
    known = {name: shape for name, shape in announced.items() if name in fitting}
    for name, shape in known.items():
        if shape not in fitting[name]:
            rule = "shape " + " or ".join(map(str, map(list, fitting[name])))
            refuse(f"{path}: {name}", rule, list(shape), RESTORE)
    check_memory(path, [2, sum(map(math.prod, known.values()))], 4)  # once as stored, once turned
    return list(known)


def _announced(path: Path) -> dict[str, Shape]:
    """The shape of every array of numbers in an ``.npz``, from their headers; what else is there is passed over.

    Raises:
        ValueError: not a zip archive, or an array whose header announces other than its bytes.
    """
    announced = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name, suffix = info.filename.removesuffix(".npy"), info.filename[-4:]
                shape, dtype, size = _read_header(archive, info) if suffix == ".npy" else ((), np.dtype("O"), 0)
                if dtype.kind not in "fiu":
                    continue
                if size != info.file_size:
                    refuse(name, f"the {size} bytes that its header announces", info.file_size)
                announced[name] = shape
    except NPZ_DAMAGE as error:
        refuse(path, "an .npz file of plain arrays", str(error).rstrip("."), RESTORE)
    return announced


def _read_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[Shape, np.dtype, int]:
    """Shape, type and announced bytes of one array."""
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        return shape, dtype, member.tell() + math.prod(shape) * dtype.itemsize
