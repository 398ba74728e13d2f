"""Output appears whole or not at all: it is written in a hidden folder beside its place, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from warpgs.files import disk_error, sync


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield a place named like ``path`` in a hidden folder on the same disk; the folder is gone afterwards.

    Raises:
        OSError: from the body, worded for ``path``.
    """
    folder = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)  # of an export that was killed
        folder.mkdir()
        yield folder / path.name
    except OSError as error:
        raise disk_error(path, error, "free some disk space or choose another place") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(files: Sequence[Path], target: Path, replaced: Sequence[Path]) -> list[Path]:
    """Give staged files their place in the folder ``target`` and remove the rest of what they replace.

    Returns:
        The files in their place.
    """
    for file in files:
        sync(file)
    published = [target / file.name for file in files]
    for file, place in zip(files, published, strict=True):
        os.replace(file, place)
    for file in set(replaced) - set(published):
        file.unlink()
    sync(target)
    return published
