"""The rules that tools can check: style, formatting, and who may import whom."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "style": ["-m", "ruff", "check", "--no-cache", "."],
    "formatting": ["-m", "ruff", "format", "--no-cache", "--check", "."],
    "imports": ["-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"],
}


@pytest.mark.parametrize("rule", COMMANDS)
def test_project_keeps_its_rules(rule):
    done = subprocess.run([sys.executable, *COMMANDS[rule]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_import_contracts_see_every_package():
    """A contract over packages that are not found passes in silence."""
    for package in ("warpgs", "scenes", "usd_export"):
        assert (ROOT / package / "__init__.py").is_file()
