"""Arrays that go into binary layers past USD: they read as if USD had written them, whatever happens."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from pxr import Sdf, Usd, Vt

from tests.usd_export.sample import make_rigid, make_tracks, with_births, with_judgments
from usd_export import UsdOptions, bulk, export_usd
from usd_export.bulk import Bulk, UnknownLayer

NOBODYS = ((99, 0), (99, 1))
"""Versions of the format that no layer has."""
STEPS = 37
"""More than lie between two saves: rows of samples are left behind."""


@pytest.fixture(params=["raw", "raw half", "dcc", "dcc half", "rigid", "even", "one particle", "two timesteps"])
def case(request: pytest.FixtureRequest) -> dict:
    tracks = with_judgments(with_births(make_tracks(STEPS, 61)))
    if request.param == "rigid":
        tracks, parts = make_rigid(STEPS, birth=4)
        return {"tracks": tracks, "parts": parts, "options": UsdOptions()}
    if request.param == "even":
        tracks = make_tracks(STEPS, 64, 0)
    if request.param == "one particle":
        tracks = make_tracks(STEPS, 1, 0)
    if request.param == "two timesteps":
        tracks = make_tracks(2)
    form = "dcc" if "dcc" in request.param else "raw"
    return {"tracks": tracks, "options": UsdOptions(form=form, half="half" in request.param)}


def test_bulk_layer_reads_as_one_that_usd_wrote(
    case: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    ours = export_usd(path=tmp_path / "ours.usdc", **case)
    assert caplog.records == []
    monkeypatch.setattr(bulk, "VERSIONS", NOBODYS)
    plain = export_usd(path=tmp_path / "plain.usdc", **case)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    texts = [Sdf.Layer.OpenAsAnonymous(str(path)).ExportToString() for path in (ours, plain)]
    assert texts[0] == texts[1] and bulk.MARK.decode()[:8] not in texts[0]
    assert ours.stat().st_size < 1.05 * plain.stat().st_size + 20_000


def test_bulk_layer_holds_an_array_once_that_two_prims_share(tmp_path: Path):
    tracks = make_tracks(STEPS, 5000, 0)
    size = {
        form: export_usd(tracks, tmp_path / f"{form}.usdc", options=UsdOptions(form=form)).stat().st_size
        for form in ("raw", "dcc")
    }
    velocities = STEPS * 5000 * 12
    assert size["dcc"] - size["raw"] < 1.2 * velocities


def test_bulk_layer_can_be_edited_in_place(tmp_path: Path):
    """USD writes over what follows the values: nothing of ours may be there."""
    tracks = make_tracks(STEPS, 3000, 0)
    path = export_usd(tracks, tmp_path / "box.usdc")
    stage = Usd.Stage.Open(str(path))
    extra = stage.DefinePrim("/World/Extra").CreateAttribute("numbers", Sdf.ValueTypeNames.FloatArray)
    extra.Set(Vt.FloatArray(np.linspace(0.0, 1.0, 500_000).tolist()))
    stage.Save()
    del stage, extra
    stage = Usd.Stage.Open(Sdf.Layer.OpenAsAnonymous(str(path)))  # what is in the file, not what is known of it
    positions = stage.GetPrimAtPath("/World/Moving").GetAttribute("positions")
    for means, timestep in zip(tracks.means, tracks.timesteps, strict=True):
        np.testing.assert_array_equal(positions.Get(timestep), means)


def reserved(path: Path, values: np.ndarray) -> tuple[Bulk, Usd.Attribute]:
    """A saved layer with a placeholder for each row of values, shape [t, n, 3]."""
    stage, waiting = Usd.Stage.CreateNew(str(path)), Bulk()
    attribute = stage.DefinePrim("/Prim").CreateAttribute("points", Sdf.ValueTypeNames.Point3fArray)
    for time, row in enumerate(values):
        waiting.reserve(attribute, Vt.Vec3fArray, row, Usd.TimeCode(time))
    stage.Save()
    return waiting, attribute


def filled(path: Path, waiting: Bulk, attribute: Usd.Attribute, values: np.ndarray) -> None:
    with waiting.fill(path) as put:
        for time, row in enumerate(values):
            put(attribute, Vt.Vec3fArray, row, Usd.TimeCode(time))


@pytest.mark.parametrize("rows", [4, 6])
def test_bulk_refuses_other_arrays_than_were_reserved(tmp_path: Path, rows: int):
    values, path = np.zeros((6, 10, 3), np.float32), tmp_path / "box.usdc"
    waiting, attribute = reserved(path, values)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="reserved"):
        filled(path, waiting, attribute, values[:rows, : 10 if rows == 4 else 9])
    assert path.read_bytes() == before


def test_bulk_refuses_a_layer_in_which_placeholders_are_not_where_they_should_be(tmp_path: Path):
    values, path = np.zeros((6, 10, 3), np.float32), tmp_path / "box.usdc"
    waiting, attribute = reserved(path, values)
    sound = path.read_bytes()
    at = sound.index(bulk.MARK)
    row = bulk._row(24, [sound.index(bulk.MARK + bytes([i])) - 8 for i in range(len(values))])
    broken = {
        "gone": sound[:at] + b"x" + sound[at + 1 :],
        "numbered twice": sound.replace(bulk.MARK + b"\1", bulk.MARK + b"\2"),
        "no row": sound.replace(row, row[:-1] + b"\0"),
        "two rows": sound[:88] + row + sound[88 + len(row) :],
        "another format": b"PXR-TEST" + sound[8:],
        "an older version": sound[:9] + b"\6" + sound[10:],
    }
    for name, data in broken.items():
        assert data != sound, name
        path.write_bytes(data)
        with pytest.raises(UnknownLayer):
            filled(path, waiting, attribute, values)
        assert path.read_bytes() == data, name
