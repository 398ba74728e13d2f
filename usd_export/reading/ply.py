"""3D Gaussian splatting ``.ply`` by whomever: any order of properties, binary of either byte order or text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usd_export.reading.form import COEFFICIENTS, FPS, RESTORE, colors, limited, trimmed, unit
from warpgs.checks import check_finite, refuse, sentence
from warpgs.types import Gaussians, Tracks

HEADER_LIMIT = 2**16
"""Bytes within which a header ends."""

BLOCK = 4096
"""Rows that are read at a time."""

TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}

MEANS = ("x", "y", "z")
BASE = ("f_dc_0", "f_dc_1", "f_dc_2")
SCALES = ("scale_0", "scale_1", "scale_2")
ROTATIONS = ("rot_0", "rot_1", "rot_2", "rot_3")
NEEDED = (*MEANS, *BASE, "opacity", *SCALES, *ROTATIONS)


@dataclass(frozen=True)
class Element:
    """One kind of row."""

    name: str
    count: int
    properties: tuple[tuple[str, str], ...]
    """Name and NumPy type of each number in a row; of a list the type is empty."""

    def row(self, byte_order: str) -> np.dtype:
        return np.dtype([(name, byte_order + kind) for name, kind in self.properties])

    @property
    def has_lists(self) -> bool:
        return any(not kind for _, kind in self.properties)


@dataclass(frozen=True)
class Header:
    """What a file announces."""

    form: str
    """One of BYTE_ORDERS."""
    elements: tuple[Element, ...]
    size: int
    """Bytes of the header, after which the rows begin."""


def read_ply(path: Path) -> Tracks:
    """Read one instant, or, where ``path`` itself does not exist, the series that an export under its name has made.

    The frame is taken as the file has it: z up where it is ours. Sizes are logarithmic, opacities logits, quaternions
    w, x, y, z of any length.

    Raises:
        ValueError, NotImplementedError: not a whole file of Gaussians, or a series of different particles.
    """
    files = [path] if path.exists() else series(path)
    instants = [_read_gaussians(file) for file in files]
    whole = instants[-1]
    for i, file in enumerate(files[:-1]):
        _check_same(file, instants[i], instants[i + 1])
    counts = [len(gaussians) for gaussians in instants]
    return Tracks(
        means=_held([gaussians.means for gaussians in instants]),
        rotations_wxyz=_held([gaussians.rotations_wxyz for gaussians in instants]),
        log_scales=whole.log_scales,
        colors=whole.colors,
        opacity_logits=whole.opacity_logits,
        foreground=whole.foreground,
        harmonics=trimmed(whole.harmonics),
        timesteps=tuple(int(file.stem.rpartition("_")[2]) for file in files) if files != [path] else (0,),
        fps=FPS,
        source_from_world=np.eye(4),
        camera_names=(),
        camera_log_gains=np.zeros((0, 3), np.float32),
        camera_offsets=np.zeros((0, 3), np.float32),
        birth=np.searchsorted(counts, np.arange(len(whole)), side="right").astype(np.int32),
    )


def series(path: Path) -> list[Path]:
    """The files, in order of time, that an export to ``path`` made: one per timestep."""
    name = re.compile(re.escape(path.stem) + r"_\d{6,}" + re.escape(path.suffix))
    files = path.parent.glob("*") if path.parent.is_dir() else ()
    return sorted((file for file in files if name.fullmatch(file.name)), key=lambda file: (len(file.name), file.name))


def _held(born: list[np.ndarray]) -> np.ndarray:
    """One array [t, n, k] of those of growing length; rows before their birth are those of their birth."""
    held = np.empty((len(born), *born[-1].shape), np.float32)
    for i in reversed(range(len(born))):
        held[i] = held[min(i + 1, len(born) - 1)]
        held[i, : len(born[i])] = born[i]
    return held


def _check_same(file: Path, gaussians: Gaussians, later: Gaussians) -> None:
    """Refuse a file whose particles are not the first of the next file's."""
    first = later.select(slice(len(gaussians)))
    for name in ("log_scales", "colors", "opacity_logits", "harmonics"):
        if not np.array_equal(getattr(gaussians, name), getattr(first, name)):
            got = f"{len(gaussians)} particles where {len(later)} follow, or other {name}"
            refuse(file, "the first particles of the next file of its series", got, "read the files one by one")


def _read_gaussians(path: Path) -> Gaussians:
    header = _read_header(path)
    vertices = _read_vertices(path, header)
    count, names = len(vertices), vertices.dtype.names or ()
    rest = _columns(vertices, [f"f_rest_{i}" for i in range(sum(name.startswith("f_rest_") for name in names))])
    gaussians = Gaussians(
        means=_columns(vertices, MEANS),
        rotations_wxyz=unit(f"{path}: rot_0 to rot_3", _columns(vertices, ROTATIONS)),
        log_scales=_columns(vertices, SCALES),
        colors=colors(_columns(vertices, BASE)),
        opacity_logits=limited(_columns(vertices, ["opacity"])[:, 0]),
        foreground=np.zeros(count, np.float32),
        harmonics=rest.reshape(count, 3, -1).transpose(0, 2, 1),
    )
    for name, array in gaussians.arrays().items():
        check_finite(f"{path}: {name}", array, RESTORE)
    return gaussians


