"""What flows between the rooms: frozen dataclasses over NumPy arrays, no Warp.

World: right-handed, z up, metres (or the source's unit where its scale is unknown). Cameras: OpenCV (x right, y down, z
forward), pixel centers at +0.5. Quaternions outside Warp are named ``_wxyz``. Stored forms are in the name:
``log_scales``, ``opacity_logits``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

Split = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated camera at one instant."""

    name: str
    """The source's own id, used to name pictures."""
    width: int
    """Image width [px]."""
    height: int
    """Image height [px]."""
    intrinsics: np.ndarray
    """Pinhole matrix K [px], shape [3, 3], float64; the center of the first pixel is (0.5, 0.5)."""
    world_from_camera: np.ndarray
    """Rigid transform, camera to world, shape [4, 4], float64."""
    orthographic: bool = False
    """Rays are parallel: pixel = intrinsics @ (x, y, 1), focal lengths in px per metre. For inspection only: what fits
    pictures expects pinholes."""

    @property
    def camera_from_world(self) -> np.ndarray:
        """Rigid transform, world to camera, shape [4, 4]."""
        return np.linalg.inv(self.world_from_camera)

    @property
    def center_world(self) -> np.ndarray:
        """Optical center [m], world frame, shape [3]."""
        return self.world_from_camera[:3, 3]

    def resized(self, width: int, height: int) -> Camera:
        """The same camera with its picture resampled to ``width`` x ``height`` pixels."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return replace(self, width=width, height=height, intrinsics=scale @ self.intrinsics)

    def turned(self, turn: np.ndarray) -> Camera:
        """The same camera turned about its center by a rotation vector in its own frame [rad], shape [3]."""
        pose = self.world_from_camera.copy()
        pose[:3, :3] = pose[:3, :3] @ Rotation.from_rotvec(turn).as_matrix()
        return replace(self, world_from_camera=pose)


@dataclass(frozen=True, eq=False)
class Frame:
    """Pictures of one instant from several cameras."""

    timestep: int
    """Index of the instant in its scene, from 0."""
    time_s: float
    """Time since timestep 0 [s]."""
    cameras: tuple[Camera, ...]
    """One per picture; they may move from frame to frame."""
    images: tuple[np.ndarray, ...]
    """RGB pictures, uint8, shape [height, width, 3] each."""
    masks: tuple[np.ndarray, ...] | None
    """Foreground share of each pixel, uint8 0..255, shape [height, width] each; None where the scene has no masks."""


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Colored points that start the first timestep."""

    points: np.ndarray
    """Positions [m], world frame, shape [n, 3], float32, or float64 where the origin is far away."""
    colors: np.ndarray
    """RGB 0..1, shape [n, 3], float32."""
    foreground: np.ndarray | None
    """True where the point belongs to a moving object, shape [n], bool; None where unknown."""


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Oriented particles at one instant. All arrays are float32."""

    means: np.ndarray
    """Centers [m], world frame, shape [n, 3]."""
    rotations_wxyz: np.ndarray
    """Unit quaternions, world from particle, shape [n, 4]."""
    log_scales: np.ndarray
    """Natural logarithm of one standard deviation [m] along each particle axis, shape [n, 3]."""
    colors: np.ndarray
    """RGB, nominally 0..1 but not clamped, shape [n, 3]."""
    opacity_logits: np.ndarray
    """Logit of the opacity, shape [n]."""
    foreground: np.ndarray
    """Probability 0..1 that the particle belongs to a moving object, shape [n]."""
    harmonics: np.ndarray | None = None
    """What the direction of sight, world frame, adds to ``colors``: coefficients of real spherical harmonics of degrees
    1 up to 1, 2 or 3, in the order and with the signs of 3DGS, shape [n, m, 3], m = 3, 8 or 15. None: nothing."""

    def __len__(self) -> int:
        return len(self.means)

    def arrays(self) -> dict[str, np.ndarray]:
        """Name to array; no harmonics where colors do not depend on the direction of sight."""
        return {name: array for name, array in vars(self).items() if array is not None}

    def select(self, rows: np.ndarray | slice) -> Gaussians:
        """The particles at ``rows``: indices, in their order, a mask of shape [n], bool, or a slice, which copies
        nothing."""
        return Gaussians(**{name: array[rows] for name, array in self.arrays().items()})

    @staticmethod
    def join(parts: Sequence[Gaussians]) -> Gaussians:
        """Those of all parts, one after the other; all with harmonics of one degree, or all without."""
        names = parts[0].arrays()
        return Gaussians(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@dataclass(frozen=True, eq=False)
class Judgment:
    """How far the tracks of one instant can be trusted. What stays where it was is not judged: it counts as certain and
    seen."""

    confidence: np.ndarray
    """Probability 0..1 that a particle is within ``tolerance`` of where the surface it lay on at its first instant has
    gone, shape [n], float32."""
    visibility: np.ndarray
    """Share of a particle's light that reaches the training views, 0..1, shape [n], float32."""
    tolerance: float
    """The distance that ``confidence`` speaks of [m]."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """The pose of every particle at every timestep, with what stays constant. The result of a run."""

    means: np.ndarray
    """Centers [m], world frame, shape [t, n, 3], float32."""
    rotations_wxyz: np.ndarray
    """Unit quaternions, world from particle, shape [t, n, 4], float32."""
    log_scales: np.ndarray
    """As in Gaussians, shape [n, 3]."""
    colors: np.ndarray
    """As in Gaussians, shape [n, 3]."""
    opacity_logits: np.ndarray
    """As in Gaussians, shape [n]."""
    foreground: np.ndarray
    """As in Gaussians, shape [n]."""
    timesteps: tuple[int, ...]
    """The scene's index of each of the t instants."""
    fps: float
    """Instants per second."""
    source_from_world: np.ndarray
    """Similarity from the world frame to the source's own frame and unit, shape [4, 4], float64."""
    camera_names: tuple[str, ...]
    """Training cameras, in the order of the color corrections."""
    camera_log_gains: np.ndarray
    """Per-camera color correction: picture = exp(log_gain) * color + offset; shape [c, 3], float32."""
    camera_offsets: np.ndarray
    """See ``camera_log_gains``; shape [c, 3], float32."""
    camera_turns: np.ndarray | None = None
    """How far each training camera is turned about its center from its calibration: rotation vectors in its own frame
    [rad], shape [c, 3], float32. None where none is."""
    harmonics: np.ndarray | None = None
    """As in Gaussians, shape [n, m, 3], float32; None where colors do not depend on the direction of sight."""
    birth: np.ndarray | None = None
    """Index into ``timesteps`` of the first instant at which each particle exists, never falling, shape [n], int32;
    before, it is held at the pose of its birth. None: all exist from the first instant on."""
    confidence: np.ndarray | None = None
    """As in Judgment, shape [t, n], float32; 1 before a birth. None where the run does not say."""
    visibility: np.ndarray | None = None
    """As in Judgment, shape [t, n], float32; 1 before a birth. None where the run does not say."""
    tolerance: float | None = None
    """As in Judgment [m]."""

    def __len__(self) -> int:
        return len(self.means)

    def at(self, index: int) -> Gaussians:
        """The particles that exist at the ``index``-th stored instant (an index into ``timesteps``, not a scene
        timestep): the first of all, so that an index into them is one into the tracks."""
        return self.all_at(index).select(slice(self.count_at(index)))

    def count_at(self, index: int) -> int:
        """How many particles exist at an instant."""
        exact = range(len(self))[index]
        return len(self.log_scales) if self.birth is None else int(np.searchsorted(self.birth, exact, side="right"))

    def since(self, index: int) -> Tracks:
        """The same from the ``index``-th stored instant on."""
        return replace(
            self,
            means=self.means[index:],
            rotations_wxyz=self.rotations_wxyz[index:],
            timesteps=self.timesteps[index:],
            birth=None if self.birth is None else np.maximum(self.birth - index, 0),
            confidence=None if self.confidence is None else self.confidence[index:],
            visibility=None if self.visibility is None else self.visibility[index:],
        )

    def all_at(self, index: int) -> Gaussians:
        """Every particle of the tracks at an instant; those that do not exist yet in the pose of their birth."""
        return Gaussians(
            means=self.means[index],
            rotations_wxyz=self.rotations_wxyz[index],
            log_scales=self.log_scales,
            colors=self.colors,
            opacity_logits=self.opacity_logits,
            foreground=self.foreground,
            harmonics=self.harmonics,
        )


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Exact tracks of points on the surfaces of a scene whose motion is known."""

    points: np.ndarray
    """Surface points [m], world frame, shape [t, n, 3], float32."""
    rotations_wxyz: np.ndarray
    """Rotation of each point's surface patch since timestep 0, shape [t, n, 4], float32."""
    body_index: np.ndarray
    """The body each point lies on, shape [n], int32."""
    body_names: tuple[str, ...]
    """Names that ``body_index`` refers to."""
    world_from_body: np.ndarray
    """Pose of each body, shape [t, b, 4, 4], float64; for bodies that deform, of their rest frame."""


