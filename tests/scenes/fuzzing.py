"""Files broken at random, and what reading them must keep to: WARPGS_FUZZ files for every layout, see ``make fuzz``."""

from __future__ import annotations

import faulthandler
import io
import json
import os
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("WARPGS_FUZZ", "50"))
LONGEST_S = 10.0
SLACK_BYTES = 32 << 20
"""Memory beyond twice the size of the recording: decoders, threads, what Python keeps."""

ODD_VALUES = (
    *(None, True, -1, 0, 1e308, -1e-308, float("nan"), float("inf"), 10**400, 2**63, "x", "", "../..", "/", "."),
    *([], {}, [[]], [[0.0] * 4] * 4, {"frames": []}, "images/cam0/000000.png", "\u0660", "a" * 5000),
)
ODD_TEXT = (
    *(b"nan", b"inf", b"1e999", b"-1", b"0", b"0.5", b"99999999999999999999", b"9" * 400, b'""', b"[[[[", b"- - - -"),
    *(b"", b"\n", b"\x00", b"\xff", b"true", b"&a *a", b"../../../etc/passwd", b"/etc/passwd", b"..\\..\\x"),
)
ODD_BYTES = (b"\xff" * 8, b"\0" * 8, struct.pack("<Q", 2**40), struct.pack(">I", 2**31 - 1), struct.pack("<I", 2**20))
NUMBER = re.compile(rb"-?\d+\.?\d*(?:e[-+]?\d+)?")


@st.composite
def broken(draw: st.DrawFn, content: bytes, suffix: str) -> bytes:
    """A file cut short, with bits flipped, a piece doubled, cut out or overwritten, or an odd value in place of one of
    its own; also within what archives and pictures seal by checksums.

    Args:
        content: The whole file.
        suffix: Says what kind it is.
    """
    if suffix == ".json" and draw(st.booleans()):
        return draw(_broken_json(content))
    if suffix == ".npz" and draw(st.booleans()):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inner = {name: archive.read(name) for name in archive.namelist()}
        return _zipped({name: draw(broken(inside, ".npy")) for name, inside in inner.items()})
    damaged = draw(_broken_bytes(content))
    return _resealed(damaged) if suffix == ".png" and draw(st.booleans()) else damaged


@st.composite
def _broken_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    kind = draw(st.sampled_from(["truncated", "bits", "doubled", "cut out", "overwritten", "header", "number"]))
    at = draw(st.integers(0, len(content) - 1))
    end = min(at + draw(st.integers(1, 60)), len(content))
    if kind == "truncated":
        return content[:at]
    if kind == "bits":
        noisy = bytearray(content)
        for position in (at, *draw(st.lists(st.integers(0, len(content) - 1), max_size=2))):
            noisy[position] ^= 1 << draw(st.integers(0, 7))
        return bytes(noisy)
    if kind == "doubled":
        return content[:end] + content[at:]
    if kind == "cut out":
        return content[:at] + content[end:]
    numbers = list(NUMBER.finditer(content)) if kind == "number" else []
    if numbers:
        number = draw(st.sampled_from(numbers))
        return content[: number.start()] + draw(st.sampled_from(ODD_TEXT)) + content[number.end() :]
    piece = draw(st.sampled_from(ODD_TEXT + ODD_BYTES))
    at = draw(st.integers(0, min(64, len(content)))) if kind == "header" else at
    return content[:at] + piece + content[at + len(piece) :]


@st.composite
def _broken_json(draw: st.DrawFn, content: bytes) -> bytes:
    """One or two values exchanged for odd ones, or dropped."""
    fields = json.loads(content)
    for _ in range(draw(st.integers(1, 2))):
        node, key = draw(st.sampled_from(list(_places(fields))))
        if draw(st.integers(0, 4)):
            node[key] = draw(st.sampled_from(ODD_VALUES))
        else:
            del node[key]
        if not fields:
            break
    return json.dumps(fields).encode()


def _places(node: dict | list) -> Iterator[tuple[dict | list, str | int]]:
    """Where values are: every container with each of its keys."""
    for key, below in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(below, dict | list):
            yield from _places(below)


def _zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, inside in members.items():
            archive.writestr(name, inside)
    return buffer.getvalue()


def _resealed(png: bytes) -> bytes:
    """The same with right checksums, so that damage reaches the decoder."""
    at, sealed = 8, bytearray(png)
    while at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        end = at + 8 + length
        if end + 4 > len(png):
            break
        struct.pack_into(">I", sealed, end, zlib.crc32(png[at + 4 : end]))
        at = end + 4
    return bytes(sealed)


def files_to_break(folder: Path) -> list[Path]:
    """One file of each kind: those whose paths differ in more than their digits."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return list({re.sub(r"\d+", "", str(path.relative_to(folder))): path for path in files}.values())


@contextmanager
def bounded(folder: Path) -> Iterator[None]:
    """Refuse a block that takes more than ``LONGEST_S``, much more memory than twice the size of what is in ``folder``,
    or that writes anything in or beside it."""
    before, honest = _listing(folder.parent), sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    faulthandler.dump_traceback_later(10.0 * LONGEST_S, exit=True)  # what never ends
    start, resident = time.perf_counter(), _reset_peak()
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        seconds, grown = time.perf_counter() - start, _status("VmHWM") - resident
        assert seconds < LONGEST_S, f"{seconds:.1f} s"
        assert grown < 2 * honest + SLACK_BYTES, f"{grown / 2**20:.0f} MiB to read {honest / 2**20:.2f} MiB"
        assert _listing(folder.parent) == before, "reading writes nothing"


def _listing(folder: Path) -> list[tuple[Path, int, int]]:
    return [(path, (state := path.stat()).st_size, state.st_mtime_ns) for path in sorted(folder.rglob("*"))]


def _reset_peak() -> int:
    """Begin a new count of the largest memory used; the memory in use now [bytes]."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # no Linux: memory is not measured
        return _status("VmHWM")
    return _status("VmRSS")


def _status(field: str) -> int:
    """A line of Linux's account of this process [bytes]; 0 elsewhere."""
    path = Path("/proc/self/status")
    match = re.search(rf"{field}:\s+(\d+) kB", path.read_text()) if path.exists() else None
    return 0 if match is None else 1024 * int(match[1])
