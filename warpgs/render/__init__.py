"""Particles + camera -> color, foreground, depth and alpha in one pass, with gradients."""

from warpgs.render.rasterizer import Rasterizer
from warpgs.render.renderer import Picture, Renderer

__all__ = ["Picture", "Rasterizer", "Renderer"]
