"""A page of figures: one PNG, and one HTML file that needs no other."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from scipy.spatial.transform import Rotation

from warpgs.bodies import Parts
from warpgs.checks import check_absent
from warpgs.files import whole_file
from warpgs.types import Tracks
from warpgs.view.pictures import save_picture
from warpgs.view.plots import Panel, draw_over_time

MARGIN_PX, GAP_PX = 20, 24
STYLE = """body { font: 15px sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
img { max-width: 100% } td { padding: 0 1.5em 0.2em 0 } h2 { margin-top: 1.6em }"""


@dataclass(frozen=True, eq=False)
class Section:
    """A picture with a heading."""

    heading: str
    """What it is."""
    picture: np.ndarray
    """8-bit RGB, shape [h, w, 3]."""
    note: str = ""
    """How to read it."""


def over_time(heading: str, timesteps: Sequence[int], panels: Sequence[Panel], note: str = "") -> Section:
    """A section of panels over the same timesteps."""
    return Section(heading, rasterize(draw_over_time(timesteps, panels, heading)), note)


def motion_panels(parts: Parts) -> list[Panel]:
    """The pose of every part: where its center is, how far it has turned since its birth, and how badly it fits."""
    positions = {f"{axis} [m]": parts.world_from_part[:, :, i, 3] for i, axis in enumerate("xyz")}
    turns = Rotation.from_matrix(parts.world_from_part[..., :3, :3].reshape(-1, 3, 3)).magnitude()
    values = positions | {
        "turned [deg]": np.degrees(turns).reshape(parts.residual.shape),
        "residual [cm]": 100.0 * parts.residual,
    }
    absent = np.arange(len(parts.residual))[:, None] < parts.birth
    panels = []
    for label, curves in values.items():
        known = np.where(absent, np.nan, curves)
        panels.append(Panel(label, {name: known[:, part].tolist() for part, name in enumerate(parts.names)}))
    return panels


def trust_panel(tracks: Tracks) -> Panel | None:
    """Mean confidence and visibility of the foreground over time; None where the tracks do not say."""
    chosen = tracks.foreground > 0.5
    if tracks.confidence is None or tracks.visibility is None or not chosen.any():
        return None
    shares = {"confidence": tracks.confidence, "visibility": tracks.visibility}
    return Panel("foreground, 0..1", {name: values[:, chosen].mean(axis=1).tolist() for name, values in shares.items()})


def save_page(
    path: Path, title: str, facts: Mapping[str, str], sections: Sequence[Section], *, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write ``path`` (.html) with everything in it, and beside it a .png of the pictures alone.

    Raises:
        FileExistsError: either exists and ``overwrite`` is not set.
    """
    png = path.with_suffix(".png")
    for file in (path, png):
        check_absent(file, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_text(_html(title, facts, sections), encoding="utf-8")
    save_picture(png, stack([section.picture for section in sections]))
    return path, png


def stack(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of any sizes one below the other in the middle of a white page, 8-bit RGB, shape [h, w, 3]."""
    width = max((picture.shape[1] for picture in pictures), default=0) + 2 * MARGIN_PX
    height = sum(picture.shape[0] + GAP_PX for picture in pictures) + 2 * MARGIN_PX
    page = np.full((height, width, 3), 255, np.uint8)
    y = MARGIN_PX
    for picture in pictures:
        x = (width - picture.shape[1]) // 2
        page[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        y += picture.shape[0] + GAP_PX
    return page


def rasterize(figure: Figure) -> np.ndarray:
    """The pixels of a figure, 8-bit RGB, shape [h, w, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _html(title: str, facts: Mapping[str, str], sections: Sequence[Section]) -> str:
    text = html.escape
    lines = ["<!DOCTYPE html>", '<html lang="en"><head><meta charset="utf-8">']
    lines += [f"<title>{text(title)}</title>", f"<style>{STYLE}</style></head><body>", f"<h1>{text(title)}</h1>"]
    rows = (f"<tr><td>{text(name)}</td><td>{text(value)}</td></tr>" for name, value in facts.items())
    lines += ["<table>", *rows, "</table>"]
    for section in sections:
        lines += [f"<h2>{text(section.heading)}</h2>", f"<p>{text(section.note)}</p>" if section.note else ""]
        lines += [f'<img alt="{text(section.heading)}" src="data:image/png;base64,{_png(section.picture)}">']
    return "\n".join([*lines, "</body></html>", ""])


def _png(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
