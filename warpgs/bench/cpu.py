"""Rows of one CPU core, and of two: ratios within one run, because machines differ and are shared."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import thread_time

import numpy as np
import warp as wp

from warpgs.bench.clouds import surfaces
from warpgs.bench.config import BenchConfig
from warpgs.bench.limit import BLOCKS, Limit
from warpgs.bench.peers import torch_loss_ms
from warpgs.bench.report import Row
from warpgs.bench.step import Step, View
from warpgs.bench.timing import thread_ms, wall_ms
from warpgs.devices import Replay
from warpgs.render.channels import CHANNELS, COLOR, COLOR_MASK

SIX = CHANNELS[:6]
TINY_COUNT, TINY_SIDE = 32, 8
"""Particles and picture [px] of a step that has the same launches and next to no work."""
WANTED = {20_000: (1.7, 1.3), 100_000: (2.2, 1.6)}
"""Times the limit: must and goal by number of particles."""


def cpu_rows(config: BenchConfig) -> list[Row]:
    """All rows that need no GPU."""
    rows = []
    for count in config.counts:
        rows += compositing_rows(config, count)
    smallest = config.counts[0]
    return [*rows, *part_rows(config, smallest), *thread_rows(config, smallest), *step_rows(config, smallest)]


def compositing_rows(config: BenchConfig, count: int) -> list[Row]:
    """Compositing and the whole raster against the limit, and what the stages take."""
    view, limit = _view(config, count, COLOR), Limit()
    rounds = {"limit forward": limit.forward, "limit backward": limit.backward, **view.stages(), "all": view.raster}
    ms = thread_ms(rounds, config.repeats)
    blocks = view.block_count()
    best = {name: ms[f"limit {name}"] / BLOCKS * blocks for name in ("forward", "backward")}
    must, goal = WANTED.get(count, (None, None))
    of = f"{count} particles"
    rows = [
        Row(
            f"compositing {name} over the limit, {of}", ms[name] / best[name], "x", must, goal,
            f"{ms[name]:.2f} ms; limit {best[name]:.2f} ms = {blocks} blocks of 8 pixels, "
            f"{1e6 * ms[f'limit {name}'] / BLOCKS:.2f} ns each",
        )
        for name in best
    ]  # fmt: skip
    stages = ", ".join(f"{name} {ms[name]:.2f}" for name in view.stages() if name != "loss")
    total = sum(best.values())
    rows.append(Row(f"whole raster over the limit, {of}", ms["all"] / total, "x", note=f"{ms['all']:.2f} ms: {stages}"))
    return rows


def part_rows(config: BenchConfig, count: int) -> list[Row]:
    """Six channels over three; the loss and the priors over compositing."""
    view, six = _view(config, count, COLOR), _view(config, count, SIX)
    step = Step(view)
    stages = view.stages()
    rounds = {name: stages[name] for name in ("forward", "loss", "backward")}
    rounds |= {"three": view.raster, "six": six.raster, "priors": step.hold}
    ms = thread_ms(rounds, config.repeats)
    compositing = ms["forward"] + ms["backward"]
    size = f"{config.width}x{config.height}"
    over = f"{compositing:.2f} ms of compositing"
    note = f"{ms['six']:.2f} over {ms['three']:.2f} ms"
    rows = [
        Row("6 channels over 3, whole raster", ms["six"] / ms["three"], "x", 1.25, 1.15, note),
        Row(
            f"L1 + D-SSIM {size}x3 over compositing",
            ms["loss"] / compositing,
            "x",
            0.6,
            0.4,
            f"{ms['loss']:.2f} over {over}",
        ),
        Row(
            "neighbor priors over compositing",
            ms["priors"] / compositing,
            "x",
            0.7,
            0.4,
            f"{ms['priors']:.2f} over {over}",
        ),
    ]
    torch_ms, reason = torch_loss_ms(config)
    value = None if torch_ms is None else ms["loss"] / torch_ms
    note = reason if torch_ms is None else f"{ms['loss']:.2f} over {torch_ms:.2f} ms, one thread each"
    return [*rows, Row("L1 + D-SSIM over that of torch", value, "x", note=note)]


def thread_rows(config: BenchConfig, count: int) -> list[Row]:
    """Two cameras at the same time."""
    views = [_view(config, count, COLOR) for _ in range(2)]
    for view in views:
        view.raster()
    longest_ms = []

    def timed(view: View) -> float:
        start = thread_time()
        view.raster()
        return 1e3 * (thread_time() - start)

    with ThreadPoolExecutor(2) as pool:

        def together() -> None:
            longest_ms.append(max(pool.map(timed, views)))

        def in_turn() -> None:
            for view in views:
                view.raster()

        wall = wall_ms({"together": together, "in turn": in_turn}, config.repeats, wp.get_device("cpu"))
        alone_ms = thread_ms({"in turn": in_turn}, config.repeats)["in turn"]
    name, longest = "two cameras on two threads, speed-up", float(np.median(longest_ms[1:]))
    note = f"wall time, {wall['in turn']:.1f} over {wall['together']:.1f} ms; needs two idle cores"
    by_thread = f"CPU time in turn over that of the longer thread, {alone_ms:.1f} over {longest:.1f} ms"
    return [
        Row(name, wall["in turn"] / wall["together"], "x", 1.8, 1.95, note),
        Row(f"{name} where two cores are free", alone_ms / longest, "x", 1.8, 1.95, by_thread),
    ]


def step_rows(config: BenchConfig, count: int) -> list[Row]:
    """A whole step over its compositing, and what Python and launches take of it, eager and captured."""
    step = Step(_view(config, count, COLOR_MASK))
    tiny = Step(View(surfaces(TINY_COUNT), TINY_SIDE, TINY_SIDE, COLOR_MASK))
    captured = {name: Replay(wp.get_device("cpu"), s.run) for name, s in (("step", step), ("tiny", tiny))}
    for replay in captured.values():
        replay.run()
        replay.record()
    stages = step.view.stages()
    rounds = {name: stages[name] for name in ("forward", "backward")}
    rounds |= {"step eager": step.run, "tiny eager": tiny.run}
    rounds |= {f"{name} captured": replay.run for name, replay in captured.items()}
    ms = thread_ms(rounds, config.repeats)
    compositing = ms["forward"] + ms["backward"]
    note = f"{ms['step captured']:.2f} over {compositing:.2f} ms; color and mask, losses, priors, Adam; captured"
    rows = [Row("whole step over its compositing", ms["step captured"] / compositing, "x", 2.2, 1.6, note)]
    for kind, must, goal in (("eager", None, None), ("captured", 5.0, 1.0)):
        overhead, whole = ms[f"tiny {kind}"], ms[f"step {kind}"]
        note = f"{overhead:.3f} ms for the same launches over {TINY_COUNT} particles, of {whole:.2f} ms"
        rows.append(Row(f"Python and launches, {kind}", 100.0 * overhead / whole, "%", must, goal, note))
    return rows


def _view(config: BenchConfig, count: int, channels: tuple[str, ...]) -> View:
    return View(config.cloud(count), config.width, config.height, channels)