def _columns(vertices: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Shape [n, len(names)], float32. Block by block: a column of a large file lies on every page of it."""
    columns = np.empty((len(vertices), len(names)), np.float32)
    for start in range(0, len(vertices), BLOCK):
        block = vertices[start : start + BLOCK]
        for i, name in enumerate(names):
            columns[start : start + BLOCK, i] = block[name]
    return columns


def _read_header(path: Path) -> Header:
    """Parse and check what a file announces."""
    with path.open("rb") as file:
        start = file.read(HEADER_LIMIT)
    end = re.search(rb"^end_header[ \t]*\r?\n", start, re.MULTILINE)
    if not re.match(rb"ply[ \t]*\r?\n", start) or end is None:
        refuse(path, "a PLY file", f"no 'ply' ... 'end_header' in its first {len(start)} bytes", RESTORE)
    lines = [line.split() for line in start[: end.start()].decode("latin-1").splitlines()]
    form, elements = "", []
    for number, words in enumerate(lines, start=1):
        what = f"{path}: line {number}"
        match words:
            case ["format", form, "1.0"] if form in BYTE_ORDERS:
                pass
            case ["element", name, count] if re.fullmatch(r"\d{1,18}", count, re.ASCII):
                elements.append(Element(name, int(count), ()))
            case ["property", kind, name] if elements and kind in TYPES:
                elements[-1] = _with_property(what, elements[-1], name, TYPES[kind])
            case ["property", "list", _, _, name] if elements:
                elements[-1] = _with_property(what, elements[-1], name, "")
            case ["ply"] | ["comment", *_] | ["obj_info", *_] | []:
                pass
            case _:
                refuse(what, "a line of a PLY 1.0 header", repr(" ".join(words)[:80]), RESTORE)
    if not form:
        refuse(path, "a line 'format ...' in its header", "none", RESTORE)
    return Header(form, tuple(elements), end.end())


def _with_property(what: str, element: Element, name: str, kind: str) -> Element:
    if name in dict(element.properties):
        refuse(what, "a property of another name", f"{name} again", RESTORE)
    return Element(element.name, element.count, (*element.properties, (name, kind)))


def _read_vertices(path: Path, header: Header) -> np.ndarray:
    """The Gaussians as rows with names; sizes are checked before memory is taken."""
    names = [element.name for element in header.elements]
    if names.count("vertex") != 1:
        refuse(path, "one element 'vertex'", ", ".join(names) or "no elements", RESTORE)
    position = names.index("vertex")
    before, vertex = header.elements[:position], header.elements[position]
    _check_properties(path, vertex)
    if vertex.has_lists or any(element.has_lists for element in before):
        raise NotImplementedError(sentence(path, "no lists in or before 'vertex'", "some", "write vertices alone"))
    if vertex.count == 0:
        refuse(path, "at least one Gaussian", "none")
    last = position + 1 == len(names)
    return (_read_text if header.form == "ascii" else _read_binary)(path, header, before, vertex, last)


def _check_properties(path: Path, vertex: Element) -> None:
    """Refuse what are no Gaussians, or harmonics of no degree."""
    names = dict(vertex.properties)
    missing = [name for name in NEEDED if name not in names]
    if "packed_position" in names:
        raise NotImplementedError(
            sentence(path, "plain Gaussians", "packed ones", "decompress them, e.g. in SuperSplat")
        )
    if missing:
        kind = "a point cloud or a mesh" if "f_dc_0" not in names else "none named " + ", ".join(missing)
        refuse(path, "the properties of 3D Gaussians (x, f_dc_0, opacity, scale_0, rot_0, ...)", kind)
    rest = sorted(name for name in names if name.startswith("f_rest_"))
    counts = [3 * (count - 1) for count in COEFFICIENTS]
    if len(rest) not in counts or rest != sorted(f"f_rest_{i}" for i in range(len(rest))):
        got = f"{len(rest)} of them, {rest[0]} to {rest[-1]}"
        refuse(f"{path}: f_rest", "0, 9, 24 or 45 properties counted from f_rest_0", got, RESTORE)


def _read_binary(path: Path, header: Header, before: tuple[Element, ...], vertex: Element, last: bool) -> np.ndarray:
    order = BYTE_ORDERS[header.form]
    offset = header.size + sum(element.count * element.row(order).itemsize for element in before)
    end, size = offset + vertex.count * vertex.row(order).itemsize, path.stat().st_size
    if size < end or (last and size > end):
        rule = f"{end} bytes for the {vertex.count} Gaussians that its header announces"
        refuse(path, rule, f"{size} bytes", RESTORE)
    return np.memmap(path, vertex.row(order), "r", offset, (vertex.count,))


def _read_text(path: Path, header: Header, before: tuple[Element, ...], vertex: Element, last: bool) -> np.ndarray:
    size = path.stat().st_size - header.size
    if size < 2 * vertex.count * len(vertex.properties) - 1:  # a digit and a space per number
        rule = f"text of the {vertex.count} Gaussians that its header announces"
        refuse(path, rule, f"{size} bytes of it", RESTORE)
    skipped = sum(element.count for element in before)
    with path.open("rb") as file:
        file.seek(header.size)
        try:
            rows = np.loadtxt(
                file, np.float64, comments=None, skiprows=skipped, max_rows=None if last else vertex.count, ndmin=2
            )
        except ValueError as error:
            refuse(path, "rows of numbers", str(error), RESTORE)
    if rows.shape != (vertex.count, len(vertex.properties)):
        rule = f"{vertex.count} rows of {len(vertex.properties)} numbers"
        refuse(path, rule, f"{rows.shape[0]} rows of {rows.shape[1]}", RESTORE)
    return rows.view([(name, np.float64) for name, _ in vertex.properties])[:, 0]
