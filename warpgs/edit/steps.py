"""Every step that a script can ask for. A new one: a class beside these, an entry here."""

from warpgs.edit.step import Step
from warpgs.edit.step_look import Fade, Paint, Recolor, Relight, Split, Tint
from warpgs.edit.step_motion import (
    Attach,
    Freeze,
    Keyframes,
    Lengthen,
    Loop,
    Reverse,
    Shift,
    Stretch,
    Transform,
)
from warpgs.edit.step_pieces import Background, Cut, Duplicate, Insert, Remove

STEPS: dict[str, type[Step]] = {
    "cut": Cut,
    "remove": Remove,
    "duplicate": Duplicate,
    "insert": Insert,
    "background": Background,
    "transform": Transform,
    "attach": Attach,
    "keyframes": Keyframes,
    "shift": Shift,
    "stretch": Stretch,
    "loop": Loop,
    "reverse": Reverse,
    "freeze": Freeze,
    "lengthen": Lengthen,
    "recolor": Recolor,
    "tint": Tint,
    "fade": Fade,
    "relight": Relight,
    "paint": Paint,
    "split": Split,
}
"""By the ``do`` of their tables."""
