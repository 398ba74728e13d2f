"""Every example runs and asserts its own result; small settings where it takes any."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
ARGUMENTS = {
    "00_demo.py": ["--quick"],
    "01_track_in_python.py": ["--quick"],
    "02_scene_of_your_own.py": [],
}


def test_examples_are_all_listed():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_example_asserts_its_own_result(name, tmp_path):
    command = [sys.executable, str(EXAMPLES / name), *ARGUMENTS[name]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_demo_leaves_a_strip_a_video_a_stage_and_a_report(tmp_path):
    command = [sys.executable, str(EXAMPLES / "00_demo.py"), "arm", "--quick", "--output", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"run", "strip.png", "held_out.mp4", "orbit.mp4", "held_out", "arm.usdc", "report.json"}
    for figure in ("PSNR, held-out cameras", "3D error", "rotation error", "survival", "seconds per later timestep"):
        assert figure in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
