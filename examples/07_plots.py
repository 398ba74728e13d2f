"""One page about a run: what the log says, where tracks go wrong, how each rigid part moves, tracks over pictures.

The run is made by hand from the truth of a synthetic scene, and loses one body half way: the page shows when. The same
for a run of your own:

    warpgs plot runs/tumble --output tumble.html

    python examples/07_plots.py --output plots.png
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro

from scenes.synthetic import SyntheticOptions, SyntheticScene, perfect_tracks, tumble
from warpgs.bodies import fit_parts
from warpgs.evaluate.plots import error_panels
from warpgs.run import Run
from warpgs.types import Tracks
from warpgs.view import draw_particles, motion_panels, over_time, save_page
from warpgs.view.page import Section

TIMESTEPS = 8
LOST_AT = 4
"""From this timestep on, one body stays where it was."""


@dataclass(frozen=True)
class NoSettings:
    """A run stores its settings; one made by hand has none."""


def write_run(path: Path, scene: SyntheticScene, tracks: Tracks) -> Run:
    """Store tracks as tracking would."""
    zeros = np.zeros((len(scene.cameras("train")), 3), np.float32)
    names = [camera.name for camera in scene.cameras("train")]
    with Run.create(path, scene, NoSettings()) as run:
        run.write_gaussians(tracks.at(0), camera_names=names, camera_log_gains=zeros, camera_offsets=zeros)
        for timestep, means, rotations in zip(tracks.timesteps, tracks.means, tracks.rotations_wxyz, strict=True):
            run.write_pose(timestep, means, rotations, metrics={"psnr": 30.0 - timestep, "seconds": 2.0})
    return run


def main(output: Path | None = None) -> None:
    """Lose a body on purpose and find it on the page.

    Args:
        output: Where to write the page's picture, a .png; a temporary folder when not given.
    """
    scene = tumble(
        SyntheticOptions(width=160, height=90, timesteps=TIMESTEPS, train_cameras=8, test_cameras=1, cloud_noise_m=0.0)
    )
    tracks, truth = perfect_tracks(scene), scene.ground_truth()
    centers = truth.world_from_body[0, :, :3, 3]
    nearest = np.linalg.norm(tracks.means[0, :, None] - centers, axis=2).argmin(axis=1)
    part_index = np.where(tracks.foreground > 0.5, nearest, -1).astype(np.int32)
    lost = part_index == 0
    means = tracks.means.copy()
    means[LOST_AT:, lost] = means[LOST_AT - 1, lost]

    with tempfile.TemporaryDirectory() as folder:
        tracks = write_run(Path(folder) / "run", scene, replace(tracks, means=means)).tracks()
        parts = fit_parts(tracks, part_index, truth.body_names)
        errors, motion = error_panels(tracks, truth), motion_panels(parts)
        frame = scene.frame(TIMESTEPS - 1, "test")
        sections = [
            over_time("Errors", tracks.timesteps, errors),
            over_time("Motion of bodies", tracks.timesteps, motion),
            Section("Tracks", draw_particles(frame.images[0], tracks, frame.cameras[0])),
        ]
        page, png = save_page(Path(folder) / "page.html", "A run that loses a body", {"lost": "crate"}, sections)
        assert page.read_text(encoding="utf-8").count("data:image/png;base64,") == 3
        if output is not None:
            shutil.copyfile(png, output)

    mean_cm = np.array(errors[0].lines["mean"])
    print(f"mean 3D error: {mean_cm[LOST_AT - 1]:.3f} cm before the loss, {mean_cm[LOST_AT]:.1f} cm after")
    assert mean_cm[:LOST_AT].max() < 0.1 and (mean_cm[LOST_AT:] > 1.0).all()
    way = {name: np.array(values) for name, values in motion[0].lines.items()}
    assert np.ptp(way["crate"][LOST_AT:]) < 1e-3 and np.ptp(way["ball"][LOST_AT:]) > 0.05


if __name__ == "__main__":
    tyro.cli(main)
