"""Image terms."""

from warpgs.losses.photometric import PhotometricLoss

__all__ = ["PhotometricLoss"]
