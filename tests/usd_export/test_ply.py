"""3DGS ``.ply``: parsed by a reader that knows the format and nothing of the writer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.usd_export.sample import SH_C0, make_similarity, make_tracks, with_births
from usd_export import export


def read_ply(path: Path) -> np.ndarray:
    """The vertices of a binary little-endian PLY of floats, a structured array."""
    header, _, body = path.read_bytes().partition(b"end_header\n")
    lines = header.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    element, kind, count = lines[2].split()
    assert (element, kind) == ("element", "vertex")
    names = [line.removeprefix("property float ") for line in lines[3:]]
    vertices = np.frombuffer(body, np.dtype([(name, "<f4") for name in names]))
    assert len(vertices) == int(count)
    return vertices


def columns(vertices: np.ndarray, *names: str) -> np.ndarray:
    return np.stack([vertices[name] for name in names], axis=1)


def test_ply_holds_every_timestep_exactly_in_the_world_frame(tmp_path: Path):
    tracks = make_tracks(stride=5, source_from_world=make_similarity(1))
    files = export(tracks, tmp_path / "box.ply")
    assert files == [tmp_path / f"box_{timestep:06d}.ply" for timestep in tracks.timesteps]
    assert sorted(tmp_path.iterdir()) == files
    for i, file in enumerate(files):
        vertices = read_ply(file)
        assert vertices.dtype.names == (
            *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
            *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
        )
        np.testing.assert_array_equal(columns(vertices, "x", "y", "z"), tracks.means[i])
        rotations_wxyz = columns(vertices, "rot_0", "rot_1", "rot_2", "rot_3")
        np.testing.assert_array_equal(rotations_wxyz, tracks.rotations_wxyz[i])
        np.testing.assert_array_equal(columns(vertices, "scale_0", "scale_1", "scale_2"), tracks.log_scales)
        np.testing.assert_array_equal(vertices["opacity"], tracks.opacity_logits)
        coefficients = columns(vertices, "f_dc_0", "f_dc_1", "f_dc_2")
        np.testing.assert_allclose(0.5 + SH_C0 * coefficients, tracks.colors, atol=1e-6)
        assert not columns(vertices, "nx", "ny", "nz").any()


@pytest.mark.parametrize("harmonics", [3, 8, 15])
def test_ply_holds_harmonics_channel_by_channel(tmp_path: Path, harmonics: int):
    tracks = make_tracks(steps=2, harmonics=harmonics)
    for i, file in enumerate(export(tracks, tmp_path / "box.ply")):
        vertices = read_ply(file)
        names = [f"f_rest_{k}" for k in range(3 * harmonics)]
        assert vertices.dtype.names[8 : 10 + 3 * harmonics] == ("f_dc_2", *names, "opacity")
        for channel in range(3):
            rest = columns(vertices, *names[channel * harmonics : (channel + 1) * harmonics])
            np.testing.assert_array_equal(rest, tracks.harmonics[:, :, channel])
        np.testing.assert_array_equal(columns(vertices, "x", "y", "z"), tracks.means[i])


def test_ply_overwrite_leaves_no_frame_of_a_longer_series(tmp_path: Path):
    export(make_tracks(steps=9), tmp_path / "box.ply")
    bystanders = [tmp_path / name for name in ("box_final.ply", "box.ply", "sandbox_000003.ply", "box_000003.txt")]
    for file in bystanders:
        file.write_text("mine")
    files = export(make_tracks(steps=4), tmp_path / "box.ply", overwrite=True)
    assert len(files) == 4 and set(tmp_path.iterdir()) == {*files, *bystanders}
    assert all(file.read_text() == "mine" for file in bystanders)


def test_ply_holds_only_what_is_born(tmp_path: Path):
    tracks = with_births(make_tracks())
    for i, file in enumerate(export(tracks, tmp_path / "box.ply")):
        expected = tracks.means[i, tracks.birth <= i]
        np.testing.assert_array_equal(columns(read_ply(file), "x", "y", "z"), expected)
