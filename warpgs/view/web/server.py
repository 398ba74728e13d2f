"""The server of the viewer: what its visitors share."""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import viser
from scipy.spatial.transform import Rotation

from warpgs.bodies import Parts, find_parts
from warpgs.render import Renderer
from warpgs.types import Camera, Scene, Tracks
from warpgs.view.paths import UP, foreground_center, orbit_whole
from warpgs.view.web.session import Session

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SPLITS = ("train", "test")
ASIDE_DEG, BACK = 12.0, 1.15
"""How far aside of the first camera, and how much farther away than it, a view starts: within its frustum one would see
nothing else."""


class Viewer:
    """A web page that shows tracks to any number of visitors, each with a timeline and a view of its own."""

    def __init__(
        self,
        scene: Scene | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        title: str = "warpgs",
        make_renderer: Callable[[], Renderer] = Renderer,
    ) -> None:
        """Open the page, empty; ``show`` fills it.

        Args:
            scene: Knows cameras and their pictures; without, none are shown.
            host: Where to listen; anything but loopback lets others in.
            port: The first that is free from here on.
            title: Of the page.
            make_renderer: Makes what draws; visitors have some of their own.
        """
        self.tracks: Tracks | None = None
        """What is shown so far."""
        self.whole = False
        """Whether this is all there is."""
        self.turn = threading.Lock()
        """Visitors draw one after the other."""
        self.make_renderer = make_renderer
        self._scene, self._parts, self._parts_lock = scene, None, threading.Lock()
        self._finder: threading.Thread | None = None
        self._sessions: dict[int, Session] = {}
        # Visitors leave while their pictures are drawn, and viser warns of each.
        warnings.filterwarnings("ignore", message="Queued a .* on a closed connection")
        with contextlib.redirect_stdout(io.StringIO()):  # it announces itself, whatever one says
            self._server = viser.ViserServer(host=host, port=port, label=title, verbose=False)
        self._server.scene.set_up_direction("+z")
        self._server.gui.configure_theme(dark_mode=True, show_share_button=False)
        self._server.on_client_connect(self._welcome)
        self._server.on_client_disconnect(self._say_goodbye)

    @property
    def url(self) -> str:
        """Where the page is."""
        host = self._server.get_host()
        return f"http://{'localhost' if host in LOOPBACK else host}:{self._server.get_port()}"

    def show(self, tracks: Tracks, *, whole: bool = True, parts: Parts | None = None) -> None:
        """Show these tracks from now on.

        Args:
            tracks: What to show.
            whole: Whether no more are coming.
            parts: Their rigid parts; found when first asked for where not given.
        """
        if self.tracks is None:
            self._aim(tracks)
        with self._parts_lock:
            self.whole, self.tracks, self._parts, self._finder = whole, tracks, parts, None
        self._touch()

    def close(self) -> None:
        """Send all visitors home."""
        for session in list(self._sessions.values()):
            session.close()
            session.join()
        with contextlib.redirect_stdout(io.StringIO()):
            self._server.stop()

    def parts(self) -> Parts | None:
        """Rigid parts of the tracks; None as long as they are being found, which begins when this is first asked, and
        where nothing can move."""
        with self._parts_lock:
            if self._parts is None and self._finder is None and self.whole and self.tracks and len(self.tracks) > 1:
                self._finder = threading.Thread(target=self._find_parts, args=[self.tracks], daemon=True)
                self._finder.start()
            return self._parts

    def cameras(self, timestep: int) -> Sequence[Camera]:
        """All cameras of the scene at a timestep."""
        if self._scene is None:
            return ()
        return [camera for split in SPLITS for camera in self._scene.cameras(split, timestep)]

    def pictures(self, timestep: int) -> Sequence[np.ndarray]:
        """Their pictures, 8-bit RGB, shape [h, w, 3] each."""
        if self._scene is None:
            return ()
        splits = [split for split in SPLITS if self._scene.cameras(split, timestep)]
        return [image for split in splits for image in self._scene.frame(timestep, split).images]

    def _find_parts(self, tracks: Tracks) -> None:
        parts = find_parts(tracks)
        with self._parts_lock:
            if tracks is self.tracks:  # others may have come meanwhile
                self._parts = parts
        self._touch()

    def _touch(self) -> None:
        for session in list(self._sessions.values()):
            session.touch()

    def _aim(self, tracks: Tracks) -> None:
        """Where a visitor first looks from: beside the first training camera, or in front of what moves."""
        target = foreground_center(tracks)
        if self._scene is None:
            camera = orbit_whole(tracks, 1)[0]
        else:
            camera = self._scene.cameras("train", tracks.timesteps[0])[0]
        aside = Rotation.from_euler("z", ASIDE_DEG, degrees=True)
        view = self._server.initial_camera
        view.position = target + BACK * aside.apply(camera.center_world - target)
        view.look_at, view.up = target, UP
        view.fov = 2.0 * np.arctan(0.5 * camera.height / camera.intrinsics[1, 1])

    def _welcome(self, client: viser.ClientHandle) -> None:
        self._sessions[client.client_id] = Session(self, client)

    def _say_goodbye(self, client: viser.ClientHandle) -> None:
        session = self._sessions.pop(client.client_id, None)
        if session is not None:
            session.close()
