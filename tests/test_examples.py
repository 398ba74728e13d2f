"""Every example runs and asserts its own result; small settings where it takes any."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
ARGUMENTS = {
    "00_demo.py": ["arm", "--quick", "--output", "out"],
    "01_track_in_python.py": ["--quick"],
    "02_scene_of_your_own.py": [],
    "03_query.py": ["--output", "paths.png"],
    "04_newton.py": [],  # with Newton: tests/interop
    "05_first_person.py": ["--output", "first_person.png"],
    "06_trajectories.py": ["--output", "trajectories.png"],
    "07_plots.py": ["--output", "plots.png"],
    "09_compose.py": ["--output", "compose.png"],
    "10_paint.py": ["--output", "paint.png"],
    "11_move.py": ["--output", "move.png"],
    "12_edit_script.py": ["--output", "script.png"],
    "14_forecast.py": ["--output", "forecast.png"],
    "15_stiffness.py": ["--output", "stiffness.png"],
    "16_drop_on_mesh.py": ["--output", "pedestal.png"],
    "17_every_step.py": ["--output", "steps.png"],
    "13_your_own_prior.py": ["--timesteps", "2"],
    "08_viewer.py": ["--output", "viewer.png", "--port", "8170"],
}


@pytest.fixture(scope="module", params=ARGUMENTS)
def example(request, tmp_path_factory) -> tuple[str, Path, subprocess.CompletedProcess]:
    """The name of an example, the folder it ran in, and what it printed."""
    folder = tmp_path_factory.mktemp("example")
    command = [sys.executable, str(EXAMPLES / request.param), *ARGUMENTS[request.param]]
    return request.param, folder, subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_examples_are_all_listed():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(ARGUMENTS)


def test_example_asserts_its_own_result(example):
    name, _, done = example
    assert done.returncode == 0, name + done.stdout[-2000:] + done.stderr[-4000:]


def test_example_writes_nothing_but_what_it_was_asked_for(example):
    name, folder, done = example
    if name != "00_demo.py":
        assert {path.name for path in folder.iterdir()} == {word for word in ARGUMENTS[name] if word.endswith(".png")}
        return
    assert [path.name for path in folder.iterdir()] == ["out"]
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {"run", "strip.png", "held_out.mp4", "orbit.mp4", "held_out", "arm.usdc", "report.json"}
    for figure in ("PSNR, held-out cameras", "3D error", "rotation error", "survival", "seconds per later timestep"):
        assert figure in done.stdout
