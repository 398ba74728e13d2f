"""How sure a track is: the probability that a particle is within ``TOLERANCE_RADII`` of where its surface has gone.

Where pictures show its surroundings, a logistic model of the evidence of the timestep; where they do not, what was said
a timestep earlier, less what may have gone wrong meanwhile. Fitted once, to tracks of synthetic scenes whose truth is
known; refit with ``python -m tests.benchmarks.calibration``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warpgs.track.evidence import Evidence

TOLERANCE_RADII = 0.0074
"""The distance that confidence speaks of, in scene radii: 2 cm where the scene radius is 2.7 m, as where cameras stand
around a scene about 2 m across."""
RANGES = {
    "seen": (0.003, 0.4),
    "residual": (0.008, 0.4),
    "contrast": (0.015, 0.2),
    "strain": (0.0006, 0.05),
    "twist": (0.02, 1.0),
}
"""The model sees the logarithm of the evidence, held within these bounds. Above them little was fitted; the lower ones
of strain and twist are about the medians of good tracks, among which they tell nothing."""
BLIND, SIGHTED = 0.003, 0.03
"""Of surroundings less seen than the first, pictures tell nothing; of those seen more than the second, all is told."""


@dataclass(frozen=True)
class Model:
    """Fitted to the synthetic scenes tumble, plain, thin, cloth, stack, hidden, enter+take2 and tumble+four (``memory``
    to hidden and enter+take2): 20 cameras (four) of 320x180 pixels, 30 timesteps, 200 to 600 tracks each, preset fast;
    and to thin without the search, where rods are lost: little else shows what that looks like. Motion, the visibility
    of a particle alone and the residual of masks told nothing more. Checked on recordings that took no part, see
    docs/accuracy.md."""

    seen: float = 0.466
    residual: float = -2.16
    contrast: float = 0.1891
    strain: float = -1.511
    twist: float = -1.636
    """Coefficients of the features of these names."""
    intercept: float = -16.93
    memory: float = 24.36
    """Timesteps unseen after which 1/e of what was right still is."""


MODEL = Model()


def features(evidence: Evidence) -> np.ndarray:
    """What the model sees, in the order of RANGES, shape [m, 5], float64."""
    return np.stack(
        [np.log(np.clip(getattr(evidence, name).astype(np.float64), *bounds)) for name, bounds in RANGES.items()],
        axis=-1,
    )


def confidence(evidence: Evidence, before: np.ndarray, model: Model = MODEL) -> np.ndarray:
    """Probability 0..1 that each particle is where its surface has gone, shape [m], float32.

    Args:
        evidence: Of this timestep.
        before: What was said one timestep earlier, shape [m]; 1 of particles that are new.
        model: What was fitted.
    """
    logits = features(evidence) @ np.array([getattr(model, name) for name in RANGES]) + model.intercept
    shown = 0.5 + 0.5 * np.tanh(0.5 * logits)  # a logistic that cannot overflow
    # what is out of sight goes on as it did, and errs by the square of the time: after k timesteps exp(-(k / memory)^2)
    unseen = np.sqrt(-np.log(np.clip(before.astype(np.float64), 1e-6, 1.0))) + 1.0 / model.memory
    share = sight(evidence)
    return (share * shown + (1.0 - share) * np.exp(-np.square(unseen))).astype(np.float32)


def sight(evidence: Evidence) -> np.ndarray:
    """How far the pictures of this timestep decide, 0..1, shape [m], float64."""
    seen = np.maximum(evidence.seen.astype(np.float64), 1e-9)
    return np.clip(np.log(seen / BLIND) / np.log(SIGHTED / BLIND), 0.0, 1.0)
