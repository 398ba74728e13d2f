"""3DGS ``.ply`` of others: any layout that the format allows is read, anything else refused."""

from __future__ import annotations

import re
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.usd_export.sample import SH_C0, make_tracks, with_births
from usd_export import export, read_tracks
from warpgs.types import Tracks

NAMES = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity")
NAMES += ("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
KINDS = {"float": "f4", "double": "f8", "uchar": "u1", "int16": "i2"}


def make_columns(count: int = 40, rest: int = 0, seed: int = 5) -> dict[str, np.ndarray]:
    """Named columns of Gaussians; quaternions of any length."""
    rng = np.random.default_rng(seed)
    names = (*NAMES, *(f"f_rest_{i}" for i in range(rest)))
    return {name: rng.normal(scale=2.0, size=count).astype(np.float32) for name in names}


def write(
    path: Path, columns: dict[str, np.ndarray], form: str = "binary_little_endian", kind: str = "float", **kinds: str
) -> Path:
    """Write columns in the order given; written from the format, not from the writer."""
    count = len(columns["x"])
    kinds = {name: kinds.get(name, kind) for name in columns}
    lines = ["ply", f"format {form} 1.0", "comment by hand", f"element vertex {count}"]
    lines += [f"property {kinds[name]} {name}" for name in columns]
    header = "\n".join([*lines, "end_header", ""]).encode()
    if form == "ascii":
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        path.write_bytes(header + "".join(" ".join(map(repr, row)) + "\n" for row in rows).encode())
        return path
    table = np.empty(count, [(name, ORDERS[form] + KINDS[kinds[name]]) for name in columns])
    for name, column in columns.items():
        table[name] = column
    path.write_bytes(header + table.tobytes())
    return path


def check(tracks: Tracks, columns: dict[str, np.ndarray]) -> None:
    """Against the definition of the format."""

    def stack(*names: str) -> np.ndarray:
        return np.stack([columns[name].astype(np.float64) for name in names], axis=1)

    np.testing.assert_array_equal(tracks.means[0], stack("x", "y", "z"))
    np.testing.assert_array_equal(tracks.log_scales, stack("scale_0", "scale_1", "scale_2"))
    np.testing.assert_array_equal(tracks.opacity_logits, columns["opacity"])
    np.testing.assert_allclose(tracks.colors, 0.5 + SH_C0 * stack("f_dc_0", "f_dc_1", "f_dc_2"), atol=1e-6)
    quaternions = stack("rot_0", "rot_1", "rot_2", "rot_3")
    unit = quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)
    np.testing.assert_allclose(tracks.rotations_wxyz[0], unit, atol=1e-7)
    assert len(tracks) == 1 and tracks.timesteps == (0,) and tracks.camera_names == ()
    assert not tracks.foreground.any() and np.array_equal(tracks.source_from_world, np.eye(4))


