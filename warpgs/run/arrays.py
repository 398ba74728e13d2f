"""The arrays of a run: what they must be, how their files are written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from warpgs.checks import check_finite, check_harmonics, check_shape, refuse, sentence
from warpgs.files import whole_file
from warpgs.similarity import Similarity
from warpgs.types import Judgment

FREE_SPACE = "free some disk space and run again with --resume; the timesteps stored before are whole"

Arrays = Mapping[str, np.ndarray]

JUDGMENT = ("confidence", "visibility", "tolerance")
"""Arrays of a Judgment; poses of older versions have none."""
SHARE_STEPS = 255
"""Shares 0..1 are stored as bytes, in so many steps."""


def write_npz(path: Path, arrays: Arrays) -> None:
    """Write arrays bit for bit, in C order.

    Uncompressed, since float32 poses hardly compress. np.savez dates every member 1980: equal arrays give equal bytes.
    """
    with whole_file(path, FREE_SPACE) as temporary:
        np.savez(temporary, **{name: np.ascontiguousarray(array) for name, array in arrays.items()})


def share_bytes(shares: np.ndarray) -> np.ndarray:
    """Shares 0..1 as they are stored, uint8."""
    return np.rint(SHARE_STEPS * shares).astype(np.uint8)


def shares_of(stored: np.ndarray) -> np.ndarray:
    """Shares 0..1 from ``share_bytes``, float32."""
    return stored.astype(np.float32) / np.float32(SHARE_STEPS)


def judgment_arrays(judgment: Judgment) -> dict[str, np.ndarray]:
    """A judgment as it is stored.

    Raises:
        ValueError: a share outside 0..1, or NaN.
    """
    arrays = {}
    for name in JUDGMENT[:2]:
        shares = getattr(judgment, name)
        if not ((shares >= 0.0) & (shares <= 1.0)).all():
            refuse(name, "shares 0..1", f"{np.min(shares)} to {np.max(shares)}")
        arrays[name] = share_bytes(shares)
    return arrays | {"tolerance": np.array([judgment.tolerance], np.float64)}


def read_judgment(arrays: Arrays) -> Judgment | None:
    """The judgment among the arrays of a pose; None where there is none."""
    if JUDGMENT[0] not in arrays:
        return None
    shares = {name: shares_of(arrays[name]) for name in JUDGMENT[:2]}
    return Judgment(**shares, tolerance=float(arrays["tolerance"][0]))


def check_gaussians(path: Path, arrays: Arrays) -> None:
    """Refuse what is not the content of gaussians.npz.

    Raises:
        ValueError, TypeError: naming the file and the array.
    """
    names = _member(path, arrays, "camera_names")
    if names.dtype.kind != "U" or names.ndim != 1:
        got = f"{names.dtype} of shape {list(names.shape)}"
        raise TypeError(sentence(f"{path}: camera_names", "a list of names", got))
    check_particles(path, arrays)
    for name in ("camera_log_gains", "camera_offsets"):
        _check_float32(path, arrays, name, (len(names), 3))
    if "camera_turns" in arrays:
        _check_float32(path, arrays, "camera_turns", (len(names), 3))
    if "world_from_run" in arrays:
        Similarity.of(arrays["world_from_run"], f"{path}: world_from_run")


def check_particles(path: Path, arrays: Arrays) -> None:
    """Refuse what are not the arrays of Gaussians.

    Raises:
        ValueError, TypeError: naming the file and the array.
    """
    means = _member(path, arrays, "means")
    count = len(means) if means.ndim else 0
    if count == 0:
        refuse(path, "at least one Gaussian", 0, "check the masks and the starting cloud")
    _check_rigid(path, arrays, count)
    shapes = {"log_scales": (count, 3), "colors": (count, 3), "opacity_logits": (count,), "foreground": (count,)}
    for name, shape in shapes.items():
        _check_float32(path, arrays, name, shape)
    if "harmonics" in arrays:
        check_harmonics(f"{path}: harmonics", arrays["harmonics"], count)


def check_pose(path: Path, arrays: Arrays, count: int) -> None:
    """Refuse what is not the pose of ``count`` Gaussians.

    Raises:
        ValueError, TypeError: naming the file and the array.
    """
    _check_rigid(path, arrays, count)
    if any(name in arrays for name in JUDGMENT):
        for name in JUDGMENT[:2]:
            _check_type(path, arrays, name, np.uint8, (count,))
        _check_type(path, arrays, JUDGMENT[2], np.float64, (1,))
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(sentence(f"{path}: {name}", "numbers or text", "Python objects"))


def _check_rigid(path: Path, arrays: Arrays, count: int) -> None:
    _check_float32(path, arrays, "means", (count, 3))
    _check_float32(path, arrays, "rotations_wxyz", (count, 4))
    error = float(np.abs(np.linalg.norm(arrays["rotations_wxyz"], axis=1) - 1.0).max(initial=0.0))
    if error > 1e-3:
        refuse(f"{path}: rotations_wxyz", "unit quaternions", f"lengths off by {error:.3g}", "normalize them")


def _check_type(path: Path, arrays: Arrays, name: str, kind: type, shape: tuple[int, ...]) -> np.ndarray:
    array = _member(path, arrays, name)
    if array.dtype != kind:
        raise TypeError(sentence(f"{path}: {name}", np.dtype(kind).name, array.dtype))
    check_shape(f"{path}: {name}", array, shape)
    return array


def _check_float32(path: Path, arrays: Arrays, name: str, shape: tuple[int, ...]) -> None:
    array = _check_type(path, arrays, name, np.float32, shape)
    check_finite(f"{path}: {name}", array, "lower the rates if the optimization diverged, restore a damaged file")


def _member(path: Path, arrays: Arrays, name: str) -> np.ndarray:
    if name not in arrays:
        refuse(path, f"an array named {name}", ", ".join(arrays) or "none", "restore the file")
    return arrays[name]
