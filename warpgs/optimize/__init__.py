"""Minimizers on the device."""

from warpgs.optimize.adam import Adam

__all__ = ["Adam"]
