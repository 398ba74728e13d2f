"""How sure a track is: the probability that a particle is within ``TOLERANCE_RADII`` of where its surface has gone.

A logistic model of the evidence of one timestep, without memory: it needs no state, and a run that is resumed says the
same. Its coefficients were fitted once, to tracks of synthetic scenes whose truth is known; refit them with
``python -m tests.benchmarks.calibration``.
"""

from __future__ import annotations

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
COEFFICIENTS = {"seen": 1.47, "residual": -2.218, "contrast": 2.525, "strain": -1.368, "twist": -1.969}
INTERCEPT = -9.505
"""Fitted to 14 recordings of the synthetic scenes tumble, plain, thin, cloth, hidden, stack, enter+take2 and
tumble+four: 20 cameras (four) of 320 x 180 pixels, 12 timesteps (hidden 24), 200 to 600 tracks each; preset fast, and
of the first four the same with a half or a fifth of its steps. Motion, the visibility of a particle alone and the
residual of masks told nothing more. Checked on recordings that took no part, see docs/accuracy.md."""


def features(evidence: Evidence) -> np.ndarray:
    """What the model sees, in the order of RANGES, shape [m, 5], float64."""
    return np.stack(
        [np.log(np.clip(getattr(evidence, name).astype(np.float64), *bounds)) for name, bounds in RANGES.items()],
        axis=1,
    )


def confidence(evidence: Evidence) -> np.ndarray:
    """Probability 0..1 that each particle is where its surface has gone, shape [m], float32."""
    logits = features(evidence) @ np.array([COEFFICIENTS[name] for name in RANGES]) + INTERCEPT
    return (0.5 + 0.5 * np.tanh(0.5 * logits)).astype(np.float32)  # a logistic that cannot overflow
