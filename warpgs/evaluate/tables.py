"""A report for people: the headline figures, a line per body, and a line per timestep where asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from warpgs.evaluate.reliability import EDGES, SURE_FROM, Reliability
from warpgs.evaluate.report import Report, at
from warpgs.evaluate.scores import TrackScore

Rows = list[tuple[str, str]]

NOT_MEASURED = "not measured"


def table(report: Report, *, per_timestep: bool = False) -> str:
    """The figures of a report, one a line; then a line for each body, and for each instant where asked for."""
    rows = [*_picture_rows(report), *_track_rows(report), *_trust_rows(report), *_cost_rows(report)]
    width = max(len(label) for label, _ in rows)
    lines = [f"{report.scene}, timesteps {report.timesteps[0]} to {report.timesteps[-1]}"]
    if not report.held_out:
        lines.append("No held-out cameras: the pictures below are of TRAINING cameras and flatter the result.")
    lines += [f"  {label:<{width}}  {figure}" for label, figure in rows]
    if len(report.body_reports) > 1:
        lines += ["", *_body_lines(report)]
    if report.reliability is not None:
        lines += ["", *_reliability_lines(report.reliability)]
    if per_timestep:
        lines += ["", *_timestep_lines(report)]
    return "\n".join(lines)


def _picture_rows(report: Report) -> Rows:
    kind = "held-out" if report.held_out else "training"
    rows = [(f"PSNR, {kind} cameras", _text(report.psnr, "dB")), ("SSIM", _text(report.ssim, "", 3))]
    names = list(dict.fromkeys(p.camera for p in report.pictures))
    for name in names if len(names) > 1 else []:
        rows.append((f"  camera {name}", _text(report.picture_mean("psnr", camera=name), "dB")))
    if not math.isnan(report.foreground_psnr):
        rows.append(("PSNR, foreground", _text(report.foreground_psnr, "dB")))
        rows.append(("SSIM, foreground", _text(report.foreground_ssim, "", 3)))
    if not math.isnan(report.flicker):
        rows.append(("flicker of what stands still", _text(report.flicker, "of 255 levels")))
    return rows


def _track_rows(report: Report) -> Rows:
    if report.space is None:
        return [("tracks", "not measured: the scene has no ground truth")]
    space, rows = report.space, []
    rows.append(("3D tracks", _count_text(space)))
    rows.append(("3D error, mean of medians", _text(100.0 * space.mte_mean, "cm")))
    rows.append(("3D error, median", _text(100.0 * space.mte_median, "cm")))
    rows.append(("3D within 1-16 cm (delta)", _text(100.0 * space.delta, "%", 1)))
    rows.append(("3D survival (50 cm)", _text(100.0 * space.survival, "%", 1)))
    rows.append(("rotation error, median", _text(space.rotation_median_deg, "deg")))
    rows.append(("rotation error, mean of medians", _text(space.rotation_mean_deg, "deg")))
    if report.worst_body is not None:
        worst = report.bodies[report.worst_body]
        figures = f"{_text(100.0 * worst.mte_mean, 'cm')}, {_text(worst.rotation_mean_deg, 'deg')}"
        rows.append((f"worst body: {report.worst_body}", figures))
    if report.plane is not None:
        rows.append(("2D tracks", _count_text(report.plane)))
        rows.append(("2D error, mean of medians", _text(report.plane.mte_mean, "px of 256")))
        rows.append(("2D error, median", _text(report.plane.mte_median, "px of 256")))
        rows.append(("2D within 1-16 px (delta)", _text(100.0 * report.plane.delta, "%", 1)))
        rows.append(("2D survival (50 px)", _text(100.0 * report.plane.survival, "%", 1)))
        rows.append(("average Jaccard (TAP-Vid)", _text(100.0 * report.plane.jaccard, "%", 1)))
        rows.append(("occlusion accuracy", _text(100.0 * report.plane.occlusion_accuracy, "%", 1)))
    return rows


def _trust_rows(report: Report) -> Rows:
    trust = report.reliability
    if trust is None:
        return []
    sure = f"{_text(100.0 * trust.sure_right, '%', 1)} right, of {_text(100.0 * trust.sure, '%', 1)} of all"
    lost = f"{_text(100.0 * trust.called_lost, '%', 1)}, {_text(100.0 * trust.lost, '%', 1)} are"
    return [
        (f"called {100.0 * SURE_FROM:.0f} % sure", sure),
        (f"called lost (beyond {100.0 * trust.tolerance_m:.3g} cm)", lost),
        ("calibration error", _text(100.0 * trust.error, "%", 1)),
    ]


def _reliability_lines(trust: Reliability) -> list[str]:
    """One line for each bin of confidence: how sure the run is, and how often it is right."""
    head = ["confidence", "of all %", "expected %", "observed %"]
    lines = []
    for i, bounds in enumerate(pairwise(EDGES)):
        figures = (trust.shares[i], trust.expected[i], trust.observed[i])
        lines.append(["{:g} to {:g}".format(*bounds), *(_text(100.0 * figure, "", 1) for figure in figures)])
    return _columns(head, lines)


def _cost_rows(report: Report) -> Rows:
    return [
        ("first timestep", _text(report.seconds_first, "s")),
        ("seconds per later timestep", _text(report.seconds_per_timestep, "s")),
        ("Gaussians", f"{report.gaussian_count}, {report.foreground_count} of them foreground"),
        ("stored per timestep", _text(report.bytes_per_timestep / 1e6, "MB")),
    ]


def _body_lines(report: Report) -> list[str]:
    """Means of medians, so that a lost track counts; the rotation of the points, then of the body as a whole."""
    head = ["body", "tracks", "3D cm", "delta %", "survival %", "deg", "body deg", "2D px", "Jaccard %", "occlusion %"]
    lines = []
    for name, body in report.body_reports.items():
        space, plane = body.space.overall, None if body.plane is None else body.plane.overall
        figures = [100.0 * space.mte_mean, 100.0 * space.delta, 100.0 * space.survival, space.rotation_mean_deg]
        figures += [body.pose.rotation_median_deg, *_plane_figures(plane)]
        lines.append([name, str(space.count), *(_text(figure, "", 2) for figure in figures)])
    return _columns(head, lines)


def _timestep_lines(report: Report) -> list[str]:
    head = ["timestep", "PSNR dB", "SSIM", "flicker", "3D cm", "delta %", "alive %", "deg"]
    head += ["2D px", "Jaccard %", "occlusion %", "s", "MB"]
    lines = []
    for index, timestep in enumerate(report.timesteps):
        pictures = [report.picture_mean(name, timestep=timestep) for name in ("psnr", "ssim", "flicker")]
        space, nan = at(report.in_space, index), float("nan")
        figures = [nan] * 4
        if space is not None:
            figures = [100.0 * space.mte_mean, 100.0 * space.delta, 100.0 * space.survival, space.rotation_mean_deg]
        figures = [*pictures, *figures, *_plane_figures(at(report.in_pictures, index))]
        figures += [report.seconds[index], report.bytes[index] / 1e6]
        lines.append([str(timestep), *(_text(figure, "", 2) for figure in figures)])
    return _columns(head, lines)


def _plane_figures(score: TrackScore | None) -> tuple[float, float, float]:
    if score is None:
        return (float("nan"),) * 3
    return score.mte_mean, 100.0 * score.jaccard, 100.0 * score.occlusion_accuracy


def _columns(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Names to the left, figures to the right; what was not measured is a dash."""
    cells = [head, *([("-" if cell == NOT_MEASURED else cell) for cell in line] for line in lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return [
        "  " + "  ".join([f"{line[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in cells
    ]


NOT_MEASURED = "not measured"


def _count_text(value: TrackScore) -> str:
    far = f", {value.unassigned} of them beyond 3 sigma of every particle" if value.unassigned else ""
    return f"{value.count}{far}"


def _text(value: float, unit: str, digits: int = 2) -> str:
    if math.isnan(value):
        return NOT_MEASURED
    return f"{value:.{digits}f} {unit}".rstrip()
