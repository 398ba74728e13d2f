"""Factors on learning rates over the steps of one optimization."""

from __future__ import annotations

from warpgs.checks import refuse


def exponential_decay(step: int, steps: int, final: float) -> float:
    """Factor on a rate that falls from 1 to ``final`` by the same ratio at every step.

    Args:
        step: Index of the step, from 0; beyond ``steps - 1`` the factor stays at ``final``.
        steps: Number of steps of the whole optimization, at least 1.
        final: Factor at the last step, > 0.

    Returns:
        ``final ** (step / (steps - 1))``, 1 when there is a single step.
    """
    if steps < 1 or step < 0:
        refuse("exponential_decay", "step >= 0 and steps >= 1", f"step {step} of {steps}")
    if not final > 0.0:
        refuse("exponential_decay: final", "a factor > 0", final)
    if steps == 1:
        return 1.0
    return final ** min(step / (steps - 1), 1.0)
