"""A report as pictures: figures over time, and tracks over the recorded pictures of the last instant."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from warpgs.evaluate.report import Report, at
from warpgs.evaluate.trajectories import PictureTracks
from warpgs.query.geometry import project
from warpgs.query.visibility import visible
from warpgs.types import Camera, Scene, Split, Tracks
from warpgs.view import Panel, distinct_colors, draw_paths, plot_over_time, plot_reliability, save_picture

MOST_CAMERAS = 4
MOST_TRACKS = 80
TAIL_INSTANTS = 10
"""Only the last part of each path is drawn, so that pictures stay readable."""
DRAWN_WIDTH_PX = 960
"""Pictures are enlarged to about this width."""
TRUTH_COLOR = (255, 255, 255)


def save_plots(report: Report, tracks: Tracks, scene: Scene, folder: Path) -> list[Path]:
    """Draw ``tracks.png`` and ``pictures.png`` (figures over time), ``confidence.png`` (whether it is right as often as
    it says) and ``tracks_<camera>.png`` for some cameras.

    Tracks are colored by body, their true paths white. Without ground truth, paths of foreground particles are drawn.

    Args:
        report: Of the run.
        tracks: Of the run.
        scene: The scene of the run.
        folder: Where to write; made where it is missing.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "pictures.png"]
    plot_over_time(written[0], report.timesteps, _picture_panels(report), f"{report.scene}: pictures and cost")
    if report.in_space is not None:
        written.append(folder / "tracks.png")
        plot_over_time(written[-1], report.timesteps, _track_panels(report), f"{report.scene}: errors of the tracks")
    if report.reliability is not None:
        trust = report.reliability
        written.append(folder / "confidence.png")
        title = f"{report.scene}: right within {100.0 * trust.tolerance_m:.3g} cm"
        plot_reliability(written[-1], trust.expected, trust.observed, trust.shares, title)
    split: Split = "test" if report.held_out else "train"
    frame = scene.frame(report.timesteps[-1], split)
    followed = {each.camera.name: each for each in report.picture_tracks}
    for camera, image in list(zip(frame.cameras, frame.images, strict=True))[:MOST_CAMERAS]:
        written.append(folder / f"tracks_{Path(camera.name).name}.png")
        measured = followed.get(camera.name)
        drawn = _draw_particles(image, tracks, camera) if measured is None else _draw_measured(image, measured, report)
        save_picture(written[-1], drawn)
    return written


def _picture_panels(report: Report) -> list[Panel]:
    panels = []
    for label, figures in (("PSNR [dB]", ("psnr", "foreground_psnr")), ("flicker [1/255]", ("flicker",))):
        lines = {name: [report.picture_mean(name, timestep=t) for t in report.timesteps] for name in figures}
        panels.append(Panel(label, {name: values for name, values in lines.items() if np.isfinite(values).any()}))
    return [*panels, Panel("time to track [s]", {"seconds": report.seconds})]


def _track_panels(report: Report) -> list[Panel]:
    space, rotation, plane = {}, {}, {}
    sets = {"all": (report.in_space, report.in_pictures)}
    sets |= {name: (body.space, body.plane) for name, body in report.body_reports.items()}
    for name, (in_space, in_pictures) in sets.items():
        spaces = [at(in_space, i) for i in range(len(report.timesteps))]
        planes = [at(in_pictures, i) for i in range(len(report.timesteps))]
        space[name] = [float("nan") if s is None else 100.0 * s.mte_mean for s in spaces]
        rotation[name] = [float("nan") if s is None else s.rotation_mean_deg for s in spaces]
        plane[name] = [float("nan") if s is None else 100.0 * s.jaccard for s in planes]
    panels = [Panel("mean 3D error [cm]", space), Panel("mean rotation error [deg]", rotation)]
    return panels if report.in_pictures is None else [*panels, Panel("average Jaccard [%]", plane)]


def _draw_measured(image: np.ndarray, followed: PictureTracks, report: Report) -> np.ndarray:
    """True paths in white below the carried ones, colored by body."""
    body_colors = dict(zip(report.body_reports, distinct_colors(len(report.body_reports)), strict=True))
    chosen = _evenly(len(followed.track), MOST_TRACKS)
    names = [report.body_of_track[i] for i in followed.track[chosen]]
    colors = np.array([body_colors[name] for name in names]).reshape(-1, 3)
    tail = slice(-TAIL_INSTANTS, None)
    scale = _scale(image)
    truth = draw_paths(
        image,
        followed.truth_px[tail, chosen],
        followed.truth_visible[tail, chosen],
        np.tile(TRUTH_COLOR, (len(chosen), 1)),
        scale=scale,
    )
    carried_px = scale * followed.carried_px[tail, chosen]
    return draw_paths(truth, carried_px, followed.called_visible[tail, chosen], colors)


def _draw_particles(image: np.ndarray, tracks: Tracks, camera: Camera) -> np.ndarray:
    """Paths of foreground particles that the camera sees at the last instant."""
    last = tracks.at(len(tracks) - 1)
    foreground = np.flatnonzero(last.foreground > 0.5)
    candidates = foreground[_evenly(len(foreground), 4 * MOST_TRACKS)]
    seen = candidates[visible(last.means[candidates].astype(np.float64), last, camera)]
    chosen = seen[_evenly(len(seen), MOST_TRACKS)]
    points_px, _ = project(tracks.means[-TAIL_INSTANTS:, chosen].astype(np.float64), camera)
    colors = distinct_colors(len(chosen)).reshape(-1, 3)
    return draw_paths(image, points_px, np.ones(points_px.shape[:2], bool), colors, scale=_scale(image))


def _evenly(count: int, most: int) -> np.ndarray:
    """At most ``most`` indices below ``count``, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _scale(image: np.ndarray) -> int:
    return max(1, round(DRAWN_WIDTH_PX / image.shape[1]))
