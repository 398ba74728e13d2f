"""Tracks to rigid parts: which particles move together, and the pose of each part over time."""

from warpgs.bodies.parts import BACKGROUND, DEFORMABLE, Parts

__all__ = ["BACKGROUND", "DEFORMABLE", "Parts"]
