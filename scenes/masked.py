"""Masks of one's own beside any recording: what ``warpgs masks`` writes, or another program.

    <folder>/<camera>/<timestep>.png    0 where nothing moves, 255 (or 1) where something does

A timestep is the number in the name of its file, from 0: 000012.png, 12.png and frame_12.png are all timestep 12. Masks
fit the pictures as they are tracked: where a lens distorts, those it was removed from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from scenes.pictures import PICTURE_SUFFIXES, check_picture_file, decode_all, read_mask
from scenes.shots import paths_by_name
from warpgs.checks import refuse
from warpgs.types import Camera, Frame, GroundTruth, PointCloud, Scene, Split

LONGEST_NUMBER = 9
"""Digits of a timestep, at most."""


@dataclass(frozen=True)
class MaskedScene(Scene):
    """A scene with masks from a folder in place of its own."""

    scene: Scene
    """Everything but the masks."""
    folder: Path
    """A folder per camera."""

    @property
    def name(self) -> str:
        return self.scene.name

    @property
    def layout(self) -> str | None:
        return self.scene.layout

    @property
    def fps(self) -> float:
        return self.scene.fps

    @property
    def timestep_count(self) -> int:
        return self.scene.timestep_count

    @property
    def source_from_world(self) -> np.ndarray:
        return self.scene.source_from_world

    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        return self.scene.cameras(split, timestep)

    def frame(self, timestep: int, split: Split = "train") -> Frame:
        frame = self.scene.frame(timestep, split)
        paths = self._paths(frame.cameras, timestep, split)
        return replace(frame, masks=decode_all(read_mask, paths, frame.cameras) if paths else None)

    def point_cloud(self) -> PointCloud | None:
        return self.scene.point_cloud()

    def ground_truth(self) -> GroundTruth | None:
        return self.scene.ground_truth()

    def visible(self, timestep: int, camera: Camera) -> np.ndarray | None:
        return self.scene.visible(timestep, camera)

    def validate(self, timesteps: range) -> None:
        """Check the scene and every mask that ``timesteps`` will read.

        Raises:
            ValueError, OSError: naming the file, what is wrong and the remedy.
        """
        self.scene.validate(timesteps)
        for timestep in timesteps:
            for split in ("train", "test"):
                cameras = self.scene.cameras(split, timestep)
                for path, camera in zip(self._paths(cameras, timestep, split), cameras, strict=False):
                    check_picture_file(path, camera, is_mask=True)

    def _paths(self, cameras: Sequence[Camera], timestep: int, split: Split) -> list[Path]:
        """The mask of each camera; none where cameras are held out and not all of them have folders."""
        if split == "test" and any(camera.name not in self._files for camera in cameras):
            return []
        found = [self._files.get(camera.name, {}).get(timestep) for camera in cameras]
        missing = [camera.name for camera, path in zip(cameras, found, strict=True) if path is None]
        if missing:
            rule, got = f"a mask {missing[0]}/{timestep:06d}.png", "none"
            have = ", ".join(sorted(self._files)[:8]) or "no folder of masks"
            refuse(self.folder, rule, got, f"name folders after cameras and files after timesteps (found: {have})")
        return [path for path in found if path is not None]

    @cached_property
    def _files(self) -> dict[str, dict[int, Path]]:
        """Masks by camera and timestep."""
        if not self.folder.is_dir():
            refuse(self.folder, "a folder of masks", "no folder", "make one with warpgs masks")
        folders = sorted(path for path in self.folder.iterdir() if path.is_dir())
        return {folder.name: files for folder in folders if (files := self._numbered(folder))}

    def _numbered(self, folder: Path) -> dict[int, Path]:
        files: dict[int, Path] = {}
        for path in paths_by_name(folder, PICTURE_SUFFIXES):
            number = re.search(r"([0-9]+)[^0-9]*$", path.stem)
            if number is None or len(number[1]) > LONGEST_NUMBER:
                refuse(path, "a name that ends in the number of its timestep", path.name, "rename or remove it")
            if files.setdefault(int(number[1]), path) != path:
                refuse(folder, f"one mask of timestep {int(number[1])}", f"two, {path.name} among them", "remove one")
        return files
