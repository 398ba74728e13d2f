"""Measure a run: pictures against held-out cameras, tracks against the truth, time and space."""

from warpgs.evaluate.images import psnr, ssim
from warpgs.evaluate.report import PictureScore, Report, evaluate
from warpgs.evaluate.trajectories import TrackScore

__all__ = ["PictureScore", "Report", "TrackScore", "evaluate", "psnr", "ssim"]
