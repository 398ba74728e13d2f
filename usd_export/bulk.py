"""Large arrays of time samples, put into a binary layer past USD's writer.

That writer copies every array twice and hashes it to find equal ones: three times what the disk takes. Here it writes
the layer with placeholders of 48 bytes for such samples; then a copy of the layer gets the arrays between its values
and its sections, and its samples point at them. A layer without arrays is small, so that little is copied.

What is taken for granted of the format (``crate``, pxr/usd/sdf/crateFile.cpp), versions 0.7 on, and looked after in
each layer before a byte is written:

- 16 is the place of the table of contents: a count, and per section a name of 16 bytes, its start and its size.
  Sections follow the values and say nowhere else where they are.
- An array that is not compressed, as those of KINDS never are, is its length and its numbers, 8 bytes aligned.
- What says where a value is has 8 bytes: its place in the lower 6, then its type, the highest bit set for arrays.
  Those of a row of time samples follow each other and their count.
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pxr import Sdf, Usd, Vt

from usd_export.arrays import usd_array

Put = Callable[[Usd.Attribute, type, np.ndarray, Usd.TimeCode], None]
"""Authors an array of some kind of USD's at a time."""

KINDS = {
    Vt.QuatfArray: (17, np.dtype((np.float32, 4))),
    Vt.QuathArray: (18, np.dtype((np.float16, 4))),
    Vt.Vec3fArray: (24, np.dtype((np.float32, 3))),
    Vt.Vec3hArray: (25, np.dtype((np.float16, 3))),
}
"""Types of which no array is ever compressed: crate's number, and an element."""
VERSIONS = ((0, 7), (1, 0))
"""Of the format: the first whose arrays begin with 8 bytes of length, and the first that nobody knows."""
MARK = b"an array of warpgs belongs here instead."
ALIGNMENT = 8
WRITE_BEHIND = 8 << 20
"""Bytes after which the disk is asked to begin with them, so that it has little left to do at the end."""


class UnknownLayer(Exception):
    """A layer that is not as this module takes layers to be; nothing has been written."""


def put_plainly(attribute: Usd.Attribute, kind: type, values: np.ndarray, time: Usd.TimeCode) -> None:
    """Author as USD does."""
    attribute.Set(usd_array(kind, values), time)


