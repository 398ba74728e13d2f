"""Wheel and source distribution: what they hold, and that the wheel works away from the checkout."""

import importlib.util
import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import warpgs

ROOT = Path(__file__).parents[1]
PACKAGES = {"warpgs", "scenes", "usd_export"}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel built from that sdist."""
    output = tmp_path_factory.mktemp("dist")
    # Without the build backend in this environment, build fetches it into one of its own.
    isolation = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "build", *isolation, "--outdir", str(output), str(ROOT)]
    done = subprocess.run(command, cwd=output, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return output


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The wheel's contents, as an installer would lay them out."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


def run_installed(site: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(site)}
    code = "import sys; from warpgs.cli import main; raise SystemExit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_wheel_holds_the_packages_the_license_and_nothing_else(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    info = f"warpgs-{warpgs.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == PACKAGES | {info}
    assert f"{info}/licenses/LICENSE" in names
    sources = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources


def test_wheel_metadata_names_license_version_and_python(installed):
    text = next(installed.glob("*.dist-info")).joinpath("METADATA").read_text(encoding="utf-8")
    metadata = Parser().parsestr(text)
    assert (metadata["Name"], metadata["Version"]) == ("warpgs", warpgs.__version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "warpgs track" in metadata.get_payload()


def test_sdist_holds_what_is_needed_to_test_and_to_read(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    wanted = {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml"}
    assert wanted | {"examples/00_demo.py", "tests/test_packaging.py"} <= names
    assert not [name for name in names if name.startswith((".venv", "demo/", "runs/", "shared"))]


def test_installed_command_works_from_another_folder(installed, tmp_path):
    where = run_installed(installed, tmp_path, "--version")
    assert (where.returncode, where.stdout.strip()) == (0, f"warpgs {warpgs.__version__}"), where.stderr
    listed = run_installed(installed, tmp_path, "scenes")
    assert listed.returncode == 0, listed.stderr
    assert "tumble" in listed.stdout and "panoptic" in listed.stdout
    assert not list(tmp_path.iterdir())


def test_installed_packages_are_those_of_the_wheel(installed, tmp_path):
    code = "import sys, warpgs, scenes, usd_export; sys.exit(' '.join(sys.modules[n].__file__ for n in sys.argv[1:]))"
    command = [sys.executable, "-c", code, *sorted(PACKAGES)]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    found = done.stderr.splitlines()[-1].split()
    assert found == [str(installed / name / "__init__.py") for name in sorted(PACKAGES)]


def test_license_is_apache_2():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text


def test_ci_runs_the_tests():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text(encoding="utf-8")
