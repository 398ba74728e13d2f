"""What a tracker remembers of particles beside their last poses.

What goes out of sight goes on as it last did, and as its velocity last changed: it falls, or brakes. A constant
acceleration is learnt of each particle while cameras see it, from what its rigid prediction misses by, and used where
none does: there a cluster's prediction and its momentum are all that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from warpgs.track.confidence import TOLERANCE_RADII, confidence, sight
from warpgs.track.evidence import Evidence

LESSONS = 6.0
"""An acceleration is the mean over so many timesteps, and then goes along."""
IMPACT_RADII = 0.5 * TOLERANCE_RADII
"""What deviates by more counts less: it moves the mean by no more than this would [scene radii]. An impact is no
acceleration that lasts. Gravity at 30 pictures per second is as much in scenes 2 m across."""
PLAIN = 0.1
"""Surroundings of which so much is seen, the median of bodies among others, teach in full: tracks of what is nearly out
of sight are drawn to what is still seen."""
OUT_OF_SIGHT = 0.1
"""A cluster of less mean sight is out of it."""


@dataclass(frozen=True, eq=False)
class Memory:
    """Of the m particles that move, in their order in memory."""

    accelerations: np.ndarray
    """Change of the velocity in a timestep [scene radii per timestep^2], float32, shape [m, 3]."""
    lessons: np.ndarray
    """Timesteps that it is the mean of, LESSONS at most, float32, shape [m]."""
    sight: np.ndarray
    """How far the pictures of the last timestep decide, 0..1, float32, shape [m]."""
    confidence: np.ndarray
    """How far its pose there can be trusted, 0..1, float32, shape [m]."""

    @staticmethod
    def none(count: int) -> Memory:
        """Of particles that are new."""
        zeros, ones = np.zeros(count, np.float32), np.ones(count, np.float32)
        return Memory(accelerations=np.zeros((count, 3), np.float32), lessons=zeros, sight=ones, confidence=ones)

    @staticmethod
    def read(arrays: Mapping[str, np.ndarray]) -> Memory:
        """What ``arrays`` gave, among others."""
        return Memory(**{each.name: arrays[each.name] for each in fields(Memory)})

    def arrays(self) -> dict[str, np.ndarray]:
        """For a run that goes on later."""
        return {each.name: getattr(self, each.name) for each in fields(Memory)}

    def grown(self, count: int) -> Memory:
        """With what was just born, ``count`` particles in all."""
        born = Memory.none(count - len(self.sight)).arrays()
        return Memory(**{name: np.concatenate([array, born[name]]) for name, array in self.arrays().items()})

    def learnt(self, missed: np.ndarray | None, evidence: Evidence) -> Memory:
        """After one more timestep.

        Args:
            missed: Where particles were found, less where their velocity alone would have taken them [scene radii],
                NaN where none was known, shape [m, 3]; None where nothing was.
            evidence: Of the timestep.
        """
        accelerations, lessons = self.accelerations, self.lessons
        if missed is not None:
            news = np.where(np.isnan(missed), 0.0, missed - accelerations)
            plain = np.square(np.clip(evidence.seen / PLAIN, 0.0, 1.0)) * ~np.isnan(missed[:, 0])
            weight = plain * np.minimum(1.0, IMPACT_RADII / np.maximum(np.linalg.norm(news, axis=1), 1e-12))
            lessons = np.minimum(lessons + weight, LESSONS)
            accelerations = accelerations + (weight / np.maximum(lessons, 1.0))[:, None] * news
        trusted = confidence(evidence, self.confidence)
        return Memory(*(each.astype(np.float32) for each in (accelerations, lessons, sight(evidence), trusted)))

    def unseen(self, labels: np.ndarray) -> np.ndarray:
        """The acceleration of each particle whose cluster is out of sight, a median over the cluster; 0 of all others.

        Args:
            labels: Cluster of each particle, shape [m].

        Returns:
            Shape [m, 3], float32 [scene radii per timestep^2].
        """
        seen = np.bincount(labels, self.sight) / np.maximum(np.bincount(labels), 1)
        accelerations = np.zeros_like(self.accelerations)
        for cluster in np.flatnonzero(seen < OUT_OF_SIGHT):
            rows = labels == cluster
            if rows.any():
                accelerations[rows] = np.median(self.accelerations[rows], axis=0)
        return accelerations
