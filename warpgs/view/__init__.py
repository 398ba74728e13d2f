"""Look at a run: camera paths, pictures, videos, plots."""

from warpgs.view.overlay import distinct_colors, draw_paths
from warpgs.view.paths import foreground_center, held, look_at, orbit, orbit_whole
from warpgs.view.pictures import Channel, check_output, render_views, save_picture, save_views, strip
from warpgs.view.plots import Panel, plot_cameras, plot_over_time, plot_parts, plot_reliability

__all__ = [
    "Channel",
    "Panel",
    "check_output",
    "distinct_colors",
    "draw_paths",
    "foreground_center",
    "held",
    "look_at",
    "orbit",
    "orbit_whole",
    "plot_cameras",
    "plot_over_time",
    "plot_parts",
    "plot_reliability",
    "render_views",
    "save_picture",
    "save_views",
    "strip",
]
