"""Rows of a GPU: frames, passes with gradients against gsplat, steps of the published protocol."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import warp as wp

from warpgs.bench.clouds import cameras, surfaces
from warpgs.bench.config import BenchConfig
from warpgs.bench.peers import gsplat_passes
from warpgs.bench.report import Row
from warpgs.bench.step import Step, View
from warpgs.bench.timing import wall_ms
from warpgs.devices import Replay
from warpgs.render.channels import COLOR, COLOR_MASK

NOT_MEASURED = "not measured (no CUDA device)"
BATCH = 20
"""Passes between two looks at the clock: one is shorter than a wait for the device."""


def gpu_rows(config: BenchConfig, device: wp.Device | None) -> list[Row]:
    """All rows of a GPU; without one, the same rows without figures."""
    rows = []
    for number, size in enumerate(config.gpu_sizes):
        rows += raster_rows(config, device, size, wants_frames=number == 0)
    return [*rows, step_row(config, device)]


def raster_rows(
    config: BenchConfig, device: wp.Device | None, size: tuple[int, int], *, wants_frames: bool
) -> list[Row]:
    """Forward, and forward with backward, of one picture size, and both against gsplat."""
    width, height = size
    at = f"{config.gpu_count} particles, {width}x{height}"
    names = ("forward", "forward and backward")
    wanted = (1000.0, 3000.0) if wants_frames else (None, None)
    if device is None:
        rows = [Row(f"frames per second, {at}", None, "1/s", *wanted, note=NOT_MEASURED)]
        rows += [Row(f"{name}, {at}", None, "ms", note=NOT_MEASURED) for name in names]
        return rows + [Row(f"{name} over gsplat, {at}", None, "x", 1.0, 0.6, NOT_MEASURED) for name in names]
    gaussians = surfaces(config.gpu_count, width=width)
    view = View(gaussians, width, height, COLOR, device=device)
    passes = {"forward": _repeated(device, view.render), "forward and backward": _repeated(device, view.raster)}
    theirs, reason = gsplat_passes(gaussians, cameras(1, width, height)[0])
    rounds = passes | {f"gsplat {name}": _times(BATCH, run) for name, run in theirs.items()}
    ms = {name: total / BATCH for name, total in wall_ms(rounds, config.repeats, device).items()}
    rows = [Row(f"frames per second, {at}", 1e3 / ms["forward"], "1/s", *wanted, note="captured")]
    rows += [Row(f"{name}, {at}", ms[name], "ms", note="captured") for name in names]
    for name in names:
        other = ms.get(f"gsplat {name}")
        value = None if other is None else ms[name] / other
        note = reason if other is None else f"{ms[name]:.3f} over {other:.3f} ms"
        rows.append(Row(f"{name} over gsplat, {at}", value, "x", 1.0, 0.6, note))
    return rows


def step_row(config: BenchConfig, device: wp.Device | None) -> Row:
    """Training steps of one camera after another: color and mask, losses, priors, Adam."""
    width, height = config.gpu_sizes[0]
    name = f"steps per second, {config.gpu_count} particles, {config.gpu_cameras} cameras, {width}x{height}"
    if device is None:
        return Row(name, None, "1/s", 300.0, 1000.0, NOT_MEASURED)
    gaussians = surfaces(config.gpu_count, width=width)
    view = View(gaussians, width, height, COLOR_MASK, camera_count=config.gpu_cameras, device=device)
    indices = wp.array(list(range(config.gpu_cameras)), dtype=wp.int32, device=device)
    turn = count()

    def next_camera() -> None:
        wp.copy(view.index, indices, 0, next(turn) % config.gpu_cameras, 1)

    for _ in range(config.gpu_cameras):  # room for the splats of each
        next_camera()
        view.render(check=True)
    replay = Replay(device, Step(view).run)
    replay.run()
    replay.record()

    def steps() -> None:
        for _ in range(BATCH):
            next_camera()
            replay.run()

    ms = wall_ms({"steps": steps}, config.repeats, device)["steps"] / BATCH
    return Row(name, 1e3 / ms, "1/s", 300.0, 1000.0, f"{ms:.3f} ms each, captured")


def _repeated(device: wp.Device, launches: Callable[[], None]) -> Callable[[], None]:
    """A batch of replays."""
    replay = Replay(device, launches)
    replay.run()
    replay.record()
    return _times(BATCH, replay.run)


def _times(number: int, run: Callable[[], None]) -> Callable[[], None]:
    def batch() -> None:
        for _ in range(number):
            run()

    return batch
