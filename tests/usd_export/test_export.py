"""What every export promises: refused before any work, whole or absent."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pxr import Usd

from tests.usd_export.sample import make_rigid, make_tracks
from usd_export import WRITERS, UsdOptions, export, staging
from usd_export.checking import check_usd

SUFFIXES = tuple(WRITERS)


def in_subprocess(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    imports = """
import os, signal, sys
import warp as wp
from tests.usd_export.sample import *
from usd_export import *
"""
    command = [sys.executable, "-c", imports + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False
    )


def visible(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))


@pytest.mark.parametrize("name", ["box.abc", "box", "box.usdc.gz", "box.npy"])
def test_export_refuses_an_unknown_suffix_naming_the_known(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match=r"ending in \.usda, \.usdc, \.usdz, \.npz, \.ply, got"):
        export(None, tmp_path / "folder" / name)  # pyright: ignore: not even looked at
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_export_never_overwrites_unasked(tmp_path: Path, suffix: str):
    path = tmp_path / "deep" / f"box{suffix}"
    files = export(make_tracks(steps=2), path)
    before = [file.read_bytes() for file in files]
    with pytest.raises(FileExistsError, match=r"deep/box.*--overwrite"):
        export(make_tracks(steps=2, static=0), path)
    assert [file.read_bytes() for file in files] == before
    assert export(make_tracks(steps=2, static=0), path, overwrite=True) == files
    assert [file.read_bytes() for file in files] != before
    assert sorted(path.parent.iterdir()) == files


def test_export_refuses_a_folder_in_the_place_of_its_file(tmp_path: Path):
    (tmp_path / "box.usdc").mkdir()
    with pytest.raises(ValueError, match="expected a file, got a folder"):
        export(make_tracks(steps=1), tmp_path / "box.usdc", overwrite=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_export_killed_in_the_middle_leaves_nothing_under_its_name(tmp_path: Path, suffix: str):
    code = """
        def halfway(done, total):
            if done >= 11:
                os.kill(os.getpid(), signal.SIGKILL)
        export(make_tracks(), sys.argv[1], progress=halfway)
    """
    path = tmp_path / f"box{suffix}"
    assert in_subprocess(code, path).returncode == -signal.SIGKILL
    assert visible(tmp_path) == [] and len(list(tmp_path.iterdir())) == 1
    export(make_tracks(), path)  # and is no obstacle, nor does anything of it remain
    assert len(visible(tmp_path)) == len(list(tmp_path.iterdir()))


FORMS = {
    "rigid": (*make_rigid(steps=13), UsdOptions()),
    "dynamic": (*make_rigid(steps=13), UsdOptions(dynamic=True)),
    "dcc": (make_tracks(), None, UsdOptions(form="dcc")),
}
"""Tracks, parts and options of each form but the raw one."""


@pytest.mark.parametrize("form", FORMS)
def test_export_of_bodies_or_points_has_whole_files_or_none_whenever_it_is_killed(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
):
    """What a process leaves that is killed where it writes, syncs or renames is what is there just before."""
    tracks, parts, options = FORMS[form]
    seen = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            seen.append(visible(tmp_path))
            assert all(check_usd(tmp_path / name).count("fault") == 0 for name in seen[-1])
            return function(*arguments)

        return called

    for owner, name in ((os, "replace"), (staging, "sync"), (Usd.Stage, "Save")):
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))
    files = export(tracks, tmp_path / "box.usdc", parts=parts, options=options)
    assert len(seen) >= 4 and seen[0] == [] and seen[-1] == [file.name for file in files] == visible(tmp_path)


def test_export_of_bodies_killed_in_the_middle_leaves_nothing_under_its_name(tmp_path: Path):
    code = """
        from pxr import Usd
        Usd.Stage.Save = lambda stage: os.kill(os.getpid(), signal.SIGKILL)
        tracks, parts = make_rigid()
        export(tracks, sys.argv[1], parts=parts)
    """
    assert in_subprocess(code, tmp_path / "box.usdc").returncode == -signal.SIGKILL
    assert visible(tmp_path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_export_killed_while_overwriting_keeps_the_old_file(tmp_path: Path, suffix: str):
    files = export(make_tracks(steps=2, static=0), tmp_path / f"box{suffix}")
    before = [file.read_bytes() for file in files]
    code = """
        import usd_export.staging
        usd_export.staging.sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
        export(make_tracks(steps=2), sys.argv[1], overwrite=True)
    """
    assert in_subprocess(code, tmp_path / f"box{suffix}").returncode == -signal.SIGKILL
    assert [file.read_bytes() for file in files] == before and len(visible(tmp_path)) == len(files)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_export_interrupted_cleans_up(tmp_path: Path, suffix: str):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(make_tracks(steps=2), tmp_path / f"box{suffix}", progress=interrupt)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_export_names_the_file_when_it_cannot_be_written(tmp_path: Path, suffix: str):
    """A file size limit stands in for a full disk: every write beyond it fails, those of C++ too."""
    code = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            export(make_tracks(steps=20, count=3000, static=0), sys.argv[1])
        except OSError as error:
            print(error)
    """
    done = in_subprocess(code, tmp_path / f"box{suffix}")
    sentence = f"{tmp_path}/box{suffix}: expected to be written, got "
    assert done.stdout.startswith(sentence), done.stderr
    assert done.stdout.endswith("File too large; free some disk space or choose another place\n")
    assert done.stdout.count("\n") == 1 and not any(tmp_path.iterdir())