@pytest.mark.parametrize("form", [*ORDERS, "ascii"])
@pytest.mark.parametrize("rest", [0, 9, 24, 45])
def test_ply_is_read_in_every_form_and_degree(tmp_path: Path, form: str, rest: int):
    columns = make_columns(rest=rest)
    tracks = read_tracks(write(tmp_path / "box.ply", columns, form))
    check(tracks, columns)
    if rest:
        for channel in range(3):
            for k in range(rest // 3):
                expected = columns[f"f_rest_{channel * (rest // 3) + k}"]
                np.testing.assert_array_equal(tracks.harmonics[:, k, channel], expected)
    else:
        assert tracks.harmonics is None


@pytest.mark.parametrize("form", [*ORDERS, "ascii"])
def test_ply_properties_may_come_in_any_order_and_with_others_between(tmp_path: Path, form: str):
    columns = make_columns(rest=9) | {"nx": np.zeros(40), "label": np.arange(40) % 7}
    names = np.random.default_rng(0).permutation(list(columns))
    shuffled = {name: columns[name] for name in names}
    check(read_tracks(write(tmp_path / "box.ply", shuffled, form, label="uchar", nx="int16")), columns)
    check(read_tracks(write(tmp_path / "box.ply", shuffled, form, "double", label="uchar", nx="int16")), columns)


def test_ply_elements_around_the_particles_are_passed_over(tmp_path: Path):
    columns = make_columns()
    path = write(tmp_path / "box.ply", columns)
    content = path.read_bytes()
    content = content.replace(b"element vertex", b"element camera 3\nproperty double fov\nelement vertex")
    content = content.replace(
        b"end_header\n", b"element face 1\nproperty list uchar int i\nend_header\n" + b"\x01" * 24
    )
    path.write_bytes(content + b"\x03" + b"\x00" * 12)
    check(read_tracks(path), columns)
    path = write(tmp_path / "text.ply", columns, "ascii")
    text = path.read_text().replace("element vertex", "element camera 2\nproperty float fov\nelement vertex")
    text = text.replace("end_header\n", "element face 1\nproperty list uchar int i\nend_header\n0.1\n0.2\n")
    path.write_text(text + "3 0 1 2\n")
    check(read_tracks(path), columns)


def test_ply_header_may_have_windows_line_ends(tmp_path: Path):
    columns = make_columns()
    path = write(tmp_path / "box.ply", columns)
    header, mark, body = path.read_bytes().partition(b"end_header\n")
    path.write_bytes((header + mark).replace(b"\n", b"\r\n") + body)
    check(read_tracks(path), columns)


def test_ply_infinite_logits_are_opacities_0_and_1(tmp_path: Path):
    columns = make_columns(4)
    columns["opacity"] = np.array([np.inf, -np.inf, 0.0, 1.0], np.float32)
    np.testing.assert_array_equal(read_tracks(write(tmp_path / "a.ply", columns)).opacity_logits, [40, -40, 0, 1])


def test_ply_harmonics_that_are_all_zero_are_none(tmp_path: Path):
    columns = make_columns(rest=45)
    for i in range(45):
        columns[f"f_rest_{i}"][:] = float(i % 15 < 3)
    tracks = read_tracks(write(tmp_path / "box.ply", columns))
    np.testing.assert_array_equal(tracks.harmonics, np.ones((40, 3, 3)))
    for i in range(45):
        columns[f"f_rest_{i}"][:] = 0.0
    assert read_tracks(write(tmp_path / "box.ply", columns)).harmonics is None


# A series


def test_ply_series_is_read_under_the_name_it_was_exported_to(tmp_path: Path):
    tracks = with_births(make_tracks(stride=7))
    files = export(tracks, tmp_path / "box.ply")
    read = read_tracks(tmp_path / "box.ply")
    np.testing.assert_array_equal(read.means, tracks.means)
    np.testing.assert_array_equal(read.birth, tracks.birth)
    assert read.timesteps == tracks.timesteps
    one = read_tracks(files[5])
    np.testing.assert_array_equal(one.means[0], tracks.at(5).means)
    assert one.timesteps == (0,)


def test_ply_series_of_other_particles_is_refused(tmp_path: Path):
    tracks = make_tracks(steps=3)
    files = export(tracks, tmp_path / "box.ply")
    export(replace(tracks, log_scales=tracks.log_scales + 0.1), tmp_path / "other.ply")
    files[1].write_bytes((tmp_path / "other_000004.ply").read_bytes())
    with pytest.raises(ValueError, match=r"box_000003\.ply: expected the first particles of the next file"):
        read_tracks(tmp_path / "box.ply")


def test_ply_series_that_shrinks_is_refused(tmp_path: Path):
    files = export(with_births(make_tracks(), (1, 1, 1)), tmp_path / "box.ply")
    few = files[0].read_bytes()
    files[5].write_bytes(few)
    with pytest.raises(ValueError, match=r"box_000007\.ply.*60 particles where 57 follow"):
        read_tracks(tmp_path / "box.ply")


# What is refused


def broken(path: Path, old: str, new: str) -> Path:
    """A good file with other words in its header."""
    content = write(path, make_columns(rest=9)).read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode(), 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("vertex 40", "vertex 41", "expected [0-9]+ bytes for the 41 Gaussians that its header announces, got"),
        ("vertex 40", "vertex 39", "bytes for the 39 Gaussians"),
        ("vertex 40", "vertex 1000000000000", "bytes for the 1000000000000 Gaussians"),
        ("vertex 40", "vertex 99999999999999999999", "a line of a PLY 1.0 header, got 'element vertex 9+'"),
        ("vertex 40", "vertex -40", "a line of a PLY 1.0 header"),
        ("vertex 40", "vertex 4e1", "a line of a PLY 1.0 header"),
        ("vertex 40", "vertex 0", "at least one Gaussian, got none"),
        ("element vertex", "element point", "one element 'vertex', got point"),
        ("element vertex", "element vertex 2\nelement vertex", "one element 'vertex', got vertex, vertex"),
        ("little", "middle", "line 2: expected a line of a PLY 1.0 header"),
        ("1.0", "1.1", "line 2: expected a line of a PLY 1.0 header"),
        ("format binary_little_endian 1.0\n", "", "a line 'format ...'"),
        ("property float x", "property quad x", "line 5"),
        ("property float y", "property float x", "line 6: expected a property of another name, got x again"),
        ("property float y", "property list uchar int y", "no lists in or before 'vertex'"),
        ("f_dc_0", "red", "got a point cloud or a mesh"),
        ("rot_3", "rot_4", "got none named rot_3"),
        ("scale_0", "packed_position", "got packed ones; decompress them"),
        ("f_rest_8", "f_rest_9", "f_rest: expected 0, 9, 24 or 45 properties counted from f_rest_0, got 9 of them"),
        ("f_rest_8", "g_rest_8", "got 8 of them"),
        ("end_header", "and_header", "got no 'ply' ... 'end_header'"),
        ("ply\n", "plx\n", "got no 'ply'"),
    ],
)
def test_ply_with_a_broken_header_is_refused(tmp_path: Path, old: str, new: str, sentence: str):
    with pytest.raises((ValueError, NotImplementedError), match=re.escape(str(tmp_path)) + ".*" + sentence):
        read_tracks(broken(tmp_path / "box.ply", old, new))


