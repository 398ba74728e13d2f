"""Measure a run: pictures against held-out cameras, tracks against the truth, time and space."""

from warpgs.evaluate.images import psnr, ssim
from warpgs.evaluate.measure import evaluate
from warpgs.evaluate.pictures import PictureScore
from warpgs.evaluate.report import BodyReport, Figures, Report
from warpgs.evaluate.scores import TrackScore
from warpgs.evaluate.tables import table

__all__ = ["BodyReport", "Figures", "PictureScore", "Report", "TrackScore", "evaluate", "psnr", "ssim", "table"]
