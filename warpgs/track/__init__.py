"""Every later timestep, and whole runs."""

from warpgs.track.config import PRESETS, TrackConfig
from warpgs.track.pipeline import TimestepState, track

__all__ = ["PRESETS", "TimestepState", "TrackConfig", "track"]
