"""Times of the engine on this machine: printed with what is wanted of them, never asserted."""

from __future__ import annotations

from warpgs.bench.config import BenchConfig
from warpgs.bench.cpu import cpu_rows
from warpgs.bench.gpu import gpu_rows
from warpgs.bench.machine import machine
from warpgs.bench.report import Report, Row
from warpgs.devices import pick_device

__all__ = ["BenchConfig", "Report", "Row", "benchmark"]


def benchmark(config: BenchConfig) -> Report:
    """Measure everything that this machine can.

    Args:
        config: Sizes and repetitions.
    """
    device = pick_device(config.device)
    rows = [*cpu_rows(config), *gpu_rows(config, None if device.is_cpu else device)]
    return Report(machine(), tuple(rows))
