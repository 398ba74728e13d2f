"""Tracks to rigid parts: which particles move together, and the pose of each part over time."""

from warpgs.bodies.fit import fit_parts
from warpgs.bodies.parts import BACKGROUND, DEFORMABLE, Parts
from warpgs.bodies.partsfile import read_parts, write_parts
from warpgs.bodies.segment import PartsConfig, find_parts
from warpgs.bodies.trajectories import summary, write_trajectories

__all__ = [
    "BACKGROUND",
    "DEFORMABLE",
    "Parts",
    "PartsConfig",
    "find_parts",
    "fit_parts",
    "read_parts",
    "summary",
    "write_parts",
    "write_trajectories",
]
