"""Everything that is measured about a run: pictures against held-out cameras, tracks against the truth, cost."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from warpgs.checks import refuse
from warpgs.evaluate.images import psnr, ssim
from warpgs.evaluate.trajectories import (
    SURVIVAL_M,
    SURVIVAL_PX,
    THRESHOLDS_M,
    THRESHOLDS_PX,
    TrackScore,
    errors_in_picture,
    errors_in_space,
    score,
)
from warpgs.types import Camera, Frame, Gaussians, GroundTruth, Scene, Split, Tracks

if TYPE_CHECKING:
    from warpgs.render import Renderer
    from warpgs.run import Run


@dataclass(frozen=True)
class PictureScore:
    """How one rendered picture matches the recorded one."""

    camera: str
    """Camera.name."""
    timestep: int
    """Index of the instant in the scene."""
    psnr: float
    """Whole picture [dB]."""
    ssim: float
    """Whole picture."""
    foreground_psnr: float
    """Inside the mask [dB]; NaN where the scene has no masks or the mask is empty."""
    foreground_ssim: float
    """Inside the mask; NaN where the scene has no masks or the mask is empty."""


@dataclass(frozen=True)
class Report:
    """The result of ``evaluate``."""

    scene: str
    """Name of the scene."""
    timesteps: tuple[int, ...]
    """Instants evaluated."""
    held_out: bool
    """True where the pictures are of cameras that took no part in the fitting."""
    image_scale: float
    """Size of the compared pictures relative to the source's."""
    gaussian_count: int
    """All particles."""
    foreground_count: int
    """Particles more likely foreground than not."""
    pictures: tuple[PictureScore, ...]
    """Every camera and instant."""
    space: TrackScore | None
    """Tracks in space [m]; None without ground truth."""
    bodies: dict[str, TrackScore]
    """The same for each body."""
    plane: TrackScore | None
    """Tracks in held-out pictures [px of 256]; None where ground truth or visibility is unknown."""
    seconds: tuple[float, ...]
    """Time each timestep took to track [s]; the first is the reconstruction. NaN where the log lacks it."""
    bytes_per_timestep: float
    """Mean size of a stored pose."""

    @property
    def psnr(self) -> float:
        """Mean over pictures [dB]."""
        return _mean([p.psnr for p in self.pictures])

    @property
    def ssim(self) -> float:
        """Mean over pictures."""
        return _mean([p.ssim for p in self.pictures])

    @property
    def foreground_psnr(self) -> float:
        """Mean over pictures with foreground [dB]."""
        return _mean([p.foreground_psnr for p in self.pictures])

    @property
    def foreground_ssim(self) -> float:
        """Mean over pictures with foreground."""
        return _mean([p.foreground_ssim for p in self.pictures])

    @property
    def seconds_first(self) -> float:
        """Time of the first timestep [s]."""
        return self.seconds[0]

    @property
    def seconds_per_timestep(self) -> float:
        """Mean time of the later timesteps [s]."""
        return _mean(self.seconds[1:])

    @property
    def worst_body(self) -> str | None:
        """The body with the largest mean of medians; None without ground truth."""
        return max(self.bodies, key=lambda name: _nan_last(self.bodies[name].mte_mean), default=None)

    def to_json(self) -> str:
        """All figures. Lengths carry their unit in the name; infinite (lost) and undefined figures are null."""
        cameras = {
            name: {field: _mean([getattr(p, field) for p in self.pictures if p.camera == name]) for field in _FIGURES}
            for name in dict.fromkeys(p.camera for p in self.pictures)
        }
        value = {
            "scene": self.scene,
            "timesteps": self.timesteps,
            "held_out": self.held_out,
            "image_scale": self.image_scale,
            "gaussian_count": self.gaussian_count,
            "foreground_count": self.foreground_count,
            "mean": {field: getattr(self, field) for field in _FIGURES},
            "cameras": cameras,
            "pictures": [asdict(picture) for picture in self.pictures],
            "tracks_3d": _score_json(self.space, "m"),
            "bodies": {name: _score_json(body, "m") for name, body in self.bodies.items()},
            "worst_body": self.worst_body,
            "tracks_2d": _score_json(self.plane, "px256"),
            "seconds_first": self.seconds_first,
            "seconds_per_timestep": self.seconds_per_timestep,
            "seconds": self.seconds,
            "bytes_per_timestep": self.bytes_per_timestep,
        }
        return json.dumps(_finite(value), indent=2, allow_nan=False) + "\n"

    def table(self) -> str:
        """The same for people: one figure a line."""
        rows = [*self._picture_rows(), *self._track_rows(), *self._cost_rows()]
        width = max(len(label) for label, _ in rows)
        lines = [f"{self.scene}, timesteps {self.timesteps[0]} to {self.timesteps[-1]}"]
        if not self.held_out:
            lines.append("No held-out cameras: the pictures below are of TRAINING cameras and flatter the result.")
        return "\n".join([*lines, *(f"  {label:<{width}}  {figure}" for label, figure in rows)])

    def _picture_rows(self) -> list[tuple[str, str]]:
        kind = "held-out" if self.held_out else "training"
        rows = [(f"PSNR, {kind} cameras", _text(self.psnr, "dB")), ("SSIM", _text(self.ssim, "", 3))]
        names = list(dict.fromkeys(p.camera for p in self.pictures))
        for name in names if len(names) > 1 else []:
            rows.append((f"  camera {name}", _text(_mean([p.psnr for p in self.pictures if p.camera == name]), "dB")))
        if not math.isnan(self.foreground_psnr):
            rows.append(("PSNR, foreground", _text(self.foreground_psnr, "dB")))
            rows.append(("SSIM, foreground", _text(self.foreground_ssim, "", 3)))
        return rows

    def _track_rows(self) -> list[tuple[str, str]]:
        if self.space is None:
            return [("tracks", "not measured: the scene has no ground truth")]
        space, rows = self.space, []
        rows.append(("3D tracks", _count_text(space)))
        rows.append(("3D error, mean of medians", _text(100.0 * space.mte_mean, "cm")))
        rows.append(("3D error, median", _text(100.0 * space.mte_median, "cm")))
        rows.append(("3D within 1-16 cm (delta)", _text(100.0 * space.delta, "%", 1)))
        rows.append(("3D survival (50 cm)", _text(100.0 * space.survival, "%", 1)))
        rows.append(("rotation error, median", _text(space.rotation_median_deg, "deg")))
        rows.append(("rotation error, mean of medians", _text(space.rotation_mean_deg, "deg")))
        if self.worst_body is not None:
            worst = self.bodies[self.worst_body]
            figures = f"{_text(100.0 * worst.mte_mean, 'cm')}, {_text(worst.rotation_mean_deg, 'deg')}"
            rows.append((f"worst body: {self.worst_body}", figures))
        if self.plane is not None:
            rows.append(("2D tracks", _count_text(self.plane)))
            rows.append(("2D error, mean of medians", _text(1.0 * self.plane.mte_mean, "px of 256")))
            rows.append(("2D error, median", _text(self.plane.mte_median, "px of 256")))
            rows.append(("2D within 1-16 px (delta)", _text(100.0 * self.plane.delta, "%", 1)))
            rows.append(("2D survival (50 px)", _text(100.0 * self.plane.survival, "%", 1)))
        return rows

    def _cost_rows(self) -> list[tuple[str, str]]:
        return [
            ("first timestep", _text(self.seconds_first, "s")),
            ("seconds per later timestep", _text(self.seconds_per_timestep, "s")),
            ("Gaussians", f"{self.gaussian_count}, {self.foreground_count} of them foreground"),
            ("stored per timestep", _text(self.bytes_per_timestep / 1e6, "MB")),
        ]


