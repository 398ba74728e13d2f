"""Time of the CPU rasterizer and of the image loss, stage by stage: thread CPU time, medians. Printed, never asserted.

python -m tests.benchmarks.rasterizer                          # 20,000 and 100,000 particles on surfaces
python -m tests.benchmarks.rasterizer --scenes FOLDER/s20k.npz # a fixed scene: means, quats, scales, colors, opac
python -m tests.benchmarks.rasterizer --peer "./reference s20k 20000"   # a peer, run in between, prints its own

``warpgs bench`` puts these times in relation to the limit of the core.
"""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import tyro
import warp as wp

from warpgs.bench.clouds import load, surfaces
from warpgs.bench.step import View
from warpgs.bench.timing import thread_ms
from warpgs.render.channels import CHANNELS

WIDTH, HEIGHT = 640, 360


@dataclass(frozen=True)
class Benchmark:
    """Time the rasterizer on one CPU core."""

    scenes: tuple[Path, ...] = ()
    """Scenes to load; without any, two are made."""
    channels: tuple[int, ...] = (3, 4, 6)
    """Numbers of channels drawn in one pass."""
    repeats: int = 15
    """Runs of each stage; the median counts."""
    peer: str = ""
    """Command to run after each scene."""


def main(benchmark: Benchmark) -> None:
    """Print one line per scene and number of channels."""
    wp.config.log_level = wp.LOG_ERROR
    scenes = {path.stem: load(path) for path in benchmark.scenes}
    scenes = scenes or {f"n{count}": surfaces(count) for count in (20_000, 100_000)}
    for name, gaussians in scenes.items():
        for channels in benchmark.channels:
            view = View(gaussians, WIDTH, HEIGHT, CHANNELS[:channels])
            stages = thread_ms({"all": view.raster, **view.stages()}, benchmark.repeats)
            print(f"{name:>8} {channels} channels  " + "  ".join(f"{k} {v:.2f}" for k, v in stages.items()) + "  ms")
        if benchmark.peer:
            subprocess.run(shlex.split(benchmark.peer), check=True)


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
