"""Parts as a file that a person can edit."""

import json

import numpy as np
import pytest

from tests.bodies.moving import box, moved, tracks_of, with_background
from warpgs.bodies import BACKGROUND, DEFORMABLE, fit_parts, read_parts, write_parts

RATE, SHIFT = (0.05, -0.08, 0.1), (0.02, 0.0, 0.01)


@pytest.fixture(scope="module")
def made():
    points = box((0.2, 0.15, 0.2), 40, np.random.default_rng(0))
    tracks, body = tracks_of([moved(points, RATE, SHIFT), moved(points + 1.0, (0, 0, 0), SHIFT)])
    tracks = with_background(tracks, 5)
    index = np.append(body, [BACKGROUND] * 5)
    index[[3, 4, 11]] = DEFORMABLE
    return tracks, fit_parts(tracks, index, ["crate", "ball"])


def content(particles: int, **parts: str) -> dict:
    entries = [{"name": name, "particles": runs} for name, runs in parts.items()]
    return {"format": "warpgs parts 1", "particles": particles, "parts": entries}


def save(path, value) -> None:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def test_parts_come_back_as_they_were_written(made, tmp_path):
    tracks, parts = made
    write_parts(tmp_path / "new" / "parts.json", parts)
    again = read_parts(tmp_path / "new" / "parts.json", tracks)
    assert again.names == parts.names
    for name in ("part_index", "world_from_part", "residual", "birth"):
        np.testing.assert_array_equal(getattr(again, name), getattr(parts, name))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["parts.json"]
    with pytest.raises(FileExistsError, match="pass --overwrite"):
        write_parts(tmp_path / "new" / "parts.json", parts)


def test_an_edited_file_renames_merges_and_moves(made, tmp_path):
    tracks, _ = made
    value = content(85, whole="0-9", other="40, 30-39")
    value["parts"].append({"name": "whole", "particles": "20"})
    save(tmp_path / "parts.json", value)
    parts = read_parts(tmp_path / "parts.json", tracks)
    assert parts.names == ("whole", "other")
    assert parts.members(0).tolist() == [*range(10), 20]
    assert parts.members(1).tolist() == list(range(30, 41))
    assert (parts.part_index[80:] == BACKGROUND).all()
    assert (parts.part_index[41:80] == DEFORMABLE).all()
    center = tracks.means[0, :21].astype(np.float64)[[*range(10), 20]].mean(axis=0)
    np.testing.assert_allclose(parts.world_from_part[0, 0, :3, 3], center, atol=1e-12)


def test_a_file_of_no_parts_has_none(made, tmp_path):
    save(tmp_path / "parts.json", content(85))
    assert len(read_parts(tmp_path / "parts.json", made[0])) == 0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ([], "an object of"),
        ({"format": "warpgs parts 2"}, "an object of"),
        (content(84), "a file about tracks of 85 particles, got one of 84"),
        ({**content(85), "parts": {}}, "parts: expected a list"),
        ({**content(85), "parts": ["crate"]}, 'an object of "name" and "particles"'),
        ({**content(85), "parts": [{"name": "a"}]}, 'an object of "name" and "particles"'),
        (content(85, **{"a/../b": "0-9"}), "a letter or underscore"),
        (content(85, **{"": "0-9"}), "a letter or underscore"),
        (content(85, **{"ä": "0-9"}), "a letter or underscore"),
        (content(85, **{"a\n": "0-9"}), "a letter or underscore"),
        (content(85, a="0-85"), "rising runs from 0 to 84, got '0-85'"),
        (content(85, a="0-999999999999"), "rising runs"),
        (content(85, a="9-0"), "rising runs"),
        (content(85, a="-1"), "runs such as"),
        (content(85, a=""), "runs such as"),
        (content(85, a="0,,1"), "runs such as"),
        (content(85, a="1e3"), "runs such as"),
        ({**content(85), "parts": [{"name": "a", "particles": [0, 1]}]}, "runs such as"),
        (content(85, a="0-5,5"), "each particle once, got one of '5' again"),
        (content(85, a="0-5", b="7,5"), "b: expected each particle once, got 5 again, after a"),
    ],
)
def test_read_parts_refuses_what_is_malformed(made, tmp_path, value, message):
    save(tmp_path / "parts.json", value)
    with pytest.raises(ValueError, match=r"parts\.json") as refusal:
        read_parts(tmp_path / "parts.json", made[0])
    assert message in str(refusal.value)


def test_read_parts_refuses_a_missing_file(made, tmp_path):
    with pytest.raises(FileNotFoundError):
        read_parts(tmp_path / "parts.json", made[0])
