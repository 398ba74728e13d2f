"""Synthetic recordings: moving textured meshes, ray-cast, with exact ground truth.

A new scene is a list of bodies and their poses::

    bodies = [box("die", (0.2, 0.2, 0.2), Texture(Pattern.MARBLE, 0.05, (red, white, blue)))]
    scene = SyntheticScene("die", bodies, world_from_body, SyntheticOptions(timesteps=len(world_from_body)))
"""

from scenes.synthetic.bodies import Body, Pattern, Texture, ball, box, capsule, room
from scenes.synthetic.builtin_arm import arm
from scenes.synthetic.builtin_cloth import cloth
from scenes.synthetic.builtin_enter import enter
from scenes.synthetic.builtin_hidden import hidden
from scenes.synthetic.builtin_plain import plain
from scenes.synthetic.builtin_stack import stack
from scenes.synthetic.builtin_thin import thin
from scenes.synthetic.builtin_tumble import tumble
from scenes.synthetic.options import DEFAULTS, SyntheticOptions
from scenes.synthetic.perfect import perfect_tracks
from scenes.synthetic.scene import SyntheticScene
from scenes.synthetic.shells import rope, sheet
from scenes.synthetic.variants import VARIANTS
from scenes.synthetic.varied import Variant, VariedScene

__all__ = [
    "DEFAULTS",
    "VARIANTS",
    "Body",
    "Pattern",
    "SyntheticOptions",
    "SyntheticScene",
    "Texture",
    "Variant",
    "VariedScene",
    "arm",
    "ball",
    "box",
    "capsule",
    "cloth",
    "enter",
    "hidden",
    "perfect_tracks",
    "plain",
    "room",
    "rope",
    "sheet",
    "stack",
    "thin",
    "tumble",
]
