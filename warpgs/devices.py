"""Where work runs: the device a user named, and the threads of the CPU."""

from __future__ import annotations

import os
from concurrent.futures import Executor, ThreadPoolExecutor

import warp as wp

from warpgs.checks import refuse


def pick_device(name: str) -> wp.Device:
    """The Warp device called ``name``: "auto" is the first CUDA device, or the CPU where there is none."""
    if name == "auto":
        return wp.get_device("cuda:0" if wp.is_cuda_available() else "cpu")
    known = ["cpu", *(device.alias for device in wp.get_cuda_devices())]
    if name not in known:
        refuse("device", "auto, " + ", ".join(known), name)
    return wp.get_device(name)


def thread_count(threads: int) -> int:
    """``threads``, or the number of cores this process may use when it is 0."""
    if threads < 0:
        refuse("threads", "0 (all cores) or more", threads)
    return threads or len(os.sched_getaffinity(0))


def make_executor(device: wp.Device, threads: int) -> Executor | None:
    """Threads for CPU launches, which are single-threaded and release the GIL; None where there is nothing to gain."""
    count = thread_count(threads)
    return ThreadPoolExecutor(count, "warpgs") if device.is_cpu and count > 1 else None
