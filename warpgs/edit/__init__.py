"""Change tracks: NumPy in, NumPy out, each a function from Tracks to Tracks, so that they compose.

Choose with masks (``select.py``), cut and put together (``pieces.py``), move (``space.py``), retime (``time.py``),
color and light (``look.py``), paint (``paint.py``). What comes out are ordinary tracks.
"""

from warpgs.edit.look import fade, recolor, relight, tint
from warpgs.edit.paint import paint
from warpgs.edit.pieces import insert, join, only, remove, replace_background, take
from warpgs.edit.select import by_part, in_box, in_mesh, in_picture, in_ranges, satisfying
from warpgs.edit.space import along, attach, carry, center, placing, still, transform
from warpgs.edit.split import split
from warpgs.edit.time import freeze, hold, lengthen, loop, reverse, shift, stretch

__all__ = [
    "along",
    "attach",
    "by_part",
    "carry",
    "center",
    "fade",
    "freeze",
    "hold",
    "in_box",
    "in_mesh",
    "in_picture",
    "in_ranges",
    "insert",
    "join",
    "lengthen",
    "loop",
    "only",
    "paint",
    "placing",
    "recolor",
    "relight",
    "remove",
    "replace_background",
    "reverse",
    "satisfying",
    "shift",
    "split",
    "still",
    "stretch",
    "take",
    "tint",
    "transform",
]
