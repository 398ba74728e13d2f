"""Scripts do what the functions do, and say which line is wrong before anything is done."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from tests.test_retime import assert_same
from tests.tracks_by_hand import front_camera
from tests.tracks_by_hand import make_tracks as make_simple
from tests.usd_export.sample import make_rigid, make_tracks
from usd_export import export, read_tracks
from warpgs import edit
from warpgs.cli import main
from warpgs.edit.desk import Desk
from warpgs.edit.script import read_script, run_script
from warpgs.edit.steps import STEPS
from warpgs.run import Run
from warpgs.types import Tracks

DOCS = Path(__file__).parents[2] / "docs" / "editing.md"


class OneCamera:
    """A scene that knows one camera."""

    def cameras(self, split, timestep=0):
        return (front_camera(),) if split == "train" else ()


def write(folder: Path, steps: str, head: str = 'base = "base.npz"') -> Path:
    path = folder / "script.toml"
    path.write_text(f"{head}\n{steps}", encoding="utf-8")
    return path


def do(folder: Path, tracks: Tracks, steps: str, parts=None) -> Tracks:
    """What a script makes of tracks."""
    desk = Desk(tracks, OneCamera, folder, read_tracks, lambda: parts)
    return run_script(read_script(write(folder, steps)), desk)


CHANGES = {
    'do = "transform"\nscale = 2.0\nrotate_deg = [0, 0, 90]\ntranslate = [1, 2, 3]\nabout = [0, 1, 0]': lambda t: (
        edit.transform(t, edit.placing((1, 2, 3), (0, 0, 90), 2.0, (0, 1, 0)))
    ),
    'do = "transform"\nscale = 2.0\nat = 5': lambda t: edit.transform(
        t, edit.placing(scale=2.0, about=edit.center(t, 2))
    ),
    'do = "shift"\nby = 2': lambda t: edit.shift(t, 2),
    'do = "stretch"\nfactor = 0.5\naround = 6': lambda t: edit.stretch(t, 0.5, 3),
    'do = "loop"\nstart = 4\nlast = 6\nback = true': lambda t: edit.loop(t, 1, 4, back=True),
    'do = "reverse"': edit.reverse,
    'do = "freeze"\nat = 7': lambda t: edit.freeze(t, 4),
    'do = "freeze"\nat = 7\nalways = true': lambda t: edit.hold(t, 4),
    'do = "lengthen"\ntimesteps = 20': lambda t: edit.lengthen(t, 20),
    'do = "recolor"\ncolor = [1, 0, 0]\nshare = 0.5': lambda t: edit.recolor(t, (1, 0, 0), share=0.5),
    'do = "tint"\nfactor = [1, 0, 0]': lambda t: edit.tint(t, (1, 0, 0)),
    'do = "fade"\nfactor = 0.5': lambda t: edit.fade(t, 0.5),
    'do = "relight"\ntoward = [1, 0, 1]\nat = 4': lambda t: edit.relight(t, toward=(1, 0, 1), at=1),
    'do = "split"': lambda t: edit.split(t, np.ones(60, bool)),
    'do = "keyframes"\nsmooth = true\nkeys = [{ timestep = 3, position = [0, 0, 0] },'
    " { timestep = 9.5, position = [1, 0, 2] }]": lambda t: edit.along(
        t, (0, 6.5), np.array([[0, 0, 0], [1, 0, 2]]), smooth=True
    ),
}


@pytest.mark.parametrize("step", CHANGES)
def test_a_step_does_what_its_function_does(tmp_path, step):
    tracks = make_tracks(harmonics=3)
    assert_same(CHANGES[step](tracks), do(tmp_path, tracks, "[[step]]\n" + step))


def test_cut_by_all_conditions_at_once(tmp_path):
    tracks, parts = make_rigid()
    Image.fromarray(np.full((100, 200), 255, np.uint8)).save(tmp_path / "mask.png")
    trimesh.creation.icosphere(radius=2.0).export(tmp_path / "ball.obj")
    steps = """