class Bulk:
    """Arrays that will be put in. ``reserve`` all of them, save the layer, then ``fill`` in the same order.

    An array that several attributes have at one time is stored once.
    """

    def __init__(self) -> None:
        self._sizes: list[int] = []
        """Bytes of each array with its length, aligned."""
        self._samples: dict[Sdf.Path, tuple[int, list[int]]] = {}
        """By attribute: crate's type, and which arrays."""
        self._at_once = _AtOnce()

    def reserve(self, attribute: Usd.Attribute, kind: type, values: np.ndarray, time: Usd.TimeCode) -> None:
        """Author a placeholder for an array of the size of ``values``, whose numbers do not matter yet."""
        index, (crate_type, element) = self._at_once.index(kind, values, time), KINDS[kind]
        if index == len(self._sizes):
            numbers = element.itemsize * len(values)
            self._sizes.append(struct.calcsize("<Q") + numbers + -numbers % ALIGNMENT)
        self._samples.setdefault(attribute.GetPath(), (crate_type, []))[1].append(index)
        put_plainly(attribute, kind, np.frombuffer(MARK + struct.pack("<Q", index), element), time)

    @contextmanager
    def fill(self, layer: Path) -> Iterator[Put]:
        """Yield what puts the arrays in, called as ``reserve`` was. Then the layer is another file: let go of stages.

        Raises:
            UnknownLayer: at once.
        """
        head, tail = self._split(layer.read_bytes())
        filled = layer.with_name(f"{layer.name}.filled")
        with filled.open("wb") as file:
            file.write(head)
            yield _Writer(file)
            file.write(tail)
            if file.tell() != len(head) + sum(self._sizes) + len(tail):
                raise RuntimeError(f"{layer}: expected the arrays that were reserved, got others")
        os.replace(filled, layer)

    def _split(self, data: bytes) -> tuple[bytes, bytes]:
        """What comes before and after the arrays."""
        if data[:8] != b"PXR-USDC" or not VERSIONS[0] <= tuple(data[8:10]) < VERSIONS[1]:
            raise UnknownLayer(f"version {list(data[8:11])}")
        (contents,) = struct.unpack_from("<q", data, 16)
        (count,) = struct.unpack_from("<Q", data, contents)
        starts = [contents + struct.calcsize("<Q") + 32 * i + 16 for i in range(count)]  # where each start is said
        cut = min(struct.unpack_from("<q", data, start)[0] for start in starts)
        first = cut + -cut % ALIGNMENT
        head = self._pointed(bytearray(data[:cut].ljust(first, b"\0")), first)
        moved = first - cut + sum(self._sizes)
        tail = bytearray(data[cut:])
        for start in starts:
            struct.pack_into("<q", tail, start - cut, struct.unpack_from("<q", data, start)[0] + moved)
        struct.pack_into("<q", head, 16, contents + moved)
        return bytes(head), bytes(tail)

    def _pointed(self, head: bytearray, first: int) -> bytearray:
        """The values, samples pointing at arrays from ``first`` on instead of at placeholders."""
        found = {
            struct.unpack_from("<Q", head, match.end())[0]: match.start() - 8
            for match in re.finditer(re.escape(MARK), head)
        }
        if sorted(found) != list(range(len(self._sizes))):
            raise UnknownLayer(f"{len(found)} of {len(self._sizes)} placeholders")
        places = first + np.concatenate([[0], np.cumsum(self._sizes)])
        rows = Counter((crate_type, tuple(indices)) for crate_type, indices in self._samples.values())
        for (crate_type, indices), wanted in rows.items():
            arrays = [found[index] for index in indices], places[list(indices)].tolist()
            before, after = (_row(crate_type, starts) for starts in arrays)
            if not 1 <= head.count(before) <= wanted:  # equal rows may be stored once
                raise UnknownLayer(f"{head.count(before)} rows of samples instead of {wanted}")
            head = head.replace(before, after)
        return head


def _row(crate_type: int, starts: Sequence[int]) -> bytes:
    """A row of time samples whose arrays start at these places."""
    return struct.pack(f"<{1 + len(starts)}Q", len(starts), *(1 << 63 | crate_type << 48 | start for start in starts))


class _AtOnce:
    """Numbers the arrays that differ; an array is the same one as long as the time is."""

    def __init__(self) -> None:
        self._time, self._count = None, 0
        # With the array: its identity is another's once it is gone.
        self._known: dict[tuple[type, int], tuple[int, np.ndarray]] = {}

    def index(self, kind: type, values: np.ndarray, time: Usd.TimeCode) -> int:
        if time != self._time:
            self._time, self._known = time, {}
        index, _ = self._known.setdefault((kind, id(values)), (self._count, values))
        self._count += index == self._count
        return index


class _Writer:
    """Appends arrays to a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at_once, self._written, self._asked = _AtOnce(), 0, 0

    def __call__(self, attribute: Usd.Attribute, kind: type, values: np.ndarray, time: Usd.TimeCode) -> None:
        if self._at_once.index(kind, values, time) < self._written:
            return
        self._written += 1
        numbers = np.ascontiguousarray(values, KINDS[kind][1].base)
        self._file.write(struct.pack("<Q", len(numbers)))
        self._file.write(numbers)
        self._file.write(bytes(-numbers.nbytes % ALIGNMENT))
        end = self._file.tell()
        if end - self._asked > WRITE_BEHIND:
            # Linux begins to write what is not needed again, and does not wait for it.
            os.posix_fadvise(self._file.fileno(), self._asked, end - self._asked, os.POSIX_FADV_DONTNEED)
            self._asked = end
