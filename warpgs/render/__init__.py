"""Particles + camera -> color, foreground, depth and alpha in one pass, with gradients."""

from warpgs.render.backdrop import Backdrop
from warpgs.render.background import background_adjoint
from warpgs.render.batch import RasterizerBatch
from warpgs.render.memory import Memory, Share
from warpgs.render.rasterizer import Rasterizer
from warpgs.render.renderer import Picture, Renderer

__all__ = [
    "Backdrop",
    "Memory",
    "Picture",
    "Rasterizer",
    "RasterizerBatch",
    "Renderer",
    "Share",
    "background_adjoint",
]
