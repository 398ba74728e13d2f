"""The flag --prior, which ``track`` and ``simulate`` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import UseAppendAction

if TYPE_CHECKING:
    from warpgs.priors import Prior

PriorTexts = Annotated[UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME|FILE.py:CLASS")]


def load_priors(texts: Sequence[str], settings: Any) -> tuple[list[Prior], Any]:
    """The priors that a command line names, and what a run stores of them.

    Args:
        texts: As given to --prior.
        settings: The verb's settings, a frozen dataclass.

    Returns:
        The priors, and ``settings`` with one field more, ``added_priors``, so that a run is resumed with the same ones
        only; as it is when there are none.
    """
    from warpgs.priors import PRIORS
    from warpgs.priors.load import load_prior, prior_identity

    if not texts:
        return [], settings
    priors = [load_prior(text, PRIORS) for text in texts]
    stored = make_dataclass("Settings", [("added_priors", tuple, ())], bases=(type(settings),), frozen=True)
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return priors, stored(**values, added_priors=tuple(map(prior_identity, texts)))
