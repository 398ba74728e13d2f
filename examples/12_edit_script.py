"""Edit a run from the command line: a script cuts out a part, dresses it, and the result is a run like any other.

python examples/12_edit_script.py --output script.png
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from scenes import open_scene
from scenes.synthetic import perfect_tracks
from usd_export import export
from warpgs.cli import main as warpgs
from warpgs.edit import center, in_ranges, lengthen, placing, take, transform
from warpgs.run import Run, write_run
from warpgs.view import save_picture, strip

SCRIPT = """
base = "runs/plain"

[[step]]
do = "cut"
part = "part_00"
piece = "crate"

[[step]]
do = "recolor"
of = "crate"
color = [0.1, 0.7, 0.2]
shading = true

[[step]]
do = "insert"            # a scan in a unit of its own
file = "hat.ply"
piece = "hat"
foreground = true
scale = 0.01
translate = [0.63, 0.08, 1.2]

[[step]]
do = "attach"
of = "hat"
to = "crate"

[[step]]
do = "freeze"            # the others stop
at = 4
"""
TIMESTEPS = 8


@dataclass(frozen=True)
class Imagined:
    """The settings of a run that nobody tracked."""

    why: str = "an example"


def main(output: Path | None = None) -> None:
    """Write a run and a scan, edit, and look at what came out.

    Args:
        output: Where to write the picture, a .png; a temporary folder when not given.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scene = open_scene("plain")
        tracks = lengthen(perfect_tracks(scene), TIMESTEPS)
        write_run(folder / "runs" / "plain", tracks, scene, Imagined())
        # The scan: the blue box at one instant, around its own origin, in centimetres.
        blue = in_ranges(tracks, {"foreground": (0.5, 1.0), "red": (0.0, 0.3), "blue": (0.4, 1.0)})
        hat = lengthen(take(tracks, blue), 1)
        hat = transform(hat, placing(translate=-center(hat)))
        export(transform(hat, placing(scale=100.0)), folder / "hat.ply")
        (folder / "edit.toml").write_text(SCRIPT, encoding="utf-8")

        assert warpgs(["edit", str(folder / "edit.toml"), "--output", str(folder / "runs" / "edited")]) == 0
        edited = Run.open(folder / "runs" / "edited").tracks()
        assert len(edited.foreground) == len(tracks.foreground) + len(hat.foreground)
        print(f"{len(edited.foreground)} particles at {len(edited)} timesteps")

        # The last particles are the hat: as large as it was, and rigid with the crate. All else stops at timestep 4.
        worn = edited.means[:, -len(hat.foreground) :].astype(np.float64)
        size, was = np.ptp(worn[0], axis=0), np.ptp(hat.means[0], axis=0)
        assert np.abs(size - was).max() < 1e-4
        apart = np.linalg.norm(worn[:, 0] - worn[:, -1], axis=1)
        assert np.abs(apart - apart[0]).max() < 1e-4 and np.linalg.norm(worn[-1, 0] - worn[0, 0]) > 0.1
        others = edited.means[:, : (tracks.foreground < 0.5).sum()]  # in the order of the pieces: scene, crate, hat
        assert np.array_equal(others[4], others[-1])

        # Every verb opens it.
        assert warpgs(["edit", str(folder / "edit.toml"), "--output", str(folder / "edited.usdc")]) == 0
        assert warpgs(["check", str(folder / "edited.usdc")]) == 0
        options = ["--output", str(folder / "views"), "--cameras", "orbit"]
        assert warpgs(["render", str(folder / "runs" / "edited"), *options]) == 0
        views = [np.asarray(Image.open(folder / "views" / "orbit" / f"{t:06d}.png")) for t in (0, 2, 4, 6)]
        picture = output or folder / "script.png"
        save_picture(picture, strip([views]))
        assert picture.stat().st_size > 0


if __name__ == "__main__":
    tyro.cli(main)
