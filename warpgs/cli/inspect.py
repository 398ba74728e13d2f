"""``warpgs inspect``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from warpgs.cli.shared import Flag, Verb, print_table

if TYPE_CHECKING:
    from warpgs.types import Scene


@dataclass(frozen=True)
class Inspect:
    """Look at a scene before tracking it: cameras, timesteps, image sizes, masks, point cloud, and what is missing.

    Every calibration and picture is checked, and the camera poses are drawn from above and from the side, so that
    a wrong pose convention shows at once.

    Example: warpgs inspect captures/juggle --plot cameras.png
    """

    scene: Positional[str]
    """A folder or the name of a built-in scene."""
    plot: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """Where to draw the camera poses, a .png; <scene>_cameras.png in the current folder when not given."""
    overwrite: Flag = False
    """Replace an existing plot."""
    debug: Flag = False
    """Show where an error came from."""


def inspect_scene(arguments: Inspect) -> None:
    from scenes import open_scene
    from warpgs.checks import check_absent, check_suffix
    from warpgs.view import plot_cameras

    plot = arguments.plot or Path(f"{Path(arguments.scene).resolve().name}_cameras.png")
    check_suffix(plot, (".png",))
    if arguments.plot is not None:
        check_absent(plot, arguments.overwrite)
    scene = open_scene(arguments.scene)
    scene.validate(range(scene.timestep_count))
    rows, missing = _describe(scene)
    print_table(scene.name, rows)
    if plot.exists() and not arguments.overwrite:
        print(f"plot: kept the existing {plot}; pass --overwrite to replace it")
    else:
        train, test = scene.cameras("train"), scene.cameras("test")
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot_cameras(plot, train, test, scene.point_cloud(), scene.name)
        print(f"plot: {plot}")
    print("missing: " + ("; ".join(missing) if missing else "nothing"))


def _describe(scene: Scene) -> tuple[dict[str, str], list[str]]:
    """What a scene has, and what it lacks and what that means."""
    train, test = scene.cameras("train"), scene.cameras("test")
    frame, cloud, truth = scene.frame(0), scene.point_cloud(), scene.ground_truth()
    sizes = sorted({f"{camera.width}x{camera.height}" for camera in (*train, *test)})
    count = scene.timestep_count
    rows = {
        "timesteps": f"{count} at {scene.fps:g} per second ({count / scene.fps:.2f} s)",
        "training cameras": f"{len(train)}: {' '.join(camera.name for camera in train)}",
        "held-out cameras": f"{len(test)}: {' '.join(camera.name for camera in test)}" if test else "none",
        "image size": ", ".join(sizes) + " pixels",
    }
    missing = [] if test else ["held-out cameras (evaluate will compare training pictures)"]
    if frame.masks is None:
        rows["masks"] = "none"
        missing.append("masks (made from what moves, where cameras stand still)")
    else:
        share = sum(float(mask.mean()) for mask in frame.masks) / (255.0 * len(frame.masks))
        rows["masks"] = f"{100.0 * share:.1f} % of the pixels at timestep 0 are foreground"
    if cloud is None:
        rows["point cloud"] = "none"
        missing.append("point cloud (the first timestep starts from the masks)")
    else:
        known = "" if cloud.foreground is None else f", {int(cloud.foreground.sum())} of them foreground"
        rows["point cloud"] = f"{len(cloud.points)} points{known}"
    if truth is None:
        rows["ground truth"] = "none"
        missing.append("ground truth (tracks cannot be measured)")
    else:
        rows["ground truth"] = f"{truth.points.shape[1]} tracks on {len(truth.body_names)} bodies"
    return rows, missing


INSPECT = Verb(Inspect, inspect_scene)