@pytest.mark.parametrize(
    ("name", "value"), [("x", np.nan), ("scale_1", -np.inf), ("f_dc_2", np.inf), ("opacity", np.nan)]
)
def test_ply_with_numbers_that_are_none_is_refused(tmp_path: Path, name: str, value: float):
    columns = make_columns()
    columns[name][7] = value
    with pytest.raises(ValueError, match=r"box\.ply: .*expected finite numbers, got"):
        read_tracks(write(tmp_path / "box.ply", columns))


def test_ply_with_a_quaternion_of_no_direction_is_refused(tmp_path: Path):
    columns = make_columns()
    for name in ("rot_0", "rot_1", "rot_2", "rot_3"):
        columns[name][3] = 0.0
    with pytest.raises(ValueError, match=r"rot_0 to rot_3: expected quaternions of a length, got .* at 3 \(1 in all\)"):
        read_tracks(write(tmp_path / "box.ply", columns))


def test_ply_doubles_beyond_float32_are_refused(tmp_path: Path):
    columns = {name: column.astype(np.float64) for name, column in make_columns().items()}
    columns["z"][0] = 1e300
    with pytest.raises(ValueError, match="expected finite numbers, got inf"):
        read_tracks(write(tmp_path / "box.ply", columns, kind="double"))


@pytest.mark.parametrize("change", ["1 2", "one", "1 2 3\n"])
def test_ply_text_that_is_no_table_is_refused(tmp_path: Path, change: str):
    path = write(tmp_path / "box.ply", make_columns(), "ascii")
    lines = path.read_text().splitlines()
    lines[-3] = change + " " + lines[-3].partition(" ")[2]
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"box\.ply: expected"):
        read_tracks(path)


def test_ply_that_announces_too_much_takes_no_memory(tmp_path: Path):
    for form in (*ORDERS, "ascii"):
        path = write(tmp_path / "box.ply", make_columns(), form)
        path.write_bytes(path.read_bytes().replace(b"vertex 40", b"vertex 400000000000"))
        tracemalloc.start()
        with pytest.raises(ValueError, match="400000000000 Gaussians that its header announces"):
            read_tracks(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


@pytest.mark.parametrize("form", [*ORDERS, "ascii"])
def test_ply_cut_short_anywhere_is_refused(tmp_path: Path, form: str):
    whole = write(tmp_path / "box.ply", make_columns(3), form).read_bytes()
    path = tmp_path / "cut.ply"
    for size in range(0, len(whole) - (25 if form == "ascii" else 0), 3):  # a number cut short is still a number
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"cut\.ply: expected"):
            read_tracks(path)


@pytest.mark.parametrize("form", [*ORDERS, "ascii"])
def test_ply_with_flipped_bits_is_refused_or_read_as_it_is_written(tmp_path: Path, form: str):
    rng = np.random.default_rng(len(form))
    whole = np.frombuffer(write(tmp_path / "box.ply", make_columns(5, rest=9), form).read_bytes(), np.uint8)
    path, refused = tmp_path / "flipped.ply", 0
    for _ in range(400):
        damaged = whole.copy()
        damaged[rng.integers(0, len(whole), size=rng.integers(1, 6))] ^= np.uint8(1) << rng.integers(
            0, 8, dtype=np.uint8
        )
        path.write_bytes(damaged.tobytes())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                tracks = read_tracks(path)
            assert tracks.means.shape == (1, 5, 3) and np.isfinite(tracks.means).all()
        except (ValueError, NotImplementedError) as error:
            assert "flipped.ply" in str(error)
            refused += 1
    assert 0 < refused < 400