class Scene(ABC):
    """What the engine reads: calibrated cameras and a lazy stream of frames, one timestep in memory at a time."""

    @property
    @abstractmethod
    def name(self) -> str:
        """How the user named it: a folder or a built-in scene."""

    @property
    def layout(self) -> str | None:
        """The layout that its files are read in, None where it has no files."""
        return None

    @property
    @abstractmethod
    def fps(self) -> float:
        """Instants per second."""

    @property
    @abstractmethod
    def timestep_count(self) -> int:
        """Number of instants."""

    @property
    @abstractmethod
    def source_from_world(self) -> np.ndarray:
        """Similarity from the world frame (z up) to the frame and unit of the source's files, shape [4, 4], float64."""

    @abstractmethod
    def cameras(self, split: Split, timestep: int = 0) -> tuple[Camera, ...]:
        """Cameras used for fitting (``train``) or held out (``test``, may be empty)."""

    @abstractmethod
    def frame(self, timestep: int, split: Split = "train") -> Frame:
        """Read one instant."""

    @abstractmethod
    def point_cloud(self) -> PointCloud | None:
        """The starting cloud, None where the source has none."""

    @abstractmethod
    def ground_truth(self) -> GroundTruth | None:
        """Exact tracks, None for real recordings."""

    @abstractmethod
    def validate(self, timesteps: range) -> None:
        """Check calibration and every picture that ``timesteps`` will read, without keeping any.

        Raises:
            ValueError, OSError: naming the file, what is wrong and the remedy.
        """

    def visible(self, timestep: int, camera: Camera) -> np.ndarray | None:
        """Whether ``camera`` sees each ground-truth point, shape [n], bool; None where that is not known."""
        return None

    def frames(self, split: Split = "train", timesteps: range | None = None) -> Iterator[Frame]:
        """Frames in time order; a file is opened only when its frame is reached."""
        for timestep in timesteps if timesteps is not None else range(self.timestep_count):
            yield self.frame(timestep, split)
