"""Verbs on files of Gaussians, as they work on runs."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import scenes
from scenes.synthetic import tumble
from tests.perfect_run import write_perfect_run
from usd_export import export, read_tracks
from warpgs.cli import main
from warpgs.run import Run

SMALL = scenes.SyntheticOptions(
    width=96, height=54, timesteps=3, train_cameras=3, test_cameras=1, samples=1, cloud_background=4000
)
SUFFIXES = (".usdc", ".npz", ".ply")


@pytest.fixture(scope="module", autouse=True)
def small_scene():
    def small_tumble(options):
        """Three boxes and three balls, in small."""
        return tumble(replace(SMALL, has_cloud=options.has_cloud))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(scenes.BUILT_IN, "tumble", small_tumble)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_scene) -> Path:
    """A run, and the same as files."""
    folder = tmp_path_factory.mktemp("files")
    write_perfect_run(folder / "run", scenes.open_scene("tumble"), range(3))
    for suffix in SUFFIXES:
        export(Run.open(folder / "run").tracks(), folder / f"box{suffix}")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures(folder: Path) -> dict[str, np.ndarray]:
    return {str(path.relative_to(folder)): np.array(Image.open(path)) for path in sorted(folder.glob("*/*.png"))}


def sentence(capsys) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_render_of_a_file_is_that_of_its_run(folder, here, suffix):
    for source, output in ((folder / "run", "a"), (folder / f"box{suffix}", "b")):
        assert main(["render", str(source), "--output", output, "--scene", "tumble", "--cameras", "train"]) == 0
    expected, got = pictures(here / "a"), pictures(here / "b")
    assert list(got) == list(expected) and len(got) == 9
    for name, picture in expected.items():
        assert picture.max() > 100
        assert np.abs(got[name].astype(int) - picture).max() <= 1  # colors and sizes went through other forms


def test_render_orbits_a_file_of_one_instant_in_one_turn(folder, here):
    argv = ["render", str(folder / "box_000001.ply"), "--output", "out", "--image-scale", "0.1"]
    assert main(argv) == 0
    drawn = pictures(here / "out")
    assert list(drawn) == [f"orbit/{i:06d}.png" for i in range(90)]
    assert all(picture.shape == (36, 64, 3) and picture.max() > 50 for picture in drawn.values())


def test_render_orbits_a_moving_file_at_its_instants(folder, here):
    assert main(["render", str(folder / "box.usdc"), "--output", "out", "--cameras", "orbit"]) == 0
    assert list(pictures(here / "out")) == [f"orbit/{i:06d}.png" for i in range(3)]


def test_render_of_a_file_has_no_held_out_cameras(folder, here, capsys):
    assert main(["render", str(folder / "box.ply"), "--output", "out", "--cameras", "test"]) == 1
    assert "pass --scene or --cameras orbit" in sentence(capsys)
    assert not list(here.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_query_of_a_file_follows_points_and_with_a_scene_pixels(folder, here, suffix):
    x, y, z = map(str, read_tracks(folder / "box.npz").means[0, 5])
    for source, output in ((folder / "run", "a.csv"), (folder / f"box{suffix}", "b.csv")):
        argv = ["query", str(source), "--point", x, y, z, "--pixel", "0", "0", "48", "27", "--scene", "tumble"]
        assert main([*argv, "--output", output]) == 0
        assert main(["query", str(source), "--point", x, y, z, "--output", f"point_{output}"]) == 0
    for name in ("a.csv", "point_a.csv"):
        with (here / name).open() as one, (here / name.replace("a.csv", "b.csv")).open() as other:
            expected, got = list(csv.DictReader(one)), list(csv.DictReader(other))
        assert len(got) == len(expected) > 0
        for row, same in zip(got, expected, strict=True):
            for axis in ("x", "y", "z"):
                assert float(row[axis]) == pytest.approx(float(same[axis]), abs=1e-4)


def test_query_of_pixels_of_a_file_without_a_scene_is_refused(folder, here, capsys):
    assert main(["query", str(folder / "box.ply"), "--pixel", "0", "0", "48", "27"]) == 1
    assert "the scene, which knows the cameras" in sentence(capsys)


def test_export_converts_files(folder, here, capsys):
    for source, out in (("box.usdc", "a.ply"), ("box.ply", "b.usdc"), ("box.npz", "c.usda"), ("box.usdc", "d.npz")):
        assert main(["export", str(folder / source), out]) == 0
        read = read_tracks(here / out)
        np.testing.assert_allclose(read.means, Run.open(folder / "run").tracks().means, atol=1e-6)
    assert str(Path("a_000002.ply")) in capsys.readouterr().out


@pytest.mark.parametrize(
    "verb", [["render", "--output", "out"], ["query", "--point", "0", "0", "0"], ["export", "o.ply"]]
)
def test_files_that_are_missing_or_broken_are_one_sentence(here, capsys, verb):
    name, *options = verb
    assert main([name, "none.ply", *options]) == 1
    assert sentence(capsys).startswith(f"warpgs {name}: none.ply: expected a file, got none")
    (here / "junk.usdc").write_bytes(b"junk")
    assert main([name, "junk.usdc", *options]) == 1
    assert sentence(capsys).startswith(f"warpgs {name}: junk.usdc: expected a USD file, got")
    assert [path.name for path in here.iterdir()] == ["junk.usdc"]


def test_a_run_may_be_named_like_a_file(folder, here):
    (here / "run.ply").symlink_to(folder / "run")
    assert main(["export", "run.ply", "out.npz"]) == 0
