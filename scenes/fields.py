"""Fields of calibration files: every wrong one is refused with the file, the field and a remedy."""

from __future__ import annotations

import json
import math
from pathlib import Path, PurePosixPath
from tokenize import TokenError

import numpy as np

from warpgs.checks import refuse, sentence

AGAIN = "copy or export the file again"


def read_object(path: Path) -> dict:
    """The JSON object in a file."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileNotFoundError(sentence(path, "a file", "none", "is the recording in another layout?")) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(sentence(path, "valid JSON", error, AGAIN)) from error
    if not isinstance(fields, dict):
        refuse(path, "a JSON object", type(fields).__name__, AGAIN)
    return fields


def read_npy(path: Path) -> np.ndarray:
    """The array in a file; mapped, so that the size that its header announces is compared with the file's before
    anything is read."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(sentence(path, "an .npy file", "none", AGAIN)) from error
    except (ValueError, EOFError, OSError, TypeError, OverflowError, SyntaxError, TokenError) as error:
        raise ValueError(sentence(path, "an .npy file of numbers", error, AGAIN)) from error


def number(what: object, value: object) -> float:
    """A finite number."""
    # Whole numbers in JSON have no limit; the largest float has 309 digits.
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    if not is_number or not math.isfinite(value):
        refuse(what, "a finite number", repr(value)[:40], AGAIN)
    return float(value)


def inside(what: object, name: object, folder: str) -> str:
    """A picture's name as a relative path, refused where it would leave ``folder``."""
    if not isinstance(name, str) or not name:
        refuse(what, "a relative path such as 1/000000.jpg", repr(name), "export the file again")
    pure = PurePosixPath(name.replace("\\", "/"))
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or ":" in pure.parts[0] or "\0" in name:
        refuse(what, f"a path inside the folder {folder}", repr(name), f"put the pictures into {folder}")
    return str(pure)


def camera_name(what: object, name: object) -> str:
    """A camera's id; outputs are named after it, so it must be a plain file name."""
    if isinstance(name, bool) or not isinstance(name, (int, str)) or str(name) in ("", ".", ".."):
        refuse(what, "whole numbers or names", repr(name), "rename the camera")
    if any(mark in str(name) for mark in "/\\:\0"):
        refuse(what, "names without / \\ or :", repr(name), "rename the camera")
    return str(name)
