"""Look at a run: camera paths, pictures, videos, plots."""

from warpgs.view.paths import foreground_center, look_at, orbit
from warpgs.view.pictures import Channel, check_output, render_views, save_picture, save_views, strip
from warpgs.view.plots import plot_cameras

__all__ = [
    "Channel",
    "check_output",
    "foreground_center",
    "look_at",
    "orbit",
    "plot_cameras",
    "render_views",
    "save_picture",
    "save_views",
    "strip",
]
