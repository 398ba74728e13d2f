"""What can be composited: channels that particles have by themselves, by name, and features of the user's own."""

from collections.abc import Sequence

from warpgs.checks import refuse

CHANNELS = (
    *("red", "green", "blue", "foreground", "background", "depth"),
    *("normal_x", "normal_y", "normal_z"),
)
"""Foreground and background shares sum to the alpha. Depth is z in the camera frame [m]. The normal is the shortest
axis of a particle, world frame, turned towards the camera."""
COLOR = ("red", "green", "blue")
COLOR_MASK = (*COLOR, "foreground")
COLOR_SHARES = (*COLOR_MASK, "background")
COLOR_MASK_DEPTH = (*COLOR_MASK, "depth")
NORMAL = ("normal_x", "normal_y", "normal_z")
MAX_CHANNELS = 32


def check_channels(channels: Sequence[str], features: int) -> None:
    """Refuse names that are not CHANNELS or not all different, and more of them than can be drawn in one pass."""
    unknown = [name for name in channels if name not in CHANNELS]
    if unknown:
        refuse("channels", f"names among {', '.join(CHANNELS)}", repr(unknown[0]))
    if len(set(channels)) < len(channels):
        refuse("channels", "names that are all different", ", ".join(channels))
    if features < 0 or not 1 <= len(channels) + features <= MAX_CHANNELS:
        got = f"{len(channels)} channels and {features} features"
        refuse("channels", f"1 to {MAX_CHANNELS}, features included", got)
