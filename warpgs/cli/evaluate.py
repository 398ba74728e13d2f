"""``warpgs evaluate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from warpgs.cli.shared import Flag, Verb, open_run, progress_bar


@dataclass(frozen=True)
class Evaluate:
    """Measure a run: PSNR and SSIM on held-out cameras; errors of the tracks where the scene knows the truth; cost.

    Good pictures do not prove good tracks. Without ground truth look at a rendered orbit as well.

    Example: warpgs evaluate runs/tumble --json report.json
    """

    run: Positional[Path]
    """The run directory."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write all figures to this file."""
    plots: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Also draw errors over time, and tracks over the pictures of the last timestep, into this folder."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="SCENE")] = None
    """Where the scene is now, if it moved since it was tracked."""
    masks: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Masks that the scene lacks: <camera>/<timestep>.png."""
    per_timestep: Flag = False
    """Also print a line for each timestep."""
    image_scale: float = 1.0
    """Compare pictures of this size relative to the source's, 0..1."""
    device: str = "auto"
    """auto, cpu or cuda:0."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""
    overwrite: Flag = False
    """Replace an existing JSON file, and plots of the same names."""
    debug: Flag = False
    """Show where an error came from."""


def evaluate_run(arguments: Evaluate) -> None:
    from warpgs.checks import check_absent
    from warpgs.evaluate import evaluate, table
    from warpgs.evaluate.plots import save_plots
    from warpgs.files import whole_file
    from warpgs.render import Renderer

    for output in (arguments.json, arguments.plots):
        if output is not None:
            check_absent(output, arguments.overwrite)
    run, scene = open_run(arguments.run, arguments.scene, arguments.masks)
    renderer = Renderer(device=arguments.device, threads=arguments.threads)
    with progress_bar("evaluate", len(run.completed)) as bar:
        report = evaluate(
            run, scene, renderer, image_scale=arguments.image_scale, progress=lambda done, _: bar.update(done - bar.n)
        )
    if len(run.completed) < len(run.timesteps):
        print(f"{len(run.completed)} of {len(run.timesteps)} timesteps are tracked so far.")
    print(table(report, per_timestep=arguments.per_timestep))
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(arguments.json) as temporary:
            temporary.write_text(report.to_json(), encoding="utf-8")
    if arguments.plots is not None:
        for path in save_plots(report, run.tracks(), scene, arguments.plots):
            print(path)


EVALUATE = Verb(Evaluate, evaluate_run)
