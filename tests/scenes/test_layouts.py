"""A scene is the same whatever layout it comes in: cameras, pictures and the tracks made of them."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
from scipy.spatial import cKDTree

from scenes import SyntheticOptions, open_scene
from scenes.synthetic import tumble
from tests.scenes.layouts import LAYOUTS, LOSSY
from warpgs.track import PRESETS, track
from warpgs.types import Camera, Frame, PointCloud, Scene

OPTIONS = SyntheticOptions(
    width=160,
    height=90,
    timesteps=3,
    train_cameras=6,
    test_cameras=1,
    samples=1,
    cloud_background=600,
    cloud_foreground=300,
)
TRACKED = ("panoptic", "transforms, timed", "colmap, binary", "llff, videos", "ros", "videos, caliscope", *LOSSY)
"""One of every reader, and the lossy ones."""


@dataclass(frozen=True)
class AsRead(Scene):
    """A scene with the cameras and pictures that a reader gives, in the world of the original, beside its masks and its
    cloud; cameras are told by where they stand, since layouts name and order them in their own way."""

    read: Scene
    original: Scene
    name = property(lambda self: self.original.name)
    fps = property(lambda self: self.original.fps)
    timestep_count = property(lambda self: self.original.timestep_count)
    source_from_world = property(lambda self: self.original.source_from_world)

    @cached_property
    def _places(self) -> list[tuple[str, int]]:
        """Split and index of what is read as each training camera of the original, by the way cameras are apart."""
        read = [(split, i, c) for split in ("train", "test") for i, c in enumerate(self.read.cameras(split))]
        true = [*self.original.cameras("train"), *self.original.cameras("test")]
        apart = _apart([camera for *_, camera in read])
        rows = [int(np.abs(apart - row).sum(axis=1).argmin()) for row in _apart(true)]
        assert len(set(rows)) == len(rows) == len(read), "a different camera for each"
        return [read[row][:2] for row in rows]

    @cached_property
    def _original_from_read(self) -> np.ndarray:
        """What takes the first camera to where it is in the original: worlds may be turned as a whole."""
        split, index = self._places[0]
        read = self.read.cameras(split)[index].world_from_camera
        return self.original.cameras("train")[0].world_from_camera @ np.linalg.inv(read)

    def cameras(self, split: str, timestep: int = 0) -> tuple[Camera, ...]:
        true, read = self.original.cameras(split, timestep), {s: self.read.cameras(s, timestep) for s in self._splits}
        return tuple(
            replace(
                read[s][i], name=camera.name, world_from_camera=self._original_from_read @ read[s][i].world_from_camera
            )
            for camera, (s, i) in zip(true, self._of(split), strict=True)
        )

    def frame(self, timestep: int, split: str = "train") -> Frame:
        true, read = self.original.frame(timestep, split), {s: self.read.frame(timestep, s) for s in self._splits}
        images = tuple(read[s].images[i] for s, i in self._of(split))
        return replace(true, cameras=self.cameras(split, timestep), images=images)

    def point_cloud(self) -> PointCloud | None:
        return self.original.point_cloud()

    def ground_truth(self) -> None:
        return None

    def validate(self, timesteps: range) -> None:
        self.read.validate(timesteps)

    @property
    def _splits(self) -> set[str]:
        return {split for split, _ in self._places}

    def _of(self, split: str) -> list[tuple[str, int]]:
        count = len(self.original.cameras("train"))
        return self._places[:count] if split == "train" else self._places[count:]


def _apart(cameras: list[Camera]) -> np.ndarray:
    """How far each camera is from all, sorted: what no motion of the world changes; shape [n, n]."""
    centers = np.stack([camera.center_world for camera in cameras])
    return np.sort(np.linalg.norm(centers[:, None] - centers, axis=2), axis=1)


def displacements(scene: Scene, of: PointCloud) -> np.ndarray:
    """How far the tracks nearest to the foreground of a cloud go, from the first timestep to the last, shape [n, 3]."""
    fast = PRESETS["fast"]
    config = replace(fast, reconstruct=replace(fast.reconstruct, steps=100))
    states = [state.gaussians for state in track(scene, config)]
    foreground = states[0].foreground > 0.5
    nearest = cKDTree(states[0].means[foreground]).query(of.points[of.foreground])[1]
    return (states[-1].means[: len(foreground)][foreground] - states[0].means[foreground])[nearest]


@pytest.fixture(scope="module")
def scene():
    return tumble(OPTIONS)


@pytest.fixture(scope="module")
def expected(scene):
    return displacements(scene, scene.point_cloud())


@pytest.mark.parametrize("layout", LAYOUTS | LOSSY)
def test_every_layout_gives_the_same_cameras_and_pictures(scene, tmp_path, layout):
    (LAYOUTS | LOSSY)[layout](tmp_path / "capture", scene)
    read = AsRead(open_scene(tmp_path / "capture"), scene)
    read.validate(range(scene.timestep_count))
    for timestep in range(scene.timestep_count):
        for split in ("train", "test"):
            frame, truth = read.frame(timestep, split), scene.frame(timestep, split)
            for camera, true in zip(frame.cameras, truth.cameras, strict=True):
                assert (camera.width, camera.height) == (true.width, true.height)
                np.testing.assert_allclose(camera.intrinsics, true.intrinsics, rtol=0, atol=1e-6)
                np.testing.assert_allclose(camera.world_from_camera, true.world_from_camera, rtol=0, atol=1e-6)
            difference = np.abs(np.stack(frame.images).astype(int) - np.stack(truth.images))
            assert difference.max() == 0 if layout in LAYOUTS else difference.mean() < 8.0


@pytest.mark.parametrize("layout", TRACKED)
def test_every_layout_gives_the_same_tracks(scene, expected, tmp_path, layout):
    (LAYOUTS | LOSSY)[layout](tmp_path / "capture", scene)
    found = displacements(AsRead(open_scene(tmp_path / "capture"), scene), scene.point_cloud())
    apart, gone = np.linalg.norm(found - expected, axis=1), np.linalg.norm(expected, axis=1)
    assert np.median(apart) < 0.05 * np.median(gone)
