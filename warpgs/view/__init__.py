"""Look at a run: camera paths, pictures, videos, plots."""

from warpgs.view.keyframes import Keyframe, camera_through, read_keyframes, write_keyframes
from warpgs.view.masks import masked_picture, save_mask_sheet
from warpgs.view.moments import moment, poses_at, slowed
from warpgs.view.overlay import distinct_colors, draw_particles, draw_paths
from warpgs.view.page import Section, motion_panels, over_time, save_page, trust_panel
from warpgs.view.paths import centered, foreground_center, look_at, orbit, orbit_whole, spiral
from warpgs.view.pictures import Channel, check_output, render_views, save_picture, save_views, strip
from warpgs.view.plots import Panel, plot_cameras, plot_over_time, plot_parts, plot_reliability
from warpgs.view.rides import attach, follow, part_ride, point_ride
from warpgs.view.trails import Trails, draw_trails, random_trails

__all__ = [
    "Channel",
    "Keyframe",
    "Panel",
    "Section",
    "Trails",
    "attach",
    "camera_through",
    "centered",
    "check_output",
    "distinct_colors",
    "draw_particles",
    "draw_paths",
    "draw_trails",
    "follow",
    "foreground_center",
    "look_at",
    "masked_picture",
    "moment",
    "motion_panels",
    "orbit",
    "orbit_whole",
    "over_time",
    "part_ride",
    "plot_cameras",
    "plot_over_time",
    "plot_parts",
    "plot_reliability",
    "point_ride",
    "poses_at",
    "random_trails",
    "read_keyframes",
    "render_views",
    "save_mask_sheet",
    "save_page",
    "save_picture",
    "save_views",
    "slowed",
    "spiral",
    "strip",
    "trust_panel",
    "write_keyframes",
]
