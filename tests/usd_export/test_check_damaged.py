"""Files so damaged that attributes are not even of the right types: findings or sentences, never a trace."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pxr import Vt

from tests.usd_export.sample import make_tracks, with_births
from tests.usd_export.stages import HARMONICS, make_field, make_stage
from tests.usd_export.test_check_bodies import make_body
from usd_export import export, read_tracks
from usd_export.checking import check_usd


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("positions", "half positions = 1"),
        ("orientations", "float3[] orientations = [(1, 2, 3)]"),
        ("scales", 'string scales = "small"'),
        ("opacities", "float opacities = 0.5"),
        (HARMONICS, f"token[] {HARMONICS} = []"),
        ("extent", "float3 extent = (0, 0, 0)"),
    ],
)
def test_array_of_another_type_is_found_by_the_schema_alone_and_not_read(tmp_path: Path, name: str, value: str):
    stage = make_stage()
    make_field(stage, count=1).CreateExtentAttr(Vt.Vec3fArray([(-9, -9, -9), (9, 9, 9)]))
    lines = stage.GetRootLayer().ExportToString().splitlines()
    wrong = [value if f"[] {name} = " in line else line for line in lines]
    assert wrong != lines
    path = tmp_path / "wrong.usda"
    path.write_text("\n".join(wrong))
    report = check_usd(path, make_tracks(steps=1, count=1))
    assert report.failed() - {"same particles"} in ({"schema"}, {"schema", "validators"})
    assert report.findings["schema"][0].where == f"/World/Splats.{name}"
    with pytest.raises(ValueError, match=rf"wrong\.usda: /World/Splats\.{name}: expected the type of the schema"):
        read_tracks(path)


def test_text_with_words_in_the_wrong_places_is_checked_or_refused(tmp_path: Path):
    """Damage that still parses: nothing but sentences comes of it."""
    rng = np.random.default_rng(4)
    make_body().Export(str(tmp_path / "body.usda"))
    export(with_births(make_tracks(steps=3, count=6, static=3), (1,)), tmp_path / "raw.usda")
    words = ["-1", "nan", "inf", "0", "[]", "()", '"x"', "None", "half", "token", "(1, 2, 3)"]
    for trial in range(60):
        text = (tmp_path / ("body.usda", "raw.usda")[trial % 2]).read_text()
        spans = [match.span() for match in re.finditer(r"[A-Za-z_:.]+|-?[\d.e-]+|\[[^\]]*\]", text)]
        start, end = spans[rng.integers(0, len(spans))]
        path = tmp_path / f"damaged_{trial}.usda"  # OpenUSD remembers layers by name
        path.write_text(text[:start] + words[rng.integers(0, len(words))] + text[end:])
        for examine in (read_tracks, check_usd, lambda path: check_usd(path, make_tracks(steps=3, count=6))):
            try:
                examine(path)
            except (ValueError, NotImplementedError) as error:
                assert path.name in str(error)
