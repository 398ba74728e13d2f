"""The panel beside the picture: what a visitor can set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import viser

from warpgs.types import Tracks
from warpgs.view.web.draw import Wish, available

RENDERERS = ("warpgs", "browser")
SPEEDS = {"1/8": 0.125, "1/4": 0.25, "1/2": 0.5, "1": 1.0, "2": 2.0}
MOVING_PX, STILL_PX = 270, 540
"""Default heights of pictures while something moves, and when nothing does."""
MOST_TRAILS, MOST_TAIL = 300, 60


@dataclass
class Actions:
    """What buttons do."""

    changed: Callable[[], None]
    """Anything was set."""
    reseed: Callable[[], None]
    """Other random particles."""
    clear: Callable[[], None]
    """Forget the chosen particles."""
    screenshot: Callable[[], None]
    video: Callable[[], None]
    add_keyframe: Callable[[], None]
    save_keyframes: Callable[[], None]


@dataclass
class Controls:
    """The panel of one visitor. Fields are handles of viser."""

    gui: viser.GuiApi
    actions: Actions
    count: int = 1
    """Instants that can be shown."""
    _handles: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        gui, add = self.gui, self._add
        self.status = gui.add_markdown("Loading ...")
        with gui.add_folder("Time"):
            add("timestep", gui.add_slider("Timestep", 0, 1, 1, 0))
            add("play", gui.add_checkbox("Play", False))
            add("speed", gui.add_dropdown("Speed", tuple(SPEEDS), initial_value="1"))
        with gui.add_folder("Show"):
            add("show", gui.add_dropdown("Show", ("color",)))
            add("foreground", gui.add_checkbox("Foreground only", False))
            hint = "warpgs: as it was optimized. browser: faster where it has a GPU; no depth, normals, mask"
            add("renderer", gui.add_dropdown("Drawn by", RENDERERS, hint=hint))
            add("moving_px", gui.add_slider("Rows, moving", 90, 1080, 30, MOVING_PX))
            add("still_px", gui.add_slider("Rows, still", 90, 1080, 30, STILL_PX))
        with gui.add_folder("Trajectories"):
            add("trails", gui.add_checkbox("Trajectories", False))
            add("frames", gui.add_checkbox("Rotations as frames", False))
            add("trail_count", gui.add_slider("Random particles", 0, MOST_TRAILS, 1, 60))
            add("tail", gui.add_slider("Last timesteps", 1, MOST_TAIL, 1, 10))
            add("choose", gui.add_checkbox("Choose by clicking", False, hint="Click on the picture to add a particle"))
            gui.add_button("Other random ones").on_click(lambda _: self.actions.reseed())
            gui.add_button("Forget chosen ones").on_click(lambda _: self.actions.clear())
        with gui.add_folder("Cameras"):
            add("frusta", gui.add_checkbox("Cameras", False, hint="Click on one to look through it"))
            add("pictures", gui.add_checkbox("Their pictures", True))
        with gui.add_folder("Save"):
            gui.add_button("Screenshot").on_click(lambda _: self.actions.screenshot())
            gui.add_button("Video of all timesteps").on_click(lambda _: self.actions.video())
            gui.add_button("Add keyframe").on_click(lambda _: self.actions.add_keyframe())
            hint = "A camera path for warpgs render --cameras keyframes.json"
            gui.add_button("Save keyframes", hint=hint).on_click(lambda _: self.actions.save_keyframes())

    def fit(self, tracks: Tracks, whole: bool) -> None:
        """Offer what these tracks have."""
        self.count = len(tracks)
        self._handles["timestep"].max = max(1, self.count - 1)
        self._handles["show"].options = available(tracks)
        count, moving = len(tracks.foreground), int((tracks.foreground > 0.5).sum())
        more = "" if whole else " loading the rest ..."
        self.status.content = f"{self.count} timesteps, {count} particles, {moving} of them foreground.{more}"

    def wish(self) -> Wish:
        """What the picture is to show."""
        return Wish(self.index, self["show"], self["foreground"])

    @property
    def index(self) -> int:
        """The instant to show."""
        return int(np.clip(self["timestep"], 0, self.count - 1))

    @index.setter
    def index(self, index: int) -> None:
        if self["timestep"] != index:
            self._handles["timestep"].value = index

    @property
    def speed(self) -> float:
        """Of playing, 1 being the recording's."""
        return SPEEDS[self["speed"]]

    def __getitem__(self, name: str) -> Any:
        return self._handles[name].value

    def _add(self, name: str, handle: Any) -> None:
        self._handles[name] = handle
        handle.on_update(lambda _: self.actions.changed())
