"""The example with Newton, where Newton is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("newton", reason="Newton is not installed: make check-interop")


def test_example_tracks_exports_and_simulates(tmp_path: Path):
    script = Path(__file__).parents[2] / "examples" / "04_newton.py"
    command = [sys.executable, str(script), "--quick", "--output", "newton.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "6 bodies; within 1 s they moved by" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["newton.png"]
    assert Image.open(tmp_path / "newton.png").size[0] > 300
