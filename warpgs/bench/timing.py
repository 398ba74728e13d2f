"""Medians of times. On the CPU that of the thread, which other programs on the machine disturb least."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import warp as wp


def thread_ms(stages: Mapping[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Median thread CPU time of each stage [ms].

    The stages take turns, so that what slows the machine down for a while slows down all of them. The first round loads
    kernels and does not count.
    """
    return _medians(stages, repeats, time.thread_time)


def wall_ms(stages: Mapping[str, Callable[[], None]], repeats: int, device: wp.Device) -> dict[str, float]:
    """Median wall time of each stage [ms], in turns, with all work on the device done."""

    def clock() -> float:
        wp.synchronize_device(device)
        return time.perf_counter()

    return _medians(stages, repeats, clock)


def _medians(stages: Mapping[str, Callable[[], None]], repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(repeats + 1):
        for name, stage in stages.items():
            start = clock()
            stage()
            times[name].append(clock() - start)
    return {name: 1e3 * float(np.median(measured[1:])) for name, measured in times.items()}
