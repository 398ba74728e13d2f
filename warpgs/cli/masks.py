"""``warpgs masks``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from warpgs.cli.shared import Flag, LayoutName, Verb, parse_timesteps, progress_bar


@dataclass(frozen=True)
class Masks:
    """Make masks of what moves, for a recording without any whose cameras stand still.

    The background of each camera is what returns over time, goes on at its borders, does not move and has other colors
    than what does; what differs from it is foreground, shadows apart. Then the cameras are held against each other:
    what no other confirms goes, and what most of them see fills what one missed. Look at masks.png before tracking with
    --masks.

    Example: warpgs masks captures/juggle --output juggle-masks, then warpgs track captures/juggle --masks juggle-masks
    --run runs/juggle
    """

    scene: Positional[str]
    """A folder or the name of a built-in scene. Masks that it has are not read."""
    output: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Where to write <camera>/<timestep>.png, and masks.png to look at."""
    layout: LayoutName | None = None
    """The layout of the folder, where its files could be read in several; recognized when not given. `warpgs scenes`
    says what each is."""
    timesteps: Annotated[str | None, tyro.conf.arg(metavar="START:STOP")] = None
    """Which instants get masks; all when not given. The background is learned from all in any case."""
    agree: bool = True
    """Hold the cameras against each other."""
    overwrite: Flag = False
    """Write into an existing folder, over masks of the same names."""
    debug: Flag = False
    """Show where an error came from."""


def make_masks(arguments: Masks) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from PIL import Image

    from scenes import open_scene
    from warpgs.checks import check_absent, check_timesteps, refuse
    from warpgs.files import whole_file
    from warpgs.reconstruct.motion import MotionMasks
    from warpgs.view import save_mask_sheet

    check_absent(arguments.output, arguments.overwrite)
    scene = open_scene(arguments.scene, layout=arguments.layout)
    timesteps = parse_timesteps(arguments.timesteps, scene.timestep_count)
    check_timesteps(scene.name, timesteps, scene.timestep_count)
    with ThreadPoolExecutor() as pool, progress_bar("masks", len(timesteps)) as bar:
        bar.set_postfix_str("learning the background")
        motion = MotionMasks.learn(scene, pool.map)
        if motion is None:
            rule = "cameras that stand still, at least 5 instants and something that moves through the pictures"
            refuse(scene.name, rule, "a background that motion does not tell", "bring masks of your own (--masks)")
        shown = set(timesteps[:: max(1, (len(timesteps) - 1) // 3)])
        examples = []
        bar.set_postfix_str("")
        for timestep in timesteps:
            frame = motion.add_to(scene.frame(timestep), pool.map)
            frame = motion.agreed(frame) if arguments.agree else frame
            for camera, mask in zip(frame.cameras, frame.masks or (), strict=True):
                path = arguments.output / camera.name / f"{timestep:06d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(path) as temporary:
                    Image.fromarray(mask).save(temporary)
            if timestep in shown:
                examples.append(frame)
            bar.update()
    save_mask_sheet(arguments.output / "masks.png", examples)
    print(f"masks of {len(timesteps)} timesteps in {arguments.output}; look at {arguments.output / 'masks.png'}")


MASKS = Verb(Masks, make_masks)
