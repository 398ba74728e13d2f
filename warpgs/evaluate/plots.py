"""A report as pictures: figures over time, and tracks over the recorded pictures of the last instant."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from warpgs.evaluate.report import Report, at
from warpgs.evaluate.trajectories import PictureTracks, errors_in_space
from warpgs.types import GroundTruth, Scene, Split, Tracks
from warpgs.view import (
    Panel,
    distinct_colors,
    draw_particles,
    draw_paths,
    plot_over_time,
    plot_reliability,
    save_picture,
)
from warpgs.view.overlay import MOST_TRACKS, TAIL_INSTANTS, enlargement, evenly

MOST_CAMERAS = 4
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
        drawn = draw_particles(image, tracks, camera) if measured is None else _draw_measured(image, measured, report)
        save_picture(written[-1], drawn)
    return written


def error_panels(tracks: Tracks, truth: GroundTruth) -> list[Panel]:
    """How far true points are from where their particles carry them, at each instant."""
    errors = errors_in_space(tracks, truth)
    panels = []
    for label, values in (("3D error [cm]", 100.0 * errors.distance), ("rotation error [deg]", errors.rotation_deg)):
        if values is not None:  # none at the first instant, from which all is carried
            lines = {"mean": [0.0, *values.mean(axis=1)], "median": [0.0, *np.median(values, axis=1)]}
            panels.append(Panel(label, lines))
    return panels


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
    chosen = evenly(len(followed.track), MOST_TRACKS)
    names = [report.body_of_track[i] for i in followed.track[chosen]]
    colors = np.array([body_colors[name] for name in names]).reshape(-1, 3)
    tail = slice(-TAIL_INSTANTS, None)
    scale = enlargement(image)
    truth = draw_paths(
        image,
        followed.truth_px[tail, chosen],
        followed.truth_visible[tail, chosen],
        np.tile(TRUTH_COLOR, (len(chosen), 1)),
        scale=scale,
    )
    carried_px = scale * followed.carried_px[tail, chosen]
    return draw_paths(truth, carried_px, followed.called_visible[tail, chosen], colors)
