"""What all readers share: from the forms in which other tools store Gaussians back to ours. The inverse of form.py."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from usd_export.form import SH_C0
from warpgs.checks import refuse

COEFFICIENTS = (1, 4, 9, 16)
"""Spherical harmonics up to degree 0, 1, 2 and 3."""

LOGIT_LIMIT = 40.0
"""Opacities 0 and 1 have no finite logit. This one, and its opposite, are drawn and written as exactly these."""

SCALE_MIN = 1e-10
"""Standard deviations [m] of flat Gaussians are read as this: 0 has no logarithm."""

UNIT_TOLERANCE = 1e-6
"""Quaternions this close to length 1 are kept bit for bit."""

FPS = 30.0
"""Instants per second where a file does not say."""

RESTORE = "export it again, or restore it from its source"
"""What to do about a damaged file."""


def unit(what: str, quaternions: np.ndarray) -> np.ndarray:
    """Quaternions of length 1, shape [n, 4], float32.

    Raises:
        ValueError: one of length 0, or not finite.
    """
    lengths = np.linalg.norm(quaternions.astype(np.float64), axis=1)
    broken = ~((lengths > 0.0) & np.isfinite(lengths))
    if broken.any():
        row = int(np.argmax(broken))
        refuse(what, "quaternions of a length", f"{quaternions[row].tolist()} at {row} ({int(broken.sum())} in all)")
    normalized = np.array(quaternions, np.float32)
    off = np.abs(lengths - 1.0) > UNIT_TOLERANCE
    normalized[off] = quaternions[off] / lengths[off, None]
    return normalized


def colors(coefficients: np.ndarray) -> np.ndarray:
    """RGB of degree-0 harmonics, shape [n, 3], float32; not clamped."""
    return (0.5 + SH_C0 * coefficients.astype(np.float64)).astype(np.float32)


def opacity_logits(what: str, opacities: np.ndarray) -> np.ndarray:
    """Logits of opacities, shape [n], float32, see LOGIT_LIMIT.

    Raises:
        ValueError: not within 0..1.
    """
    opacities = opacities.astype(np.float64)
    wrong = ~((opacities >= 0.0) & (opacities <= 1.0))
    if wrong.any():
        got = f"{opacities[wrong][0]:.4g} ({int(wrong.sum())} out of range)"
        refuse(what, "numbers from 0 to 1", got, "they may be logits; warpgs check says more")
    with np.errstate(divide="ignore"):
        logits = np.log(opacities) - np.log1p(-opacities)
    return limited(logits)


def limited(logits: np.ndarray) -> np.ndarray:
    """Finite logits, float32: infinite ones mean opacities 0 and 1, see LOGIT_LIMIT. NaN stays."""
    logits = logits.astype(np.float32)
    return np.where(np.isinf(logits), np.sign(logits) * np.float32(LOGIT_LIMIT), logits)


def log_scales(what: str, scales: np.ndarray) -> np.ndarray:
    """Logarithms of standard deviations [m], shape [n, 3], float64, see SCALE_MIN.

    Raises:
        ValueError: negative or not finite.
    """
    wrong = ~((scales >= 0.0) & np.isfinite(scales))
    if wrong.any():
        got = f"{scales[wrong][0]:.4g} ({int(wrong.sum())} of {scales.size})"
        refuse(what, "numbers above 0", got, "they may be logarithms; warpgs check says more")
    return np.log(np.maximum(scales.astype(np.float64), SCALE_MIN))


def trimmed(harmonics: np.ndarray) -> np.ndarray | None:
    """Coefficients of degree 1 and more, shape [n, m, 3], without the highest degrees that are zero for all; None
    where none remain."""
    for count in COEFFICIENTS[:0:-1]:
        if harmonics[:, COEFFICIENTS[COEFFICIENTS.index(count) - 1] - 1 : count - 1].any():
            return np.ascontiguousarray(harmonics[:, : count - 1], np.float32)
    return None


def check_memory(path: Path, counts: Sequence[int], bytes_each: int) -> None:
    """Refuse arrays that this machine cannot hold, before memory is taken."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    needed = bytes_each * math.prod(map(int, counts))
    if needed > memory:
        times = " x ".join(map(str, counts))
        got = f"{needed / 2**30:.1f} GiB ({times} x {bytes_each} bytes)"
        refuse(path, f"at most {memory / 2**30:.1f} GiB, the memory of this machine", got, "read a part of it")