_FIGURES = ("psnr", "ssim", "foreground_psnr", "foreground_ssim")


def evaluate(
    run: Run,
    scene: Scene,
    renderer: Renderer,
    *,
    image_scale: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Measure what a run has tracked so far.

    Pictures are compared on the held-out cameras at the source's size. Without held-out cameras the training cameras
    are compared, each with its color correction, and the report says so.

    Args:
        run: The run; only read.
        scene: The scene it was tracked from.
        renderer: Draws the particles.
        image_scale: Compare pictures of this size relative to the source's, 0..1.
        progress: Called as ``progress(done, total)`` after each instant.

    Raises:
        ValueError: nothing is tracked yet, or the scene is not the run's.
        OSError: a picture or a pose cannot be read.
    """
    if not 0.0 < image_scale <= 1.0:
        refuse("image_scale", "a number in (0, 1]", image_scale)
    if not run.completed:
        refuse(run.path, "at least one tracked timestep", "none", "track the scene first (warpgs track ... --resume)")
    tracks = run.tracks()
    if tracks.timesteps[-1] >= scene.timestep_count:
        needed = f"at least {tracks.timesteps[-1] + 1} timesteps"
        refuse(scene.name, needed, scene.timestep_count, "name the scene that the run was tracked from")
    split: Split = "test" if scene.cameras("test", tracks.timesteps[0]) else "train"
    truth = scene.ground_truth()
    space, bodies = _space(tracks, truth)
    return Report(
        scene=scene.name,
        timesteps=tracks.timesteps,
        held_out=split == "test",
        image_scale=image_scale,
        gaussian_count=len(tracks.log_scales),
        foreground_count=int((tracks.foreground > 0.5).sum()),
        pictures=_pictures(tracks, scene, split, renderer, image_scale=image_scale, progress=progress),
        space=space,
        bodies=bodies,
        plane=_plane(tracks, scene, truth, renderer) if split == "test" and truth is not None else None,
        seconds=tuple(run.read_pose(t).metrics.get("seconds", float("nan")) for t in tracks.timesteps),
        bytes_per_timestep=float(np.mean([f.stat().st_size for f in sorted((run.path / "poses").glob("*.npz"))])),
    )


def corrected(color: np.ndarray, tracks: Tracks, camera_name: str) -> np.ndarray:
    """A rendered picture as a training camera would have taken it: exp(log_gain) * color + offset, shape [h, w, 3].

    The neutral color is returned for cameras that took no part in the fitting.
    """
    if camera_name not in tracks.camera_names:
        return color
    index = tracks.camera_names.index(camera_name)
    return np.exp(tracks.camera_log_gains[index]) * color + tracks.camera_offsets[index]


def _pictures(
    tracks: Tracks,
    scene: Scene,
    split: Split,
    renderer: Renderer,
    *,
    image_scale: float,
    progress: Callable[[int, int], None] | None,
) -> tuple[PictureScore, ...]:
    scores: list[PictureScore] = []
    for index, timestep in enumerate(tracks.timesteps):
        frame = scaled(scene.frame(timestep, split), image_scale)
        for number, camera in enumerate(frame.cameras):
            color = renderer.view(tracks.at(index), camera).color
            # By split, not by name: a held-out camera may share its name with a training camera of a broken capture.
            color = corrected(color, tracks, camera.name) if split == "train" else color
            mask = None if frame.masks is None else frame.masks[number]
            scores.append(_picture_score(camera, timestep, color, frame.images[number], mask))
        if progress is not None:
            progress(index + 1, len(tracks))
    return tuple(scores)


def _picture_score(
    camera: Camera, timestep: int, color: np.ndarray, image: np.ndarray, mask: np.ndarray | None
) -> PictureScore:
    rendered = np.clip(color.astype(np.float64), 0.0, 1.0)
    truth = image / 255.0
    foreground = np.zeros(truth.shape[:2]) if mask is None else mask / 255.0
    return PictureScore(
        camera=camera.name,
        timestep=timestep,
        psnr=psnr(rendered, truth),
        ssim=ssim(rendered, truth),
        foreground_psnr=psnr(rendered, truth, foreground),
        foreground_ssim=ssim(rendered, truth, foreground),
    )


def scaled(frame: Frame, image_scale: float) -> Frame:
    """The frame with its pictures reduced by area averaging and its cameras to match; itself at scale 1."""
    if image_scale == 1.0:
        return frame
    cameras = tuple(
        camera.resized(max(1, round(camera.width * image_scale)), max(1, round(camera.height * image_scale)))
        for camera in frame.cameras
    )
    masks = None if frame.masks is None else _reduce(frame.masks, cameras)
    return Frame(frame.timestep, frame.time_s, cameras, _reduce(frame.images, cameras), masks)


def _reduce(pictures: Sequence[np.ndarray], cameras: Sequence[Camera]) -> tuple[np.ndarray, ...]:
    return tuple(
        np.asarray(Image.fromarray(picture).resize((camera.width, camera.height), Image.Resampling.BOX))
        for picture, camera in zip(pictures, cameras, strict=True)
    )


def _space(tracks: Tracks, truth: GroundTruth | None) -> tuple[TrackScore | None, dict[str, TrackScore]]:
    if truth is None:
        return None, {}
    errors = errors_in_space(tracks, truth)
    bodies = {
        name: score([errors.select(truth.body_index == index)], THRESHOLDS_M, SURVIVAL_M)
        for index, name in enumerate(truth.body_names)
        if (truth.body_index == index).any()
    }
    return score([errors], THRESHOLDS_M, SURVIVAL_M), bodies


def _plane(tracks: Tracks, scene: Scene, truth: GroundTruth, renderer: Renderer) -> TrackScore | None:
    errors = []
    for camera in scene.cameras("test", tracks.timesteps[0]):
        visible = [scene.visible(timestep, camera) for timestep in tracks.timesteps]
        known = [flags for flags in visible if flags is not None]
        if len(known) < len(visible):
            return None
        depth = surface_depth(tracks.at(0), camera, renderer)
        errors.append(errors_in_picture(tracks, camera, depth, truth, np.stack(known)))
    return score(errors, THRESHOLDS_PX, SURVIVAL_PX)


def surface_depth(gaussians: Gaussians, camera: Camera, renderer: Renderer) -> np.ndarray:
    """Expected z-depth [m] of the layer that covers more of each pixel, foreground or background, shape [h, w].

    A mean over both would put the pixels of a silhouette somewhere between. NaN where nothing is rendered.
    """
    whole = renderer.view(gaussians, camera)
    depths = []
    for chosen in (gaussians.foreground >= 0.5, gaussians.foreground < 0.5):
        layer = renderer.view(gaussians.select(chosen), camera)
        empty = np.full(layer.depth.shape, np.nan)
        depths.append(np.divide(layer.depth, layer.alpha, out=empty, where=layer.alpha > 0.0))
    return np.where(whole.foreground > 0.5 * whole.alpha, *depths)


def _score_json(value: TrackScore | None, unit: str) -> dict[str, Any] | None:
    if value is None:
        return None
    figures = asdict(value)
    return {f"{name}_{unit}" if name.startswith("mte") else name: figure for name, figure in figures.items()}


def _finite(value: Any) -> Any:
    """The same with infinity and NaN as None, which JSON lacks words for."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _mean(values: Sequence[float]) -> float:
    """Mean of those that are numbers; NaN where none is."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _nan_last(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _count_text(value: TrackScore) -> str:
    far = f", {value.unassigned} of them beyond 3 sigma of every particle" if value.unassigned else ""
    return f"{value.count}{far}"


def _text(value: float, unit: str, digits: int = 2) -> str:
    if math.isnan(value):
        return "not measured"
    return f"{value:.{digits}f} {unit}".rstrip()
