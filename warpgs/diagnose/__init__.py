"""What is wrong with a recording, before it is tracked: findings with a verdict and a remedy, and pictures of them."""

from warpgs.diagnose.faults import Finding, examine
from warpgs.diagnose.features import PairMatches, match_features, triangulated
from warpgs.diagnose.outlines import Misfit, misfit, outlines
from warpgs.diagnose.pictures import sections

__all__ = [
    "Finding",
    "Misfit",
    "PairMatches",
    "examine",
    "match_features",
    "misfit",
    "outlines",
    "sections",
    "triangulated",
]