[[step]]
do = "cut"
piece = "bit"
part = "part_01"
box = [[-2, -2, -2], [2, 2, 0.5]]
mesh = "ball.obj"
mask = { picture = "mask.png", camera = "c" }
where = { opacity = [0.2, 1.0], x = [-inf, 10] }
at = 5
[[step]]
do = "remove"
of = "scene"
"""
    kept = do(tmp_path, tracks, steps, parts)
    chosen = edit.by_part(parts, "part_01") & edit.in_box(tracks, (-2,) * 3, (2, 2, 0.5), 2)
    chosen &= np.linalg.norm(tracks.means[2], axis=1) < 2.0
    chosen &= edit.in_picture(tracks, np.ones((100, 200), bool), front_camera(), 2)
    chosen &= edit.in_ranges(tracks, {"opacity": (0.2, 1.0)})
    assert 0 < chosen.sum() < 40
    assert_same(edit.take(tracks, chosen), kept)
    rest = do(tmp_path, tracks, steps.replace("at = 5", "at = 5\ninvert = true"), parts)
    assert_same(edit.remove(tracks, chosen), rest)


def test_parts_are_cut_out_one_after_the_other(tmp_path):
    tracks, parts = make_rigid(bodies=3)
    steps = (
        CUT
        + 'part = "part_00"\n'
        + CUT.replace("bit", "other")
        + 'part = "part_02"\n[[step]]\ndo = "remove"\nof = "{}"'
    )
    for piece, name in (("bit", "part_00"), ("other", "part_02")):
        left = do(tmp_path, tracks, steps.format(piece), parts)
        gone = {tuple(mean) for mean in tracks.means[0, edit.by_part(parts, name)].tolist()}
        assert (
            gone.isdisjoint(map(tuple, left.means[0].tolist())) and len(left.foreground) == len(tracks.foreground) - 40
        )


def test_parts_of_what_has_changed_are_not_guessed(tmp_path):
    tracks, parts = make_rigid()
    with pytest.raises(ValueError, match=r"line 5 .*a piece of the base, got one whose particles changed"):
        do(tmp_path, tracks, '[[step]]\ndo = "split"\n' + CUT + 'part = "part_00"', parts)


def test_pieces_inserted_attached_duplicated_and_put_together(tmp_path):
    tracks, parts = make_rigid()
    export(make_simple([[[0.0, 0, 0], [0, 0, 1]]]), tmp_path / "hat.ply")
    steps = """
[[step]]
do = "cut"
piece = "head"
part = "part_00"
[[step]]
do = "insert"
piece = "hat"
file = "hat.ply"
foreground = true
scale = 0.5
translate = [1, 0, 0]
[[step]]
do = "attach"
of = "hat"
to = "head"
at = 6
[[step]]
do = "duplicate"
of = "hat"
piece = "other"
[[step]]
do = "recolor"
of = "other"
color = [0, 0, 1]
"""
    edited = do(tmp_path, tracks, steps, parts)
    assert len(edited.foreground) == len(tracks.foreground) + 4
    hat = edited.means[:, -4:-2].astype(np.float64)
    np.testing.assert_allclose(hat[3], [[1, 0, 0], [1, 0, 0.5]], atol=1e-5)
    motion = parts.world_from_part[:, 0] @ np.linalg.inv(parts.world_from_part[3, 0])
    expected = np.einsum("tij,nj->tni", motion[:, :3, :3], hat[3]) + motion[:, None, :3, 3]
    np.testing.assert_allclose(hat, expected, atol=1e-4)
    np.testing.assert_array_equal(edited.means[:, -2:], edited.means[:, -4:-2])
    np.testing.assert_array_equal(edited.colors[-2:], np.tile([0, 0, 1], (2, 1)))
    assert (edited.foreground[-4:] == 1.0).all() and edited.camera_names == tracks.camera_names


def test_background_and_paint(tmp_path):
    wall = np.stack(np.meshgrid(np.linspace(-1, 1, 40), [0.0], np.linspace(-0.5, 0.5, 20)), -1).reshape(1, -1, 3)
    tracks = make_simple(np.repeat(wall, 2, axis=0), sigma=0.05)
    export(make_simple([[[5.0, 5.0, 5.0]]]), tmp_path / "room.ply")
    painting = np.zeros((100, 200, 4), np.uint8)
    painting[40:60, 80:120] = [255, 0, 0, 255]
    Image.fromarray(painting).save(tmp_path / "dot.png")
    steps = """
