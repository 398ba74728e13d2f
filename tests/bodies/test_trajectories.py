"""The path of each part for other programs, and the command that writes them."""

import csv
import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scenes import built_in_scene
from scenes.synthetic import SyntheticOptions
from tests.bodies.moving import box, moved, tracks_of
from tests.perfect_run import write_perfect_run
from warpgs.bodies import find_parts, write_trajectories
from warpgs.cli import main

RATE, SHIFT = (0.05, -0.08, 0.1), (0.02, 0.0, 0.01)


def test_trajectories_are_the_poses(tmp_path):
    points = box((0.2, 0.15, 0.2), 300, np.random.default_rng(0))
    tracks, _ = tracks_of([moved(points, RATE, SHIFT)], noise=0.001)
    parts = find_parts(tracks)
    files = write_trajectories(tmp_path / "out", tracks, parts)
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    tum = np.loadtxt(tmp_path / "out" / "part_00.tum")
    poses = parts.world_from_part[:, 0]
    np.testing.assert_allclose(tum[:, 0], np.arange(len(tracks)) / tracks.fps, atol=1e-9)
    np.testing.assert_allclose(tum[:, 1:4], poses[:, :3, 3], atol=1e-9)
    np.testing.assert_allclose(Rotation.from_quat(tum[:, 4:]).as_matrix(), poses[:, :3, :3], atol=1e-8)
    with (tmp_path / "out" / "part_00.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["timestep"]) for row in rows] == list(tracks.timesteps)
    for row, line in zip(rows, tum, strict=True):
        assert [float(row[name]) for name in ("x", "y", "z", "qx", "qy", "qz", "qw")] == line[1:].tolist()
    np.testing.assert_allclose([float(row["residual_m"]) for row in rows], parts.residual[:, 0], atol=1e-9)
    told = json.loads((tmp_path / "out" / "summary.json").read_text())["parts"]
    assert [part["particles"] for part in told] == [300]
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    assert told[0]["path_m"] == pytest.approx(steps.sum())
    with pytest.raises(FileExistsError):
        write_trajectories(tmp_path / "out", tracks, parts)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("parts") / "run"
    options = SyntheticOptions(width=32, height=18, timesteps=6, train_cameras=4, truth_points=150)
    write_perfect_run(path, built_in_scene("tumble", options), range(6))
    return path


def test_parts_command_finds_writes_and_reads_back(run, tmp_path, capsys):
    out = tmp_path / "out"
    files = ["--output", str(out / "parts.json"), "--trajectories", str(out / "paths"), "--plot", str(out / "p.png")]
    assert main(["parts", str(run), *files]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[1:7]] == [f"part_0{i}" for i in range(6)]
    assert len(list((out / "paths").iterdir())) == 13
    assert (out / "p.png").stat().st_size > 10_000
    assert main(["parts", str(run), *files]) == 1
    assert "expected a path that does not exist yet" in capsys.readouterr().err
    edited = (out / "parts.json").read_text().replace("part_03", "brick")
    (out / "parts.json").write_text(edited)
    assert main(["parts", str(run), "--parts", str(out / "parts.json")]) == 0
    assert "brick" in capsys.readouterr().out


def test_parts_command_refuses_before_it_works(run, capsys):
    for words in (["--output", "parts.txt"], ["--plot", "p.jpg"], ["--smooth", "-1"]):
        assert main(["parts", str(run), *words]) == 1
        assert "expected" in capsys.readouterr().err
