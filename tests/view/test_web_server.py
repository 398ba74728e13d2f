"""The viewer as a server: what visitors share, who can reach it, how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from scenes.synthetic import SyntheticOptions, tumble
from tests.perfect_run import write_perfect_run
from tests.tracks_by_hand import make_tracks
from warpgs.bodies import fit_parts
from warpgs.cli import main

pytest.importorskip("viser")
from warpgs.view.web import Viewer

TIMESTEPS = range(0, 3)


@pytest.fixture(scope="module")
def scene():
    return tumble(
        SyntheticOptions(width=96, height=54, timesteps=3, train_cameras=4, test_cameras=1, cloud_background=500)
    )


@pytest.fixture(scope="module")
def run(scene, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    write_perfect_run(path, scene, TIMESTEPS)
    return path


@pytest.fixture
def viewer(scene, free_port):
    with_scene = Viewer(scene, port=free_port)
    yield with_scene
    with_scene.close()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listeners(port: int) -> set[str]:
    """Local addresses, in the kernel's writing, at which a port is listened to."""
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return {line[1].split(":")[0] for line in lines if line[3] == "0A" and int(line[1].split(":")[1], 16) == port}


def test_page_is_served_on_loopback_alone(viewer, free_port, capfd):
    assert viewer.url == f"http://localhost:{free_port}"
    with urllib.request.urlopen(viewer.url, timeout=10) as answer:
        assert answer.status == 200 and b"<html" in answer.read()
    assert listeners(free_port) == {"0100007F"}
    assert capfd.readouterr().out == ""


def test_visitors_share_cameras_pictures_and_parts(viewer, scene):
    tracks = make_tracks(np.zeros((2, 3, 3)))
    viewer.show(tracks, whole=False)
    assert viewer.tracks is tracks and viewer.parts() is None  # not before all is there
    viewer.show(tracks)
    viewer.parts()  # begins to look for them
    end = time.monotonic() + 30.0
    while viewer.parts() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert len(viewer.parts()) == 0
    known = fit_parts(tracks, np.zeros(3, np.int32), ["box"])
    viewer.show(tracks, parts=known)
    assert viewer.parts() is known
    cameras, pictures = viewer.cameras(1), viewer.pictures(1)
    assert [camera.name for camera in cameras] == ["0", "1", "2", "3", "4"]
    np.testing.assert_array_equal(pictures[4], scene.frame(1, "test").images[0])


def test_viewer_of_a_file_has_no_cameras(free_port):
    viewer = Viewer(port=free_port)
    try:
        viewer.show(make_tracks(np.zeros((1, 3, 3))))
        assert viewer.cameras(0) == () and viewer.pictures(0) == () and viewer.parts() is None
    finally:
        viewer.close()


def test_taken_port_is_not_fatal(viewer, free_port):
    other = Viewer(port=free_port)
    try:
        assert other.url != viewer.url
    finally:
        other.close()


def test_view_serves_a_run_until_interrupted(run, free_port):
    # a shell's background jobs, and so their children, ignore Ctrl-C unless told otherwise
    heed = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", heed + "from warpgs.cli import main; sys.exit(main(sys.argv[1:]))"]
    options = ["view", str(run), "--port", str(free_port), "--threads", "1"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            said = process.stdout.readline()
            assert said == f"http://localhost:{free_port} shows {run}; Ctrl-C ends it\n"
            with urllib.request.urlopen(f"http://localhost:{free_port}", timeout=10) as answer:
                assert answer.status == 200
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, rest, errors) == (0, "", "")


class Pretended:
    """A viewer that nobody looks at, and that is interrupted at once."""

    url = "http://nowhere"

    def __init__(self, scene, **options) -> None:
        self.host = options["host"]

    def show(self, tracks, **options) -> None:
        raise KeyboardInterrupt

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True), ("::", True)])
def test_other_hosts_are_warned_of(run, monkeypatch, capsys, host, warned):
    monkeypatch.setattr("warpgs.view.web.Viewer", Pretended)
    assert main(["view", str(run), "--host", host]) == 0
    assert ("everyone who reaches this machine" in capsys.readouterr().err) == warned


def test_view_refuses_what_is_no_run_before_it_serves(tmp_path, capsys):
    assert main(["view", str(tmp_path / "none")]) == 1
    captured = capsys.readouterr()
    assert "expected a run directory" in captured.err and captured.out == ""
