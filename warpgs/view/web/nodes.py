"""What the browser draws into the picture by itself: cameras, paths, frames, and splats in the fast mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import viser
from PIL import Image
from scipy.spatial.transform import Rotation

from warpgs.query.geometry import matrices_from_wxyz
from warpgs.types import Camera, Gaussians, Tracks
from warpgs.view.trails import OLDEST, Trails, positions

PICTURE_WIDTH = 160
"""Pictures in frusta are reduced to this width [px]."""
FRUSTUM_SHARE = 0.04
"""Size of a frustum, as a share of the distance of the cameras from their middle."""
AXIS_SIGMAS = 6.0
"""Length of a frame's axes in standard deviations of the particles."""
LINE_PX = 2.5


class Nodes:
    """Nodes of one visitor's scene; each call leaves it as told, and sends nothing that has not changed."""

    def __init__(self, client: viser.ClientHandle) -> None:
        self._client = client
        self._scene = client.scene
        self._frusta: list[viser.CameraFrustumHandle] = []
        self._lines: viser.LineSegmentsHandle | None = None
        self._axes: viser.BatchedAxesHandle | None = None
        self._splats: viser.GaussianSplatHandle | None = None

    def show_frusta(self, cameras: Sequence[Camera], pictures: Sequence[np.ndarray] | None) -> None:
        """Cameras where they stand, with their pictures where there are any; none: no cameras."""
        if len(cameras) != len(self._frusta):
            for handle in self._frusta:
                handle.remove()
            self._frusta = [self._add_frustum(number, camera, cameras) for number, camera in enumerate(cameras)]
        for number, (handle, camera) in enumerate(zip(self._frusta, cameras, strict=True)):
            handle.position, handle.wxyz = camera.center_world, _wxyz(camera)
            handle.image = None if pictures is None else _reduced(pictures[number])

    def show_trails(self, tracks: Tracks, trails: Trails | None, index: int) -> None:
        """Paths until an instant; None: no paths."""
        if trails is None:
            if self._lines is not None:
                self._lines.remove()
                self._lines = None
            return
        points, colors = segments(positions(trails, tracks, index), trails.colors)
        if self._lines is None:
            options = {"thickness": LINE_PX, "thickness_units": "screen"}
            self._lines = self._scene.add_line_segments("/trajectories", points, colors, **options)
        else:
            self._lines.points, self._lines.colors = points, colors

    def show_axes(self, tracks: Tracks, chosen: np.ndarray | None, index: int) -> None:
        """The frames of chosen particles at an instant; None: no frames."""
        if self._axes is not None and (chosen is None or len(chosen) != len(self._axes.batched_wxyzs)):
            self._axes.remove()
            self._axes = None
        if chosen is None or not len(chosen):
            return
        wxyzs, places = tracks.rotations_wxyz[index, chosen], tracks.means[index, chosen]
        if self._axes is None:
            length = AXIS_SIGMAS * float(np.exp(np.median(tracks.log_scales[chosen].max(axis=1))))
            options = {"axes_length": length, "axes_radius": 0.05 * length}
            self._axes = self._scene.add_batched_axes("/frames", wxyzs, places, **options)
        else:
            self._axes.batched_wxyzs, self._axes.batched_positions = wxyzs, places

    def show_splats(self, gaussians: Gaussians | None) -> None:
        """Particles drawn by the browser; None: none."""
        if self._splats is not None:
            self._splats.remove()
            self._splats = None
        if gaussians is not None and len(gaussians):
            axes = matrices_from_wxyz(gaussians.rotations_wxyz) * np.exp(gaussians.log_scales)[:, None, :]
            self._splats = self._scene.add_gaussian_splats(
                "/splats",
                gaussians.means,
                axes @ np.swapaxes(axes, 1, 2),
                np.clip(gaussians.colors, 0.0, 1.0),
                0.5 + 0.5 * np.tanh(0.5 * gaussians.opacity_logits[:, None]),
            )

    def _add_frustum(self, number: int, camera: Camera, cameras: Sequence[Camera]) -> viser.CameraFrustumHandle:
        centers = np.stack([each.center_world for each in cameras])
        spread = float(np.linalg.norm(centers - centers.mean(axis=0), axis=1).mean()) or 1.0
        fov = 2.0 * np.arctan(0.5 * camera.height / camera.intrinsics[1, 1])
        handle = self._scene.add_camera_frustum(
            f"/cameras/{number}",
            fov,
            camera.width / camera.height,
            scale=FRUSTUM_SHARE * spread,
            thickness=1.5,
            thickness_units="screen",
            color=(255, 160, 0),
        )

        def look_through(_: object) -> None:
            with self._client.atomic():
                self._client.camera.wxyz, self._client.camera.position = handle.wxyz, handle.position
                self._client.camera.fov = fov

        handle.on_click(look_through)
        return handle


def segments(points: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Paths as lines from point to point, fainter towards the oldest.

    Args:
        points: Oldest first [m], shape [s, m, 3]; a path has a gap where they are not finite.
        colors: 8-bit RGB of each path, shape [m, 3].

    Returns:
        Ends, shape [k, 2, 3], float32, and their colors, 8-bit RGB, shape [k, 2, 3].
    """
    steps = len(points)
    ends = np.stack([points[:-1], points[1:]], axis=2)
    strength = 1.0 - (1.0 - OLDEST) * np.arange(steps - 1, -1, -1) / max(steps, 1)
    shades = strength[:, None, None] * colors
    shades = np.stack([shades[:-1], shades[1:]], axis=2)
    known = np.isfinite(ends).all(axis=(2, 3))
    return ends[known].astype(np.float32), shades[known].astype(np.uint8)


def _wxyz(camera: Camera) -> np.ndarray:
    return Rotation.from_matrix(camera.world_from_camera[:3, :3]).as_quat(scalar_first=True)


def _reduced(picture: np.ndarray) -> np.ndarray:
    height = max(1, round(picture.shape[0] * PICTURE_WIDTH / picture.shape[1]))
    return np.asarray(Image.fromarray(picture).resize((PICTURE_WIDTH, height), Image.Resampling.BOX))
