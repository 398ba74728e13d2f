"""The command line: what it prints, what it writes, what it refuses and with which exit status."""

import csv
import json
import re
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import scenes
from scenes.synthetic import tumble
from tests.perfect_run import NoSettings, write_perfect_run
from warpgs.cli import main
from warpgs.cli.command import parse
from warpgs.render import Renderer
from warpgs.run import Run, write_run
from warpgs.track import PRESETS, TrackConfig, track

VERBS = (
    "scenes",
    "inspect",
    "masks",
    "track",
    "evaluate",
    "query",
    "view",
    "render",
    "plot",
    "edit",
    "export",
    "simulate",
    "identify",
)
TIMESTEPS = range(0, 3)
QUICK = shlex.split(
    "track tumble --run run --threads 1 --reconstruct.steps 10 --reconstruct.densify.every 0"
    " --follow.rigid.clusters 6 --follow.rigid.first-steps 4 --follow.free.steps 4"
)
SMALL = scenes.SyntheticOptions(
    width=96, height=54, timesteps=6, train_cameras=6, test_cameras=2, samples=1, cloud_background=4000
)


@pytest.fixture(scope="module", autouse=True)
def small_scene():
    """The built-in scene in small, to be quick."""

    def small_tumble(options):
        """Three boxes and three balls, in small."""
        return tumble(replace(SMALL, has_cloud=options.has_cloud))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(scenes.BUILT_IN, "tumble", small_tumble)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory, small_scene) -> Path:
    path = tmp_path_factory.mktemp("runs") / "tumble"
    write_perfect_run(path, scenes.open_scene("tumble"), TIMESTEPS)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_sentence(capsys) -> str:
    """The only line on stderr."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1, lines
    assert "Traceback" not in lines[0]
    return lines[0]


# Help and usage


def test_help_answers_at_once_and_names_every_verb():
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from warpgs.cli import main; sys.exit(main(['--help']))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in VERBS)
    assert time.perf_counter() - start < 5.0  # a third of a second on an idle machine


def test_failure_is_one_sentence_on_stderr_and_nothing_on_stdout(here):
    code = "import sys; from warpgs.cli import main; sys.exit(main(['evaluate', 'nowhere']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("warpgs evaluate: nowhere: expected a run directory, got no such folder")


def test_help_needs_neither_warp_nor_pxr():
    code = "import sys; from warpgs.cli import main; main(['--help']); print(*sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"warp", "pxr", "scenes", "numpy", "matplotlib"} & set(done.stderr.split())


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_gives_an_example(verb, capsys):
    assert main([verb, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"Example: warpgs {verb}" in printed and "--debug" in printed


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["bogus"],
        ["track"],
        ["track", "tumble"],
        ["track", "tumble", "--run", "r", "--preset", "best"],
        ["track", "tumble", "--run", "r", "--seed", "one"],
        ["track", "tumble", "--run", "r", "--timesteps", "3"],
        ["track", "tumble", "--run", "r", "--timesteps", "0:x"],
        ["evaluate"],
        ["query", "r"],
        ["query", "r", "--point", "1", "2"],
        ["query", "r", "--pixel", "6", "first", "1", "2"],
        ["view", "r", "--port", "first"],
        ["render", "r"],
        ["render", "r", "--output", "o", "--cameras", "moon"],
        ["render", "r", "--output", "o", "--cameras", "attach:"],
        ["render", "r", "--output", "o", "--cameras", "orbit", "--offset", "0", "1", "0"],
        ["render", "r", "--output", "o", "--slow", "0"],
        ["render", "r", "--output", "o", "--image-scale", "0"],
        ["render", "r", "--output", "o", "--channels", "trajectories", "--tail", "-1"],
        ["export", "r"],
        ["scenes", "--bogus"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_writes_nothing(argv, here, capsys):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err and "Traceback" not in captured.err
    assert not list(here.iterdir())


def test_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "warpgs 0.1.0\n"


# Scenes and inspect


def test_scenes_lists_built_in_scenes_and_layouts(capsys):
    assert main(["scenes"]) == 0
    printed = capsys.readouterr().out
    assert "tumble" in printed and "panoptic" in printed and "train_meta.json" in printed


def test_inspect_describes_the_scene_and_draws_its_cameras(here, capsys):
    assert main(["inspect", "tumble"]) == 0
    printed = capsys.readouterr().out
    for text in ("6 at 30 per second", "6: 0 1 2 3 4 5", "2: 6 7", "96x54 pixels", "6 bodies", "nothing"):
        assert text in printed
    assert Image.open(here / "tumble_cameras.png").size == (1200, 600)


def test_inspect_keeps_an_existing_plot_unless_asked(here, capsys):
    plot = here / "tumble_cameras.png"
    plot.write_text("mine")
    assert main(["inspect", "tumble"]) == 0
    assert plot.read_text() == "mine" and "kept the existing" in capsys.readouterr().out
    assert main(["inspect", "tumble", "--plot", str(plot)]) == 1
    assert "--overwrite" in one_sentence(capsys) and plot.read_text() == "mine"
    assert main(["inspect", "tumble", "--overwrite"]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_inspect_refuses_a_plot_that_is_no_png(here, capsys):
    assert main(["inspect", "tumble", "--plot", "cameras.jpg"]) == 1
    assert ".png" in one_sentence(capsys)


def test_unknown_scene_is_one_sentence_with_the_remedy(here, capsys):
    assert main(["inspect", "no/such/scene"]) == 1
    sentence = one_sentence(capsys)
    assert sentence.startswith("warpgs inspect: no/such/scene: expected") and "tumble" in sentence
    assert not list(here.iterdir())


# Track


def test_track_settings_are_those_of_the_preset():
    for preset in PRESETS:
        _, arguments = parse(["track", "tumble", "--run", "r", "--preset", preset])
        assert arguments.settings == PRESETS[preset]
        assert type(arguments.settings) is TrackConfig
    assert parse(["track", "tumble", "--run", "r"])[1].settings == PRESETS["fast"]


def test_track_options_change_one_setting_each():
    words = "--preset paper --device cpu --threads 1 --seed 7 --image-scale 0.5 --follow.priors.neighbors 9 --no-cloud"
    _, arguments = parse(["track", "tumble", "--run", "r", *words.split()])
    paper = PRESETS["paper"]
    follow = replace(paper.follow, priors=replace(paper.follow.priors, neighbors=9))
    assert arguments.settings == replace(
        paper, device="cpu", threads=1, seed=7, image_scale=0.5, use_cloud=False, follow=follow
    )


@pytest.mark.parametrize("option", ["--image-scale=0", "--follow.views-per-step=0", "--reconstruct.steps=0"])
def test_track_refuses_settings_out_of_range_as_wrong_usage(option, here, capsys):
    assert main(["track", "tumble", "--run", "r", option]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not list(here.iterdir())


def test_track_stores_the_timesteps_and_says_what_comes_next(here, capsys):
    assert main([*QUICK, "--timesteps", ":2"]) == 0
    assert Run.open("run").completed == (0, 1)
    assert Run.open("run").config["reconstruct"]["steps"] == 10
    captured = capsys.readouterr()
    assert "next: warpgs evaluate run" in captured.out
    assert "dB" in captured.err and "2/2" in captured.err


def test_track_refuses_an_existing_run_unless_told_what_to_do(here, capsys):
    assert main([*QUICK, "--timesteps", "0:1"]) == 0
    before = (here / "run" / "gaussians.npz").read_bytes()
    capsys.readouterr()
    assert main([*QUICK, "--timesteps", "0:1"]) == 1
    sentence = one_sentence(capsys)
    assert "--resume" in sentence and "--overwrite" in sentence
    assert main([*QUICK, "--timesteps", "0:1", "--resume", "--seed", "5"]) == 1
    assert "seed" in one_sentence(capsys)
    assert (here / "run" / "gaussians.npz").read_bytes() == before
    assert main([*QUICK, "--timesteps", "0:1", "--overwrite", "--seed", "5"]) == 0
    assert (here / "run" / "gaussians.npz").read_bytes() != before


def test_track_refuses_timesteps_that_the_scene_lacks(here, capsys):
    assert main([*QUICK, "--timesteps", "4:9"]) == 1
    assert "0:6" in one_sentence(capsys) or "5" in one_sentence(capsys)
    assert not list(here.iterdir())


def test_interrupted_track_says_how_to_go_on_and_does(here, capsys, monkeypatch):
    def track_one(*arguments, **options):
        yield next(track(*arguments, **options))
        raise KeyboardInterrupt

    argv = [*QUICK, "--timesteps", "0:2"]
    with monkeypatch.context() as patch:
        patch.setattr("warpgs.track.track", track_one)
        assert main(argv) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("warpgs track: interrupted; 1 timesteps are stored")
    command = shlex.split(last.split("go on with: ")[1])
    assert command == ["warpgs", *argv, "--resume"]
    assert main(command[1:]) == 0
    assert Run.open("run").completed == (0, 1)


# Evaluate


def test_evaluate_prints_the_table_and_writes_json(run, here, capsys):
    assert main(["evaluate", str(run), "--json", "out/report.json", "--image-scale", "0.5"]) == 0
    table = capsys.readouterr().out
    value = json.loads((here / "out" / "report.json").read_text())
    assert value["tracks_3d"]["mte_mean_m"] < 1e-5 and value["tracks_3d"]["survival"] == 1.0
    assert value["image_scale"] == 0.5 and value["timesteps"] == [0, 1, 2]
    assert f"{value['mean']['psnr']:.2f} dB" in table and "3D survival" in table


def test_evaluate_prints_a_line_for_each_timestep_and_draws_plots(run, here, capsys):
    assert main(["evaluate", str(run), "--per-timestep", "--plots", "plots"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-7:-4]] == ["0", "1", "2"]
    names = ["pictures.png", "tracks.png", "tracks_6.png", "tracks_7.png"]
    assert lines[-4:] == [f"plots/{name}" for name in names]
    assert {path.name for path in (here / "plots").iterdir()} == set(names)
    assert Image.open(here / "plots" / "tracks_6.png").size == (960, 540)
    assert main(["evaluate", str(run), "--plots", "plots"]) == 1
    assert "--overwrite" in one_sentence(capsys)


def test_evaluate_refuses_an_existing_json_before_working(run, here, capsys):
    (here / "report.json").write_text("mine")
    assert main(["evaluate", str(run), "--json", "report.json"]) == 1
    assert "--overwrite" in one_sentence(capsys)
    assert (here / "report.json").read_text() == "mine"


@pytest.mark.parametrize("verb", [["evaluate"], ["render", "--output", "out"], ["export", "out.npz"]])
def test_verbs_refuse_a_folder_that_is_no_run(verb, here, capsys):
    (here / "folder").mkdir()
    assert main([verb[0], "folder", *verb[1:]]) == 1
    assert "folder: expected a run" in one_sentence(capsys)
    assert [path.name for path in here.iterdir()] == ["folder"]


def test_moved_scene_is_found_with_the_scene_option(run, here, capsys):
    config = json.loads((run / "config.json").read_text())
    moved = here / "run"
    moved.mkdir()
    (moved / "poses").symlink_to(run / "poses")
    (moved / "gaussians.npz").symlink_to(run / "gaussians.npz")
    (moved / "config.json").write_text(json.dumps(config | {"scene": str(here / "gone")}))
    assert main(["render", "run", "--output", "out", "--image-scale", "0.2"]) == 1
    assert "--scene" in one_sentence(capsys)
    assert main(["render", "run", "--output", "out", "--image-scale", "0.2", "--scene", "tumble"]) == 0
    assert len(list((here / "out").rglob("*.png"))) == 6


# Query


def test_query_prints_the_paths_of_pixels_and_points(run, here, capsys):
    argv = [
        "query",
        str(run),
        "--pixel",
        "6",
        "0",
        "48",
        "27",
        "--pixel",
        "7",
        "2",
        "40.5",
        "20",
        "--point",
        "-0.1",
        "0",
    ]
    assert main([*argv, "9", "--timestep", "1"]) == 0
    captured = capsys.readouterr()
    rows = list(csv.DictReader(captured.out.splitlines()))
    assert [(r["query"], r["timestep"], r["camera"]) for r in rows] == [
        (q, t, c) for q in "012" for t in "012" for c in "67"
    ]
    assert (rows[0]["x_px"], rows[0]["y_px"], rows[0]["visible"]) == ("48.000", "27.000", "1")
    assert captured.err.startswith("query 2: unassigned, (-0.100, 0.000, 9.000) is beyond 3 sigma of every particle")


def test_query_of_points_needs_no_scene_and_writes_a_file(run, here, capsys):
    moved = here / "run"
    moved.mkdir()
    for name in ("poses", "gaussians.npz"):
        (moved / name).symlink_to(run / name)
    config = json.loads((run / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"scene": str(here / "gone")}))
    (here / "queries.csv").write_text("x,y,z\n0,0,0.5\n")
    argv = ["query", "run", "--file", "queries.csv", "--output", "out/paths.csv"]
    assert main(argv) == 0
    assert len((here / "out" / "paths.csv").read_text().splitlines()) == 4
    capsys.readouterr()
    assert main(argv) == 1
    assert "--overwrite" in one_sentence(capsys)
    assert main([*argv, "--overwrite", "--cameras", "6"]) == 1
    assert "--scene" in one_sentence(capsys)
    assert main([*argv, "--overwrite", "--cameras", "6", "--scene", "tumble"]) == 0
    assert "visible" in (here / "out" / "paths.csv").read_text()


def test_query_refuses_pixels_outside_the_picture(run, here, capsys):
    assert main(["query", str(run), "--pixel", "6", "0", "96", "3"]) == 1
    assert "expected a pixel of camera 6, x in 0..96 and y in 0..54, got (96, 3)" in one_sentence(capsys)


# Render


def test_render_writes_a_folder_named_by_camera_and_timestep(run, here, capsys):
    assert main(["render", str(run), "--output", "out"]) == 0
    names = sorted(str(path.relative_to(here / "out")) for path in (here / "out").rglob("*.png"))
    assert names == [f"{camera}/{timestep:06d}.png" for camera in (6, 7) for timestep in TIMESTEPS]
    assert Image.open(here / "out" / names[0]).size == (96, 54)
    assert capsys.readouterr().out.splitlines()[-1] == "out"


@pytest.mark.parametrize("channels", ["color", "depth", "mask", "normals", "trajectories"])
def test_render_orbits_with_every_channel(run, here, channels):
    argv = ["render", str(run), "--output", "orbit", "--cameras", "orbit", "--channels", channels]
    assert main([*argv, "--image-scale", "0.25"]) == 0
    pictures = [np.asarray(Image.open(path), int) for path in sorted((here / "orbit" / "orbit").iterdir())]
    assert [picture.shape for picture in pictures] == [(14, 24, 3)] * 3
    assert np.abs(pictures[0] - pictures[1]).max() > 50


def test_render_goes_along_every_path_in_slow_motion(run, here, capsys):
    keyframes = [{"timestep": 0, "position": [2, 0, 1], "look_at": [0, 0, 0]}]
    (here / "path.json").write_text(json.dumps({"format": "warpgs keyframes 1", "keyframes": keyframes}))
    tracks = Run.open(run).tracks()
    parts = {"format": "warpgs parts 1", "particles": len(tracks.foreground)}
    parts["parts"] = [{"name": "mine", "particles": "0-99"}]
    (here / "parts.json").write_text(json.dumps(parts))
    x, y, z = tracks.means[1, 0]
    argv = ["render", str(run), "--image-scale", "0.2", "--slow", "2", "--parts", "parts.json"]
    for number, path in enumerate(("spiral", "path.json", "follow:mine", "attach:mine", f"attach:{x},{y},{z}@1")):
        assert main([*argv, "--cameras", path, "--output", str(number)]) == 0
        pictures = sorted((here / str(number)).rglob("*.png"))
        assert [picture.name for picture in pictures] == [f"{i:06d}.png" for i in range(5)]
    capsys.readouterr()
    for path, reason in (("attach:yours", "one of mine"), ("follow:9,9,9", "3 sigma"), ("none.json", "none.json")):
        assert main([*argv, "--cameras", path, "--output", "no"]) == 1
        assert reason in one_sentence(capsys)
    assert main([*argv, "--cameras", "follow:1,-,e", "--output", "no"]) == 2


def test_render_draws_training_cameras_as_they_were_refined(run, here):
    tracks, scene = Run.open(run).tracks(), scenes.open_scene("tumble")
    turns = np.zeros((len(tracks.camera_names), 3), np.float32)
    turns[0] = [0.0, 0.2, 0.0]
    write_run(here / "turned", replace(tracks, camera_turns=turns), scene, NoSettings())
    for name in (str(run), "turned"):
        output = Path(name).name + "_out"
        assert main(["render", name, "--output", output, "--cameras", "train", "--image-scale", "0.25"]) == 0
    first, second = (tracks.camera_names[i] for i in (0, 1))
    as_seen = [np.asarray(Image.open(here / "turned_out" / name / "000000.png"), int) for name in (first, second)]
    before = [np.asarray(Image.open(here / "tumble_out" / name / "000000.png"), int) for name in (first, second)]
    np.testing.assert_array_equal(as_seen[1], before[1])
    camera = scene.cameras("train", 0)[0].turned(turns[0]).resized(24, 14)
    drawn = Renderer("cpu", 1).view(tracks.at(0), camera).color
    np.testing.assert_array_equal(as_seen[0], np.round(np.clip(drawn, 0, 1) * 255).astype(int))
    assert np.abs(as_seen[0] - before[0]).max() > 50


def test_render_writes_videos_by_suffix(run, here):
    for name in ("a.mp4", "b.gif"):
        assert main(["render", str(run), "--output", name, "--image-scale", "0.2"]) == 0
        assert (here / name).stat().st_size > 200


@pytest.mark.parametrize("output", ["film.avi", "picture.png"])
def test_render_refuses_unknown_suffixes(run, here, capsys, output):
    assert main(["render", str(run), "--output", output]) == 1
    assert ".mp4 or .gif" in one_sentence(capsys)
    assert not list(here.iterdir())


def test_render_refuses_an_existing_output_unless_asked(run, here, capsys):
    (here / "out.gif").write_text("mine")
    argv = ["render", str(run), "--output", "out.gif", "--image-scale", "0.2"]
    assert main(argv) == 1
    assert "--overwrite" in one_sentence(capsys) and (here / "out.gif").read_text() == "mine"
    assert main([*argv, "--overwrite"]) == 0
    assert (here / "out.gif").read_bytes().startswith(b"GIF8")


# Plot


def test_plot_writes_a_page_that_needs_no_other_file_and_a_picture(run, here, capsys):
    assert main(["plot", str(run)]) == 0
    assert capsys.readouterr().out.split() == ["tumble.html", "tumble.png"]
    page = (here / "tumble.html").read_text()
    for heading in ("Log", "Errors", "Motion of rigid parts", "Tracks, test camera 6", "Tracks, test camera 7"):
        assert f"<h2>{heading}</h2>" in page
    assert "3 of 3, 30 per second" in page and page.count("data:image/png;base64,") == page.count("<img")
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", page)
    assert Image.open(here / "tumble.png").size[1] > 2000
    assert main(["plot", str(run)]) == 1
    assert "--overwrite" in one_sentence(capsys)
    assert main(["plot", str(run), "--overwrite", "--output", "page.pdf"]) == 1
    assert ".html" in one_sentence(capsys)


# Export


def test_export_writes_what_the_suffix_says(run, here, capsys):
    assert main(["export", str(run), "out.npz"]) == 0
    assert capsys.readouterr().out.strip().endswith("out.npz")
    with np.load(here / "out.npz", allow_pickle=False) as arrays:
        assert arrays["means3D"].shape[0] == 3 and arrays["means3D"].shape[2] == 3


def test_export_writes_usd_with_cameras_and_records(run, here, capsys):
    assert main(["export", str(run), "out.usda", "--cameras", "--form", "dcc"]) == 0
    assert [Path(line).name for line in capsys.readouterr().out.split()] == ["out.usda", "out_points.usda"]
    text = (here / "out.usda").read_text()
    assert text.count("def Camera") > 1 and "config_sha256" in text
    assert main(["export", str(run), "auto.usdc"]) == 0
    assert capsys.readouterr().out.startswith("form r")


@pytest.mark.parametrize("options", [["out.ply", "--dynamic"], ["out.usdc", "--form", "raw", "--ground"]])
def test_export_refuses_options_that_do_not_go_together(run, here, capsys, options):
    assert main(["export", str(run), *options]) == 2
    assert "expected" in one_sentence(capsys) and not list(here.iterdir())


def test_export_refuses_unknown_suffixes_listing_the_known(run, here, capsys):
    assert main(["export", str(run), "out.fbx"]) == 1
    sentence = one_sentence(capsys)
    assert all(suffix in sentence for suffix in (".usda", ".usdc", ".usdz", ".npz", ".ply"))
    assert not list(here.iterdir())


# Failures


def test_unexpected_errors_are_one_sentence_that_points_to_debug(run, here, capsys, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr("usd_export.export", fail)
    assert main(["export", str(run), "out.npz"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "warpgs export: ZeroDivisionError: of all things; pass --debug to see where"
    with pytest.raises(ZeroDivisionError):
        main(["export", str(run), "out.npz", "--debug"])