def test_export_refuses_a_package_cut_short(tmp_path: Path):
    """USD's packager reports success on a full disk; here the layer fits and the package around it does not."""
    size = export(make_tracks(count=3000), tmp_path / "layer.usdc")[0].stat().st_size
    code = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
        try:
            export(make_tracks(count=3000), sys.argv[1])
        except OSError as error:
            print(error)
    """
    done = in_subprocess(code, tmp_path / "box.usdz", size + 10)
    assert "box.usdz: expected to be written, got a package that is not whole; free some disk space" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["layer.usdc"]


def test_export_keeps_the_error_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(self: Path, **_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        export(make_tracks(steps=1), tmp_path / "box.npz")
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_export_reports_progress_to_the_end(tmp_path: Path, suffix: str):
    seen = []
    export(make_tracks(), tmp_path / f"box{suffix}", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (13, 13) and seen == sorted(seen)


def with_nan(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flat[7] = np.nan
    return array


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("means", with_nan, r"expected finite numbers, got nan at \[0, 2, 1\]"),
        ("colors", with_nan, "expected finite numbers"),
        ("means", lambda a: a.astype(np.float64), "expected float32, got float64"),
        ("means", lambda a: a[:-1], r"expected shape \[13, 60, 3\], got \[12, 60, 3\]"),
        ("rotations_wxyz", lambda a: a[:, :-1], r"expected shape \[13, 60, 4\]"),
        ("rotations_wxyz", lambda a: 1.01 * a, "expected unit quaternions, got lengths off by 0.01 at timestep 3"),
        ("opacity_logits", lambda a: a[:, None], r"expected shape \[60\], got \[60, 1\]"),
        ("camera_offsets", lambda a: a[:1], r"expected shape \[2, 3\]"),
        ("timesteps", lambda a: a[::-1], "expected rising numbers"),
        ("birth", lambda _: np.zeros(59, np.int32), r"expected shape \[60\]"),
        ("birth", lambda _: np.arange(60)[::-1], "expected instants 0 to 12 that never fall, the first 0"),
        ("birth", lambda _: np.full(60, 1), "expected instants 0 to 12 that never fall, the first 0"),
        ("birth", lambda _: np.arange(60), "expected instants 0 to 12 that never fall, the first 0"),
        ("fps", lambda a: 0.0, "expected a number above 0"),
    ],
)
def test_export_refuses_broken_tracks(tmp_path: Path, name: str, change: Callable[[Any], Any], message: str):
    tracks = make_tracks()
    broken = replace(tracks, **{name: change(getattr(tracks, name))})
    with pytest.raises((ValueError, TypeError), match=rf"tracks\.{name}: {message}"):
        export(broken, tmp_path / "box.npz")
    assert not any(tmp_path.iterdir())


def test_export_refuses_tracks_of_nothing(tmp_path: Path):
    tracks = make_tracks(steps=1)
    timeless = replace(tracks, means=tracks.means[:0], rotations_wxyz=tracks.rotations_wxyz[:0], timesteps=())
    for nothing in (timeless, make_tracks(count=0, static=0)):
        with pytest.raises(ValueError, match="at least one timestep of one Gaussian"):
            export(nothing, tmp_path / "box.ply")
    assert not any(tmp_path.iterdir())


def test_export_is_silent_and_leaves_warp_as_talkative_as_it_was(tmp_path: Path):
    code = """
        export(make_tracks(), sys.argv[1])
        assert wp.config.log_level == wp.LOG_INFO
    """
    process = in_subprocess(code, tmp_path / "box.usdc")
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
