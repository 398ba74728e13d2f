"""``warpgs inspect``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional

from warpgs.cli.shared import Flag, LayoutName, Verb, parse_timesteps, print_table

if TYPE_CHECKING:
    import numpy as np

    from warpgs.diagnose import Misfit
    from warpgs.types import Camera, Frame, Scene


MOST_OUTLINED = 12
"""Instants at which outlines are compared; each takes three frames."""
MOST_ERROR_PX = 3.0
"""Matches farther from their epipolar lines make no points."""


@dataclass(frozen=True)
class Inspect:
    """Look at a scene before tracking it: cameras, timesteps, image sizes, masks, point cloud, and what is missing.

    Every calibration and picture is checked, features that several cameras see are held against the calibration, and
    each finding comes with a verdict and a remedy. The camera poses are drawn from above and from the side, so that a
    wrong pose convention shows at once; --page shows cameras, masks and cloud over the pictures.

    Example: warpgs inspect captures/juggle --page juggle.html
    """

    scene: Positional[str]
    """A folder or the name of a built-in scene."""
    layout: LayoutName | None = None
    """The layout of the folder, where its files could be read in several; recognized when not given. `warpgs scenes`
    says what each is."""
    plot: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """Where to draw the camera poses, a .png; <scene>_cameras.png in the current folder when not given."""
    page: Annotated[Path | None, tyro.conf.arg(metavar="HTML")] = None
    """Where to write a page of all findings and pictures that needs no other file, a .html; and a .png beside it."""
    timesteps: Annotated[str | None, tyro.conf.arg(metavar="START:STOP")] = None
    """Which instants to check, all when not given; the pictures of the first are looked at."""
    masks: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Masks of your own: <camera>/<timestep>.png, as `warpgs masks` writes them."""
    meters_per_unit: float | None = None
    """The unit of the recording's files [m], where they do not tell: 1 is assumed of structure from motion."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """The axis of the recording's files that points up, where the reader takes another."""
    overwrite: Flag = False
    """Replace an existing plot and page."""
    debug: Flag = False
    """Show where an error came from."""


def inspect_scene(arguments: Inspect) -> None:
    from scenes import open_scene
    from warpgs.checks import check_absent, check_suffix, check_timesteps
    from warpgs.diagnose import examine, match_features, sections, triangulated
    from warpgs.view import plot_cameras, save_page

    plot = arguments.plot or Path(f"{Path(arguments.scene).resolve().name}_cameras.png")
    for path, suffix in ((plot, ".png"), (arguments.page, ".html")):
        if path is not None:
            check_suffix(path, (suffix,))
    for path in (arguments.plot, arguments.page, arguments.page and arguments.page.with_suffix(".png")):
        if path is not None:
            check_absent(path, arguments.overwrite)
    scene = open_scene(
        arguments.scene,
        layout=arguments.layout,
        masks=arguments.masks,
        meters_per_unit=arguments.meters_per_unit,
        up=arguments.up,
    )
    timesteps = parse_timesteps(arguments.timesteps, scene.timestep_count)
    check_timesteps(scene.name, timesteps, scene.timestep_count)
    scene.validate(timesteps)
    frame = _all_views(scene, timesteps[0])
    rows, missing = _describe(scene, timesteps[0])
    pairs = match_features(frame)
    cloud = scene.point_cloud() or triangulated(frame, pairs, MOST_ERROR_PX)
    points = None if cloud is None else cloud.points
    found = examine(frame, pairs, points, frame_errors=_frame_errors(scene), misfit=_misfit(scene, timesteps, frame))
    rows |= {finding.subject + " is": finding.line() for finding in found}
    print_table(scene.name, rows)
    if plot.exists() and not arguments.overwrite:
        print(f"plot: kept the existing {plot}; pass --overwrite to replace it")
    else:
        train, test = scene.cameras("train"), scene.cameras("test")
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot_cameras(plot, train, test, cloud, scene.name)
        print(f"plot: {plot}")
    if arguments.page is not None:
        page, _ = save_page(
            arguments.page, scene.name, rows, sections(frame, pairs, points), overwrite=arguments.overwrite
        )
        print(f"page: {page}")
    print("missing: " + ("; ".join(missing) if missing else "nothing"))


def _describe(scene: Scene, timestep: int) -> tuple[dict[str, str], list[str]]:
    """What a scene has, and what it lacks and what that means."""
    train, test = scene.cameras("train"), scene.cameras("test")
    frame, cloud, truth = scene.frame(timestep), scene.point_cloud(), scene.ground_truth()
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
        rows["masks"] = f"{100.0 * share:.1f} % of the pixels at timestep {timestep} are foreground"
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


def _all_views(scene: Scene, timestep: int) -> Frame:
    """Training and held-out pictures of one instant; masks where all have them."""
    train = scene.frame(timestep)
    if not scene.cameras("test", timestep):
        return train
    test = scene.frame(timestep, "test")
    masks = None if train.masks is None or test.masks is None else (*train.masks, *test.masks)
    return replace(train, cameras=_all_cameras(scene, timestep), images=(*train.images, *test.images), masks=masks)


def _all_cameras(scene: Scene, timestep: int) -> tuple[Camera, ...]:
    return (*scene.cameras("train", timestep), *scene.cameras("test", timestep))


def _frame_errors(scene: Scene) -> np.ndarray | None:
    """How far from its instant each picture was taken [frames], where a recording tells."""
    from scenes import MaskedScene, PlacedScene, RosScene, VideosScene

    while isinstance(scene, MaskedScene | PlacedScene):
        scene = scene.scene
    return scene.time_errors_s * scene.fps if isinstance(scene, RosScene | VideosScene) else None


def _misfit(scene: Scene, timesteps: range, frame: Frame) -> Misfit | None:
    """What the outlines of masks say of cameras that stand still; None where there are no masks, where no time passes,
    and of generated scenes, which take long to draw and need no doctor."""
    import numpy as np

    from warpgs.diagnose import misfit, outlines

    if frame.masks is None or len(timesteps) < 3 or scene.ground_truth() is not None:
        return None
    poses = [[c.world_from_camera for c in _all_cameras(scene, t)] for t in (timesteps[0], timesteps[-1])]
    if not np.array_equal(*poses):
        return None
    middles = np.linspace(1, len(timesteps) - 2, min(MOST_OUTLINED, len(timesteps) - 2)).round().astype(int)
    groups = [[_all_views(scene, timesteps[int(m) + i]).masks or () for i in (-1, 0, 1)] for m in middles]
    return misfit(outlines(frame.cameras, groups))


INSPECT = Verb(Inspect, inspect_scene)
