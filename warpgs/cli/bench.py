"""``warpgs bench``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from warpgs.cli.shared import Flag, Verb


@dataclass(frozen=True)
class Bench:
    """Time this machine: rasterizer, losses, priors and whole steps, as ratios to the limit measured in the same run.

    What is wanted of each figure stands beside it, for information. A GPU is measured where there is one, and gsplat
    and torch where they are installed. Takes half a minute on a CPU; let nothing else run meanwhile.

    Example: warpgs bench --json bench.json
    """

    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write all figures to this file."""
    counts: tuple[int, ...] = (20_000, 100_000)
    """Numbers of particles on one CPU core."""
    size: tuple[int, int] = (640, 360)
    """Width and height of the pictures on the CPU [px]."""
    repeats: int = 15
    """Runs of each stage; the median counts."""
    device: str = "auto"
    """The GPU to measure, such as cuda:0; auto takes the first if there is one, cpu none."""
    peer: str = ""
    """Command to run at the end of the same run; it prints its own figures."""
    overwrite: Flag = False
    """Replace an existing JSON file."""
    debug: Flag = False
    """Show where an error came from."""


def bench(arguments: Bench) -> None:
    import shlex
    import subprocess

    from warpgs.bench import BenchConfig, benchmark
    from warpgs.checks import check_absent
    from warpgs.files import whole_file

    if arguments.json is not None:
        check_absent(arguments.json, arguments.overwrite)
    width, height = arguments.size
    report = benchmark(
        BenchConfig(
            counts=arguments.counts, width=width, height=height, repeats=arguments.repeats, device=arguments.device
        )
    )
    print(report.table())
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(arguments.json) as temporary:
            temporary.write_text(report.to_json(), encoding="utf-8")
    if arguments.peer:
        subprocess.run(shlex.split(arguments.peer), check=True)


BENCH = Verb(Bench, bench)
