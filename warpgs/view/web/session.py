"""One visitor: a thread that draws what the panel asks for from where the browser looks."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import viser
from PIL import Image

from warpgs.bodies import Parts
from warpgs.query.assign import assign
from warpgs.query.surface import lift
from warpgs.render import Renderer
from warpgs.types import Camera, Tracks
from warpgs.view.keyframes import Keyframe, as_json
from warpgs.view.overlay import distinct_colors
from warpgs.view.trails import Trails, draw_trails, positions, random_trails, slack
from warpgs.view.video import write_video
from warpgs.view.web.controls import Actions, Controls
from warpgs.view.web.draw import Wish, camera_of, draw, particles
from warpgs.view.web.nodes import Nodes

if TYPE_CHECKING:
    from warpgs.view.web.server import Viewer

logger = logging.getLogger(__name__)

SETTLED_S = 0.3
"""A view that has not changed for so long is drawn finely."""
MAX_RATE = 30.0
"""Pictures per second at most."""
TAKEN_S = 1.0
"""How long a browser may take to take a picture; one whose page is hidden takes none."""
JPEG_QUALITY = 85


class Session:
    """Draws for one visitor until it leaves."""

    def __init__(self, viewer: Viewer, client: viser.ClientHandle) -> None:
        self._viewer, self._client = viewer, client
        # While things move pictures are small; each size has buffers of its own.
        self._coarse, self._fine = viewer.make_renderer(), viewer.make_renderer()
        self._wake, self._gone = threading.Event(), threading.Event()
        self._changed_s, self._changes, self._drawn = time.perf_counter(), 0, (-1, False)
        self._seed, self._chosen = 0, np.zeros(0, int)
        self._told = False
        self._keyframes: dict[int, Keyframe] = {}
        actions = Actions(
            changed=self.touch,
            reseed=self._reseed,
            clear=self._clear,
            screenshot=self._screenshot,
            video=self._video,
            add_keyframe=self._add_keyframe,
            save_keyframes=self._save_keyframes,
        )
        self._controls = Controls(client.gui, actions)
        self._nodes = Nodes(client)
        self._shown_frusta: tuple | None = None
        self._splats_of: tuple[Tracks, Wish] | None = None
        client.camera.on_update(lambda _: self.touch())
        client.scene.on_click()(self._choose)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def touch(self) -> None:
        """Something changed: draw again."""
        self._changed_s = time.perf_counter()
        self._changes += 1
        self._wake.set()

    def close(self) -> None:
        """The visitor has left."""
        self._gone.set()
        self._wake.set()

    def join(self) -> None:
        """Wait until nothing is drawn any more."""
        self._thread.join()

    def _run(self) -> None:
        fitted: Tracks | None = None
        last_s, played = time.perf_counter(), 0.0
        while not self._gone.is_set():
            tracks = self._viewer.tracks
            if tracks is not None and tracks is not fitted:
                self._controls.fit(tracks, self._viewer.whole)
                fitted = tracks
                self.touch()
            now_s = time.perf_counter()
            playing = tracks is not None and self._controls["play"] and len(tracks) > 1
            if playing:
                played += (now_s - last_s) * tracks.fps * self._controls.speed
                if played >= 1.0:
                    self._controls.index = (self._controls.index + int(played)) % len(tracks)
                    played %= 1.0
                    self.touch()
            last_s = now_s
            if tracks is not None:
                self._update(tracks, playing)
            self._wake.wait(1.0 / MAX_RATE if playing else SETTLED_S)
            self._wake.clear()

    def _update(self, tracks: Tracks, playing: bool) -> None:
        """Draw what is due: small at once, finely when all has come to rest."""
        # Changes are counted, for one may come while another is drawn.
        begin_s, changes = time.perf_counter(), self._changes
        resting = not playing and begin_s - self._changed_s >= SETTLED_S
        if self._drawn in ((changes, resting), (changes, True)) or self._client.camera.image_height == 0:
            return
        try:
            self._draw(tracks, fine=resting)
            if resting:
                self._show_frusta(tracks)
            self._await_browser()
        except Exception:  # a visitor who sees an old picture is better off than one whose thread is dead
            if not self._gone.is_set():
                logger.exception("the view of client %s", self._client.client_id)
        self._drawn = changes, resting
        time.sleep(max(0.0, 1.0 / MAX_RATE - (time.perf_counter() - begin_s)))

    def _await_browser(self) -> None:
        """Wait until the browser has come to what was sent: a picture that the next one overtakes is never seen."""
        with contextlib.suppress(TimeoutError, RuntimeError):  # late, left, or keeps nothing: it need not
            self._client.local_storage.get_item("warpgs", timeout=TAKEN_S)

    def _draw(self, tracks: Tracks, fine: bool) -> None:
        controls, wish = self._controls, self._controls.wish()
        gaussians = particles(tracks, self._parts(wish), wish)
        if controls["renderer"] == "browser":
            if self._splats_of != (tracks, wish):
                self._nodes.show_splats(gaussians)
                self._client.scene.set_background_image(None)
                self._splats_of = (tracks, wish)
        else:
            camera = self._camera(controls["still_px"] if fine else controls["moving_px"])
            over = controls["trails"] or controls["frames"] or controls["frusta"]
            with self._viewer.turn:
                pixels, depth = draw(gaussians, wish, camera, self._fine if fine else self._coarse, with_depth=over)
            self._nodes.show_splats(None)
            self._splats_of = None
            self._client.scene.set_background_image(pixels, "jpeg", jpeg_quality=JPEG_QUALITY, depth=depth)
        self._nodes.show_trails(tracks, self._trails(tracks) if controls["trails"] else None, wish.index)
        self._nodes.show_axes(tracks, self._alive(tracks, wish.index) if controls["frames"] else None, wish.index)
        if not controls["frusta"]:
            self._show_frusta(tracks)

    def _show_frusta(self, tracks: Tracks) -> None:
        """Cameras, with the pictures of the instant at which time has come to rest."""
        controls = self._controls
        timestep = tracks.timesteps[controls.index] if controls["frusta"] else None
        wanted = (timestep, controls["pictures"])
        if wanted == self._shown_frusta:
            return
        cameras = () if timestep is None else self._viewer.cameras(timestep)
        self._nodes.show_frusta(cameras, self._viewer.pictures(timestep) if cameras and controls["pictures"] else None)
        self._shown_frusta = wanted

    def _parts(self, wish: Wish) -> Parts | None:
        if wish.show != "parts":
            return None
        parts = self._viewer.parts()
        if parts is None and not self._told:
            self._client.add_notification("Rigid parts", "Looking for them ...", auto_close_seconds=5.0)
            self._told = True
        return parts

    def _camera(self, height: int) -> Camera:
        view = self._client.camera
        return camera_of(view.wxyz, view.position, view.fov, view.aspect, int(height))

    def _trails(self, tracks: Tracks) -> Trails:
        trails = random_trails(tracks, self._controls["trail_count"], tail=self._controls["tail"], seed=self._seed)
        chosen = np.concatenate([trails.particles, self._chosen])
        return replace(trails, particles=chosen, colors=distinct_colors(len(chosen)).reshape(-1, 3))

    def _alive(self, tracks: Tracks, index: int) -> np.ndarray:
        """The same particles, as far as they are born."""
        particles = self._trails(tracks).particles
        return particles[particles < len(tracks.at(index))]

    def _choose(self, event: viser.SceneClickEvent) -> None:
        """Add the particle that shows where the picture was clicked."""
        tracks = self._viewer.tracks
        if tracks is None or not self._controls["choose"]:
            return
        camera, gaussians = self._camera(self._controls["moving_px"]), tracks.at(self._controls.index)
        point_px = np.array([event.screen_pos]) * [camera.width, camera.height]
        points, known = lift(point_px, gaussians, camera)
        if known[0]:
            self._chosen = np.append(self._chosen, assign(points, gaussians)[0])
            self.touch()

    def _reseed(self) -> None:
        self._seed += 1
        self.touch()

    def _clear(self) -> None:
        self._chosen = np.zeros(0, int)
        self.touch()

    def _picture(self, tracks: Tracks, wish: Wish, camera: Camera, renderer: Renderer) -> np.ndarray:
        """A picture to keep: with trajectories, without what else the browser draws into it."""
        with_trails = self._controls["trails"]
        gaussians = particles(tracks, self._parts(wish), wish)
        with self._viewer.turn:
            pixels, depth = draw(gaussians, wish, camera, renderer, with_depth=with_trails)
        if depth is None:
            return pixels
        trails = self._trails(tracks)
        way = positions(trails, tracks, wish.index)
        return draw_trails(pixels, depth, camera, way, trails.colors, slack(trails, tracks))

    def _screenshot(self) -> None:
        tracks, wish = self._viewer.tracks, self._controls.wish()
        if tracks is not None:
            camera = self._camera(self._client.camera.image_height)
            picture = self._picture(tracks, wish, camera, self._viewer.make_renderer())
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, format="PNG")
            name = f"warpgs_{tracks.timesteps[wish.index]:06d}.png"
            self._client.send_file_download(name, buffer.getvalue(), save_immediately=True)

    def _video(self) -> None:
        tracks, wish = self._viewer.tracks, self._controls.wish()
        if tracks is None:
            return
        camera, renderer = self._camera(self._controls["still_px"]), self._viewer.make_renderer()
        note = self._client.add_notification("Video", f"Drawing {len(tracks)} timesteps ...", loading=True)
        wishes = (replace(wish, index=index) for index in range(len(tracks)))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "warpgs.mp4"
            write_video(path, (self._picture(tracks, each, camera, renderer) for each in wishes), tracks.fps)
            content = path.read_bytes()
        note.remove()
        self._client.send_file_download("warpgs.mp4", content, save_immediately=True)

    def _add_keyframe(self) -> None:
        """Remember this view at this timestep; a second one at the same replaces the first."""
        tracks = self._viewer.tracks
        if tracks is not None:
            timestep = tracks.timesteps[self._controls.index]
            fov_deg = float(np.degrees(self._client.camera.fov))
            self._keyframes[timestep] = Keyframe(timestep, self._camera(100).world_from_camera, fov_deg)
            times = " ".join(str(timestep) for timestep in sorted(self._keyframes))
            self._client.add_notification("Keyframes", f"At timesteps {times}", auto_close_seconds=3.0)

    def _save_keyframes(self) -> None:
        if self._keyframes:
            text = as_json([self._keyframes[timestep] for timestep in sorted(self._keyframes)])
            self._client.send_file_download("keyframes.json", text.encode(), save_immediately=True)
