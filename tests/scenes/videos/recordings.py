"""Small recordings whose frames tell their own number."""

from pathlib import Path

import numpy as np

from scenes import VideosScene, open_scene
from scenes.recording import FILE
from tests.scenes.videos_folder import all_cameras, anipose, write_video


def counted(count: int, first: int = 0) -> list[np.ndarray]:
    """Pictures that say in every pixel which one they are."""
    return [np.full((16, 24, 3), 10 * (first + i) % 250 + 1, np.uint8) for i in range(count)]


def level(picture: np.ndarray) -> int:
    assert np.ptp(picture) == 0
    return (int(picture[0, 0, 0]) - 1) // 10


def rig(root: Path, scene, counts: list[int], rates: list[float], lines: str = "", stamps=None) -> VideosScene:
    """Counting videos of the first cameras of a scene."""
    cameras = [c.resized(24, 16) for c in all_cameras(scene)[: len(counts)]]
    for i, (camera, count, rate) in enumerate(zip(cameras, counts, rates, strict=True)):
        write_video(root / f"cam{camera.name}.mp4", counted(count), rate, stamps[i] if stamps else None)
    anipose(root, cameras, ())
    (root / FILE).write_text(lines)
    return open_scene(root)


def shown(read: VideosScene) -> list[list[int]]:
    return [[level(image) for image in frame.images] for frame in read.frames()]
