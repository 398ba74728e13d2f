"""What was measured about a run, and the same as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from warpgs.evaluate.bodies import BodyPose
from warpgs.evaluate.pictures import PictureScore
from warpgs.evaluate.reliability import EDGES, Reliability
from warpgs.evaluate.scores import TrackScore
from warpgs.evaluate.trajectories import PictureTracks

PICTURE_FIGURES = ("psnr", "ssim", "foreground_psnr", "foreground_ssim", "flicker")
"""Fields of PictureScore that have a mean."""


@dataclass(frozen=True)
class Figures:
    """Figures of a set of tracks."""

    overall: TrackScore
    """Over all instants after the first."""
    over_time: tuple[TrackScore, ...]
    """Of each instant after the first on its own."""


@dataclass(frozen=True)
class BodyReport:
    """Figures of the tracks of one body."""

    space: Figures
    """In space [m]."""
    plane: Figures | None
    """In held-out pictures [px of 256]; None where visibility is unknown."""
    pose: BodyPose
    """Of the body as a whole."""


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
    in_space: Figures | None
    """Tracks in space [m]; None without ground truth."""
    in_pictures: Figures | None
    """Tracks in held-out pictures [px of 256]; None where ground truth or visibility is unknown."""
    body_reports: dict[str, BodyReport]
    """The same for each body."""
    reliability: Reliability | None
    """Whether tracks in space can be trusted as far as the run says; None without ground truth, or where it says
    nothing."""
    picture_tracks: tuple[PictureTracks, ...]
    """What ``in_pictures`` was measured on, one entry per held-out camera; not part of the JSON."""
    body_of_track: tuple[str, ...]
    """Name of the body of every true track; empty without ground truth. Not part of the JSON."""
    seconds: tuple[float, ...]
    """Time each timestep took to track [s]; the first is the reconstruction. NaN where the log lacks it."""
    bytes: tuple[int, ...]
    """Size of each stored pose."""

    @property
    def space(self) -> TrackScore | None:
        """Tracks in space [m]; None without ground truth."""
        return None if self.in_space is None else self.in_space.overall

    @property
    def plane(self) -> TrackScore | None:
        """Tracks in held-out pictures [px of 256]; None where ground truth or visibility is unknown."""
        return None if self.in_pictures is None else self.in_pictures.overall

    @property
    def bodies(self) -> dict[str, TrackScore]:
        """Tracks in space [m] of each body."""
        return {name: body.space.overall for name, body in self.body_reports.items()}

    @property
    def psnr(self) -> float:
        """Mean over pictures [dB]."""
        return self.picture_mean("psnr")

    @property
    def ssim(self) -> float:
        """Mean over pictures."""
        return self.picture_mean("ssim")

    @property
    def foreground_psnr(self) -> float:
        """Mean over pictures with foreground [dB]."""
        return self.picture_mean("foreground_psnr")

    @property
    def foreground_ssim(self) -> float:
        """Mean over pictures with foreground."""
        return self.picture_mean("foreground_ssim")

    @property
    def flicker(self) -> float:
        """Mean over pictures after the first [1/255]."""
        return self.picture_mean("flicker")

    @property
    def seconds_first(self) -> float:
        """Time of the first timestep [s]."""
        return self.seconds[0]

    @property
    def seconds_per_timestep(self) -> float:
        """Mean time of the later timesteps [s]."""
        return _mean(self.seconds[1:])

    @property
    def bytes_per_timestep(self) -> float:
        """Mean size of a stored pose."""
        return _mean(self.bytes)

    @property
    def worst_body(self) -> str | None:
        """The body with the largest mean of medians; None without ground truth."""
        bodies = self.bodies
        return max(bodies, key=lambda name: _nan_last(bodies[name].mte_mean), default=None)

    def picture_mean(self, figure: str, *, camera: str | None = None, timestep: int | None = None) -> float:
        """Mean of one of PICTURE_FIGURES over all pictures, or over those of a camera or an instant; NaN for none."""
        return _mean(
            [
                getattr(p, figure)
                for p in self.pictures
                if (camera is None or p.camera == camera) and (timestep is None or p.timestep == timestep)
            ]
        )

    def to_json(self) -> str:
        """All figures. Lengths carry their unit in the name; infinite (lost) and undefined figures are null."""
        cameras = dict.fromkeys(p.camera for p in self.pictures)
        value = {
            "scene": self.scene,
            "timesteps": self.timesteps,
            "held_out": self.held_out,
            "image_scale": self.image_scale,
            "gaussian_count": self.gaussian_count,
            "foreground_count": self.foreground_count,
            "mean": {figure: self.picture_mean(figure) for figure in PICTURE_FIGURES},
            "cameras": {
                name: {figure: self.picture_mean(figure, camera=name) for figure in PICTURE_FIGURES} for name in cameras
            },
            "pictures": [asdict(picture) for picture in self.pictures],
            "tracks_3d": _score_json(self.space, "m"),
            "tracks_2d": _score_json(self.plane, "px256"),
            "bodies": {name: _body_json(body) for name, body in self.body_reports.items()},
            "worst_body": self.worst_body,
            "confidence": None if self.reliability is None else asdict(self.reliability) | {"edges": EDGES},
            "per_timestep": [self._timestep_json(index) for index in range(len(self.timesteps))],
            "seconds_first": self.seconds_first,
            "seconds_per_timestep": self.seconds_per_timestep,
            "seconds": self.seconds,
            "bytes_per_timestep": self.bytes_per_timestep,
        }
        return json.dumps(_finite(value), indent=2, allow_nan=False) + "\n"

    def _timestep_json(self, index: int) -> dict[str, Any]:
        """Figures of one instant, by its index into ``timesteps``; the first has no errors of tracks."""
        timestep = self.timesteps[index]
        bodies = {
            name: _score_json(at(body.space, index), "m")
            | {"pose_rotation_deg": body.pose.rotation_deg[index - 1], "pose_center_m": body.pose.center_m[index - 1]}
            for name, body in self.body_reports.items()
            if index > 0
        }
        return {
            "timestep": timestep,
            "seconds": self.seconds[index],
            "bytes": self.bytes[index],
            "pictures": {figure: self.picture_mean(figure, timestep=timestep) for figure in PICTURE_FIGURES},
            "tracks_3d": _score_json(at(self.in_space, index), "m"),
            "tracks_2d": _score_json(at(self.in_pictures, index), "px256"),
            "bodies": bodies,
        }


def at(figures: Figures | None, index: int) -> TrackScore | None:
    """The figures of one instant, by its index into ``Report.timesteps``; None at the first."""
    return figures.over_time[index - 1] if figures is not None and index > 0 else None


def _body_json(body: BodyReport) -> dict[str, Any]:
    return _score_json(body.space.overall, "m") | {
        "tracks_2d": None if body.plane is None else _score_json(body.plane.overall, "px256"),
        "pose_rotation_median_deg": body.pose.rotation_median_deg,
        "pose_center_median_m": body.pose.center_median_m,
    }


def _score_json(value: TrackScore | None, unit: str) -> dict[str, Any]:
    """Figures by name; those of distances end in their unit."""
    figures = {} if value is None else asdict(value)
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
