"""Every layout that is read, written from a synthetic scene by its own helper."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from scenes import SyntheticScene
from scenes.recording import FILE as RECORDING
from tests.scenes import videos_folder
from tests.scenes.colmap_folder import write_colmap
from tests.scenes.llff_folder import write_llff
from tests.scenes.panoptic_folder import write_panoptic
from tests.scenes.ros_folder import write_ros
from tests.scenes.transforms_folder import FOLDER_PER_CAMERA, FOLDER_PER_TIMESTEP, write_transforms
from warpgs.types import Camera

Layout = Callable[[Path, SyntheticScene], object]


def _in_folders(camera: Camera, timestep: int) -> str:
    return f"cam{camera.name}/{timestep:06d}.png"


def _videos(kind: str, root: Path, scene: SyntheticScene, lossless: bool = True) -> None:
    """Videos, a calibration, and which cameras are held out."""
    videos_folder.write_videos(root, scene, lossless=lossless)
    videos_folder.WRITERS[kind][0](root, videos_folder.all_cameras(scene), ())
    prefix = "cam_" if kind == "caliscope" else "cam"
    held_out = [f"{prefix}{camera.name}" for camera in scene.cameras("test")]
    (root / RECORDING).write_text(f"held_out = {held_out}\n")


LAYOUTS: dict[str, Layout] = {
    "panoptic": write_panoptic,
    "transforms, timed": partial(write_transforms, naming=FOLDER_PER_CAMERA, depths=True),
    "transforms, folder per timestep": partial(
        write_transforms, naming=FOLDER_PER_TIMESTEP, timed=False, shared=True, masks=False
    ),
    "colmap, binary": partial(write_colmap, naming=_in_folders, kind=".bin"),
    "colmap, text": partial(write_colmap, naming=_in_folders, kind=".txt"),
    "llff, videos": partial(write_llff, storage="videos"),
    "llff, folders": partial(write_llff, storage="folders"),
    "ros": partial(write_ros, depths=True),
    "ros, messages": partial(write_ros, message=True),
} | {f"videos, {kind}": partial(_videos, kind) for kind in videos_folder.WRITERS}
"""What writes all timesteps of a scene, training and held-out cameras alike, by name."""
LOSSY: dict[str, Layout] = {
    "panoptic, jpeg": partial(write_panoptic, suffix=".jpg"),
    "videos, lossy": partial(_videos, "anipose", lossless=False),
}
"""The same, in pictures as cameras store them."""
