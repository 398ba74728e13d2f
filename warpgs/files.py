"""Files that are either whole or absent: atomic writing, and reading of ``.npz`` that trusts nothing."""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError

import numpy as np

from warpgs.checks import refuse, sentence

NPZ_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    MemoryError,  # a shape that no memory holds
    NotImplementedError,
    OSError,  # a place in the file that cannot be
    OverflowError,
    RuntimeError,  # a member that says it is encrypted
    SyntaxError,  # a header that is no Python
    TokenError,
    TypeError,
    ValueError,
)
"""What reading a damaged ``.npz`` may raise."""


@contextmanager
def whole_file(path: Path, remedy: str = "free some disk space and try again") -> Iterator[Path]:
    """Write a file that appears under its own name only when it is complete.

    The body writes to the temporary path it is given (same folder, same suffix). When it ends well, the data reach the
    disk and the file takes the name ``path``; when it fails, the temporary file goes and ``path`` is as it was.

    Raises:
        OSError: naming ``path`` and ``remedy`` when the disk is full or refuses; ``errno`` is kept.
    """
    temporary = temporary_path(path)
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise disk_error(path, error, remedy) from error
    except BaseException:  # an interrupt leaves no debris either
        temporary.unlink(missing_ok=True)
        raise


def temporary_path(path: Path) -> Path:
    """Where ``whole_file`` writes: what a killed process may leave behind."""
    return path.with_name(f".{path.stem}.tmp{path.suffix}")


def disk_error(path: Path, error: OSError, remedy: str) -> OSError:
    """The same error, naming the file and what to do."""
    worded = OSError(sentence(path, "to be written", error.strerror or error, remedy))
    worded.errno = error.errno
    return worded


def sync(path: Path) -> None:
    """Wait until a file's data, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_npz(
    path: Path, remedy: str = "restore the file from its source", *, only: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz``, or ``only`` some, by name; no pickled objects are loaded, and checksums are verified.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an ``.npz``, truncated, damaged, or holding pickled objects; names the file and ``remedy``.
    """
    if not path.is_file():
        raise FileNotFoundError(sentence(path, "a file", "none", remedy))
    if not zipfile.is_zipfile(path):
        refuse(path, "an .npz file", f"{path.stat().st_size} bytes of something else, or only the start of one", remedy)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: _array(arrays[name]) for name in (arrays.files if only is None else only)}
    except NPZ_DAMAGE as error:
        refuse(path, "an .npz file of plain arrays", str(error).rstrip("."), remedy)


def _array(value: object) -> np.ndarray:
    """NumPy hands out the bytes of members that are no arrays at all."""
    if not isinstance(value, np.ndarray):
        raise ValueError("a member that is no array")
    return value