[[step]]
do = "background"
file = "room.ply"
[[step]]
do = "paint"
picture = "dot.png"
camera = "c"
detail = 0
"""
    edited = do(tmp_path, tracks, steps)
    np.testing.assert_array_equal(edited.foreground, np.append(np.ones(800), 0.0))
    painted = edit.paint(tracks, painting / 255.0, front_camera(), detail=0)
    np.testing.assert_array_equal(edited.colors[:800], painted.colors)
    assert (edited.colors[:800] != tracks.colors).any() and (edited.colors[800] == 0.5).all()
    own = steps.replace('"c"', "{ eye = [0, -2, 0], target = [0, 0, 0], fov_deg = 53.13010235, size = [200, 100] }")
    np.testing.assert_allclose(do(tmp_path, tracks, own).colors, edited.colors, atol=1e-5)


CUT = '[[step]]\ndo = "cut"\npiece = "bit"\n'
WRONG = {
    "": "at least one [[step]], got none",
    "[[step]]\nof = 3": "do = one of cut, remove",
    '[[step]]\ndo = "cute"': 'line 3 (do = "cute"): expected do = one of cut, remove',
    '[[step]]\ndo = "shift"\nbye = 3': "line 4 (bye = 3): expected for shift one of by, of, got 'bye'; correct",
    '[[step]]\ndo = "shift"': 'line 3 (do = "shift"): expected for shift the key by, got none',
    '[[step]]\ndo = "shift"\nby = "3"': "line 4 (by = \"3\"): expected by = a number, got '3'",
    '[[step]]\ndo = "shift"\nby = nan': "expected by = a number, got nan",
    '[[step]]\ndo = "reverse"\n[[step]]\ndo = "tint"\nfactor = [1]': "line 6 (factor = [1]): expected factor = a list",
    '[[step]]\ndo = "freeze"\nat = true': "at = a whole number, got True",
    '[[step]]\ndo = "freeze"\nat = 99': 'line 3 (do = "freeze"): timestep: expected one of 3 to 15',
    '[[step]]\ndo = "transform"\nscale = -1': 'line 3 (do = "transform"): scale: expected a number above 0',
    CUT: "at least one of part, box, mask, mesh, where, got none",
    CUT + 'part = "nose"': "part 'nose': expected one of background, deformable, part_00",
    CUT + "where = { mass = [0, 1] }": "range 'mass': expected one of x, y, z",
    CUT + "where = { x = 1 }": "line 5 (where = { x = 1 }): expected x = a list of 2",
    CUT + 'mesh = "gone.obj"': "gone.obj: expected a file or a run, got none",
    CUT + 'mesh = "script.toml"': "script.toml: expected a triangle mesh",
    CUT
    + 'mask = { picture = "small.png", camera = "c" }': "small.png: expected 200x100 pixels, as camera c has, got 3x2",
    CUT + 'mask = { picture = "small.png", camera = "d" }': "camera: expected one of c, got 'd'",
    CUT + 'mask = { picture = "script.toml", camera = "c" }': "expected a picture, got something else",
    CUT + 'mask = { camera = "c" }': "for mask the key picture, got none",
    CUT + 'mask = { picture = "small.png", camera = { eye = [0, 0, 0], tgt = [0, 0, 1] } }': "got 'tgt'",
    CUT + "box = [[0, 0, 0], [1, 1, 1]]\n" + CUT + 'part = "part_00"': "a name that is not taken, got 'bit'",
    '[[step]]\ndo = "fade"\nof = "hat"\nfactor = 1': "of = one of the pieces there are, scene, got 'hat'",
    '[[step]]\ndo = "remove"\nof = "scene"\n[[step]]\ndo = "reverse"': "there are, none, got 'scene'",
    '[[step]]\ndo = "fade"\nfactor = -1': 'line 3 (do = "fade"): factor: expected a number of at least 0',
    '[[step]]\ndo = "loop"\nstart = 9\nlast = 5': "loop: expected 0 <= start < stop",
    '[[step]]\ndo = "insert"\npiece = "a"\nfile = "gone.ply"': "gone.ply: expected a file or a run",
    '[[step]]\ndo = "keyframes"\nkeys = []': "at least one keyframe",
    '[[step]]\ndo = "keyframes"\nkeys = [{ timestep = 1 }]': "for keys the key position",
}


@pytest.mark.parametrize("steps", WRONG)
def test_errors_say_the_line_before_anything_is_done(tmp_path, steps):
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "small.png")
    tracks, parts = make_rigid()
    done = []
    with pytest.raises((ValueError, OSError)) as error:
        desk = Desk(tracks, OneCamera, tmp_path, read_tracks, lambda: parts)
        run_script(read_script(write(tmp_path, steps)), desk, lambda i, n: done.append(i))
    assert not done
    assert WRONG[steps] in str(error.value) and "script.toml" in str(error.value)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", 'expected base = "..."'),
        ('base = "a"\nbass = 1', "line 2 (bass = 1): expected one of base, scene, parts, step"),
        ("base = 3", "line 1 (base = 3): expected text"),
        ("base = ", "expected TOML"),
    ],
)
def test_a_broken_head_is_refused(tmp_path, head, message):
    with pytest.raises(ValueError) as error:
        read_script(write(tmp_path, '[[step]]\ndo = "reverse"', head))
    assert message in str(error.value)


def test_every_step_is_documented():
    text = DOCS.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in STEPS)
    assert all(name in text for kind in STEPS.values() for name in kind.__dataclass_fields__)


def test_the_command_writes_files_and_runs_that_open(tmp_path, capsys):
    tracks = replace(make_tracks(steps=4), fps=30.0)
    export(tracks, tmp_path / "base.npz")
    script = write(tmp_path, '[[step]]\ndo = "reverse"', 'base = "base.npz"\nscene = "plain"')
    for output in ("out.npz", "runs/out"):
        assert main(["edit", str(script), "--output", str(tmp_path / output)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "out.npz"), str(tmp_path / "runs/out")]
    run = Run.open(tmp_path / "runs/out")
    assert run.scene_name == "plain" and run.config == {"edited": script.read_text(encoding="utf-8")}
    for backward in (read_tracks(tmp_path / "out.npz"), run.tracks()):
        np.testing.assert_array_equal(backward.means, tracks.means[::-1])
        assert backward.timesteps == (3, 4, 5, 6)


def test_the_command_refuses_what_it_cannot_write(tmp_path, capsys):
    export(make_tracks(steps=2), tmp_path / "base.npz")
    script = write(tmp_path, '[[step]]\ndo = "reverse"')
    for output, status, message in (
        ("base.npz", 1, "pass --overwrite"),
        ("out.obj", 1, "a file ending in"),
        ("run", 2, "the cameras of a scene for a run"),
    ):
        assert main(["edit", str(script), "--output", str(tmp_path / output)]) == status
        assert message in capsys.readouterr().err
    assert main(["edit", str(script), "--output", str(tmp_path / "base.npz"), "--overwrite"]) == 1
    assert "another output than the base" in capsys.readouterr().err
    assert main(["edit", str(tmp_path / "none.toml"), "--output", str(tmp_path / "a.npz")]) == 1
