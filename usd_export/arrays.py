"""USD's arrays and NumPy's."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np


def usd_array(kind: type, values: Any) -> Any:
    """A ``Vt`` array with a copy of values, rounded to its numbers; itself where it is of that kind already.

    ``FromNumpy`` goes number by number: 1.4 ms for 100,000 positions, a copy of the memory 0.2 ms.
    """
    if isinstance(values, kind):
        return values
    array = kind(len(values))
    memory = np.asarray(array)  # USD's own, which no one else knows yet
    source = np.ascontiguousarray(values, memory.dtype)
    if source.shape != memory.shape:
        raise ValueError(f"{kind.__name__}: expected values of shape {memory.shape}, got {source.shape}")
    ctypes.memmove(memory.ctypes.data, source.ctypes.data, source.nbytes)
    return array
